//! The documentation hangs together: every page is listed, every link leads somewhere.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn pages(directory: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(directory).unwrap().flatten() {
        let path = path.path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|e| e == "md") {
            found.push(path);
        }
    }
}

/// The text without what stands between fences or backticks.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut prose = String::new();
    for line in text.lines() {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        if !fenced && !fence {
            let spoken = line.split('`').step_by(2);
            prose.push_str(&spoken.collect::<Vec<_>>().join("`"));
            prose.push('\n');
        }
    }
    prose
}

/// Targets of `[text](target)` and `![text](target)`.
fn links(text: &str) -> Vec<String> {
    let parts = prose(text);
    let ends = parts.split("](").skip(1);
    ends.filter_map(|rest| Some(rest.split_once(')')?.0.to_string()))
        .collect()
}

/// The name that a heading gets as a place in its page: lower case, spaces
/// become hyphens, other signs vanish.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

fn has_anchor(page: &Path, wanted: &str) -> bool {
    let text = std::fs::read_to_string(page).unwrap();
    let headings = text.lines().filter(|l| l.starts_with('#'));
    headings
        .map(|l| anchor(l.trim_start_matches('#')))
        .any(|a| a == wanted)
}

/// What is wrong with a link of `page`.
fn fault(page: &Path, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, place) = link.split_once('#').unwrap_or((link, ""));
    let target = match file {
        "" => page.to_path_buf(),
        file => page.parent().unwrap().join(file),
    };
    let shown = page.display();
    if !target.exists() {
        return Some(format!("{shown}: {link}: no such file"));
    }
    (!place.is_empty() && !has_anchor(&target, place))
        .then(|| format!("{shown}: {link}: no such heading"))
}

#[test]
fn every_page_is_in_the_summary() {
    let docs = root().join("docs").canonicalize().unwrap();
    let summary = docs.join("SUMMARY.md");
    let listed = links(&std::fs::read_to_string(&summary).unwrap());
    let unique: BTreeSet<&String> = listed.iter().collect();
    assert_eq!(unique.len(), listed.len(), "a page is listed twice");
    let mut found = Vec::new();
    pages(&docs, &mut found);
    assert!(found.len() > 20, "only {} pages", found.len());
    let missing: Vec<_> = found
        .iter()
        .filter(|p| **p != summary)
        .map(|p| p.strip_prefix(&docs).unwrap().display().to_string())
        .filter(|p| !listed.contains(p))
        .collect();
    assert!(missing.is_empty(), "not in docs/SUMMARY.md: {missing:?}");
}

#[test]
fn every_link_leads_somewhere() {
    let mut found = vec![root().join("README.md")];
    pages(&root().join("docs"), &mut found);
    let mut followed = 0;
    let mut faults = Vec::new();
    for page in &found {
        for link in links(&std::fs::read_to_string(page).unwrap()) {
            followed += 1;
            faults.extend(fault(page, &link));
        }
    }
    assert!(followed > 60, "only {followed} links found");
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn links_that_lead_nowhere_are_noticed() {
    let page = root().join("README.md");
    assert!(fault(&page, "docs/none.md").is_some());
    assert!(fault(&page, "docs/power.md#no-such-heading").is_some());
    assert!(fault(&page, "docs/power.md").is_none());
    assert!(fault(&page, "#try-it").is_none());
    let text = "a [b](c.md) `[d](e)`\n```\n[f](g)\n```\n![h](i.svg)";
    assert_eq!(links(text), ["c.md", "i.svg"]);
    assert_eq!(anchor(" What a `guest` sees, 2"), "what-a-guest-sees-2");
}

/// Readers of the repository and of the book see the same: pictures, not their source.
#[test]
fn every_picture_is_shown_and_stands_alone() {
    let mut found = vec![root().join("README.md")];
    pages(&root().join("docs"), &mut found);
    let text: String = found
        .iter()
        .map(|page| std::fs::read_to_string(page).unwrap())
        .collect();
    assert!(!text.contains("```mermaid"), "mdBook shows it as text");
    let shown: BTreeSet<_> = links(&text)
        .into_iter()
        .filter_map(|link| Some(link.rsplit_once("images/")?.1.to_string()))
        .collect();
    let images = root().join("docs/images");
    let there: BTreeSet<_> = std::fs::read_dir(&images)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(shown, there);
    for name in there {
        let picture = std::fs::read_to_string(images.join(&name)).unwrap();
        let outside = ["<script", "href=", "<image", "@import", "url(http"];
        let used: Vec<_> = outside.iter().filter(|o| picture.contains(**o)).collect();
        assert!(used.is_empty(), "{name}: {used:?}");
        // Its own ground: the page's may be light or dark.
        let grounds = ["<rect width=", "<rect class=\"paper\""];
        let ground = grounds.iter().any(|g| picture.contains(g));
        assert!(ground, "{name} is transparent");
    }
}

/// What is wrong with the headings of a page, and with how it begins.
fn build_of(text: &str) -> Option<&'static str> {
    let mut fenced = false;
    let mut level = 0;
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let depth = line.bytes().take_while(|b| *b == b'#').count();
        if fenced || depth == 0 {
            continue;
        }
        match (depth, level) {
            (1, 0) => {}
            (1, _) => return Some("two titles"),
            _ if depth > level + 1 => return Some("a heading skips a level"),
            _ => {}
        }
        level = depth;
    }
    let mut lines = text.lines();
    if !lines.next()?.starts_with("# ") {
        return Some("no title");
    }
    let first = lines.find(|line| !line.is_empty())?;
    // A record of a decision begins with its context, in bold.
    let told = first.starts_with(|c: char| c.is_alphabetic() || "`*".contains(c));
    (!told || first.len() < 20).then_some("does not begin with what it is for")
}

#[test]
fn every_page_is_built_alike_and_stays_in_the_book() {
    let docs = root().join("docs").canonicalize().unwrap();
    let mut found = Vec::new();
    pages(&docs, &mut found);
    let mut faults = Vec::new();
    for page in found.iter().filter(|page| !page.ends_with("SUMMARY.md")) {
        let text = std::fs::read_to_string(page).unwrap();
        let inside = |link: &String| {
            let file = link.split('#').next().unwrap_or_default();
            let target = page.parent().unwrap().join(file).canonicalize();
            link.contains("://") || target.is_ok_and(|target| target.starts_with(&docs))
        };
        let out = links(&text).into_iter().filter(|link| !inside(link));
        faults.extend(out.map(|link| format!("{}: {link} leads out", page.display())));
        let fault = build_of(&text).map(|what| format!("{}: {what}", page.display()));
        faults.extend(fault);
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(
        build_of("# A\n\nWhat this page is all about.\n\n### B\n"),
        Some("a heading skips a level")
    );
    assert!(build_of("# A\n\n## B\n").is_some());
}

/// A picture of numbers says the same as the page that shows it.
#[test]
fn the_picture_of_sizes_is_that_of_its_page() {
    let docs = root().join("docs");
    let page = std::fs::read_to_string(docs.join("size.md")).unwrap();
    let picture = std::fs::read_to_string(docs.join("images/size.svg")).unwrap();
    let label = picture.split("aria-label=\"").nth(1).unwrap();
    let label = label.split('"').next().unwrap();
    assert!(page.contains(&format!("![{label}](images/size.svg)")));
    let told: Vec<u32> = label
        .split([' ', ','])
        .filter_map(|w| w.parse().ok())
        .collect();
    let drawn = picture.split("font-weight=\"600\">").skip(1);
    let drawn = drawn.filter_map(|rest| rest.split('<').next()?.parse().ok());
    assert_eq!(told, drawn.collect::<Vec<u32>>());
    let sum: u32 = told.iter().sum();
    // The bars are 2.2 points a KiB.
    for kib in told {
        let width = (f64::from(kib) * 2.2).round();
        assert!(
            picture.contains(&format!("width=\"{width}\" height=\"30\"")),
            "{kib}"
        );
    }
    let code = page.split("| code | ").nth(1).unwrap();
    let code = code.split(" | ").nth(1).unwrap();
    assert_eq!(sum.to_string(), code.trim(), "the bars make up the code");
}

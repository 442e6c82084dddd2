//! docs/requirements.md names tests that exist, for every requirement, and
//! docs/power.md for every invariant.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Everything below `directory` that belongs to the project.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(directory).unwrap().flatten() {
        let (path, name) = (path.path(), path.file_name());
        let foreign = ["target", ".git", ".cache"].iter().any(|own| name == *own);
        if path.is_dir() && !foreign {
            files(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

/// What a name in the table may stand for.
struct Project {
    paths: Vec<String>,
    /// Of tests, and what they share.
    functions: BTreeSet<String>,
    cases: Vec<String>,
    /// Steps of the SMMU's drivers that tests leave out.
    steps: BTreeSet<String>,
}

/// The words that follow `before` in `text`.
fn words<'t>(text: &'t str, before: &'t str) -> impl Iterator<Item = String> + 't {
    let word = |rest: &str| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        rest[..end.unwrap_or(rest.len())].to_string()
    };
    text.split(before).skip(1).map(word)
}

/// Whether the file holds tests, or what they are made of.
fn is_test(path: &Path) -> bool {
    path.components().any(|c| {
        ["tests", "tests.rs", "fuzz"]
            .iter()
            .any(|own| c.as_os_str() == *own)
    })
}

impl Project {
    fn read() -> Self {
        let mut found = Vec::new();
        files(&root(), &mut found);
        let mut functions = BTreeSet::new();
        let (mut cases, mut steps) = (Vec::new(), BTreeSet::new());
        let is_rust = |p: &&PathBuf| p.extension().is_some_and(|e| e == "rs");
        for path in found.iter().filter(is_rust).filter(|p| is_test(p)) {
            let text = std::fs::read_to_string(path).unwrap();
            functions.extend(words(&text, "fn "));
            steps.extend(words(&text, "Step::"));
            if path.components().any(|c| c.as_os_str() == "guests") {
                let quoted = text.split('"').skip(1).step_by(2);
                cases.extend(quoted.map(str::to_string));
            }
        }
        let paths = found.iter().map(|p| format!("{}/", p.display())).collect();
        Self {
            paths,
            functions,
            cases,
            steps,
        }
    }

    fn has(&self, name: &str) -> bool {
        let start = name.trim_end_matches(['*', '…']);
        if start != name {
            return self.cases.iter().any(|case| case.starts_with(start));
        }
        let place = format!("/{name}/");
        self.functions.contains(name) || self.paths.iter().any(|path| path.contains(&place))
    }
}

/// Requirement and what its row says to show it, from the page's tables of four
/// columns.
fn rows(page: &str) -> Vec<(String, String)> {
    let cells = |line: &str| -> Option<(String, String)> {
        let cells: Vec<&str> = line.strip_prefix("| ")?.split(" | ").collect();
        let [id, _, place, _] = cells[..] else {
            return None;
        };
        let shown = place.split_once(" · ").map_or("", |(_, shown)| shown);
        let is_id = id.len() >= 2 && id[1..].chars().all(|c| c.is_ascii_digit());
        is_id.then(|| (id.to_string(), shown.to_string()))
    };
    page.lines()
        .filter_map(cells)
        .filter(|row| !row.0.starts_with('H'))
        .collect()
}

#[test]
fn every_requirement_names_tests_that_exist() {
    let page = std::fs::read_to_string(root().join("docs/requirements.md")).unwrap();
    let (project, rows) = (Project::read(), rows(&page));
    assert!(rows.len() >= 40, "{} rows", rows.len());
    for (id, shown) in rows {
        assert!(
            id.starts_with('G') || !shown.is_empty(),
            "{id}: nothing shows it"
        );
        for name in shown.split('`').skip(1).step_by(2) {
            assert!(project.has(name), "{id}: there is no {name}");
        }
    }
}

/// The cells of the table of invariants in docs/power.md: which, what shows it,
/// and the steps that are left out.
fn invariants(page: &str) -> Vec<(String, Vec<String>, Vec<String>)> {
    let names = |cells: &[&str]| {
        let quoted = cells
            .iter()
            .flat_map(|cell| cell.split('`').skip(1).step_by(2));
        quoted.map(str::to_string).collect()
    };
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix("| P")?.split(" | ").collect();
        let (id, [shown @ .., left_out]) = cells.split_first()? else {
            return None;
        };
        Some((format!("P{id}"), names(shown), names(&[left_out])))
    };
    page.lines().filter_map(row).collect()
}

#[test]
fn every_invariant_names_tests_that_exist() {
    let page = std::fs::read_to_string(root().join("docs/power.md")).unwrap();
    let (project, rows) = (Project::read(), invariants(&page));
    let ids: Vec<&str> = rows.iter().map(|row| row.0.as_str()).collect();
    let all: Vec<String> = (1..=12).map(|n| format!("P{n}")).collect();
    assert_eq!(ids, all);
    for (id, shown, left_out) in rows {
        assert!(!shown.is_empty(), "{id}: nothing shows it");
        for name in shown {
            assert!(
                project.functions.contains(&name),
                "{id}: there is no {name}"
            );
        }
        for step in left_out {
            assert!(
                project.steps.contains(&step),
                "{id}: nothing leaves out {step}"
            );
        }
    }
}

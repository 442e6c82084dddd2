//! The documentation keeps up with the code.
use std::collections::BTreeSet;
use std::path::Path;

fn sources(directory: &Path, found: &mut Vec<String>) {
    for path in std::fs::read_dir(directory)
        .unwrap()
        .flatten()
        .map(|e| e.path())
    {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            found.push(std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// Short names of findings: kebab-case words in quotes, right after a call
/// that reports, or first in a tuple of (name, what, remedy).
fn codes(source: &str, codes: &mut BTreeSet<String>) {
    const CALLS: [&str; 4] = [".error(", ".warning(", ".note(", " => ("];
    for call in CALLS {
        for rest in source.split(call).skip(1) {
            let Some(rest) = rest.trim_start().strip_prefix('"') else {
                continue;
            };
            let Some((code, after)) = rest.split_once('"') else {
                continue;
            };
            let kebab = code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
            if kebab && !code.is_empty() && after.starts_with(',') {
                codes.insert(code.into());
            }
        }
    }
}

#[test]
fn every_message_is_in_the_reference() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let reference = std::fs::read_to_string(root.join("docs/configuration.md")).unwrap();
    let mut found = Vec::new();
    for room in ["facts", "config", "probe"] {
        sources(&root.join("platform/src").join(room), &mut found);
    }
    found.push(std::fs::read_to_string(root.join("platform/src/overlay.rs")).unwrap());
    let mut all = BTreeSet::new();
    found.iter().for_each(|source| codes(source, &mut all));
    let missing: Vec<_> = all
        .iter()
        .filter(|c| !reference.contains(&format!("`{c}`")))
        .collect();
    assert!(all.len() > 60, "only {} messages found: {all:?}", all.len());
    assert!(
        missing.is_empty(),
        "not in docs/configuration.md: {missing:?}"
    );
}

/// The overlays printed in the documentation compile.
#[test]
fn every_printed_overlay_compiles() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let text = std::fs::read_to_string(root.join("configuration.md")).unwrap();
    let printed = text
        .split("```dts\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let whole: Vec<&str> = printed.filter(|p| p.contains("/dts-v1/")).collect();
    assert_eq!(whole.len(), 2);
    for source in whole {
        platform::dts::compile(source).unwrap();
    }
}

/// Words in a message that stand for something: what they stand for differs.
const STAND_INS: [&str; 6] = ["n", "N", "name", "VM", "/path", "/…"];

/// The fixed pieces of a message as the page on trouble prints it.
fn pieces(message: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for word in message.split_whitespace() {
        let bare = word.trim_end_matches([',', ':', ';']);
        let varies = word.contains(['…', '<', '(', ')']) || STAND_INS.contains(&bare);
        if varies || bare.ends_with(|c: char| c.is_ascii_digit()) {
            pieces.push(String::new());
        } else if let Some(piece) = pieces.last_mut() {
            *piece += if piece.is_empty() { "" } else { " " };
            *piece += bare;
            if bare != word {
                pieces.push(String::new());
            }
        }
    }
    let kept = pieces
        .iter()
        .map(|p| p.trim_end_matches([',', ':', ';', '.']));
    kept.filter(|p| p.contains(' ') && p.len() >= 8)
        .map(str::to_string)
        .collect()
}

/// The messages in the first column of the page's tables.
fn explained(page: &str) -> Vec<&str> {
    let rows = page.lines().filter_map(|l| l.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
}

/// Whoever looks up a message has one that is printed.
#[test]
fn every_explained_message_is_printed() {
    // Linux's, a command, and what Rust or two pieces of ours put together.
    const ELSEWHERE: [&str; 5] = [
        "deferred probe pending",
        "make run",
        "panicked at FILE:LINE",
        "does not switch on",
        "SError at",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for room in ["hypervisor", "platform", "smmu", "pgtable", "tools"] {
        sources(&root.join(room).join("src"), &mut found);
    }
    // A text that goes on in the next line of the source.
    let joined = found.iter().map(|source| {
        let mut lines = source.split("\\\n");
        let first = lines.next().unwrap_or_default().to_string();
        lines.fold(first, |text, line| text + line.trim_start())
    });
    let all = joined.collect::<Vec<_>>().join("\n");
    let page = std::fs::read_to_string(root.join("docs/troubleshooting.md")).unwrap();
    let wanted: Vec<String> = explained(&page).into_iter().flat_map(pieces).collect();
    let missing: Vec<_> = wanted
        .iter()
        .filter(|piece| !ELSEWHERE.contains(&piece.as_str()) && !all.contains(piece.as_str()))
        .collect();
    assert!(wanted.len() > 100, "only {} pieces", wanted.len());
    assert!(missing.is_empty(), "printed by nobody: {missing:#?}");
}

#[test]
fn pieces_of_messages_are_what_does_not_vary() {
    let message = "CPU n (…) does not start: PSCI error -2";
    assert_eq!(pieces(message), ["does not start", "PSCI error"]);
    let row = "| `one text`, `other` | cause | `not this` |\n| --- |";
    assert_eq!(explained(row), ["one text", "other"]);
}

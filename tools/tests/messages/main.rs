//! The page on trouble and the messages keep up with each other.

mod texts;

use std::path::{Path, PathBuf};
use texts::{Text, texts};

/// The hypervisor and what is linked into it.
const LINKED: [&str; 4] = ["hypervisor/src", "platform/src", "smmu/src", "pgtable/src"];

/// What an operator of a board does not see, or finds elsewhere.
const ELSEWHERE: [(&str, &str); 14] = [
    ("/tests/", "tests"),
    ("/model", "models that drivers are tested with"),
    ("/pci/fake.rs", "the fake host bridge of the tests"),
    ("queue_loom.rs", "tests"),
    ("pgtable/src/mem/", "memory of the tests; assembly"),
    (
        "/dts/",
        "the tools' reader of source: the hypervisor takes blobs",
    ),
    (
        "platform/src/config/",
        "findings: docs/configuration.md, by their names",
    ),
    ("platform/src/facts/", "findings"),
    ("platform/src/overlay", "findings"),
    ("platform/src/report.rs", "the form of findings"),
    ("trap/words.rs", "names of exceptions, behind a message"),
    ("pgtable/src/visit.rs", "the monitor's memory map"),
    ("pgtable/src/attrs.rs", "the monitor's memory map"),
    (
        "hypervisor/src/main.rs",
        "the program that stands in for the image on a computer",
    ),
];

/// What ends a statement before a text that reports no trouble.
const NO_TROUBLE: [&str; 8] = [
    "info!(",
    "print(format_args!(",
    "must_use =",
    "reason =",
    "concat!(",
    // A panic's text: the page has what comes with it.
    ".expect(",
    "const HELP: &str =",
    // What a finding advises.
    "let remedy =",
];

/// What makes the whole statement say nothing to an operator.
const NEVER_PRINTED: [&str; 2] = ["asm!(", "assert"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// Path and text of every source below `directory`.
fn sources(directory: &Path, found: &mut Vec<(String, String)>) {
    for path in std::fs::read_dir(directory).unwrap().flatten() {
        let path = path.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            found.push((path.display().to_string(), source));
        }
    }
}

/// The fixed pieces of a text of the code: what a reader can search for.
fn fixed(text: &str) -> Vec<String> {
    let text = text.replace("\\n", "\n").replace("\\r", "");
    let text = text.replace("[stagegate] error: ", "");
    let mut pieces = vec![String::new()];
    let mut inside = false;
    for c in text.chars() {
        match c {
            '{' | '}' | '\n' => {
                inside = c == '{';
                pieces.push(String::new());
            }
            _ if inside => {}
            _ => pieces.last_mut().unwrap().push(c),
        }
    }
    let ends = |c: char| !c.is_alphanumeric();
    let trimmed = pieces.iter().map(|p| p.trim_matches(ends).to_string());
    trimmed.filter(|p| !p.is_empty()).collect()
}

/// The pieces of `text` that the page must show; none where it reports no trouble.
fn to_explain(Text { before, text }: &Text) -> Vec<String> {
    let pieces = fixed(text);
    let told = before.ends_with("log::error!(") || before.ends_with("log::warn!(");
    if NO_TROUBLE.iter().any(|end| before.ends_with(end))
        || NEVER_PRINTED.iter().any(|word| before.contains(word))
    {
        return Vec::new();
    }
    let long: Vec<_> = pieces
        .iter()
        .filter(|p| p.contains(' ') && p.len() >= 8)
        .cloned()
        .collect();
    let words = pieces.into_iter().filter(|p| p.len() >= 3 && told);
    if long.is_empty() {
        words.max_by_key(String::len).into_iter().collect()
    } else {
        long
    }
}

#[test]
fn every_printed_message_is_explained() {
    let mut found = Vec::new();
    LINKED
        .iter()
        .for_each(|room| sources(&root().join(room), &mut found));
    let elsewhere = |path: &str| ELSEWHERE.iter().any(|(part, _)| path.contains(part));
    let pages = page("troubleshooting.md") + &page("boot.md");
    let shown: Vec<&str> = pages.split('`').skip(1).step_by(2).collect();
    let (mut wanted, mut missing) = (0, Vec::new());
    for (path, source) in found.iter().filter(|(path, _)| !elsewhere(path)) {
        for piece in texts(source).iter().flat_map(to_explain) {
            wanted += 1;
            if !shown.iter().any(|s| s.contains(&piece)) {
                missing.push(format!("{}: {piece}", path.rsplit_once("/../").unwrap().1));
            }
        }
    }
    assert!(wanted > 200, "only {wanted} messages found");
    let stale = |(part, _): &&(&str, _)| !found.iter().any(|(path, _)| path.contains(part));
    let stale: Vec<_> = ELSEWHERE.iter().filter(stale).collect();
    assert!(stale.is_empty(), "no such source: {stale:?}");
    assert!(
        missing.is_empty(),
        "neither in docs/troubleshooting.md nor, where nothing is wrong, in docs/boot.md: {missing:#?}"
    );
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
    const BY_OTHERS: [&str; 8] = [
        "deferred probe pending",
        "make run",
        "panicked at FILE:LINE",
        "does not switch on",
        "SError at",
        "fast interrupt at",
        "synchronous exception at",
        "stagegate run",
    ];
    let mut found = Vec::new();
    for room in LINKED.iter().chain(&["tools/src"]) {
        sources(&root().join(room), &mut found);
    }
    let printed = found.iter().flat_map(|(_, source)| texts(source));
    let all = printed.map(|t| t.text).collect::<Vec<_>>().join("\n");
    let page = page("troubleshooting.md");
    let wanted: Vec<String> = explained(&page).into_iter().flat_map(pieces).collect();
    let missing: Vec<_> = wanted
        .iter()
        .filter(|piece| !BY_OTHERS.contains(&piece.as_str()) && !all.contains(piece.as_str()))
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

#[test]
fn a_new_message_is_noticed() {
    let source = "log::error!(\"{}: a new trouble: {}\", a, b); log::info!(\"all is well now\");\
                  log::warn!(\"odd: {x}\"); assert!(a, \"never printed so\");";
    let wanted: Vec<_> = texts(source).iter().flat_map(to_explain).collect();
    assert_eq!(wanted, ["a new trouble", "odd"]);
}

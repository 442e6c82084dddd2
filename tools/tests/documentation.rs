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

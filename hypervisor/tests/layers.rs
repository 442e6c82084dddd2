//! The rooms of `machine` stand on one another as docs/architecture.md says:
//! none imports one above it. They are built for the target alone, so this reads
//! their text.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// From the top.
const ROOMS: [&str; 11] = [
    "start", "fault", "failed", "exits", "life", "irq", "operator", "probing", "vms", "vm", "board",
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The names that follow `prefix` in `text`, also in braces.
fn named<'t>(text: &'t str, prefix: &str) -> Vec<&'t str> {
    let name = |text: &'t str| {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
        &text[..end.unwrap_or(text.len())]
    };
    let mut names = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        let rest = &text[at + prefix.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            names.push(name(rest));
            continue;
        };
        let (mut depth, mut start) = (0, true);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if start && c.is_alphabetic() => {
                    names.push(name(&list[at..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    names
}

fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().position(|name| *name == room)
}

#[test]
fn imports_in_machine_point_down() {
    let machine = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/machine");
    let mut files = Vec::new();
    sources(&machine, &mut files);
    let mut seen = BTreeSet::new();
    for file in files {
        let inside = file.strip_prefix(&machine).unwrap();
        let first = inside.components().next().unwrap();
        let room = Path::new(first.as_os_str()).file_stem().unwrap();
        let room = room.to_str().unwrap();
        if room == "mod" {
            continue;
        }
        let own = rank(room);
        let own = own.unwrap_or_else(|| panic!("where does {room} stand? Say so here and in docs"));
        seen.insert(room.to_owned());
        let text = fs::read_to_string(&file).unwrap();
        let code: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(|line| [line, "\n"])
            .collect();
        // For a file of its own the rooms are beside it; the face of a folder
        // stands beside them, too.
        let beside = inside.components().count() == 1 || inside.ends_with("mod.rs");
        let mut names = named(&code, "crate::machine::");
        if beside {
            names.extend(named(&code, "super::"));
        }
        for name in names {
            let other = rank(name);
            let other = other.unwrap_or_else(|| panic!("{}: what is {name}?", inside.display()));
            assert!(
                own <= other,
                "{} imports {name}, which stands above {room}",
                inside.display()
            );
        }
    }
    assert!(seen.len() > 8, "found only {seen:?}");
}

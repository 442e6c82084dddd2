//! The porting guide does what it shows, and what the pages name is there.
mod common;
#[path = "common/page.rs"]
mod page;

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// Runs a block in the reader's directory and returns what it printed.
fn run(commands: &str, at: &Path, tree: &Path) -> String {
    let tools = Path::new(env!("CARGO_BIN_EXE_stagegate")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let output = Command::new("timeout")
        .args(["60", "bash", "-euo", "pipefail", "-c", commands])
        .current_dir(at)
        .env("PATH", format!("{}:{path}", tools.display()))
        .env("TREE", tree)
        .env("STAGEGATE", root().canonicalize().unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{commands}\n{said}\n{errors}");
    said
}

#[test]
fn the_porting_guide_does_what_it_shows() {
    let Some(trees) = common::board_trees() else {
        return;
    };
    let tree = trees.join("amd/amd-overdrive-rev-b1.dtb");
    let tree = tree.canonicalize().expect("the example's tree");
    let at = std::env::temp_dir().join(format!("stagegate-porting-{}", std::process::id()));
    std::fs::create_dir_all(&at).unwrap();
    let (runs, compared) = page::follow(&text("porting.md"), "porting", &mut |commands| {
        run(commands, &at, &tree)
    });
    std::fs::remove_dir_all(&at).unwrap();
    assert!(
        runs == 3 && compared == 11,
        "{runs} blocks, {compared} lines"
    );
}

/// Words between backticks that are paths in the repository.
fn paths(page: &str) -> Vec<&str> {
    const ROOMS: [&str; 7] = [
        "docs/",
        "fuzz/",
        "hypervisor/",
        "pgtable/",
        "platform/",
        "smmu/",
        "tools/",
    ];
    let spans = page.split('`').skip(1).step_by(2);
    let path = |word: &&str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        ROOMS.iter().any(|room| word.starts_with(room)) && word.chars().all(plain)
    };
    spans.filter(path).collect()
}

#[test]
fn every_path_on_the_pages_is_there() {
    let (mut named, mut missing) = (0, Vec::new());
    for entry in std::fs::read_dir(root().join("docs")).unwrap().flatten() {
        let file = entry.path();
        if file.extension().is_none_or(|e| e != "md") {
            continue;
        }
        let page = std::fs::read_to_string(&file).unwrap();
        for path in paths(&page) {
            named += 1;
            // Where the image's parts are listed, a module stands by its crate.
            let short = path
                .split_once('/')
                .map(|(room, rest)| format!("{room}/src/{rest}"));
            let names = [path.to_string(), short.unwrap_or_default()];
            let mut files = names
                .iter()
                .flat_map(|name| [name.clone(), format!("{name}.rs")]);
            let there = files.any(|name| root().join(name).exists());
            if !there {
                missing.push(format!("{}: {path}", file.file_name().unwrap().display()));
            }
        }
    }
    assert!(named > 80, "only {named} paths found");
    assert!(missing.is_empty(), "{missing:#?}");
}

/// `cargo test -p CRATE --test NAME` on the pages names a test that is there.
#[test]
fn every_test_on_the_pages_is_there() {
    let mut seen = 0;
    for name in [
        "porting.md",
        "boards.md",
        "testing.md",
        "smmuv2.md",
        "pci.md",
    ] {
        let page = text(name);
        for line in page.split("cargo test").skip(1) {
            let words: Vec<&str> = line.split(['`', '\n']).next().unwrap().split(' ').collect();
            let after = |option| {
                let at = words.iter().position(|w| *w == option)?;
                words.get(at + 1).copied()
            };
            let (Some(package), Some(test)) = (after("-p"), after("--test")) else {
                continue;
            };
            seen += 1;
            let room = match package {
                "stagegate" => "tools",
                "stagegate-tests" => "tests",
                own => own,
            };
            let tests = root().join(room).join("tests");
            let there = [format!("{test}.rs"), format!("{test}/main.rs")];
            let found = there.iter().any(|file| tests.join(file).exists());
            assert!(found, "{name}: no test {test} of {package}");
        }
    }
    assert!(seen >= 4, "only {seen} tests named");
}

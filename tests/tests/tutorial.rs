//! The tutorial does what it shows: its commands run as printed, and the
//! output that it promises appears.

mod common;

use common::{dir, ok};
use stagegate_tests::paths;
use stagegate_tests::{image, initramfs};
use std::path::Path;
use std::process::Command;

/// What a block is for.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// Commands to run.
    Commands,
    /// Pieces of lines that the commands before it print, in this order.
    Expected,
}

/// The marked blocks of the page.
fn blocks(page: &str) -> Vec<(Kind, String)> {
    let mut found: Vec<(Kind, String)> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```sh tutorial" => found.push((Kind::Commands, String::new())),
            "```text expected" => found.push((Kind::Expected, String::new())),
            "```" => {}
            _ if inside => {
                if let Some((_, text)) = found.last_mut() {
                    *text += line;
                    text.push('\n');
                }
            }
            _ => {}
        }
        inside = line == "```sh tutorial" || line == "```text expected" || inside && line != "```";
    }
    found
}

/// Runs a block in the reader's directory and returns what it printed.
fn follow(commands: &str, at: &Path) -> String {
    let kernel = ok(paths::kernel("6.12"));
    let flat = ok(image::flatten(&ok(paths::hypervisor())));
    let program = paths::existing(
        paths::target().join("runner/stagegate"),
        "see docs/testing.md",
    );
    let tools = ok(program)
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default();
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("timeout")
        .args(["300", "bash", "-euo", "pipefail", "-c", commands])
        .current_dir(at)
        .env("PATH", format!("{}:{path}", tools.display()))
        .env("STAGEGATE_BIN", flat)
        .env("INITRD", ok(initramfs::build(&kernel)))
        .env("KERNEL", kernel.image)
        .output()
        .expect("bash starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{commands}\n{said}\n{errors}");
    said
}

#[test]
fn the_tutorial_does_what_it_shows() {
    let page = std::fs::read_to_string(paths::root().join("docs/tutorial.md")).expect("the page");
    let (at, mut said, mut runs, mut compared) = (dir("tutorial"), String::new(), 0, 0);
    for (kind, text) in blocks(&page) {
        if kind == Kind::Commands {
            said = follow(&text, &at);
            runs += 1;
            continue;
        }
        let mut lines = said.lines();
        for piece in text.lines() {
            assert!(lines.any(|l| l.contains(piece)), "no '{piece}' in:\n{said}");
            compared += 1;
        }
    }
    assert!(
        runs >= 6 && compared >= 8,
        "{runs} blocks, {compared} lines"
    );
}

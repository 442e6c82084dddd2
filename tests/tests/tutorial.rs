//! The tutorial does what it shows: its commands run as printed, and the
//! output that it promises appears.

mod common;
#[path = "../../tools/tests/common/page.rs"]
mod page;

use common::{dir, ok};
use stagegate_tests::paths;
use stagegate_tests::{image, initramfs};
use std::path::Path;
use std::process::Command;

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

/// What QEMU says of the SMMU's gate and of the disks while the guests of the
/// page run: nobody reads or writes below a clock that stands still, and when
/// both guests are done the shared SMMU is asleep.
fn slept_after_use(log: &str) {
    let (mut open, mut copied) = (true, 0);
    for line in log.lines() {
        if let Some((_, level)) = line.split_once("setting output 5 to ") {
            open = level.trim() == "1";
        } else if line.starts_with("pci_nvme_") {
            assert!(
                open,
                "a disk reads or writes while the clock is off:\n{log}"
            );
            copied += 1;
        }
    }
    // 8 MiB each way in pieces of 64 KiB, by two guests.
    assert!(copied >= 2 * 2 * 128, "{copied} accesses to the disks");
    assert!(!open, "the clock still runs after the last use:\n{log}");
}

#[test]
fn the_tutorial_does_what_it_shows() {
    let page = std::fs::read_to_string(paths::root().join("docs/tutorial.md")).expect("the page");
    let at = dir("tutorial");
    let (runs, compared) = page::follow(&page, "tutorial", &mut |text| follow(text, &at));
    assert!(
        runs >= 7 && compared >= 13,
        "{runs} blocks, {compared} lines"
    );
    slept_after_use(&std::fs::read_to_string(at.join("lines.log")).expect("QEMU's log"));
}

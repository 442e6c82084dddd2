//! What a test does without something that it needs: it fails, unless the
//! operator has said that it may be left out, and then it says so where
//! `make test` counts it.
#![allow(dead_code)]

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// Says that a test is left out. `cargo test` shows what a passing test prints
/// only on request; this goes past it.
fn left_out(why: &str) {
    let line = format!("\nSKIPPED: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Whether a program is there.
///
/// # Panics
/// It is not, and `STAGEGATE_WITHOUT` does not name it.
pub fn installed(tool: &str, package: &str) -> bool {
    if Command::new(tool).arg("-V").output().is_ok() {
        return true;
    }
    let without = std::env::var("STAGEGATE_WITHOUT").unwrap_or_default();
    assert!(
        without.split(' ').any(|word| word == tool),
        "{tool} is not installed (package {package}): run tests/scripts/install-tools.sh, \
         or leave its tests out: STAGEGATE_WITHOUT={tool}"
    );
    left_out(&format!("{tool} is not installed (package {package})"));
    false
}

/// The directory of board trees that `make test` fetches.
pub fn board_trees() -> Option<PathBuf> {
    let directory = std::env::var_os("STAGEGATE_DTBS").map(PathBuf::from);
    if directory.is_none() {
        left_out("set STAGEGATE_DTBS to a directory of board trees");
    }
    directory
}

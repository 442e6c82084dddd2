//! What the QEMU tests share.
#![allow(dead_code, unused_imports)]

pub use stagegate_tests::LIMIT;
use stagegate_tests::checks::Checks;
use stagegate_tests::guest::{self, Vm};
use stagegate_tests::machine::{Board, Machine, Running};
use stagegate_tests::{cases, paths};
use std::path::PathBuf;
use std::time::Instant;

/// A directory for a test's files.
pub fn dir(name: &str) -> PathBuf {
    paths::fresh_dir(&format!("tests/{name}")).unwrap_or_else(|e| panic!("{e}"))
}

/// Unwraps with the sentence the helper wrote.
pub fn ok<T>(result: stagegate_tests::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// The usual machine with another interrupt controller.
pub fn board(board: Board, cpus: u32, memory_mib: u32) -> Machine {
    Machine {
        board,
        ..Machine::virt(cpus, memory_mib)
    }
}

/// Fails with the end of the console's output unless all cases passed.
pub fn all_passed(mut running: Running) {
    let verdicts = cases::listen(&mut running);
    if let Err(error) = verdicts.all_passed() {
        panic!("{error}\n{}", running.console.tail(40));
    }
}

/// Follows the guest to its end and judges what it said.
pub fn proves_itself(mut running: Running, name: &str) {
    let (mut vm, mut checks) = (Vm::new(name), Checks::default());
    let deadline = Instant::now() + LIMIT;
    while let Ok(line) = running.console.next(deadline) {
        if let Some(said) = guest::parse(&line.text) {
            vm.hear(said, &line, &mut checks);
        }
    }
    let end = running.console.tail(30);
    assert!(checks.passed(), "{end}");
    assert_eq!(vm.exit.as_deref(), Some("poweroff"), "{end}");
    assert!(ok(running.finish(LIMIT)).status.success());
}

//! What the QEMU tests share.
#![allow(dead_code, unused_imports)]

pub use stagegate_tests::LIMIT;
use stagegate_tests::machine::{Board, Machine, Running};
use stagegate_tests::{cases, paths};
use std::path::PathBuf;

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

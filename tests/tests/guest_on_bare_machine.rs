//! The cases of the bare-metal guest hold on QEMU's own machine: a case that
//! fails under Stagegate is then Stagegate's fault.

mod common;

use common::{all_passed, dir, ok};
use stagegate_tests::cases;
use stagegate_tests::machine::Board;

const CASES: &str = "psci,gic,timer,sysreg,bench";

#[test]
fn gicv3() {
    all_passed(ok(cases::start_bare(
        Board::VirtGicV3,
        CASES,
        &dir("bare-gicv3"),
    )));
}

#[test]
fn gicv2() {
    all_passed(ok(cases::start_bare(
        Board::VirtGicV2,
        CASES,
        &dir("bare-gicv2"),
    )));
}

/// The runner must notice a case that does not exist, or it would notice
/// nothing.
#[test]
fn unknown_cases_fail() {
    let dir = dir("bare-unknown");
    let mut running = ok(cases::start_bare(Board::VirtGicV3, "nonsense", &dir));
    assert!(cases::listen(&mut running).all_passed().is_err());
}

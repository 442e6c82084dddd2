//! The cases of the bare-metal guest under Stagegate, for both interrupt
//! controllers.

mod common;

use common::{all_passed, board, dir, ok};
use stagegate_tests::cases;
use stagegate_tests::machine::Board;

fn hosted(version: Board, group: &str) {
    let name = format!("hosted-{version:?}-{group}");
    let machine = board(version, cases::CPUS + 1, 1024);
    all_passed(ok(cases::start_hosted(machine, group, &dir(&name))));
}

macro_rules! groups {
    ($($name:ident),*) => {
        mod gicv3 {
            $(#[test] fn $name() { super::hosted(super::Board::VirtGicV3, stringify!($name)); })*
        }
        mod gicv2 {
            $(#[test] fn $name() { super::hosted(super::Board::VirtGicV2, stringify!($name)); })*
        }
    };
}

groups!(psci, gic, timer, sysreg, hypercall, bad);

/// Hypercalls with a device behind them.
#[test]
fn dma_domains() {
    let machine = board(Board::VirtGicV3, cases::CPUS + 1, 1024);
    let running =
        cases::start_with_device(machine, cases::CPUS, "hypercall,dma", &dir("hosted-dma"));
    all_passed(ok(running));
}

/// A device's messages and its wire, for both interrupt controllers.
fn messages(version: Board) {
    let machine = board(version, cases::CPUS + 1, 1024);
    let dir = dir(&format!("hosted-{version:?}-messages"));
    all_passed(ok(cases::start_with_device(
        machine,
        cases::CPUS,
        "msg",
        &dir,
    )));
}

#[test]
fn messages_through_an_its() {
    messages(Board::VirtGicV3);
}

#[test]
fn messages_through_a_gicv2m_frame() {
    messages(Board::VirtGicV2);
}

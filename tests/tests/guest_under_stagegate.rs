//! The cases of the bare-metal guest under Stagegate, for both interrupt
//! controllers.

mod common;

use common::{LIMIT, all_passed, board, dir, ok};
use stagegate_tests::cases;
use stagegate_tests::devicetree::Template;
use stagegate_tests::machine::Board;
use stagegate_tests::setup::{Setup, VmSpec};

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

/// An SMMU without an interrupt is looked at: its faults come all the same.
#[test]
fn dma_faults_without_an_interrupt() {
    let machine = board(Board::VirtGicV3, 2, 1024);
    let mut setup = ok(Setup::new(cases::with_edu(machine, &[6])));
    setup.overlay(ok(Template::named("clock-gate")));
    let mute = "/dts-v1/; /plugin/;\n&smmu { interrupts; };\n";
    setup.overlay(Template::text("mute", mute));
    let kernel = ok(setup.module(&ok(cases::image())));
    setup.vms(&[cases::with_devices(&kernel, "dma-device", &[6])]);
    let mut running = ok(setup.start(&dir("hosted-dma-mute")));
    let mute = ["[stagegate] warning", "no interrupt: it is looked at"];
    ok(running.console.expect_all(&mute, LIMIT));
    all_passed(running);
}

/// Two VMs signal under the same numbers at the same time, and each aims at
/// the other's: both count their own messages exactly.
#[test]
fn messages_of_two_vms_stay_apart() {
    const NAMES: [&str; 2] = ["left", "right"];
    let machine = board(Board::VirtGicV3, 2, 1024);
    let mut setup = ok(Setup::new(cases::with_edu(machine, &[6, 7])));
    let kernel = ok(setup.module(&ok(cases::image())));
    setup.overlay(ok(Template::named("clock-gate")));
    let vm = |name, slot| VmSpec {
        name,
        ..cases::with_devices(&kernel, "msg", &[slot])
    };
    setup.vms(&[vm(NAMES[0], 6), vm(NAMES[1], 7)]);
    let mut running = ok(setup.start(&dir("hosted-messages-two")));
    for verdicts in cases::listen_to(&mut running, NAMES) {
        if let Err(error) = verdicts.all_passed() {
            panic!("{error}\n{}", running.console.tail(60));
        }
        // Only what needs more CPUs was left out.
        assert_eq!(verdicts.skipped.len(), 1, "{:?}", verdicts.skipped);
    }
}

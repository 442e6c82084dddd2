//! Boards other than QEMU's `virt`.

mod common;

use common::{LIMIT, board, dir, ok};
use stagegate_tests::cases::{self, spec};
use stagegate_tests::checks::Checks;
use stagegate_tests::devicetree::Template;
use stagegate_tests::guest::{self, Vm};
use stagegate_tests::machine::{Board, Running};
use stagegate_tests::paths;
use stagegate_tests::setup::{Setup, VmSpec, bootargs};
use std::time::Instant;

const CPUS: u32 = 4;
const BOARD_MIB: u32 = 2048;

fn zcu102() -> Setup {
    ok(Setup::new(board(Board::Zcu102, CPUS, BOARD_MIB)))
}

/// Follows the guest to its end and judges what it said.
fn proves_itself(mut running: Running, name: &str) {
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

/// ZynqMP: RAM from address 0, GICv2 with its registers 64 KiB apart, Cadence
/// UART, PSCI by SMC.
#[test]
fn zcu102_boots_debian_6_12() {
    const MEMORY_MIB: u32 = 512;
    let mut setup = zcu102();
    let linux = ok(setup.linux(&ok(paths::kernel("6.12"))));
    let steps = "cpus,memory,hotplug,timer";
    setup.vms(&[VmSpec {
        name: "linux",
        cpus: CPUS,
        memory_mib: MEMORY_MIB,
        modules: linux.nodes(&bootargs("linux", CPUS, MEMORY_MIB, steps)),
        more: String::new(),
    }]);
    proves_itself(ok(setup.start(&dir("zcu102-linux"))), "linux");
}

/// The interrupt controller and the processor, case by case, in two VMs.
#[test]
fn zcu102_runs_two_guests() {
    let mut setup = zcu102();
    let kernel = ok(setup.module(&ok(cases::image())));
    let cases = "psci-version,psci-cpu-on-off,gic-sgi-self,timer-virtual,timer-many-virtual";
    setup.vms(&[
        spec(&kernel, "one", 2, cases),
        spec(&kernel, "two", 2, cases),
    ]);
    let running = ok(setup.start(&dir("zcu102-two")));
    let finished = ok(running.finish(LIMIT));
    assert!(finished.status.success());
    for name in ["one", "two"] {
        let done = |l: &_| stagegate_tests::console::Line::is(l, name, "DONE passed 5 failed 0");
        assert!(
            finished.lines.iter().any(done),
            "{name}: {:#?}",
            finished.lines
        );
    }
}

/// QEMU has nothing behind the SMMU's window: it reads as zero. Such an SMMU
/// is refused by name, and guests without devices run all the same.
#[test]
fn zcu102_refuses_an_smmu_that_is_not_there() {
    let mut setup = zcu102();
    let kernel = ok(setup.module(&ok(cases::image())));
    setup.overlay(Template::text(
        "smmu",
        "/dts-v1/; /plugin/; &{/axi/iommu@fd800000} { status = \"okay\"; };",
    ));
    setup.vms(&[spec(&kernel, "guest", 1, "psci-version")]);
    let mut running = ok(setup.start(&dir("zcu102-smmu")));
    let words = ["[stagegate]", "fd800000", "its masters are given to nobody"];
    ok(running.console.expect_all(&words, LIMIT));
    ok(running
        .console
        .expect_from("guest", "DONE passed 1 failed 0", LIMIT));
    assert!(ok(running.finish(LIMIT)).status.success());
}

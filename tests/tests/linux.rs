//! Stock Debian kernels as guests.

mod common;

use common::{LIMIT, board, dir, ok};
use stagegate_tests::checks::Checks;
use stagegate_tests::guest::{self, Vm};
use stagegate_tests::machine::{Board, Machine};
use stagegate_tests::paths;
use stagegate_tests::setup::{Setup, VmSpec, bootargs};
use std::time::Instant;

const NAME: &str = "linux";
const CPUS: u32 = 2;
const MEMORY_MIB: u32 = 512;

fn boots(series: &str, machine: Machine) {
    let name = format!("linux-{series}-{:?}", machine.board);
    let mut setup = ok(Setup::new(machine));
    let linux = ok(setup.linux(&ok(paths::kernel(series))));
    setup.vms(&[VmSpec {
        name: NAME,
        cpus: CPUS,
        memory_mib: MEMORY_MIB,
        modules: linux.nodes(&bootargs(
            NAME,
            CPUS,
            MEMORY_MIB,
            "cpus,memory,hotplug,timer",
        )),
        more: String::new(),
    }]);
    let mut running = ok(setup.start(&dir(&name)));
    let (mut vm, mut checks) = (Vm::new(NAME), Checks::default());
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

#[test]
fn debian_6_12_on_gicv3() {
    boots("6.12", board(Board::VirtGicV3, CPUS, 1024));
}

#[test]
fn debian_6_12_on_gicv2() {
    boots("6.12", board(Board::VirtGicV2, CPUS, 1024));
}

#[test]
fn debian_6_1_on_gicv3() {
    boots("6.1", board(Board::VirtGicV3, CPUS, 1024));
}

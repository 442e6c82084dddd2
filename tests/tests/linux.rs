//! Stock Debian kernels as guests.

mod common;

use common::{board, dir, ok, proves_itself};
use stagegate_tests::machine::{Board, Machine};
use stagegate_tests::paths;
use stagegate_tests::setup::{Setup, VmSpec, bootargs};

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
    proves_itself(ok(setup.start(&dir(&name))), NAME);
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

//! Resets of a stock kernel while its disk works, one after the other.

mod common;

use common::{LIMIT, dir, ok};
use stagegate_tests::checks::Checks;
use stagegate_tests::devicetree::Template;
use stagegate_tests::guest::{self, Said, Vm};
use stagegate_tests::machine::Machine;
use stagegate_tests::paths;
use stagegate_tests::setup::{Setup, VmSpec, bootargs};
use std::fs::File;
use std::time::Instant;

const NAME: &str = "again";
const CPUS: u32 = 2;
const MEMORY_MIB: u32 = 256;
/// The disk's requester id: slot 1 of the root bus.
const DISK: &str = "0x08";
/// QEMU's NVMe model would not do: it forgets to lower its line when it is
/// reset with completions that no driver has read, on the bare machine too.
const MODEL: &str =
    "virtio-blk-pci,drive=disk,addr=1,disable-legacy=on,iommu_platform=on,num-queues=1";

/// How often: `STAGEGATE_RESETS`.
fn rounds() -> u32 {
    let own = std::env::var("STAGEGATE_RESETS");
    own.ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// Every kernel finds the disk as at power-on: none of what the one before it
/// left under way comes back as memory written, an interrupt or a fault.
#[test]
fn a_busy_disk_survives_resets() {
    let dir = dir("resets");
    let disk = dir.join("disk.img");
    let file = File::create(&disk).unwrap_or_else(|e| panic!("{}: {e}", disk.display()));
    file.set_len(64 << 20).unwrap_or_else(|e| panic!("{e}"));
    let drive = format!("if=none,id=disk,format=raw,file={}", disk.display());
    let machine = Machine::virt(CPUS, 1024).args(["-drive", &drive, "-device", MODEL]);
    let mut setup = ok(Setup::new(machine));
    setup.overlay(ok(Template::named("clock-gate")));
    let linux = ok(setup.linux(&ok(paths::kernel("6.12"))));
    // Interrupts by line: what outlives a reset is a level, not a message.
    let args = bootargs(NAME, CPUS, MEMORY_MIB, "resets:vda") + " pci=nomsi";
    setup.vms(&[VmSpec {
        name: NAME,
        cpus: CPUS,
        memory_mib: MEMORY_MIB,
        modules: linux.nodes(&args),
        more: format!(
            "devices {{ #address-cells = <1>; #size-cells = <0>;
                 device@0 {{ reg = <0>; label = \"disk\"; device = <&pcie {DISK}>; }}; }};"
        ),
    }]);
    let mut running = ok(setup.start(&dir));
    let (mut vm, mut checks) = (Vm::new(NAME), Checks::default());
    let mut deadline = Instant::now() + LIMIT;
    while let Ok(line) = running.console.next(deadline) {
        let Some(said) = guest::parse(&line.text) else {
            continue;
        };
        if said == Said::Ask("again".into()) {
            let more = vm.boots <= rounds();
            // Ctrl-a 1: to this VM.
            ok(running.console.send(if more {
                b"\x011again\n"
            } else {
                b"\x011enough\n"
            }));
            deadline = Instant::now() + LIMIT;
        }
        vm.hear(said, &line, &mut checks);
    }
    let end = running.console.tail(30);
    assert!(checks.passed(), "{end}");
    assert_eq!(vm.boots, rounds() + 1, "{end}");
    assert_eq!(vm.exit.as_deref(), Some("poweroff"), "{end}");
    assert!(ok(running.finish(LIMIT)).status.success());
}

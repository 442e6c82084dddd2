//! A stock Debian guest that confines its own devices through virtio-iommu.

mod common;

use common::{LIMIT, dir, ok};
use stagegate_tests::checks::Checks;
use stagegate_tests::devicetree::Template;
use stagegate_tests::guest::{self, Vm};
use stagegate_tests::machine::Machine;
use stagegate_tests::paths;
use stagegate_tests::setup::{Setup, VmSpec, bootargs};
use std::fs::File;
use std::time::Instant;

const NAME: &str = "viommu";
const CPUS: u32 = 2;
const MEMORY_MIB: u32 = 512;
/// The NVMe disk's requester id: slot 1 of the root bus.
const NVME: &str = "0x08";

/// The VM's IOMMU; a property, so it comes before the nodes.
const IOMMU: &str = "stagegate,iommu = \"virtio\";\n";

/// The disk stands behind it.
fn devices() -> String {
    format!(
        "devices {{ #address-cells = <1>; #size-cells = <0>;
             device@0 {{ reg = <0>; label = \"nvme\"; device = <&pcie {NVME}>; }}; }};"
    )
}

#[test]
fn a_disk_behind_the_guests_own_iommu() {
    let dir = dir("viommu");
    let disk = dir.join("disk.img");
    let file = File::create(&disk).unwrap_or_else(|e| panic!("{}: {e}", disk.display()));
    file.set_len(64 << 20).unwrap_or_else(|e| panic!("{e}"));
    let mut machine = Machine::virt(CPUS, 1024);
    machine.smmu = true;
    let drive = format!("if=none,id=disk,format=raw,file={}", disk.display());
    let nvme = "nvme,drive=disk,serial=1,addr=1";
    let machine = machine.args(["-drive", &drive, "-device", nvme]);
    let mut setup = ok(Setup::new(machine));
    setup.overlay(ok(Template::named("clock-gate")));
    let linux = ok(setup.linux(&ok(paths::kernel("6.12"))));
    setup.vms(&[VmSpec {
        name: NAME,
        cpus: CPUS,
        memory_mib: MEMORY_MIB,
        modules: format!(
            "{IOMMU}{}",
            linux.nodes(&bootargs(NAME, CPUS, MEMORY_MIB, "viommu,nvme_domain"))
        ),
        more: devices(),
    }]);
    let mut running = ok(setup.start(&dir));
    let (mut vm, mut checks) = (Vm::new(NAME), Checks::default());
    let deadline = Instant::now() + LIMIT;
    while let Ok(line) = running.console.next(deadline) {
        if let Some(said) = guest::parse(&line.text) {
            vm.hear(said, &line, &mut checks);
        }
    }
    let end = running.console.tail(30);
    assert!(checks.passed(), "{end}");
    assert!(end.contains("came back"), "{end}");
    assert_eq!(vm.exit.as_deref(), Some("poweroff"), "{end}");
    assert!(ok(running.finish(LIMIT)).status.success());
}

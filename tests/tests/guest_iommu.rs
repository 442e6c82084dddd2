//! Stock Debian guests that confine their own devices: through the hypercalls,
//! with the driver of `tools/linux`, and through virtio-iommu.

mod common;

use common::{LIMIT, dir, ok};
use stagegate_tests::checks::Checks;
use stagegate_tests::devicetree::Template;
use stagegate_tests::gates;
use stagegate_tests::guest::{self, Said, Vm};
use stagegate_tests::machine::Machine;
use stagegate_tests::paths;
use stagegate_tests::setup::{Setup, VmSpec, bootargs};
use stagegate_tests::timeline::epoch_us;
use stagegate_tests::trace::Event;
use std::fs::File;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Instant;

const NAME: &str = "confined";
const CPUS: u32 = 2;
const MEMORY_MIB: u32 = 512;

/// Both devices stand behind the VM's IOMMU: requester ids of slots 1 and 6 of
/// the root bus.
const DEVICES: &str = "devices { #address-cells = <1>; #size-cells = <0>;
     device@0 { reg = <0>; label = \"nvme\"; device = <&pcie 0x08>; };
     device@1 { reg = <1>; label = \"edu\"; device = <&pcie 0x30>; }; };";

/// What every IOMMU driver must do.
const STEPS: &str = "nvme_copy,msi:nvme,nvme_group:DMA,rebind:3,nvme_copy,\
     edu_driver,edu_group:DMA,edu_stopped,edu_storm:strict,\
     nvme_off,edu_off,sleep:1,edu_storm:gated,edu_on,nvme_on,edu_stopped,\
     edu_type:DMA-FQ,edu_lazy,edu_storm:lazy,edu_identity,edu_type:DMA,edu_blocked,edu_stopped";

/// Line of the PL061 that gates the SMMU's clock.
const SMMU: u64 = 5;

/// What came of a run.
struct Seen {
    /// Storms: which, from when, until when.
    storms: Vec<(String, u64, u64)>,
    trace: Vec<Event>,
}

impl Seen {
    /// How often somebody waited for the SMMU's invalidations during a storm, and
    /// how many milliseconds it lasted.
    fn syncs(&self, storm: &str) -> (usize, usize) {
        let during = self.storm(storm);
        let told = |e: &&Event| e.name == "smmuv3_cmdq_opcode" && e.text.contains("SYNC");
        let lasted = (during.end() - during.start()).div_ceil(1000) as usize;
        (self.during(&during).filter(told).count(), lasted)
    }

    fn storm(&self, storm: &str) -> RangeInclusive<u64> {
        let (_, from, to) = self.storms.iter().find(|s| s.0 == storm).expect("a storm");
        *from..=*to
    }

    fn during(&self, span: &RangeInclusive<u64>) -> impl Iterator<Item = &Event> {
        self.trace.iter().filter(|e| span.contains(&e.at_us))
    }
}

fn machine(disk: &Path) -> Machine {
    let file = File::create(disk).unwrap_or_else(|e| panic!("{}: {e}", disk.display()));
    file.set_len(64 << 20).unwrap_or_else(|e| panic!("{e}"));
    let drive = format!("if=none,id=disk,format=raw,file={}", disk.display());
    Machine::virt(CPUS, 1024)
        .args([
            "-drive",
            &drive,
            "-device",
            "nvme,drive=disk,serial=1,addr=1",
        ])
        .args(["-device", "edu,addr=06.0,dma_mask=0xffffffffffff"])
        .trace([
            "smmuv3_cmdq_opcode",
            "smmuv3_read_mmio",
            "smmuv3_write_mmio",
        ])
        .trace(["pl061_set_output"])
}

/// Runs a guest whose IOMMU is of this kind; its checks all pass.
fn confined(iommu: &str, steps: &str) -> Seen {
    let dir = dir(&format!("iommu-{iommu}"));
    let mut setup = ok(Setup::new(machine(&dir.join("disk.img"))));
    setup.overlay(ok(Template::named("clock-gate")));
    let linux = ok(setup.linux(&ok(paths::kernel("6.12"))));
    let args = bootargs(NAME, CPUS, MEMORY_MIB, steps);
    setup.vms(&[VmSpec {
        name: NAME,
        cpus: CPUS,
        memory_mib: MEMORY_MIB,
        // A property, so it comes before the nodes.
        modules: format!("stagegate,iommu = \"{iommu}\";\n{}", linux.nodes(&args)),
        more: DEVICES.to_string(),
    }]);
    let mut running = ok(setup.start(&dir));
    let (mut vm, mut checks) = (Vm::new(NAME), Checks::default());
    let mut storms: Vec<(String, u64, u64)> = Vec::new();
    let deadline = Instant::now() + LIMIT;
    while let Ok(line) = running.console.next(deadline) {
        let Some(said) = guest::parse(&line.text) else {
            continue;
        };
        if let Said::Ask(what) = &said {
            match what.strip_prefix("mark storm ") {
                Some("over") => storms.last_mut().expect("one began").2 = epoch_us(line.at),
                Some(which) => storms.push((which.to_string(), epoch_us(line.at), 0)),
                None => {}
            }
        }
        if vm.hear(said, &line, &mut checks).is_some() {
            ok(running.console.send(b"\x011go\n\x010"));
        }
    }
    let end = running.console.tail(60);
    assert!(checks.passed(), "{end}");
    assert_eq!(vm.exit.as_deref(), Some("poweroff"), "{end}");
    let finished = ok(running.finish(LIMIT));
    assert!(finished.status.success());
    Seen {
        storms,
        trace: finished.trace,
    }
}

/// A flush queue is emptied when it is full, which 200 unmaps do not achieve, and
/// every ten milliseconds: on a busy computer a storm lasts for many of these.
fn strict_and_lazy(seen: &Seen) {
    let ((strict, _), (lazy, lasted)) = (seen.syncs("strict"), seen.syncs("lazy"));
    println!("{strict} syncs strictly, {lazy} lazily in {lasted} ms");
    assert!(strict >= 200, "{strict} syncs for 200 strict unmaps");
    let by_time = 5 * (lasted / 10 + 1);
    assert!(
        lazy < strict / 20 + by_time,
        "{lazy} lazily in {lasted} ms, {strict} strictly"
    );
}

/// A driver maps and unmaps while all devices are idle: the SMMU's clock stands
/// before and after, and nobody touches a register in between. That its device
/// is stopped at the next page, after the wake, is among the steps.
fn asleep_through_a_storm(seen: &Seen) {
    let storm = seen.storm("gated");
    let gates = gates::movements(&seen.trace, SMMU);
    let before = gates.iter().rfind(|g| g.at_us <= *storm.start());
    assert!(before.is_some_and(|g| !g.open), "not gated: {gates:?}");
    let moved: Vec<_> = gates.iter().filter(|g| storm.contains(&g.at_us)).collect();
    assert!(moved.is_empty(), "{moved:?}");
    let touched = seen
        .during(&storm)
        .filter(|e| gates::touches_smmu(e))
        .count();
    assert_eq!(touched, 0, "accesses to a gated SMMU");
}

#[test]
fn through_hypercalls() {
    let again = "reload:stagegate_iommu,nvme_copy,nvme_group:DMA,edu_driver,edu_stopped";
    let steps = format!("iommu:hypercall,{STEPS},{again}");
    let seen = confined("hypercall", &steps);
    strict_and_lazy(&seen);
    asleep_through_a_storm(&seen);
}

#[test]
fn through_virtio_iommu() {
    // Its driver tells of an invalidation only within UNMAP: nothing is lazy.
    let seen = confined("virtio", &format!("iommu:viommu,{STEPS}"));
    assert!(seen.syncs("strict").0 >= 200);
    asleep_through_a_storm(&seen);
}

//! Boards other than QEMU's `virt`.

mod common;

use common::{LIMIT, board, dir, ok, proves_itself};
use stagegate_tests::cases::{self, spec};
use stagegate_tests::checks::Checks;
use stagegate_tests::devicetree::Template;
use stagegate_tests::guest::{self, Said, Vm};
use stagegate_tests::machine::Board;
use stagegate_tests::paths;
use stagegate_tests::setup::{Setup, VmSpec, bootargs};
use std::time::Instant;

const CPUS: u32 = 4;
const BOARD_MIB: u32 = 2048;

fn zcu102() -> Setup {
    ok(Setup::new(board(Board::Zcu102, CPUS, BOARD_MIB)))
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

/// Stream ids and an SMMU, as the overlay of the real board has them, and a DMA
/// controller.
const MASTERS: &str = "/dts-v1/; /plugin/;
&smmu { status = \"okay\"; stagegate,always-on; };
&gem3 { iommus = <&smmu 0x877>; };
&sdhci1 { iommus = <&smmu 0x871>; };
&{/axi/dma-controller@fd500000} { iommus = <&smmu 0x14e8>; };
";

const OPTIONAL: &str = "devices { #address-cells = <1>; #size-cells = <0>;
    device@0 { reg = <0>; label = \"card\"; stagegate,path = \"/axi/mmc@ff170000\";
        stagegate,optional; };
    device@1 { reg = <1>; label = \"network\"; stagegate,path = \"/axi/ethernet@ff0e0000\";
        stagegate,optional; }; };";

const REQUIRED: &str = "devices { #address-cells = <1>; #size-cells = <0>;
    device@0 { reg = <0>; label = \"copier\";
        stagegate,path = \"/axi/dma-controller@fd500000\"; }; };";

/// The SMMU is not there (QEMU). What needs it is refused and its VM runs
/// without; what is marked optional is given, with a tree that a stock kernel
/// can use: SCMI's clocks and domains, and nothing that the VM does not have.
#[test]
fn zcu102_gives_sd_and_ethernet_without_an_smmu_only_where_optional() {
    const MEMORY_MIB: u32 = 512;
    let mut setup = zcu102();
    let names = include_str!("../../docs/boards/xlnx-zcu102-names.dtso");
    setup.overlay(Template::text("names", names));
    setup.overlay(Template::text("masters", MASTERS));
    let linux = ok(setup.linux(&ok(paths::kernel("6.12"))));
    let kernel = ok(setup.module(&ok(cases::image())));
    let mut strict = spec(&kernel, "strict", 1, "psci-version");
    strict.more = REQUIRED.into();
    let steps = "node:mmc,node:ethernet";
    setup.vms(&[
        VmSpec {
            name: "linux",
            cpus: 1,
            memory_mib: MEMORY_MIB,
            modules: linux.nodes(&bootargs("linux", 1, MEMORY_MIB, steps)),
            more: OPTIONAL.into(),
        },
        strict,
    ]);
    let mut running = ok(setup.start(&dir("zcu102-masters")));
    let (mut vm, mut checks) = (Vm::new("linux"), Checks::default());
    let mut interrupts = Vec::new();
    let deadline = Instant::now() + LIMIT;
    while let Ok(line) = running.console.next(deadline) {
        let Some(said) = guest::parse(&line.text) else {
            continue;
        };
        if let Said::Fact(key, value) = &said
            && key.starts_with("interrupts-")
        {
            interrupts.push((key.clone(), value.clone()));
        }
        vm.hear(said, &line, &mut checks);
    }
    let end = running.console.tail(40);
    assert!(checks.passed(), "{end}");
    assert_eq!(vm.exit.as_deref(), Some("poweroff"), "{end}");
    // Ethernet names one wire for both of its queues: so does the guest's tree.
    let [(_, card), (_, network)] = &interrupts[..] else {
        panic!("{interrupts:?}");
    };
    assert_eq!((card.len(), network.len()), (24, 48), "{interrupts:?}");
    assert_eq!(network[..24], network[24..]);
    assert_ne!(card[..], network[..24]);
    let finished = ok(running.finish(LIMIT));
    assert!(finished.status.success());
    let told = |words: &[&str]| {
        let all = |l: &stagegate_tests::console::Line| words.iter().all(|w| l.text.contains(w));
        assert!(finished.lines.iter().any(all), "{words:?}: {end}");
    };
    told(&["fd800000", "its masters are given to nobody"]);
    told(&["strict: copier:", "it is not given"]);
    // The checker's words, with its remedy.
    told(&[
        "warning[device-needs]: /axi/ethernet@ff0e0000 phy-handle: left out",
        "which has no /axi/ethernet@ff0e0000/",
        "write fixed-link = <0 1 1000 0 0> on the device in an overlay",
    ]);
    told(&["[strict]", "DONE passed 1 failed 0"]);
    let refused = |l: &&stagegate_tests::console::Line| l.text.contains("it is not given");
    assert_eq!(finished.lines.iter().filter(refused).count(), 1);
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

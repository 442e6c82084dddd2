use super::*;
use crate::fdt::Blob;
use crate::overlay::{Named, merge};
use alloc::string::ToString;
use alloc::vec;

const BOARD: &str = include_str!("../../../tools/tests/data/board.dts");
const GOOD: &str = include_str!("../../../tools/tests/data/good.dtso");

/// Nothing but notes.
fn quiet(report: &Report) -> bool {
    let note = |f: &crate::report::Finding| f.severity == crate::report::Severity::Note;
    report.findings.iter().all(note)
}

/// Plans the good overlay with one edit made in it.
fn plan_with(edit: (&str, &str), inputs: Inputs<'_>, test: impl FnOnce(&Board, &Plan, &Report)) {
    assert!(GOOD.contains(edit.0));
    let board = crate::dts::compile(BOARD).unwrap();
    let overlay = crate::dts::compile(&GOOD.replace(edit.0, edit.1)).unwrap();
    let mut report = Report::new();
    let named = [Named {
        name: "vms",
        bytes: &overlay,
    }];
    let merged = merge(&Blob::check(&board).unwrap(), &named, &mut report).unwrap();
    let tree = Tree::new(Blob::check(&merged).unwrap());
    let board = Board::read(&tree, &mut report);
    let plan = plan(&tree, &board, inputs, &mut report);
    test(&board, &plan, &report);
}

const AS_IT_IS: (&str, &str) = ("", "");

#[test]
fn a_vm_is_read_to_the_last_detail() {
    plan_with(AS_IT_IS, Inputs::default(), |_, plan, report| {
        assert!(quiet(report), "{report:?}");
        let [net, disk] = plan.vms.as_slice() else {
            panic!()
        };
        assert_eq!(
            (net.id, net.name.as_str(), net.cpus, net.memory),
            (1, "net", 1, 256 << 20)
        );
        assert_eq!(
            net.kernel.source,
            Source::Memory(Region::new(0x5000_0000, 0x280_0000))
        );
        let ramdisk = net.ramdisk.as_ref().unwrap();
        assert_eq!(
            ramdisk.source,
            Source::Memory(Region::new(0x5300_0000, 0x80_0000))
        );
        assert_eq!(
            (net.bootargs.as_str(), net.vuart),
            ("console=ttyAMA0", true)
        );
        assert_eq!(disk.kernel.source, Source::File("debian".to_string()));
        assert!(disk.ramdisk.is_none() && !disk.vuart && disk.bootargs.is_empty());
    });
}

#[test]
fn devices_come_with_streams_lines_and_registers() {
    plan_with(AS_IT_IS, Inputs::default(), |board, plan, _| {
        let nic = &plan.vms[0].devices[0];
        let DeviceKind::Pci { host, rid, intx } = nic.kind else {
            panic!()
        };
        assert_eq!((host, rid, intx.map(|i| i.intid)), (0, 0x08, Some(36)));
        assert_eq!((nic.name.as_str(), nic.streams[0].id), ("nic", 0x1008));
        assert_eq!(board.smmu_at(nic.streams[0].smmu), Some(0));
        assert_eq!(nic.power_sources, [PowerSource::PciPm]);
        let dma = &plan.vms[0].devices[1];
        let DeviceKind::Platform {
            path,
            regs,
            irqs,
            clocks,
            ..
        } = &dma.kind
        else {
            panic!()
        };
        assert_eq!(path, "/soc/dma@20000000");
        assert_eq!(regs, &[Region::new(0x3000_0000, 0x1000)]);
        assert_eq!(irqs[0].map(|i| i.intid), Some(122));
        assert_eq!(clocks[0].args, [4]);
        assert_eq!(
            dma.power_sources,
            [PowerSource::Scmi],
            "the default for platform devices"
        );
        assert_eq!(
            plan.vms[1].devices[0].power_sources,
            [PowerSource::PciPm],
            "and for PCI"
        );
        assert!(!dma.is_untranslated());
    });
}

#[test]
fn every_enabled_smmu_is_in_the_plan() {
    plan_with(AS_IT_IS, Inputs::default(), |_, plan, _| {
        let policy: Vec<_> = plan
            .smmus
            .iter()
            .map(|s| (s.smmu, s.idle_delay_us, s.off_delay_us, s.masters.clone()))
            .collect();
        assert_eq!(
            policy,
            [
                (0, 20_000, None, vec![(0, 0), (1, 0)]),
                (1, 5_000, Some(1_000_000), vec![(0, 1), (1, 1)]),
                (2, DEFAULT_IDLE_DELAY_US, None, vec![]),
            ]
        );
    });
}

/// TBU nodes for the board, put before the VMs.
fn with_tbus(nodes: &str) -> (&'static str, String) {
    const PLACE: &str = "&{/chosen} {";
    (PLACE, format!("&{{/soc}} {{ {nodes} }};\n{PLACE}"))
}

#[test]
fn tbus_have_names_delays_and_a_will_of_their_own() {
    let (place, text) = with_tbus(
        "tbu0 { label = \"left\"; stagegate,stream-id-range = <&smmu1 0x100 0x100>; \
         clocks = <&gate>; stagegate,idle-delay-us = <700>; };
         tbu1 { qcom,stream-id-range = <&smmu1 0x200 0x100>; clocks = <&gate>; \
         stagegate,always-on; };",
    );
    plan_with((place, &text), Inputs::default(), |board, plan, report| {
        assert!(quiet(report), "{report:?}");
        let tbus = &plan.smmus[1].tbus;
        let told: Vec<_> = tbus
            .iter()
            .map(|t| (t.name.as_str(), t.idle_delay_us, t.always_on))
            .collect();
        assert_eq!(told, [("left", 700, false), ("tbu1", 5_000, true)]);
        // The masters of the two VMs are behind one each.
        let behind = |vm: usize, device: usize| {
            let stream = &plan.vms[vm].devices[device].streams[0];
            board.smmus[1].tbu_before(stream)
        };
        assert_eq!((behind(0, 1), behind(1, 1)), (Ok(Some(0)), Ok(Some(1))));
    });
}

#[test]
fn streams_between_two_tbus_are_refused() {
    for (ranges, expected) in [
        ("<&smmu1 0x100 8>", vec!["tbu-split"]),
        ("<&smmu1 0x108 0x100>", vec!["tbu-split"]),
        ("<&smmu1 0x100 0x100>", vec![]),
        ("<&smmu1 0x100>", vec!["tbu-range"]),
    ] {
        let node = format!("tbu0 {{ clocks = <&gate>; stagegate,stream-id-range = {ranges}; }};");
        let (place, text) = with_tbus(&node);
        plan_with((place, &text), Inputs::default(), |_, _, report| {
            let codes: Vec<_> = report.errors().map(|f| f.code).collect();
            assert_eq!(codes, expected, "{ranges}");
        });
    }
    let (place, text) = with_tbus(
        "tbu0 { clocks = <&gate>; stagegate,stream-id-range = <&smmu1 0x100 0x100>; };
         tbu1 { clocks = <&gate>; stagegate,stream-id-range = <&smmu1 0x1ff 2>; };",
    );
    plan_with((place, &text), Inputs::default(), |_, _, report| {
        let codes: Vec<_> = report.errors().map(|f| f.code).collect();
        assert_eq!(codes, ["tbu-range"]);
    });
}

#[test]
fn what_switches_a_tbu_is_not_given_away() {
    let edit = "device@1 { reg = <1>; stagegate,path = \"/soc/dma@20001000\"; \
                stagegate,power-source = \"hypercall\"; };";
    assert!(GOOD.contains(edit));
    let (_, tbu) = with_tbus(
        "tbu0 { clocks = <&tbu_gate>; stagegate,stream-id-range = <&smmu1 0x100 0x100>; };
         tbu_gate: tbu-gate { compatible = \"gpio-gate-clock\"; #clock-cells = <0>; \
         clocks = <&gate>; enable-gpios = <&gpio1 1 0>; };
         gpio1: gpio@9070000 { compatible = \"arm,pl061\", \"arm,primecell\"; \
         reg = <0x9070000 0x1000>; gpio-controller; #gpio-cells = <2>; };",
    );
    let stolen = format!(
        "{edit} device@2 {{ reg = <2>; stagegate,bypass; stagegate,path = \"/soc/gpio@9070000\"; }};"
    );
    let text = GOOD.replace(edit, &stolen).replace("&{/chosen} {", &tbu);
    plan_with((GOOD, &text), Inputs::default(), |_, _, report| {
        let codes: Vec<_> = report.errors().map(|f| f.code).collect();
        assert_eq!(codes, ["device-ours"]);
    });
}

/// Bypass is something that the SMMU must be told: without its streams the
/// device would be denied.
#[test]
fn a_device_that_bypasses_keeps_its_streams() {
    let edit = ("device@1 {", "device@1 { stagegate,bypass;");
    plan_with(edit, Inputs::default(), |_, plan, report| {
        assert!(!report.has_errors(), "{report:?}");
        let device = &plan.vms[0].devices[1];
        assert!(device.bypass && !device.streams.is_empty());
    });
}

#[test]
fn the_operator_says_how_an_smmu_is_driven() {
    plan_with(AS_IT_IS, Inputs::default(), |_, plan, _| {
        let all = plan.smmus.iter().map(|s| s.driving);
        assert!(all.into_iter().all(|d| d == Driving::default()));
    });
    let edit = (
        "stagegate,idle-delay-us = <5000>;",
        "stagegate,table-granule = <65536>; stagegate,keep-firmware-streams; \
         stagegate,tolerate-prefetch;",
    );
    plan_with(edit, Inputs::default(), |_, plan, report| {
        assert!(report.errors().next().is_none(), "{report:?}");
        let expected = Driving {
            granule: Some(65536),
            keep_firmware_streams: true,
            tolerate_prefetch: true,
        };
        assert_eq!(plan.smmus[1].driving, expected);
        assert_eq!(plan.smmus[0].driving, Driving::default());
    });
}

#[test]
fn masters_that_never_idle_keep_their_smmu_on() {
    let edit = (
        "stagegate,power-source = \"hypercall\"",
        "stagegate,power-source = \"always-on\"",
    );
    plan_with(edit, Inputs::default(), |_, plan, _| {
        assert!(!plan.smmus[1].always_on)
    });
    let edit = ("device@1 { reg = <1>; device = <&dma0>; };", "");
    plan_with(edit, Inputs::default(), |_, plan, _| {
        assert!(!plan.smmus[1].always_on)
    });
    let edit = ("stagegate,idle-delay-us = <5000>;", "stagegate,always-on;");
    plan_with(edit, Inputs::default(), |_, plan, _| {
        assert!(plan.smmus[1].always_on)
    });
}

#[test]
fn packed_files_must_exist_once_they_are_known() {
    let files = [("debian", Region::new(0x6000_0000, 0x1000))];
    let inputs = Inputs {
        files: Some(&files),
        held: &[],
    };
    plan_with(AS_IT_IS, inputs, |_, _, report| {
        assert!(!report.has_errors())
    });
    let inputs = Inputs {
        files: Some(&[]),
        held: &[],
    };
    plan_with(AS_IT_IS, inputs, |_, _, report| {
        let codes: Vec<_> = report.errors().map(|f| f.code).collect();
        assert_eq!(codes, ["module-file"]);
    });
}

#[test]
fn what_the_hypervisor_holds_is_not_given_away() {
    let held = [Region::new(0x5200_0000, 0x100_0000)];
    let inputs = Inputs {
        files: None,
        held: &held,
    };
    plan_with(AS_IT_IS, inputs, |_, _, report| {
        let codes: Vec<_> = report.errors().map(|f| f.code).collect();
        assert_eq!(codes, ["module-hypervisor"]);
    });
    let held = [Region::new(0x6000_0000, 0x1f00_0000)];
    let inputs = Inputs {
        files: None,
        held: &held,
    };
    plan_with(AS_IT_IS, inputs, |_, _, report| {
        let codes: Vec<_> = report.errors().map(|f| f.code).collect();
        assert_eq!(codes, ["too-much-memory"]);
    });
}

#[test]
fn misspelt_names_find_what_was_meant() {
    let known = ["cpus", "stagegate,vuart", "memory"];
    assert_eq!(near("cpu", &known), Some("cpus"));
    assert_eq!(near("vuart", &known), Some("stagegate,vuart"));
    assert_eq!(near("xen,vuart", &known), Some("stagegate,vuart"));
    assert_eq!(near("reg", &known), None);
    assert_eq!(
        (
            distance("", "abc"),
            distance("kitten", "sitting"),
            distance("a", "a")
        ),
        (3, 3, 0)
    );
}

#[test]
fn what_refers_to_other_nodes_is_not_copied() {
    for name in [
        "dr_mode",
        "bus-width",
        "compatible",
        "clock-names",
        "max-frequency",
    ] {
        assert_eq!(passing(name), Passing::Copied, "{name}");
    }
    for name in ["clocks", "reg", "interrupts-extended", "phandle"] {
        assert_eq!(passing(name), Passing::SaidAnew, "{name}");
    }
    for name in ["phy-names", "pinctrl-names", "assigned-clock-rates"] {
        assert_eq!(passing(name), Passing::WithAnother, "{name}");
    }
    for name in [
        "vqmmc-supply",
        "cd-gpios",
        "reset-gpio",
        "pinctrl-12",
        "assigned-clock-parents",
    ] {
        assert!(matches!(passing(name), Passing::LeftOut(_)), "{name}");
    }
}

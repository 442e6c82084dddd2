use super::*;
use crate::fdt::Blob;
use crate::uart::UartKind;
use alloc::vec;

/// The board of the checker's tests.
const BOARD: &str = include_str!("../../../tools/tests/data/board.dts");

fn with_board(source: &str, test: impl FnOnce(&Tree<'_>, &Board, &Report)) {
    let bytes = crate::dts::compile(source).unwrap();
    let tree = Tree::new(Blob::check(&bytes).unwrap());
    let mut report = Report::new();
    let board = Board::read(&tree, &mut report);
    test(&tree, &board, &report);
}

fn codes(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(|f| f.code).collect()
}

#[test]
fn the_core_of_a_board_is_read() {
    with_board(BOARD, |_, board, report| {
        assert!(report.findings.is_empty(), "{report:?}");
        assert_eq!(board.model, "Test board");
        assert_eq!(board.memory.ram, [Region::new(0x4000_0000, 0x4000_0000)]);
        assert_eq!(board.memory.free(), 0x4000_0000 - 0x100_0000 - 0x1_0000);
        let numbers: Vec<u64> = board.cpus.iter().map(|c| c.mpidr).collect();
        assert_eq!(numbers, [0, 1, 0x100, 0x101]);
        assert!(board.cpus.iter().all(|c| c.psci));
        assert_eq!(board.psci, Some(Conduit::Smc));
        let intid = |irq: Option<Irq>| irq.map(|i| i.intid);
        let timers = board.timers;
        assert_eq!(
            (intid(timers.phys), intid(timers.virt), intid(timers.hyp)),
            (Some(30), Some(27), Some(26))
        );
        let console = &board.uarts[board.console.unwrap()];
        assert_eq!(
            (console.kind, console.registers.base),
            (UartKind::Pl011, 0x900_0000)
        );
        assert_eq!(intid(console.irq), Some(33));
    });
}

#[test]
fn a_gicv3_with_several_regions_and_a_stride() {
    let source = BOARD.replace(
        "<0 0x80a0000 0 0x80000>;",
        "<0 0x80a0000 0 0x80000>, <0 0xa000000 0 0x80000>, <0 0xb000000 0 0x2000>, \
         <0 0xb010000 0 0x2000>, <0 0xb020000 0 0x2000>; #redistributor-regions = <2>; \
         redistributor-stride = <0 0x40000>;",
    );
    with_board(&source, |_, board, _| {
        let gic = board.gic.as_ref().unwrap();
        assert_eq!(gic.kind, GicKind::V3);
        let bases: Vec<u64> = gic.redistributors.iter().map(|r| r.base).collect();
        assert_eq!(bases, [0x80a_0000, 0xa00_0000]);
        assert_eq!(gic.stride, Some(0x4_0000));
        assert_eq!(gic.virtual_cpu.map(|r| r.base), Some(0xb02_0000));
        assert_eq!(
            gic.maintenance,
            Some(Irq {
                intid: 25,
                edge: false
            })
        );
        assert_eq!(gic.its[0].registers.base, 0x808_0000);
    });
}

#[test]
fn a_gicv2_needs_its_virtual_half() {
    let v2 = |regs: &str| {
        BOARD
            .replace("\"arm,gic-v3\"", "\"arm,gic-400\"")
            .replace("<0 0x8000000 0 0x10000>, <0 0x80a0000 0 0x80000>", regs)
    };
    let full = v2("<0 0x8000000 0 0x1000>, <0 0x8010000 0 0x2000>, \
                   <0 0x8030000 0 0x2000>, <0 0x8040000 0 0x2000>");
    with_board(&full, |_, board, report| {
        let gic = board.gic.as_ref().unwrap();
        assert_eq!(gic.kind, GicKind::V2);
        assert_eq!(gic.hypervisor.map(|r| r.base), Some(0x803_0000));
        assert_eq!(gic.virtual_cpu.map(|r| r.base), Some(0x804_0000));
        assert!(report.findings.is_empty());
    });
    let half = v2("<0 0x8000000 0 0x1000>, <0 0x8010000 0 0x2000>");
    with_board(&half, |_, _, report| {
        assert_eq!(codes(report), ["gic-no-virt"])
    });
}

#[test]
fn addresses_go_through_ranges() {
    with_board(BOARD, |tree, _, _| {
        let place = |path| regions(tree, tree.find(path).unwrap());
        assert_eq!(
            place("/soc/dma@20000000"),
            [Some(Region::new(0x3000_0000, 0x1000))]
        );
        assert_eq!(place("/soc/device@f0000000"), [None]);
        assert_eq!(
            place("/soc/serial@9000000"),
            [Some(Region::new(0x900_0000, 0x1000))]
        );
    });
}

#[test]
fn two_levels_of_ranges_and_an_identity() {
    let source = r#"/dts-v1/; / { #address-cells = <2>; #size-cells = <2>;
        a { #address-cells = <1>; #size-cells = <1>; ranges = <0x0 0x1 0x0 0x1000000>;
            b { #address-cells = <1>; #size-cells = <1>; ranges;
                c { #address-cells = <2>; #size-cells = <1>; ranges = <0 0x10 0x100 0x100>;
                    d { reg = <0 0x20 0x10>, <0 0x10f 0x10>; }; }; }; }; };"#;
    with_board(source, |tree, _, _| {
        let d = tree.find("/a/b/c/d").unwrap();
        assert_eq!(
            regions(tree, d),
            [Some(Region::new(0x1_0000_0110, 0x10)), None]
        );
    });
}

#[test]
fn smmus_come_with_all_that_feeds_them() {
    with_board(BOARD, |tree, board, _| {
        let kinds: Vec<_> = board
            .smmus
            .iter()
            .map(|s| (s.kind, s.model, s.enabled))
            .collect();
        assert_eq!(
            kinds,
            [
                (SmmuKind::V3, SmmuModel::Generic, true),
                (SmmuKind::V2, SmmuModel::Mmu500, true),
                (SmmuKind::V2, SmmuModel::Mmu500, true),
                (SmmuKind::V1, SmmuModel::Mmu401, false),
            ]
        );
        let [v3, v2, ..] = board.smmus.as_slice() else {
            panic!()
        };
        assert!(v3.coherent && !v2.coherent);
        assert_eq!(
            v3.irqs[0],
            Some(Irq {
                intid: 32 + 74,
                edge: true
            })
        );
        assert_eq!(v3.irq_names, ["eventq", "priq", "gerror"]);
        let clocks: Vec<_> = v2
            .clocks
            .iter()
            .map(|c| (c.name.as_str(), c.args.clone()))
            .collect();
        assert_eq!(clocks, [("bus", vec![]), ("iface", vec![3])]);
        assert_eq!(v2.power_domains[0].path, "/firmware/scmi/protocol@11");
        let dma = tree.find("/soc/dma@20000000").unwrap();
        let streams = stream::iommus(tree, dma).unwrap();
        assert_eq!((streams[0].id, streams[0].mask), (0x100, 0xf));
    });
}

#[test]
fn stream_ids_overlap_under_their_masks() {
    let smmu = NodeId::ROOT;
    let stream = |id, mask| StreamId { smmu, id, mask };
    assert!(stream(0x100, 0xf).overlaps(&stream(0x105, 0)));
    assert!(!stream(0x100, 0xf).overlaps(&stream(0x115, 0)));
    assert!(stream(0x100, 0xf0).overlaps(&stream(0x105, 0x5)));
}

/// Qualcomm's BAM has `<&smmu 0x586 0x11>, <&smmu 0x596 0x11>`: the same ids.
#[test]
fn a_stream_that_another_one_covers_is_left_out() {
    let board = |list: &str| {
        let source = BOARD.replace("<&smmu1 0x100 0x0f>", list);
        assert!(source != BOARD);
        let mut streams = Vec::new();
        with_board(&source, |tree, _, _| {
            let dma = tree.find("/soc/dma@20000000").unwrap();
            let found = stream::iommus(tree, dma).unwrap();
            streams = found.iter().map(|s| (s.id, s.mask)).collect();
        });
        streams
    };
    let same = "<&smmu1 0x586 0x11>, <&smmu1 0x592 0>, <&smmu1 0x596 0x11>";
    assert_eq!(board(same), [(0x586, 0x11), (0x592, 0)]);
    let wider = "<&smmu1 0x101 0>, <&smmu1 0x102 0x1>, <&smmu1 0x100 0xf>";
    assert_eq!(board(wider), [(0x100, 0xf)]);
    // Not one inside the other: two entries would still meet.
    let crossing = "<&smmu1 0x100 0x3>, <&smmu1 0x101 0x6>";
    assert_eq!(board(crossing).len(), 2);
}

#[test]
fn a_pci_host_knows_streams_messages_and_pins() {
    with_board(BOARD, |tree, board, _| {
        let host = &board.pci_hosts[0];
        assert!(host.generic && host.coherent);
        assert_eq!(host.stream(0x08).map(|s| s.id), Some(0x1008));
        assert_eq!(host.stream(0x800), None);
        let its = tree.find("/interrupt-controller@8000000/msi-controller@8080000");
        assert_eq!(host.message_id(0x10), its.map(|i| (i, 0x10)));
        assert!(board.gic.as_ref().unwrap().its[0].coherent);
        // Slots 0 and 4 share a line under the mask; slot 1 has its own.
        let line = |rid, pin| host.pin(rid, pin).map(|i| i.intid);
        assert_eq!(
            (line(0x00, 1), line(0x20, 1), line(0x08, 1)),
            (Some(35), Some(35), Some(36))
        );
        assert_eq!(
            (line(0x08, 2), line(0x108, 1), line(0x08, 0)),
            (None, None, None)
        );
        let window = host.windows[0];
        assert_eq!(
            (window.kind, window.pci),
            (WindowKind::Memory32, 0x1000_0000)
        );
        assert_eq!(window.cpu, Region::new(0x1000_0000, 0x1000_0000));
    });
}

/// CAM has 256 bytes of configuration space for a function, ECAM 4096.
#[test]
fn a_host_bridge_without_ecam_has_no_driver() {
    let ecam = "pci-host-ecam-generic";
    assert!(BOARD.contains(ecam));
    with_board(
        &BOARD.replace(ecam, "pci-host-cam-generic"),
        |_, board, _| {
            assert!(!board.pci_hosts[0].generic);
        },
    );
}

#[test]
fn messages_go_where_the_tree_says() {
    let map = "msi-map = <0 &its 0 0x10000>;";
    assert!(BOARD.contains(map));
    let id = |more: &str| {
        let mut found = None;
        with_board(&BOARD.replace(map, more), |_, board, _| {
            found = board.pci_hosts[0].message_id(0x110).map(|(_, id)| id);
        });
        found
    };
    assert_eq!(id("msi-parent = <&its>;"), Some(0x110));
    assert_eq!(
        id("msi-map = <0 &its 0x40 0x10>; msi-map-mask = <0xff>; msi-parent = <&its>;"),
        None
    );
    assert_eq!(
        id("msi-map = <0 &its 0x40 0x20>; msi-map-mask = <0xff>;"),
        Some(0x50)
    );
    assert_eq!(id(""), None);
}

#[test]
fn tbus_are_tied_to_their_smmu_and_streams() {
    let source = BOARD.replace(
        "gate: clock-gate",
        "tbu@91a0000 { reg = <0x91a0000 0x1000>; clocks = <&osc>; \
         stagegate,stream-id-range = <&smmu1 0x100 0x100>; };\n gate: clock-gate",
    );
    with_board(&source, |_, board, _| {
        let smmu = &board.smmus[1];
        assert_eq!(smmu.tbus.len(), 1);
        assert_eq!(
            (smmu.tbu_of(0xff), smmu.tbu_of(0x1ff), smmu.tbu_of(0x200)),
            (None, Some(0), None)
        );
        assert_eq!(smmu.tbus[0].clocks.len(), 1);
    });
}

#[test]
fn a_masked_stream_is_behind_one_tbu_or_none() {
    let ranges = [(0x100, 0x100), (0x200, 0x40)];
    let nodes = ranges.map(|(first, count)| {
        format!(
            "tbu@{first:x} {{ clocks = <&osc>; \
             qcom,stream-id-range = <&smmu1 {first:#x} {count:#x}>; }};"
        )
    });
    let source = BOARD.replace("gate: clock-gate", &(nodes.concat() + " gate: clock-gate"));
    with_board(&source, |_, board, _| {
        let smmu = &board.smmus[1];
        let before = |id, mask| {
            let smmu_node = smmu.node;
            smmu.tbu_before(&StreamId {
                smmu: smmu_node,
                id,
                mask,
            })
        };
        assert_eq!(before(0x100, 0), Ok(Some(0)));
        assert_eq!(before(0x1ff, 0xff), Ok(Some(0)));
        assert_eq!(before(0x220, 0x1f), Ok(Some(1)));
        assert_eq!(before(0x240, 0xf), Ok(None));
        assert_eq!(before(0x300, 0xff), Ok(None));
        // Over the end of one, over both, and around one from outside.
        assert_eq!(before(0x230, 0x1f), Ok(Some(1)));
        assert_eq!(before(0x200, 0x7f), Err(SplitStream));
        assert_eq!(before(0x100, 0x300), Err(SplitStream));
        assert_eq!(before(0, 0x3ff), Err(SplitStream));
    });
}

#[test]
fn interrupts_pass_through_a_nexus_and_stop_at_strangers() {
    let source = r#"/dts-v1/; / { interrupt-parent = <&gic>; #address-cells = <1>; #size-cells = <1>;
        gic: gic { compatible = "arm,gic-v3"; interrupt-controller; #interrupt-cells = <3>; };
        pass: pass { compatible = "mediatek,mt6577-sysirq"; interrupt-controller; #interrupt-cells = <3>; };
        odd: odd { compatible = "test,gpio"; interrupt-controller; #interrupt-cells = <2>; };
        loop: loop { compatible = "fsl,imx8mq-gpc"; interrupt-parent = <&loop>; #interrupt-cells = <3>; };
        n1 { interrupt-parent = <&pass>; interrupts = <0 5 1>; };
        n2 { interrupts-extended = <&gic 1 3 8>, <&odd 1 2>, <&loop 0 1 4>, <&gic 0 7 2>; };
        nexus: nexus { #interrupt-cells = <1>; #address-cells = <0>;
            interrupt-map = <1 &gic 0 40 4>, <2 &pass 0 41 1>; };
        n3 { interrupt-parent = <&nexus>; interrupts = <2 1 3>; };
        huge: huge { #interrupt-cells = <1>; #address-cells = <0xffffffff>; interrupt-map = <1 &gic 0 40 4>; };
        n4 { interrupt-parent = <&huge>; interrupts = <1>; };
    };"#;
    with_board(source, |tree, _, _| {
        let list = |path| {
            let irqs = interrupt::interrupts(tree, tree.find(path).unwrap());
            irqs.into_iter()
                .map(|i| i.map(|i| (i.intid, i.edge)))
                .collect::<Vec<_>>()
        };
        assert_eq!(list("/n1"), [Some((37, true))]);
        assert_eq!(
            list("/n2"),
            [Some((19, false)), None, None, Some((39, true))]
        );
        assert_eq!(list("/n3"), [Some((73, true)), Some((72, false)), None]);
        // Takes no memory for the address that it asks for.
        assert_eq!(list("/n4"), [None]);
    });
}

#[test]
fn what_is_missing_is_named() {
    with_board(
        "/dts-v1/; / { cpus { cpu@0 { device_type = \"cpu\"; }; }; };",
        |_, board, report| {
            assert_eq!(codes(report), ["cpu-reg"]);
            let mut report = Report::new();
            board.require(&mut report);
            assert_eq!(
                codes(&report),
                ["no-memory", "no-cpu", "no-gic", "no-console", "no-timer"]
            );
            assert!(
                report
                    .findings
                    .iter()
                    .all(|f| !f.node.is_empty() && !f.remedy.is_empty())
            );
        },
    );
}

#[test]
fn twins_are_found() {
    let source = BOARD.replace("reg = <0x101>", "reg = <0x100>");
    with_board(&source, |_, board, report| {
        assert_eq!(codes(report), ["cpu-twice"]);
        assert_eq!(board.cpus.len(), 3);
    });
    let source = BOARD.replace("osc: oscillator {", "osc: oscillator { phandle = <5>;");
    let source = source.replace(
        "mystery: clock-mystery {",
        "mystery: clock-mystery { phandle = <5>;",
    );
    with_board(&source, |_, _, report| {
        assert_eq!(codes(report)[0], "duplicate-phandle")
    });
}

#[test]
fn memory_is_merged_and_reservations_cut_out() {
    let source = r#"/dts-v1/; /memreserve/ 0x1000 0x1000; / { #address-cells = <1>; #size-cells = <1>;
        memory@4000 { device_type = "memory"; reg = <0x4000 0x4000>, <0x0 0x4000>, <0x9000 0>; };
        memory@10000 { device_type = "memory"; reg = <0x10000 0x1000>; status = "disabled"; };
        reserved-memory { #address-cells = <1>; #size-cells = <1>; ranges;
            a@5000 { reg = <0x5000 0x800>; }; dynamic { size = <0x1000>; };
            b@7f00 { reg = <0x7f00 0x1000>; }; };
        chosen { linux,initrd-start = <0x100>; linux,initrd-end = <0 0x180>; }; };"#;
    with_board(source, |_, board, _| {
        let memory = &board.memory;
        assert_eq!(memory.ram, [Region::new(0, 0x8000)]);
        let free: Vec<_> = memory
            .free_ranges()
            .iter()
            .map(|r| (r.base, r.size))
            .collect();
        assert_eq!(free, [(0, 0x1000), (0x2000, 0x3000), (0x5800, 0x2700)]);
        assert_eq!(memory.initrd, Some(Region::new(0x100, 0x80)));
        assert!(memory.is_ram(&Region::new(0x7000, 0x1000)));
        assert!(!memory.is_ram(&Region::new(0x7000, 0x1001)));
    });
}

#[test]
fn the_early_scan_agrees_with_the_facts() {
    let bytes = crate::dts::compile(BOARD).unwrap();
    let early = crate::early::scan(&bytes).unwrap();
    with_board(BOARD, |_, board, _| {
        assert_eq!(early.memory.as_slice(), board.memory.ram);
        let reserved: Vec<Region> = board.memory.reserved.iter().map(|r| r.region).collect();
        assert_eq!(early.reserved.as_slice(), reserved);
        let console = &board.uarts[board.console.unwrap()];
        let found = early.console.unwrap();
        assert_eq!(
            (found.kind, found.registers),
            (console.kind, console.registers)
        );
        assert_eq!((early.dropped, early.modules.len()), (0, 0));
    });
}

#[test]
fn the_early_scan_finds_modules_and_counts_what_does_not_fit() {
    let reserve: String = (1..=70)
        .map(|i| alloc::format!("/memreserve/ {i} 1;"))
        .collect();
    let source = alloc::format!(
        "/dts-v1/; {reserve} / {{ chosen {{ #address-cells = <2>; #size-cells = <2>;
         linux,initrd-start = <0x100>; linux,initrd-end = <0x180>;
         stagegate {{ vm {{ #address-cells = <1>; #size-cells = <1>; module@1 {{
         compatible = \"multiboot,module\"; reg = <0x5000 0x10>; }}; }}; }}; }}; }};"
    );
    let early = crate::early::scan(&crate::dts::compile(&source).unwrap()).unwrap();
    let modules: Vec<_> = early.modules.iter().map(|r| (r.base, r.size)).collect();
    assert_eq!(modules, [(0x5000, 0x10), (0x100, 0x80)]);
    assert_eq!((early.reserved.len(), early.dropped), (64, 6));
}

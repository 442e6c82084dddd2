//! The blob, read back by a parser that is not ours.

use super::*;
use crate::guest::map;
use dtoolkit::fdt::Fdt as Tree;
use dtoolkit::{Node, Property as _};

const UART: Device = Device {
    reg: map::UART,
    spi: map::UART_SPI,
};

const RAM: &[Range] = &[Range::new(map::RAM_BASE, 0x1_0000_0000)];

fn minimal(gic: Gic) -> GuestPlatform<'static> {
    GuestPlatform {
        memory: RAM,
        mpidrs: &[0x8000_0000, 0x81_8000_0101],
        gic,
        msi: None,
        uart: Some(UART),
        pci: None,
        scmi: None,
        iommu: None,
        devices: &[],
        chosen: Chosen {
            bootargs: "console=ttyAMA0",
            ..Chosen::default()
        },
    }
}

const V2: Gic = Gic::V2 {
    distributor: map::GICD,
    cpu_interface: map::GICC,
};
const V3: Gic = Gic::V3 {
    distributor: map::GICD,
    redistributors: map::gicr(2),
};

const PCI: PciHost<'static> = PciHost {
    ecam: map::PCI_ECAM,
    buses: (0, 15),
    mmio32: map::PCI_MMIO,
    mmio64: Some(Range::new(0x80_0000_0000, 0x10_0000_0000)),
    intx: &[Intx {
        bus: 1,
        slot: 2,
        pin: 3,
        spi: 4,
    }],
    probe_only: true,
    dma_coherent: true,
    iommu_map: Some((0, 0, 0x10000)),
    power_domain: Some(5),
};

const DMA: PassedDevice<'static> = PassedDevice {
    name: "dma-controller",
    phandle: Some(phandle::FREE),
    reg: &[Range::new(0xc00_0000, 0x1000), Range::new(0xc10_0000, 0x10)],
    interrupts: &[
        Spi {
            number: 20,
            trigger: Trigger::Level,
        },
        Spi {
            number: 21,
            trigger: Trigger::Edge,
        },
    ],
    power_domain: Some(2),
    clocks: &[0, 7],
    iommu_ids: &[8, 9],
    dma_coherent: true,
    properties: &[Property {
        name: "compatible",
        value: b"arm,pl330\0",
    }],
};

fn full() -> GuestPlatform<'static> {
    GuestPlatform {
        msi: Some(Msi {
            frame: map::GICV2M,
            spi_base: map::MSI_SPI_BASE,
            spi_count: map::MSI_SPI_COUNT,
        }),
        pci: Some(PCI),
        scmi: Some(Scmi {
            shmem: map::SCMI_SHMEM,
            function: 0xc600_0010,
            power_domains: true,
            clocks: true,
        }),
        iommu: Some(Iommu::Virtio(Device {
            reg: map::VIRTIO_IOMMU,
            spi: map::VIRTIO_IOMMU_SPI,
        })),
        devices: &[DMA],
        chosen: Chosen {
            bootargs: "quiet",
            initrd: Some(Range::new(0x4800_0000, 0x1234)),
            kaslr_seed: Some(0x0102_0304_0506_0708),
            rng_seed: &[7; 32],
        },
        ..minimal(V3)
    }
}

/// A property's bytes; panics if it is missing.
fn raw(tree: &Tree<'_>, path: &str, name: &str) -> Vec<u8> {
    let node = tree.find_node(path).unwrap_or_else(|| panic!("no {path}"));
    match node.property(name) {
        Some(property) => property.value().to_vec(),
        None => panic!("{path} has no {name}"),
    }
}

fn cells(tree: &Tree<'_>, path: &str, name: &str) -> Vec<u32> {
    raw(tree, path, name)
        .chunks(4)
        .map(|cell| u32::from_be_bytes(cell.try_into().unwrap()))
        .collect()
}

fn has(tree: &Tree<'_>, path: &str, name: &str) -> bool {
    tree.find_node(path)
        .is_some_and(|node| node.property(name).is_some())
}

#[test]
fn a_minimal_guest_has_what_linux_needs_to_boot() {
    let blob = minimal(V2).device_tree().unwrap();
    let tree = Tree::new(&blob).unwrap();
    assert_eq!(raw(&tree, "/", "compatible"), b"linux,dummy-virt\0");
    assert_eq!(cells(&tree, "/", "interrupt-parent"), [1]);
    assert_eq!(
        cells(&tree, "/memory@40000000", "reg"),
        [0, 0x4000_0000, 1, 0]
    );
    assert_eq!(raw(&tree, "/psci", "method"), b"hvc\0");
    assert_eq!(
        raw(&tree, "/psci", "compatible"),
        b"arm,psci-1.0\0arm,psci-0.2\0"
    );
    assert_eq!(raw(&tree, "/chosen", "bootargs"), b"console=ttyAMA0\0");
    assert_eq!(raw(&tree, "/chosen", "stdout-path"), b"/pl011@9000000\0");
    assert_eq!(raw(&tree, "/aliases", "serial0"), b"/pl011@9000000\0");
    assert_eq!(cells(&tree, "/pl011@9000000", "interrupts"), [0, 1, 4]);
    assert_eq!(cells(&tree, "/apb-pclk", "phandle"), [2]);
    for absent in [
        "linux,initrd-start",
        "kaslr-seed",
        "rng-seed",
        "linux,pci-probe-only",
    ] {
        assert!(!has(&tree, "/chosen", absent), "{absent}");
    }
    for absent in [
        "/pcie@3f000000",
        "/firmware",
        "/iommu",
        "/intc@8000000/v2m@8020000",
    ] {
        assert!(tree.find_node(absent).is_none(), "{absent}");
    }
}

#[test]
fn cpus_are_named_by_their_affinity() {
    let blob = minimal(V3).device_tree().unwrap();
    let tree = Tree::new(&blob).unwrap();
    assert_eq!(cells(&tree, "/cpus/cpu@0", "reg"), [0, 0]);
    assert_eq!(cells(&tree, "/cpus/cpu@8100000101", "reg"), [0x81, 0x101]);
    assert_eq!(raw(&tree, "/cpus/cpu@0", "enable-method"), b"psci\0");
}

#[test]
fn either_gic_has_its_regions_and_timer_flags() {
    let blob = minimal(V2).device_tree().unwrap();
    let tree = Tree::new(&blob).unwrap();
    let timer = |tree: &Tree<'_>| cells(tree, "/timer", "interrupts");
    let v2 = [1, 13, 0x304, 1, 14, 0x304, 1, 11, 0x304, 1, 10, 0x304];
    assert_eq!(timer(&tree), v2);
    let regions = |tree: &Tree<'_>| cells(tree, "/intc@8000000", "reg");
    let expected = [0, 0x0800_0000, 0, 0x1_0000, 0, 0x0801_0000, 0, 0x1_0000];
    assert_eq!(regions(&tree), expected);

    let blob = minimal(V3).device_tree().unwrap();
    let tree = Tree::new(&blob).unwrap();
    assert_eq!(timer(&tree), v2.map(|cell| cell & 0xff));
    let expected = [0, 0x0800_0000, 0, 0x1_0000, 0, 0x080a_0000, 0, 0x4_0000];
    assert_eq!(regions(&tree), expected);
    assert_eq!(raw(&tree, "/intc@8000000", "compatible"), b"arm,gic-v3\0");
}

#[test]
fn timer_flags_of_gicv2_name_every_cpu_and_no_more() {
    for (cpus, flags) in [(1, 0x104), (2, 0x304), (8, 0xff04), (12, 0xff04)] {
        let platform = GuestPlatform {
            mpidrs: &[0; 12][..cpus],
            ..minimal(V2)
        };
        let blob = platform.device_tree().unwrap();
        let tree = Tree::new(&blob).unwrap();
        assert_eq!(cells(&tree, "/timer", "interrupts")[2], flags);
    }
}

#[test]
fn the_boot_loader_speaks_through_chosen() {
    let blob = full().device_tree().unwrap();
    let tree = Tree::new(&blob).unwrap();
    assert_eq!(
        cells(&tree, "/chosen", "linux,initrd-start"),
        [0, 0x4800_0000]
    );
    assert_eq!(
        cells(&tree, "/chosen", "linux,initrd-end"),
        [0, 0x4800_1234]
    );
    assert_eq!(
        cells(&tree, "/chosen", "kaslr-seed"),
        [0x0102_0304, 0x0506_0708]
    );
    assert_eq!(raw(&tree, "/chosen", "rng-seed"), [7; 32]);
    assert_eq!(cells(&tree, "/chosen", "linux,pci-probe-only"), [1]);
}

#[test]
fn the_pci_host_says_windows_interrupts_and_suppliers() {
    let blob = full().device_tree().unwrap();
    let tree = Tree::new(&blob).unwrap();
    let pci = |name| cells(&tree, "/pcie@3f000000", name);
    assert_eq!(pci("reg"), [0, 0x3f00_0000, 0, 0x100_0000]);
    assert_eq!(pci("bus-range"), [0, 15]);
    assert_eq!(
        pci("ranges"),
        [
            0x0200_0000,
            0,
            0x1000_0000,
            0,
            0x1000_0000,
            0,
            0x2eff_0000, // 32-bit
            0x0300_0000,
            0x80,
            0,
            0x80,
            0,
            0x10,
            0, // 64-bit
        ]
    );
    assert_eq!(pci("interrupt-map-mask"), [0xff_f800, 0, 0, 7]);
    assert_eq!(
        pci("interrupt-map"),
        [0x1_1000, 0, 0, 3, phandle::GIC, 0, 0, 0, 4, 4]
    );
    assert_eq!(pci("msi-parent"), [phandle::V2M]);
    assert_eq!(pci("iommu-map"), [0, phandle::IOMMU, 0, 0x10000]);
    assert_eq!(pci("power-domains"), [phandle::SCMI_POWER, 5]);
    assert!(has(&tree, "/pcie@3f000000", "dma-coherent"));
    let frame = "/intc@8000000/v2m@8020000";
    assert_eq!(cells(&tree, frame, "arm,msi-base-spi"), [96]);
    assert_eq!(cells(&tree, frame, "arm,msi-num-spis"), [64]);
    assert_eq!(cells(&tree, frame, "phandle"), [phandle::V2M]);
}

#[test]
fn a_bridge_without_extras_says_nothing_about_them() {
    let platform = GuestPlatform {
        pci: Some(PciHost {
            mmio64: None,
            intx: &[],
            probe_only: false,
            dma_coherent: false,
            iommu_map: None,
            power_domain: None,
            ..PCI
        }),
        ..minimal(V2)
    };
    let blob = platform.device_tree().unwrap();
    let tree = Tree::new(&blob).unwrap();
    assert_eq!(cells(&tree, "/pcie@3f000000", "ranges").len(), 7);
    for absent in [
        "interrupt-map",
        "msi-parent",
        "iommu-map",
        "power-domains",
        "dma-coherent",
    ] {
        assert!(!has(&tree, "/pcie@3f000000", absent), "{absent}");
    }
}

#[test]
fn scmi_and_iommu_nodes_follow_their_bindings() {
    let blob = full().device_tree().unwrap();
    let tree = Tree::new(&blob).unwrap();
    let scmi = "/firmware/scmi";
    assert_eq!(raw(&tree, scmi, "compatible"), b"arm,scmi-smc\0");
    assert_eq!(cells(&tree, scmi, "arm,smc-id"), [0xc600_0010]);
    let shmem = "/scmi-shmem@a100000";
    assert_eq!(cells(&tree, scmi, "shmem"), cells(&tree, shmem, "phandle"));
    assert_eq!(cells(&tree, shmem, "reg"), [0, 0x0a10_0000, 0, 0x1000]);
    let power = "/firmware/scmi/protocol@11";
    assert_eq!(cells(&tree, power, "phandle"), [phandle::SCMI_POWER]);
    assert_eq!(cells(&tree, power, "#power-domain-cells"), [1]);
    let clock = "/firmware/scmi/protocol@14";
    assert_eq!(cells(&tree, clock, "phandle"), [phandle::SCMI_CLOCK]);
    assert_eq!(cells(&tree, clock, "#clock-cells"), [1]);
    let iommu = "/iommu@a000000";
    assert_eq!(raw(&tree, iommu, "compatible"), b"virtio,mmio\0");
    assert_eq!(cells(&tree, iommu, "interrupts"), [0, 16, 1]);
    assert_eq!(cells(&tree, iommu, "#iommu-cells"), [1]);

    let platform = GuestPlatform {
        iommu: Some(Iommu::Hypercall),
        ..full()
    };
    let blob = platform.device_tree().unwrap();
    let tree = Tree::new(&blob).unwrap();
    assert_eq!(raw(&tree, "/iommu", "compatible"), b"stagegate,iommu\0");
    assert_eq!(cells(&tree, "/iommu", "phandle"), [phandle::IOMMU]);
    assert_eq!(cells(&tree, "/iommu", "interrupts"), [0, 17, 1]);
}

#[test]
fn a_passed_device_keeps_its_properties_and_gets_its_suppliers() {
    let blob = full().device_tree().unwrap();
    let tree = Tree::new(&blob).unwrap();
    let device = |name| cells(&tree, "/dma-controller@c000000", name);
    assert_eq!(
        device("reg"),
        [0, 0xc00_0000, 0, 0x1000, 0, 0xc10_0000, 0, 0x10]
    );
    assert_eq!(device("interrupts"), [0, 20, 4, 0, 21, 1]);
    assert_eq!(device("power-domains"), [phandle::SCMI_POWER, 2]);
    let clock = phandle::SCMI_CLOCK;
    assert_eq!(device("clocks"), [clock, 0, clock, 7]);
    assert_eq!(device("iommus"), [phandle::IOMMU, 8, phandle::IOMMU, 9]);
    assert_eq!(device("phandle"), [phandle::FREE]);
    assert_eq!(
        raw(&tree, "/dma-controller@c000000", "compatible"),
        b"arm,pl330\0"
    );
}

#[test]
fn references_to_absent_suppliers_are_refused() {
    let refuse = |platform: GuestPlatform<'_>, node| {
        assert_eq!(platform.device_tree(), Err(DtError::Dangling(node)));
    };
    let without = |scmi, iommu| GuestPlatform {
        scmi,
        iommu,
        ..full()
    };
    refuse(without(None, full().iommu), phandle::SCMI_POWER);
    refuse(without(full().scmi, None), phandle::IOMMU);
    let scmi = full().scmi.map(|scmi| Scmi {
        clocks: false,
        ..scmi
    });
    refuse(without(scmi, full().iommu), phandle::SCMI_CLOCK);
}

#[test]
fn bad_text_and_bad_ranges_are_refused() {
    let platform = GuestPlatform {
        chosen: Chosen {
            bootargs: "a\0b",
            ..Chosen::default()
        },
        ..minimal(V2)
    };
    assert_eq!(platform.device_tree(), Err(DtError::NulInText));
    let platform = GuestPlatform {
        chosen: Chosen {
            initrd: Some(Range::new(u64::MAX, 2)),
            ..Chosen::default()
        },
        ..minimal(V2)
    };
    assert_eq!(platform.device_tree(), Err(DtError::Initrd(u64::MAX)));
}

/// Two nodes with one phandle would make either unreachable.
#[test]
fn phandles_are_unique() {
    let blob = full().device_tree().unwrap();
    let tree = Tree::new(&blob).unwrap();
    let paths = [
        "/intc@8000000",
        "/intc@8000000/v2m@8020000",
        "/apb-pclk",
        "/scmi-shmem@a100000",
        "/firmware/scmi/protocol@11",
        "/firmware/scmi/protocol@14",
        "/iommu@a000000",
        "/dma-controller@c000000",
    ];
    let mut seen: Vec<u32> = paths
        .iter()
        .flat_map(|path| cells(&tree, path, "phandle"))
        .collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), paths.len());
}

//! Nodes some guests have: PCI, SCMI, IOMMU, passed-through devices.

use super::core_nodes::{reg, unit};
use super::fdt::Fdt;
use super::{GuestPlatform, Intx, Iommu, PassedDevice, PciHost, Range, Scmi, Trigger, phandle};
use crate::guest::map;
use alloc::vec::Vec;

/// First cell of a PCI address: 32-bit memory space.
const PCI_MEM32: u32 = 0x0200_0000;
/// First cell of a PCI address: 64-bit memory space.
const PCI_MEM64: u32 = 0x0300_0000;

const fn high(value: u64) -> u32 {
    (value >> 32) as u32
}

const fn low(value: u64) -> u32 {
    value as u32
}

impl GuestPlatform<'_> {
    pub(super) fn io_nodes(&self, root: &mut Fdt) {
        if let Some(scmi) = self.scmi {
            scmi_nodes(root, scmi);
        }
        if let Some(iommu) = self.iommu {
            iommu_node(root, iommu);
        }
        if let Some(pci) = &self.pci {
            pci_node(root, pci, self.msi.is_some());
        }
        for device in self.devices {
            device_node(root, device);
        }
    }
}

fn pci_node(root: &mut Fdt, pci: &PciHost<'_>, msi: bool) {
    root.node(&unit("pcie", pci.ecam.base), |node| {
        node.strings("compatible", &["pci-host-ecam-generic"]);
        node.strings("device_type", &["pci"]);
        node.cells("#address-cells", &[3]);
        node.cells("#size-cells", &[2]);
        reg(node, &[pci.ecam]);
        node.cells("bus-range", &[pci.buses.0.into(), pci.buses.1.into()]);
        node.cells("linux,pci-domain", &[0]);
        let mut windows = window(PCI_MEM32, pci.mmio32);
        if let Some(wide) = pci.mmio64 {
            windows.extend(window(PCI_MEM64, wide));
        }
        node.cells("ranges", &windows);
        intx(node, pci.intx);
        if msi {
            node.cells("msi-parent", &[phandle::V2M]);
        }
        if pci.dma_coherent {
            node.flag("dma-coherent");
        }
        if let Some((rid, id, count)) = pci.iommu_map {
            node.cells("iommu-map", &[rid, phandle::IOMMU, id, count]);
        }
        power_domain(node, pci.power_domain);
    });
}

/// One entry of `ranges`: bus address = guest physical address.
fn window(space: u32, range: Range) -> Vec<u32> {
    let (base, size) = (range.base, range.size);
    let address = [high(base), low(base)];
    [&[space], &address[..], &address, &[high(size), low(size)]].concat()
}

/// `interrupt-map` with one entry per function and pin; the GIC has two
/// address cells, which an interrupt does not use.
fn intx(node: &mut Fdt, entries: &[Intx]) {
    if entries.is_empty() {
        return;
    }
    // Bus, device and function sit at 23:16, 15:11 and 10:8.
    let cells: Vec<u32> = entries
        .iter()
        .flat_map(|entry| {
            let unit = u32::from(entry.bus) << 16 | u32::from(entry.slot & 0x1f) << 11;
            let level = Trigger::Level as u32;
            let pin = u32::from(entry.pin);
            [unit, 0, 0, pin, phandle::GIC, 0, 0, 0, entry.spi, level]
        })
        .collect();
    node.cells("#interrupt-cells", &[1]);
    node.cells("interrupt-map-mask", &[0xff_f800, 0, 0, 7]);
    node.cells("interrupt-map", &cells);
}

fn scmi_nodes(root: &mut Fdt, scmi: Scmi) {
    root.node("firmware", |firmware| {
        firmware.node("scmi", |node| {
            node.strings("compatible", &["arm,scmi-smc"]);
            node.cells("arm,smc-id", &[scmi.function]);
            node.cells("shmem", &[phandle::SCMI_SHMEM]);
            node.cells("#address-cells", &[1]);
            node.cells("#size-cells", &[0]);
            if scmi.power_domains {
                protocol(node, 0x11, "#power-domain-cells", phandle::SCMI_POWER);
            }
            if scmi.clocks {
                protocol(node, 0x14, "#clock-cells", phandle::SCMI_CLOCK);
            }
        });
    });
    root.node(&unit("scmi-shmem", scmi.shmem.base), |node| {
        node.strings("compatible", &["arm,scmi-shmem"]);
        node.cells("phandle", &[phandle::SCMI_SHMEM]);
        reg(node, &[scmi.shmem]);
    });
}

fn protocol(scmi: &mut Fdt, id: u32, cells: &str, phandle: u32) {
    scmi.node(&unit("protocol", id.into()), |node| {
        node.cells("reg", &[id]);
        node.cells("phandle", &[phandle]);
        node.cells(cells, &[1]);
    });
}

fn iommu_node(root: &mut Fdt, iommu: Iommu) {
    match iommu {
        Iommu::Virtio(device) => root.node(&unit("iommu", device.reg.base), |node| {
            node.strings("compatible", &["virtio,mmio"]);
            reg(node, &[device.reg]);
            node.cells("interrupts", &[0, device.spi, Trigger::Edge as u32]);
            node.flag("dma-coherent");
            iommu_provider(node);
        }),
        Iommu::Hypercall => root.node("iommu", |node| {
            node.strings("compatible", &["stagegate,iommu"]);
            let event = [0, map::IOMMU_EVENT_SPI, Trigger::Edge as u32];
            node.cells("interrupts", &event);
            iommu_provider(node);
        }),
    }
}

fn iommu_provider(node: &mut Fdt) {
    node.cells("phandle", &[phandle::IOMMU]);
    node.cells("#iommu-cells", &[1]);
}

fn device_node(root: &mut Fdt, device: &PassedDevice<'_>) {
    let body = |node: &mut Fdt| device_body(node, device);
    match device.reg.first() {
        Some(first) => root.node(&unit(device.name, first.base), body),
        None => root.node(device.name, body),
    }
}

fn device_body(node: &mut Fdt, device: &PassedDevice<'_>) {
    for property in device.properties {
        node.bytes(property.name, property.value);
    }
    if let Some(phandle) = device.phandle {
        node.cells("phandle", &[phandle]);
    }
    if !device.reg.is_empty() {
        reg(node, device.reg);
    }
    let interrupts: Vec<u32> = device
        .interrupts
        .iter()
        .flat_map(|spi| [0, spi.number, spi.trigger as u32])
        .collect();
    if !interrupts.is_empty() {
        node.cells("interrupts", &interrupts);
    }
    power_domain(node, device.power_domain);
    references(node, "clocks", phandle::SCMI_CLOCK, device.clocks);
    references(node, "iommus", phandle::IOMMU, device.iommu_ids);
    if device.dma_coherent {
        node.flag("dma-coherent");
    }
}

fn power_domain(node: &mut Fdt, domain: Option<u32>) {
    if let Some(domain) = domain {
        node.cells("power-domains", &[phandle::SCMI_POWER, domain]);
    }
}

/// A list of one-cell references to one provider.
fn references(node: &mut Fdt, name: &str, provider: u32, ids: &[u32]) {
    if ids.is_empty() {
        return;
    }
    let cells: Vec<u32> = ids.iter().flat_map(|id| [provider, *id]).collect();
    node.cells(name, &cells);
}

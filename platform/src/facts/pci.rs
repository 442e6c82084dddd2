//! PCI host bridges.
use super::interrupt::{Irq, pci_pin};
use super::reference::{CLOCKS, POWER_DOMAINS, Supply};
use super::smmu::listed;
use super::stream::{RidRange, StreamId, lookup, rid_map};
use super::{ancestors, regions};
use crate::region::{Region, read_cells, translate};
use crate::report::Report;
use crate::tree::{NodeId, Tree};
use alloc::string::String;
use alloc::vec::Vec;

/// Address space of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowKind {
    /// I/O space.
    Io,
    /// 32-bit memory space.
    Memory32,
    /// 64-bit memory space.
    Memory64,
}

/// A window through which CPUs reach the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Address space.
    pub kind: WindowKind,
    /// Prefetchable.
    pub prefetchable: bool,
    /// First address on the bus.
    pub pci: u64,
    /// The same as a physical address, with the size.
    pub cpu: Region,
}

/// A PCI host bridge.
#[derive(Debug, Clone)]
pub struct PciHost {
    /// Its node.
    pub node: NodeId,
    /// Its path.
    pub path: String,
    /// Enabled, with all nodes above it.
    pub enabled: bool,
    /// Configuration space is plain ECAM, so that no driver of its own is
    /// needed.
    pub generic: bool,
    /// Configuration space, or the bridge's registers.
    pub registers: Option<Region>,
    /// First and last bus.
    pub buses: (u8, u8),
    /// `linux,pci-domain`.
    pub segment: Option<u16>,
    /// Windows in the order of `ranges`.
    pub windows: Vec<Window>,
    /// `iommu-map`.
    pub iommu_map: Vec<RidRange>,
    /// `iommu-map-mask`.
    pub iommu_mask: u32,
    /// `msi-map`; a bare `msi-parent` counts as a map of every id to itself.
    pub msi_map: Vec<RidRange>,
    /// `msi-map-mask`.
    pub msi_mask: u32,
    /// Interrupts of the four pins on root-bus slots, by slot and pin.
    pub pins: Vec<[Option<Irq>; 4]>,
    /// Devices see the caches.
    pub coherent: bool,
    /// Clocks of the bridge.
    pub clocks: Vec<Supply>,
    /// Power domains of the bridge.
    pub power_domains: Vec<Supply>,
}

/// Not `pci-host-cam-generic`: its window has 256 bytes for each function where
/// ECAM has 4096, so that one would be taken for another.
const GENERIC: &str = "pci-host-ecam-generic";

pub(super) fn read(tree: &Tree<'_>, report: &mut Report) -> Vec<PciHost> {
    tree.ids()
        .filter(|&id| {
            let node = tree.node(id);
            let is_pci = node.property("device_type").and_then(|p| p.string()) == Some("pci");
            // Bridges and endpoints below a host bridge have the same type.
            let below = tree.parent(id).is_some_and(|p| {
                tree.node(p)
                    .property("device_type")
                    .and_then(|t| t.string())
                    == Some("pci")
            });
            is_pci && !below
        })
        .map(|id| host(tree, id, report))
        .collect()
}

fn host(tree: &Tree<'_>, id: NodeId, report: &mut Report) -> PciHost {
    let node = tree.node(id);
    let path = tree.path(id);
    let bus = |i| {
        let cell = node.property("bus-range").and_then(|p| p.cell(i));
        cell.and_then(|b| u8::try_from(b).ok())
    };
    let segment = node.property("linux,pci-domain").and_then(|p| p.u32());
    let mask = |name| {
        node.property(name)
            .and_then(|p| p.u32())
            .unwrap_or(u32::MAX)
    };
    PciHost {
        enabled: tree.is_enabled(id),
        generic: node.is_compatible(GENERIC),
        registers: regions(tree, id).first().copied().flatten(),
        buses: (bus(0).unwrap_or(0), bus(1).unwrap_or(0xff)),
        segment: segment.and_then(|s| u16::try_from(s).ok()),
        windows: windows(tree, id),
        iommu_map: map(tree, id, &path, "iommu-map", report),
        iommu_mask: mask("iommu-map-mask"),
        msi_map: messages(tree, id, &path, report),
        msi_mask: mask("msi-map-mask"),
        pins: pins(tree, id),
        coherent: tree.inherited(id, "dma-coherent").is_some(),
        clocks: listed(tree, id, &path, CLOCKS, report),
        power_domains: listed(tree, id, &path, POWER_DOMAINS, report),
        node: id,
        path,
    }
}

fn map(
    tree: &Tree<'_>,
    id: NodeId,
    path: &str,
    property: &str,
    report: &mut Report,
) -> Vec<RidRange> {
    rid_map(tree, id, property).unwrap_or_else(|error| {
        let remedy = "write lines of <rid &target id count>";
        report.error(
            "rid-map",
            (path, property),
            alloc::format!("{error}"),
            remedy,
        );
        Vec::new()
    })
}

/// Where messages go.
fn messages(tree: &Tree<'_>, id: NodeId, path: &str, report: &mut Report) -> Vec<RidRange> {
    let listed = map(tree, id, path, "msi-map", report);
    let node = tree.node(id);
    let parent = node.property("msi-parent").and_then(|p| p.u32());
    match parent.and_then(|phandle| tree.by_phandle(phandle)) {
        Some(target) if node.property("msi-map").is_none() => alloc::vec![RidRange {
            rid: 0,
            target,
            base: 0,
            count: 0x1_0000,
        }],
        _ => listed,
    }
}

/// `ranges` of a PCI bus: three cells of bus address, the first holding the
/// space (IEEE 1275 PCI binding, phys.hi).
fn windows(tree: &Tree<'_>, id: NodeId) -> Vec<Window> {
    let node = tree.node(id);
    let above = ancestors(tree, id);
    let upper = above.last().map_or(2, |p| p.address_cells());
    let Some(ranges) = node.property("ranges") else {
        return Vec::new();
    };
    let step = upper.saturating_add(5);
    let lines = (0usize..).map_while(|i| {
        let at = i.checked_mul(step)?;
        let hi = read_cells(ranges.value, at, 1)?;
        let pci = read_cells(ranges.value, at.checked_add(1)?, 2)?;
        let cpu = read_cells(ranges.value, at.checked_add(3)?, upper)?;
        let size = read_cells(ranges.value, at.checked_add(3)?.checked_add(upper)?, 2)?;
        Some((hi, pci, Region::new(cpu, size)))
    });
    lines
        .filter_map(|(hi, pci, cpu)| {
            let kind = match (hi >> 24) & 3 {
                1 => WindowKind::Io,
                2 => WindowKind::Memory32,
                3 => WindowKind::Memory64,
                _ => return None,
            };
            let cpu = translate(&above, cpu)?;
            Some(Window {
                kind,
                prefetchable: hi & (1 << 30) != 0,
                pci,
                cpu,
            })
        })
        .collect()
}

fn pins(tree: &Tree<'_>, id: NodeId) -> Vec<[Option<Irq>; 4]> {
    if tree.node(id).property("interrupt-map").is_none() {
        return Vec::new();
    }
    let slot = |slot: u16| [1, 2, 3, 4].map(|pin| pci_pin(tree, id, slot << 3, pin));
    (0u16..32).map(slot).collect()
}

impl PciHost {
    /// The stream of a requester id, if it stands behind an SMMU.
    #[must_use]
    pub fn stream(&self, rid: u16) -> Option<StreamId> {
        let (smmu, id) = lookup(&self.iommu_map, self.iommu_mask, rid)?;
        Some(StreamId { smmu, id, mask: 0 })
    }

    /// The message id (`DeviceID` at the ITS) of a requester id.
    #[must_use]
    pub fn message_id(&self, rid: u16) -> Option<(NodeId, u32)> {
        lookup(&self.msi_map, self.msi_mask, rid)
    }

    /// The interrupt of `pin` (1 to 4) of a function on the root bus. Behind a
    /// bridge the pin rotates with the slot, which only the bus itself tells.
    #[must_use]
    pub fn pin(&self, rid: u16, pin: u8) -> Option<Irq> {
        let on_root_bus = rid >> 8 == u16::from(self.buses.0);
        let slot = usize::from((rid >> 3) & 0x1f);
        let pins = self.pins.get(slot).filter(|_| on_root_bus)?;
        pins.get(usize::from(pin.checked_sub(1)?))
            .copied()
            .flatten()
    }
}

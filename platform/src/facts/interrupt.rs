//! Following an interrupt specifier to the GIC.
use super::gic;
use super::reference::references;
use crate::fdt::{Node, Prop};
use crate::tree::{NodeId, Tree};
use alloc::vec::Vec;

/// An interrupt of the GIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Irq {
    /// GIC interrupt id: PPIs 16–31, SPIs from 32, extended ranges as the GIC
    /// numbers them.
    pub intid: u32,
    /// Edge-triggered; level-sensitive otherwise.
    pub edge: bool,
}

impl Irq {
    /// From the GIC binding's cells: type, number, flags.
    pub(super) fn from_specifier(cells: &[u32]) -> Option<Self> {
        let &[class, number, flags, ..] = cells else {
            return None;
        };
        let base = match class {
            0 if number < 988 => 32,
            1 if number < 16 => 16,
            2 if number < 1024 => 4096,
            3 if number < 64 => 1056,
            _ => return None,
        };
        Some(Self {
            intid: number.checked_add(base)?,
            edge: flags & 0x3 != 0,
        })
    }
}

/// Controllers that pass a GIC specifier on to their own parent unchanged.
const TRANSPARENT: &[&str] = &[
    "mediatek,mt6577-sysirq",
    "mediatek,cirq",
    "fsl,imx7d-gpc",
    "fsl,imx8mq-gpc",
    "fsl,imx8mm-gpc",
    "nvidia,tegra20-ictlr",
    "nvidia,tegra210-ictlr",
    "nvidia,tegra30-ictlr",
];

/// Longest chain of controllers followed.
const MAX_HOPS: usize = 8;

/// The interrupts of a node in order. `None` in the place of one that does not
/// end at the GIC (a GPIO line, say) or cannot be followed.
#[must_use]
pub fn interrupts(tree: &Tree<'_>, id: NodeId) -> Vec<Option<Irq>> {
    let node = tree.node(id);
    if let Some(extended) = node.property("interrupts-extended") {
        let list = references(tree, extended, "#interrupt-cells").unwrap_or_default();
        return list
            .into_iter()
            .map(|entry| {
                let entry = entry?;
                follow(tree, entry.provider, unit_address(&node), &entry.args)
            })
            .collect();
    }
    let Some(list) = node.property("interrupts") else {
        return Vec::new();
    };
    let Some(parent) = parent(tree, id) else {
        return Vec::new();
    };
    let cells = tree.node(parent).cells("#interrupt-cells").unwrap_or(0);
    let all: Vec<u32> = list.cells().collect();
    if cells == 0 {
        return Vec::new();
    }
    all.chunks_exact(cells)
        .map(|one| follow(tree, parent, unit_address(&node), one))
        .collect()
}

/// The node's interrupts by their `interrupt-names`, where both exist.
#[must_use]
pub fn named(tree: &Tree<'_>, id: NodeId, name: &str) -> Option<Irq> {
    let names = tree.node(id).property("interrupt-names")?;
    let index = names.strings().position(|n| n == name)?;
    interrupts(tree, id).get(index).copied().flatten()
}

/// The controller that `interrupts` of `id` belong to (Devicetree
/// Specification v0.4, 2.4): the nearest `interrupt-parent`, or the nearest
/// ancestor that has `#interrupt-cells`.
#[must_use]
pub fn parent(tree: &Tree<'_>, id: NodeId) -> Option<NodeId> {
    let mut at = id;
    loop {
        if let Some(explicit) = tree.node(at).property("interrupt-parent") {
            return tree.by_phandle(explicit.u32()?);
        }
        at = tree.parent(at)?;
        if tree.node(at).property("#interrupt-cells").is_some() {
            return Some(at);
        }
    }
}

fn unit_address(node: &Node<'_>) -> Vec<u32> {
    node.property("reg")
        .map(|p| p.cells().collect())
        .unwrap_or_default()
}

/// Follows one specifier from `controller` to the GIC.
fn follow(tree: &Tree<'_>, controller: NodeId, unit: Vec<u32>, cells: &[u32]) -> Option<Irq> {
    let (mut at, mut unit, mut cells) = (controller, unit, cells.to_vec());
    for _ in 0..MAX_HOPS {
        let node = tree.node(at);
        if gic::kind(&node).is_some() {
            return Irq::from_specifier(&cells);
        }
        if let Some(map) = node.property("interrupt-map") {
            let (next, next_unit, next_cells) = lookup(tree, &node, map, &unit, &cells)?;
            (at, unit, cells) = (next, next_unit, next_cells);
        } else if TRANSPARENT.iter().any(|c| node.is_compatible(c)) {
            (at, unit) = (parent(tree, at)?, unit_address(&node));
        } else {
            return None;
        }
    }
    None
}

/// One line of an `interrupt-map`.
pub(crate) struct MapEntry {
    /// The child's unit address and specifier, to be compared under the mask.
    pub(crate) key: Vec<u32>,
    /// The controller it goes to.
    pub(crate) parent: NodeId,
    /// Unit address in the parent's terms.
    pub(crate) unit: Vec<u32>,
    /// Specifier in the parent's terms.
    pub(crate) cells: Vec<u32>,
}

/// All readable lines of a nexus node's `interrupt-map`.
pub(crate) fn map_entries(tree: &Tree<'_>, nexus: &Node<'_>, map: Prop<'_>) -> Vec<MapEntry> {
    let Some(key_len) = nexus
        .address_cells()
        .checked_add(nexus.cells("#interrupt-cells").unwrap_or(0))
    else {
        return Vec::new();
    };
    let all: Vec<u32> = map.cells().collect();
    let mut rest = all.as_slice();
    let mut list = Vec::new();
    while let Some((key, tail)) = rest.split_at_checked(key_len) {
        let Some((&phandle, tail)) = tail.split_first() else {
            break;
        };
        let Some(parent) = tree.by_phandle(phandle) else {
            break;
        };
        let node = tree.node(parent);
        let units = node.cells("#address-cells").unwrap_or(0);
        let Some(count) = node.cells("#interrupt-cells") else {
            break;
        };
        let Some((unit, tail)) = tail.split_at_checked(units) else {
            break;
        };
        let Some((cells, tail)) = tail.split_at_checked(count) else {
            break;
        };
        list.push(MapEntry {
            key: key.to_vec(),
            parent,
            unit: unit.to_vec(),
            cells: cells.to_vec(),
        });
        rest = tail;
    }
    list
}

/// The line of an `interrupt-map` that matches.
fn lookup(
    tree: &Tree<'_>,
    nexus: &Node<'_>,
    map: Prop<'_>,
    unit: &[u32],
    cells: &[u32],
) -> Option<(NodeId, Vec<u32>, Vec<u32>)> {
    let entry = map_entries(tree, nexus, map)
        .into_iter()
        .find(|entry| matches(nexus, &entry.key, unit, cells))?;
    Some((entry.parent, entry.unit, entry.cells))
}

/// Whether `key` is this unit address, as long as the nexus has them, and this
/// specifier, under its `interrupt-map-mask`.
fn matches(nexus: &Node<'_>, key: &[u32], unit: &[u32], cells: &[u32]) -> bool {
    let Some((address, specifier)) = key.split_at_checked(nexus.address_cells()) else {
        return false;
    };
    let mask = nexus.property("interrupt-map-mask");
    let unit = unit.iter().chain(core::iter::repeat(&0));
    let wanted = unit.take(address.len()).chain(cells);
    specifier.len() == cells.len()
        && key.iter().zip(wanted).enumerate().all(|(i, (k, w))| {
            let mask = mask.and_then(|m| m.cell(i)).unwrap_or(u32::MAX);
            k & mask == w & mask
        })
}

/// Follows a PCI pin through a host bridge's `interrupt-map`: `rid` is the
/// requester id on the root bus, `pin` 1 to 4.
#[must_use]
pub fn pci_pin(tree: &Tree<'_>, host: NodeId, rid: u16, pin: u8) -> Option<Irq> {
    let node = tree.node(host);
    let map = node.property("interrupt-map")?;
    let unit = [u32::from(rid) << 8, 0, 0];
    let (next, unit, cells) = lookup(tree, &node, map, &unit, &[u32::from(pin)])?;
    follow(tree, next, unit, &cells)
}

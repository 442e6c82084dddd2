//! Which SMMU a master stands behind, and under which stream ids.
use super::reference::{ReferenceError, references};
use crate::tree::{NodeId, Tree};
use alloc::vec::Vec;
use core::fmt;

/// A stream at an SMMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// The SMMU's node.
    pub smmu: NodeId,
    /// The stream id.
    pub id: u32,
    /// SMMUv1/v2: id bits that do not matter (SMR.MASK). 0 elsewhere.
    pub mask: u16,
}

impl StreamId {
    /// Whether some stream id belongs to both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let free = u32::from(self.mask) | u32::from(other.mask);
        self.smmu == other.smmu && (self.id ^ other.id) & !free == 0
    }

    /// Whether every id of `other` is one of its own.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.overlaps(other) && other.mask & !self.mask == 0
    }

    /// The lowest and the highest of its ids.
    #[must_use]
    pub fn span(&self) -> (u32, u32) {
        let free = u32::from(self.mask);
        (self.id & !free, self.id | free)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mask {
            0 => write!(f, "{:#x}", self.id),
            mask => write!(f, "{:#x}/{mask:#x}", self.id),
        }
    }
}

/// The streams a platform device's `iommus` lists, at any IOMMU. One that
/// another one covers is left out: boards list aliases (Qualcomm's BAM has
/// `<0x586 0x11>, <0x596 0x11>`), but two entries of an SMMU must not match
/// one id.
///
/// # Errors
/// [`ReferenceError`] when the list cannot be read.
pub fn iommus(tree: &Tree<'_>, id: NodeId) -> Result<Vec<StreamId>, ReferenceError> {
    let Some(property) = tree.node(id).property("iommus") else {
        return Ok(Vec::new());
    };
    let list = references(tree, property, "#iommu-cells")?;
    let mut found = Vec::new();
    for entry in list.into_iter().flatten() {
        let stream = stream(tree, entry.provider, &entry.args);
        if !found.iter().any(|other: &StreamId| other.covers(&stream)) {
            found.retain(|other| !stream.covers(other));
            found.push(stream);
        }
    }
    Ok(found)
}

/// A specifier: one cell holds the id (and on v1/v2 the mask above bit 15),
/// a second cell the mask (bindings/iommu/arm,smmu.yaml).
fn stream(tree: &Tree<'_>, smmu: NodeId, args: &[u32]) -> StreamId {
    let node = tree.node(smmu);
    let wide = node.is_compatible("arm,smmu-v3") || super::smmu::model(&node).is_none();
    let low = args.first().copied().unwrap_or(0);
    let by_cell = args.get(1).copied();
    let common = node.property("stream-match-mask").and_then(|p| p.u32());
    let mask = match (wide, by_cell) {
        (true, _) => 0,
        (false, Some(mask)) => mask,
        (false, None) => (low >> 16) | common.unwrap_or(0),
    };
    StreamId {
        smmu,
        id: if wide { low } else { low & 0xffff },
        mask: u16::try_from(mask & 0xffff).unwrap_or(0),
    }
}

/// One line of an `iommu-map` or `msi-map`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RidRange {
    /// First requester id.
    pub rid: u32,
    /// The SMMU or ITS it goes to.
    pub target: NodeId,
    /// Its id there.
    pub base: u32,
    /// Number of ids.
    pub count: u32,
}

/// Reads an `iommu-map`-like property: (rid, phandle, base, count) lines.
///
/// # Errors
/// [`ReferenceError`] for a phandle that names nothing or a broken last line.
pub fn rid_map(
    tree: &Tree<'_>,
    id: NodeId,
    property: &str,
) -> Result<Vec<RidRange>, ReferenceError> {
    let Some(property) = tree.node(id).property(property) else {
        return Ok(Vec::new());
    };
    let cells: Vec<u32> = property.cells().collect();
    let mut list = Vec::new();
    for line in cells.chunks(4) {
        let &[rid, phandle, base, count] = line else {
            return Err(ReferenceError::Truncated(list.len()));
        };
        let target = tree
            .by_phandle(phandle)
            .ok_or(ReferenceError::UnknownPhandle(phandle))?;
        list.push(RidRange {
            rid,
            target,
            base,
            count,
        });
    }
    Ok(list)
}

/// Where a requester id goes under a map.
#[must_use]
pub fn lookup(map: &[RidRange], mask: u32, rid: u16) -> Option<(NodeId, u32)> {
    let rid = u32::from(rid) & mask;
    map.iter().find_map(|line| {
        let offset = rid.checked_sub(line.rid)?;
        (offset < line.count).then_some((line.target, line.base.checked_add(offset)?))
    })
}

/// Every node that stands behind an IOMMU by `iommus` or `iommu-map`, whether
/// enabled or not. SMMUs' own translation units do not count.
pub fn masters<'t>(tree: &'t Tree<'_>) -> impl Iterator<Item = NodeId> + use<'t> {
    tree.ids().filter(|&id| {
        let node = tree.node(id);
        node.property("iommus").is_some() || node.property("iommu-map").is_some()
    })
}

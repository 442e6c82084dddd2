//! Ranges of physical addresses, and their way up through `ranges`.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]
use crate::fdt::{Node, Prop, be32};
use core::fmt;

/// A range of physical addresses, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Region {
    /// First byte.
    pub base: u64,
    /// Length in bytes.
    pub size: u64,
}

impl Region {
    /// A region of `size` bytes at `base`.
    #[must_use]
    pub const fn new(base: u64, size: u64) -> Self {
        Self { base, size }
    }

    /// One past the last byte; `None` when that leaves the address space.
    #[must_use]
    pub const fn end(&self) -> Option<u64> {
        self.base.checked_add(self.size)
    }

    /// Whether `other` lies wholly inside.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        match (self.end(), other.end()) {
            (Some(mine), Some(its)) => self.base <= other.base && its <= mine,
            _ => false,
        }
    }

    /// Whether the two share a byte.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let mine = self.base.saturating_add(self.size);
        let its = other.base.saturating_add(other.size);
        self.size > 0 && other.size > 0 && self.base < its && other.base < mine
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.base.saturating_add(self.size.saturating_sub(1));
        write!(f, "{:#x}-{last:#x}", self.base)
    }
}

/// The number made of `cells` 32-bit cells at cell index `at`. A number wider
/// than 64 bits is no number.
#[must_use]
pub fn read_cells(value: &[u8], at: usize, cells: usize) -> Option<u64> {
    let mut number = 0u64;
    for i in 0..cells {
        let cell = be32(value, at.checked_add(i)?.checked_mul(4)?)?;
        if number >> 32 != 0 {
            return None;
        }
        number = (number << 32) | u64::from(cell);
    }
    Some(number)
}

/// The (address, size) pairs of a `reg`-like property, untranslated.
pub fn pairs<'a>(
    property: Prop<'a>,
    address_cells: usize,
    size_cells: usize,
) -> impl Iterator<Item = Region> + use<'a> {
    let step = address_cells.saturating_add(size_cells);
    (0usize..).map_while(move |i| {
        let at = i.checked_mul(step.max(1))?;
        let base = read_cells(property.value, at, address_cells)?;
        let size = read_cells(property.value, at.checked_add(address_cells)?, size_cells)?;
        (step > 0).then_some(Region { base, size })
    })
}

/// Translates `region`, given in the address space of the last of `ancestors`
/// (root first), to physical addresses. `None` where a bus has no `ranges`, or
/// none that covers the region.
#[must_use]
pub fn translate(ancestors: &[Node<'_>], region: Region) -> Option<Region> {
    let mut at = region;
    let mut rest = ancestors;
    while let [above @ .., parent, bus] = rest {
        at = through_bus(parent, bus, at)?;
        rest = ancestors.get(..above.len().checked_add(1)?)?;
    }
    Some(at)
}

/// One step: from `bus`'s child address space to that of `parent`.
fn through_bus(parent: &Node<'_>, bus: &Node<'_>, region: Region) -> Option<Region> {
    let ranges = bus.property("ranges")?;
    if ranges.value.is_empty() {
        return Some(region);
    }
    let (child, upper, len) = (
        bus.address_cells(),
        parent.address_cells(),
        bus.size_cells(),
    );
    let step = child.checked_add(upper)?.checked_add(len)?;
    let mut at = 0usize;
    while let Some(from) = read_cells(ranges.value, at, child) {
        let to = read_cells(ranges.value, at.checked_add(child)?, upper)?;
        let size = read_cells(
            ranges.value,
            at.checked_add(child)?.checked_add(upper)?,
            len,
        )?;
        if Region::new(from, size).contains(&region) {
            let offset = region.base.checked_sub(from)?;
            return Some(Region::new(to.checked_add(offset)?, region.size));
        }
        at = at.checked_add(step)?;
    }
    None
}

/// The physical regions of a node's `reg`; an entry that cannot be translated
/// is `None` in its place, so that indices keep their meaning.
pub fn registers<'a, 'c>(
    ancestors: &'c [Node<'a>],
    node: &Node<'a>,
) -> impl Iterator<Item = Option<Region>> + use<'a, 'c> {
    let cells = ancestors
        .last()
        .map_or((2, 1), |p| (p.address_cells(), p.size_cells()));
    node.property("reg")
        .into_iter()
        .flat_map(move |p| pairs(p, cells.0, cells.1))
        .map(move |r| translate(ancestors, r))
}

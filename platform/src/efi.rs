//! What UEFI firmware leaves behind: its memory map, and a device tree that
//! says which memory stays the firmware's.
//!
//! Device trees passed by UEFI list all of RAM; which parts the firmware goes
//! on using stands in its memory map alone (UEFI 2.10, 7.2.3). [`reserve`] puts
//! them into the tree, so that everything after the start reads one source.
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
use crate::fdt::{Blob, be32};
use crate::region::Region;

/// Bytes of a memory page in the firmware's map.
pub const PAGE: u64 = 4096;

/// A memory map as `GetMemoryMap` returned it.
#[derive(Clone, Copy, Debug)]
pub struct MemoryMap<'a> {
    bytes: &'a [u8],
    stride: usize,
}

impl<'a> MemoryMap<'a> {
    /// The map in `bytes`, whose descriptors are `stride` bytes apart.
    #[must_use]
    pub const fn new(bytes: &'a [u8], stride: usize) -> Self {
        Self { bytes, stride }
    }

    /// Memory that stays the firmware's after `ExitBootServices`, pieces that
    /// follow one another as one.
    pub fn kept(self) -> impl Iterator<Item = Region> + use<'a> {
        let stride = self.stride.max(1);
        let mut kept = self
            .bytes
            .chunks_exact(stride)
            .filter_map(descriptor)
            .filter(|(kind, _)| is_kept(*kind))
            .map(|(_, region)| region)
            .peekable();
        core::iter::from_fn(move || {
            let mut piece = kept.next()?;
            while let Some(next) = kept.next_if(|next| piece.end() == Some(next.base)) {
                piece.size = piece.size.saturating_add(next.size);
            }
            Some(piece)
        })
    }
}

/// Type and extent of one descriptor: type at 0, physical start at 8, pages at
/// 24.
fn descriptor(bytes: &[u8]) -> Option<(u32, Region)> {
    let kind = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
    let long = |at: core::ops::Range<usize>| -> Option<u64> {
        Some(u64::from_le_bytes(bytes.get(at)?.try_into().ok()?))
    };
    let (base, pages) = (long(8..16)?, long(24..32)?);
    Some((kind, Region::new(base, pages.checked_mul(PAGE)?)))
}

/// Loader, boot services and conventional memory (types 1 to 4 and 7) is free
/// once boot services have ended; everything else is left alone.
const fn is_kept(kind: u32) -> bool {
    !matches!(kind, 1..=4 | 7)
}

/// Bytes of the device tree header.
const HEADER: usize = 40;
/// Bytes of a reservation.
const ENTRY: usize = 16;

/// Bytes that [`reserve`] needs for a tree of `len` bytes and `count` regions.
#[must_use]
pub const fn room(len: usize, count: usize) -> usize {
    len.saturating_add(count.saturating_mul(ENTRY))
        .saturating_add(HEADER)
        .saturating_add(2 * ENTRY)
}

/// Writes `tree` with `regions` added to its memory reservations into `out`,
/// and returns its length in bytes. `None` if `out` is too small for it (see
/// [`room`]).
#[must_use]
pub fn reserve(
    tree: &Blob<'_>,
    regions: impl Iterator<Item = Region>,
    out: &mut [u8],
) -> Option<usize> {
    let old = tree.bytes();
    let mut to = Writer { out, at: HEADER };
    let kept = tree.reservations();
    let added = regions.map(|region| (region.base, region.size));
    for (base, size) in kept.chain(added).chain([(0, 0)]) {
        to.push(&base.to_be_bytes())?;
        to.push(&size.to_be_bytes())?;
    }
    let structure = to.at;
    to.push(block(old, 8, 36)?)?;
    let strings = to.at;
    to.push(block(old, 12, 32)?)?;
    let total = to.at;
    to.at = 0;
    to.push(old.get(..HEADER)?)?;
    for (field, value) in [(4, total), (8, structure), (12, strings), (16, HEADER)] {
        to.at = field;
        to.push(&u32::try_from(value).ok()?.to_be_bytes())?;
    }
    Some(total)
}

/// The block whose offset and length stand at these places of the header.
fn block(tree: &[u8], offset: usize, length: usize) -> Option<&[u8]> {
    let start = be32(tree, offset)? as usize;
    tree.get(start..start.checked_add(be32(tree, length)? as usize)?)
}

/// Writes forward, and stops at the end instead of panicking.
struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.at.checked_add(bytes.len())?;
        self.out.get_mut(self.at..end)?.copy_from_slice(bytes);
        self.at = end;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::early;

    fn entry(kind: u32, base: u64, pages: u64) -> Vec<u8> {
        let mut bytes = vec![0; 48];
        bytes[..4].copy_from_slice(&kind.to_le_bytes());
        bytes[8..16].copy_from_slice(&base.to_le_bytes());
        bytes[24..32].copy_from_slice(&pages.to_le_bytes());
        bytes
    }

    #[test]
    fn what_the_firmware_keeps() {
        let map = [
            entry(7, 0x4000_0000, 16), // conventional
            entry(5, 0x4001_0000, 1),  // runtime services code
            entry(6, 0x4001_1000, 2),  // runtime services data: follows
            entry(4, 0x4001_3000, 5),  // boot services data
            entry(0, 0x4001_8000, 1),  // reserved
            entry(2, 0x4001_9000, 1),  // loader data
            entry(10, 0x5000_0000, 1), // ACPI tables
        ]
        .concat();
        let kept: Vec<_> = MemoryMap::new(&map, 48).kept().collect();
        let expected = [
            Region::new(0x4001_0000, 0x3000),
            Region::new(0x4001_8000, 0x1000),
            Region::new(0x5000_0000, 0x1000),
        ];
        assert_eq!(kept, expected);
        // A map cut short, or of no known layout, yields what is whole.
        assert_eq!(MemoryMap::new(&map[..100], 48).kept().count(), 1);
        assert_eq!(MemoryMap::new(&map, 0).kept().count(), 0);
        assert_eq!(MemoryMap::new(&map, 16).kept().count(), 0);
    }

    fn tree() -> Vec<u8> {
        let source = "/dts-v1/; /memreserve/ 0x1000 0x2000;\n\
             / { #address-cells = <2>; #size-cells = <2>;\n\
             memory@40000000 { device_type = \"memory\"; reg = <0 0x40000000 0 0x1000000>; };\n\
             chosen { note = \"kept\"; }; };";
        crate::dts::compile(source).unwrap()
    }

    #[test]
    fn reservations_are_added_and_nothing_else_changes() {
        let bytes = tree();
        let old = Blob::check(&bytes).unwrap();
        let regions = [Region::new(0x4010_0000, 0x3000), Region::new(0x5000, 4096)];
        let mut out = vec![0xff; room(bytes.len(), 2)];
        let len = reserve(&old, regions.iter().copied(), &mut out).unwrap();
        let new = Blob::check(&out[..len]).unwrap();
        let all: Vec<_> = new.reservations().collect();
        assert_eq!(
            all,
            [(0x1000, 0x2000), (0x4010_0000, 0x3000), (0x5000, 4096)]
        );
        let early = early::scan(&out[..len]).unwrap();
        assert_eq!(early.memory.len(), 1);
        assert_eq!(early.reserved.len(), 3);
        let note = |blob: &Blob<'_>| {
            let chosen = blob.find("/chosen").unwrap();
            chosen.property("note").unwrap().string().map(String::from)
        };
        assert_eq!(note(&new), note(&old));
        assert_eq!(note(&new).as_deref(), Some("kept"));
    }

    #[test]
    fn too_little_room_is_said() {
        let bytes = tree();
        let old = Blob::check(&bytes).unwrap();
        let mut out = vec![0; room(bytes.len(), 1)];
        let one = || [Region::new(0, 4096)].into_iter();
        let len = reserve(&old, one(), &mut out).unwrap();
        for short in 0..len {
            assert_eq!(reserve(&old, one(), &mut out[..short]), None, "{short}");
        }
    }
}

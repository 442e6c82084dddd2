//! Layouts of the pages that calls read. Little endian, naturally aligned, no padding.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Size and alignment of a list or batch page, and the smallest granule of a mapping, in bytes.
pub const PAGE_SIZE: u64 = 4096;

/// Most table leaves that one call writes or clears. Larger requests make partial progress.
pub const LEAVES_PER_CALL: u64 = 512;

/// Most entries of a list page.
pub const LIST_MAX: u32 = 256;

/// Most entries of a batch page. Entries and their status words share the page:
/// 112 × 32 + 112 × 4 = 4032 bytes.
pub const BATCH_MAX: u32 = 112;

/// Offset of the status array (`i32` per entry) in a batch page, in bytes.
pub const BATCH_STATUS_OFFSET: u64 = 3584;

/// In the `prot` field of a batch entry that unmaps: defer the invalidation until SYNC.
pub const UNMAP_LAZY_PROT: u16 = 1;

/// One piece of MAP_SG (`address` is an IPA) or UNMAP_SG (`address` is an IOVA).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ListEntry {
    /// Start, a multiple of [`PAGE_SIZE`].
    pub address: u64,
    /// Bytes, a non-zero multiple of [`PAGE_SIZE`].
    pub size: u64,
}

/// One operation of BATCH.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct BatchEntry {
    /// A [`BatchOp`].
    pub op: u16,
    /// [`crate::Prot`] for a map; [`UNMAP_LAZY_PROT`] or 0 for an unmap; 0 for a sync.
    pub prot: u16,
    /// Domain id.
    pub domain: u32,
    /// IOVA (0 for a sync).
    pub iova: u64,
    /// IPA (map only, else 0).
    pub ipa: u64,
    /// Bytes (0 for a sync).
    pub size: u64,
}

/// What a batch entry asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum BatchOp {
    /// As MAP, but whole or not at all, and of at most [`LEAVES_PER_CALL`] pages.
    Map = 1,
    /// As UNMAP, of at most [`LEAVES_PER_CALL`] pages; stops at the first page that is not mapped.
    Unmap = 2,
    /// As SYNC.
    Sync = 3,
}

impl BatchOp {
    /// The operation for a number on the page.
    #[must_use]
    pub const fn from_code(code: u16) -> Option<Self> {
        match code {
            1 => Some(Self::Map),
            2 => Some(Self::Unmap),
            3 => Some(Self::Sync),
            _ => None,
        }
    }
}

const _: () = {
    assert!(size_of::<ListEntry>() == 16 && align_of::<ListEntry>() == 8);
    assert!(size_of::<BatchEntry>() == 32 && align_of::<BatchEntry>() == 8);
    assert!(LIST_MAX as u64 * 16 <= PAGE_SIZE);
    assert!(BATCH_MAX as u64 * 32 <= BATCH_STATUS_OFFSET);
    assert!(BATCH_STATUS_OFFSET + BATCH_MAX as u64 * 4 <= PAGE_SIZE);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let entry = BatchEntry {
            op: BatchOp::Map as u16,
            prot: 3,
            domain: 0x0403_0201,
            iova: 0x1000,
            ipa: 0x4000_0000,
            size: 0x2000,
        };
        let mut expected = [0u8; 32];
        expected[..8].copy_from_slice(&[1, 0, 3, 0, 1, 2, 3, 4]);
        expected[9] = 0x10;
        expected[19] = 0x40;
        expected[25] = 0x20;
        assert_eq!(entry.as_bytes(), expected);
        assert_eq!(BatchEntry::read_from_bytes(&expected), Ok(entry));
    }
}

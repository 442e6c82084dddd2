//! Descriptor words (D8.3): types and bits only, to be held against the
//! manual.
//!
//! Besides the manual's three kinds the engine knows a fourth, invisible to
//! hardware: an entry that is not zero and whose valid bit is clear is
//! *claimed*, that is, owned by the one CPU that made it so.

use crate::{Attrs, Pa};

/// Bit 0: the entry is valid.
pub(crate) const VALID: u64 = 1;
/// Bits 1:0 of a table descriptor above the last level, of a page at it.
pub(crate) const TABLE: u64 = 0b11;
/// Bit 1 alone: above the last level only a table descriptor has it. What the
/// engine writes there itself, claims and links, never does, so that one bit
/// tells whether to follow.
pub(crate) const FOLLOW: u64 = 0b10;
/// A claim that carries no mapping: the mark of an entry in a table that is
/// being removed.
pub(crate) const DEAD: u64 = 0b100;
/// MemAttr\[3:0\], bits 5:2.
pub(crate) const MEMATTR_SHIFT: u32 = 2;
const MEMATTR: u64 = 0b1111 << MEMATTR_SHIFT;
/// S2AP\[0\], bit 6: read.
pub(crate) const S2AP_READ: u64 = 1 << 6;
/// S2AP\[1\], bit 7: write.
pub(crate) const S2AP_WRITE: u64 = 1 << 7;
/// SH\[1:0\], bits 9:8.
pub(crate) const SH_SHIFT: u32 = 8;
/// Access flag. Set, save where a page is for devices alone: no walker is
/// asked to manage it (VTCR_EL2.HA and HD, CD/STE HA and HD stay clear), so no
/// walker ever writes a descriptor.
pub(crate) const AF: u64 = 1 << 10;
/// Contiguous hint.
pub(crate) const CONT: u64 = 1 << 52;
/// XN\[1:0\], bits 54:53.
pub(crate) const XN_SHIFT: u32 = 53;
/// Bit 55, for software (D8.3.1): the table descriptor may not have reached
/// the point of coherency yet.
pub(crate) const UNCLEAN: u64 = 1 << 55;
/// Bit 56, for software as well: a mapping begins with this leaf.
pub(crate) const FIRST: u64 = 1 << 56;

/// All that [`Attrs`] says.
pub(crate) const ATTRS: u64 =
    AF | MEMATTR | S2AP_READ | S2AP_WRITE | 0b11 << SH_SHIFT | 0b11 << XN_SHIFT;

/// The output address of a table or leaf descriptor of page shift `G`.
///
/// With 64K pages bits 15:12 hold PA\[51:48\] (D8.3.1); leaf descriptors of
/// blocks have zeros between, so that one mask serves all levels.
#[inline(always)]
pub(crate) const fn output<const G: u32>(word: u64) -> u64 {
    let low = word & 0x0000_ffff_ffff_ffff & !1u64.wrapping_shl(G).wrapping_sub(1);
    if G == 16 {
        low | (word & 0xf000).wrapping_shl(36)
    } else {
        low
    }
}

/// The address field for output address `pa`.
#[inline(always)]
pub(crate) const fn field<const G: u32>(pa: Pa) -> u64 {
    if G == 16 {
        pa.0 & 0x0000_ffff_ffff_0000 | pa.0.wrapping_shr(36) & 0xf000
    } else {
        pa.0
    }
}

/// The next-level descriptor for `table`.
#[inline(always)]
pub(crate) const fn table<const G: u32>(table: Pa) -> u64 {
    field::<G>(table) | TABLE
}

/// MemAttr of write-back memory without FWB.
pub(crate) const NORMAL: u64 = 0b1111;
/// MemAttr of write-back memory with FWB (D8.5.6): 0b0110 forces write-back.
/// The other codes in use, 0b0101 for non-cacheable and 0b00xx for devices,
/// are the same with and without, and this one has no use without.
pub(crate) const NORMAL_FWB: u64 = 0b0110;
/// The bit of MemAttr that write-back memory has, in both of its codes, and
/// nothing else.
const WRITE_BACK: u64 = 0b0010;
const _: () = assert!(NORMAL & NORMAL_FWB & WRITE_BACK != 0);

/// The MemAttr field that holds `code`.
pub(crate) const fn memattr(code: u64) -> u64 {
    code << MEMATTR_SHIFT
}

/// The attribute bits of a leaf, all but address and type. `normal` is the
/// MemAttr field of write-back memory in this table.
#[inline(always)]
pub(crate) const fn leaf_bits(attrs: Attrs, normal: u64) -> u64 {
    let bits = attrs.word() & ATTRS;
    if bits & memattr(WRITE_BACK) != 0 {
        bits & !MEMATTR | normal
    } else {
        bits
    }
}

/// What an entry above the last level says, decoded once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Absent,
    /// Owned by the CPU that is changing it.
    Claimed,
    /// A table of the next level.
    Table,
    /// A block, or a page at the last level.
    Leaf,
}

const _: () = assert!(DEAD & (VALID | FOLLOW) == 0);

/// The kind of `word` in a table of `level`.
#[inline(always)]
pub(crate) const fn kind(word: u64, level: u32) -> Kind {
    if word == 0 {
        Kind::Absent
    } else if word & VALID == 0 {
        Kind::Claimed
    } else if word & TABLE == TABLE && level != crate::geometry::LAST {
        Kind::Table
    } else {
        Kind::Leaf
    }
}

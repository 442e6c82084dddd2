//! Level arithmetic: which bits of an address index which level (D8.2).
//!
//! `G` is the page shift (12, 14, 16) and `B` the number of address bits that
//! one level resolves; on hardware `B = G - 3`. The model checker walks
//! tables of four entries, hence two parameters.

/// The level of the tables whose entries are pages.
pub(crate) const LAST: u32 = 3;

/// The arithmetic of one granule.
pub(crate) struct Geo<const G: u32, const B: u32>;

impl<const G: u32, const B: u32> Geo<G, B> {
    /// Entries in a table of one granule.
    pub(crate) const ENTRIES: usize = 1 << B;
    /// Bytes in a page.
    pub(crate) const PAGE: u64 = 1 << G;
    /// Pages in a contiguous group at the last level (D8.7.1): 16 of 4K, 128
    /// of 16K, 32 of 64K.
    pub(crate) const GROUP: usize = match (G, B) {
        (12, 9) => 16,
        (14, _) => 128,
        (16, _) => 32,
        _ => 2,
    };

    /// log2 of the bytes that one entry of `level` covers.
    #[inline(always)]
    pub(crate) const fn shift(level: u32) -> u32 {
        G.wrapping_add(LAST.wrapping_sub(level).wrapping_mul(B))
    }

    /// Bytes that one entry of `level` covers.
    #[inline(always)]
    pub(crate) const fn span(level: u32) -> u64 {
        1u64.wrapping_shl(Self::shift(level))
    }

    /// The index of `address` in a table of `level` below the root.
    #[inline(always)]
    pub(crate) const fn index(address: u64, level: u32) -> usize {
        (address.wrapping_shr(Self::shift(level)) as usize) & Self::ENTRIES.wrapping_sub(1)
    }
}

// B1: the arithmetic of the manual's tables D8-9 to D8-11.
const _: () = {
    assert!(Geo::<12, 9>::span(2) == 2 << 20 && Geo::<12, 9>::span(1) == 1 << 30);
    assert!(Geo::<12, 9>::span(0) == 512 << 30);
    assert!(Geo::<14, 11>::span(2) == 32 << 20 && Geo::<14, 11>::span(1) == 64 << 30);
    assert!(Geo::<16, 13>::span(2) == 512 << 20 && Geo::<16, 13>::span(1) == 4 << 40);
};

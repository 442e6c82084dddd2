//! The shape of a table and the register fields that tell walkers of it.

use crate::desc::{NORMAL, NORMAL_FWB, leaf_bits, memattr};
use crate::geometry::{Geo, LAST};
use crate::size::encode_size;
use crate::{Attrs, Error};

/// Page size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Granule {
    /// 4 KiB pages, blocks of 2 MiB and 1 GiB.
    K4,
    /// 16 KiB pages, blocks of 32 MiB.
    K16,
    /// 64 KiB pages, blocks of 512 MiB, and of 4 TiB with 52-bit output.
    K64,
    /// Four entries per table, for the model checker.
    #[cfg(loom)]
    Tiny,
}

/// How the walkers see memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walks {
    /// Every walker snoops the CPU's caches: a barrier publishes.
    Coherent,
    /// At least one does not: entries are cleaned to the point of coherency.
    NonCoherent,
}

/// What all walkers tolerate when the size of a mapping changes
/// (ID_AA64MMFR2_EL1.BBM, SMMU_IDR3.BBML).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bbml {
    /// Level 0 or 1: break-before-make.
    Break,
    /// Level 2: a block may be replaced by a table that maps the same.
    Replace,
}

/// The shape of a table: everything that its walkers must agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    pub(crate) granule: Granule,
    pub(crate) ipa_bits: u32,
    pub(crate) pa_bits: u32,
    /// Lookup level of the root.
    pub(crate) start: u32,
    /// First level that may hold blocks.
    pub(crate) block_level: u32,
    pub(crate) walks: Walks,
    pub(crate) fwb: bool,
    pub(crate) contiguous: bool,
    pub(crate) bbml: Bbml,
}

/// Attributes as the leaves of tables of one [`Config`] have them: made once,
/// for [`Table::map_page`](crate::Table::map_page).
#[derive(Debug, Clone, Copy)]
pub struct Leaf(pub(crate) u64);

impl Config {
    /// A shape for input addresses of `ipa_bits` and output addresses of
    /// `pa_bits`, for coherent walkers without FWB, with contiguous hints and
    /// break-before-make.
    ///
    /// The root starts as deep as 16 concatenated tables allow (D8.2.2), for
    /// the shortest walk, but never at the last level: a root of pages could
    /// hold no block.
    ///
    /// # Errors
    /// [`Error::InputSize`] outside 32 to 48 bits (52 with [`Granule::K64`]
    /// and 52-bit output), [`Error::OutputSize`] for a size that `PS` cannot
    /// say or the granule cannot hold. Input may be larger than output.
    pub const fn new(granule: Granule, ipa_bits: u32, pa_bits: u32) -> Result<Self, Error> {
        if !matches!(pa_bits, 32 | 36 | 40 | 42 | 44 | 48 | 52) {
            return Err(Error::OutputSize(pa_bits));
        }
        let big = matches!(granule, Granule::K64) && pa_bits == 52;
        if pa_bits == 52 && !big {
            return Err(Error::OutputSize(pa_bits));
        }
        let (least, most) = input_limits(granule, big);
        if ipa_bits < least || ipa_bits > most {
            return Err(Error::InputSize(ipa_bits));
        }
        let (start, block_level) = match granule {
            Granule::K4 => (start_level::<12, 9>(ipa_bits), 1),
            Granule::K16 => (start_level::<14, 11>(ipa_bits), 2),
            Granule::K64 => (start_level::<16, 13>(ipa_bits), if big { 1 } else { 2 }),
            #[cfg(loom)]
            Granule::Tiny => (start_level::<12, 2>(ipa_bits), 2),
        };
        Ok(Self {
            granule,
            ipa_bits,
            pa_bits,
            start,
            block_level,
            walks: Walks::Coherent,
            fwb: false,
            contiguous: true,
            bbml: Bbml::Break,
        })
    }

    /// The same for walkers that see memory so.
    #[must_use]
    pub const fn with_walks(mut self, walks: Walks) -> Self {
        self.walks = walks;
        self
    }

    /// The same for walkers with (HCR_EL2.FWB, STE.S2FWB) or without forced
    /// write-back. All walkers of one table must agree.
    #[must_use]
    pub const fn with_fwb(mut self, fwb: bool) -> Self {
        self.fwb = fwb;
        self
    }

    /// The same with or without contiguous hints. Tables whose user unmaps
    /// single pages out of larger mappings do better without.
    #[must_use]
    pub const fn with_contiguous(mut self, contiguous: bool) -> Self {
        self.contiguous = contiguous;
        self
    }

    /// The same for walkers that tolerate this when a block is split.
    #[must_use]
    pub const fn with_bbml(mut self, bbml: Bbml) -> Self {
        self.bbml = bbml;
        self
    }

    /// These attributes, for tables of this shape.
    #[must_use]
    pub const fn leaf(&self, attrs: Attrs) -> Leaf {
        Leaf(leaf_bits(attrs, self.normal()))
    }

    /// The MemAttr field of write-back memory: with FWB its code is another.
    pub(crate) const fn normal(&self) -> u64 {
        memattr(if self.fwb { NORMAL_FWB } else { NORMAL })
    }

    /// Page size.
    #[must_use]
    pub const fn granule(&self) -> Granule {
        self.granule
    }

    /// Input address size in bits.
    #[must_use]
    pub const fn ipa_bits(&self) -> u32 {
        self.ipa_bits
    }

    /// Output address size in bits.
    #[must_use]
    pub const fn pa_bits(&self) -> u32 {
        self.pa_bits
    }

    /// How walkers see memory.
    #[must_use]
    pub const fn walks(&self) -> Walks {
        self.walks
    }

    /// Whether MemAttr is written for forced write-back.
    #[must_use]
    pub const fn fwb(&self) -> bool {
        self.fwb
    }

    /// Bytes in a page.
    #[must_use]
    pub const fn page_size(&self) -> u64 {
        1u64.wrapping_shl(self.page_shift())
    }

    /// log2 of [`page_size`](Self::page_size).
    #[must_use]
    pub const fn page_shift(&self) -> u32 {
        match self.granule {
            Granule::K4 => 12,
            Granule::K16 => 14,
            Granule::K64 => 16,
            #[cfg(loom)]
            Granule::Tiny => 12,
        }
    }

    /// Sizes that one descriptor can map, in bytes, as a bit set: bit n for
    /// 2^n. What an IOMMU interface calls its page-size bitmap.
    #[must_use]
    pub const fn page_sizes(&self) -> u64 {
        let mut sizes = 0;
        let mut level = self.block_level;
        while level <= LAST {
            sizes |= 1u64.wrapping_shl(self.level_shift(level));
            level = level.wrapping_add(1);
        }
        sizes
    }

    /// log2 of the bytes that one entry of `level` covers.
    pub(crate) const fn level_shift(&self, level: u32) -> u32 {
        match self.granule {
            Granule::K4 => Geo::<12, 9>::shift(level),
            Granule::K16 => Geo::<14, 11>::shift(level),
            Granule::K64 => Geo::<16, 13>::shift(level),
            #[cfg(loom)]
            Granule::Tiny => Geo::<12, 2>::shift(level),
        }
    }

    /// The level of the first lookup.
    #[must_use]
    pub const fn start_level(&self) -> u32 {
        self.start
    }

    /// Entries in the root, over all concatenated tables.
    #[must_use]
    pub const fn root_entries(&self) -> usize {
        1usize.wrapping_shl(self.ipa_bits.wrapping_sub(self.level_shift(self.start)))
    }

    /// Bytes of the root: one page, or more when tables are concatenated;
    /// also its alignment.
    #[must_use]
    pub const fn root_bytes(&self) -> usize {
        let bytes = self.root_entries().wrapping_mul(8);
        let page = self.page_size() as usize;
        if bytes > page { bytes } else { page }
    }

    /// Tables concatenated into the root: 1 to 16.
    #[must_use]
    pub const fn concatenated(&self) -> usize {
        self.root_bytes().wrapping_shr(self.page_shift())
    }

    /// `T0SZ` of VTCR_EL2, `S2T0SZ` of an STE, `T0SZ` of an SMMUv2 stage-2
    /// TCR.
    #[must_use]
    pub const fn t0sz(&self) -> u32 {
        64u32.wrapping_sub(self.ipa_bits)
    }

    /// `SL0` of VTCR_EL2 (D24.2.213), `S2SL0` of an STE (IHI 0070, 5.2).
    #[must_use]
    pub const fn sl0(&self) -> u32 {
        match self.granule {
            Granule::K4 => 2u32.wrapping_sub(self.start),
            _ => 3u32.wrapping_sub(self.start),
        }
    }

    /// `TG0` of VTCR_EL2, `S2TG` of an STE: 0 for 4K, 1 for 64K, 2 for 16K.
    #[must_use]
    pub const fn tg0(&self) -> u32 {
        match self.granule {
            Granule::K4 => 0,
            Granule::K64 => 1,
            Granule::K16 => 2,
            #[cfg(loom)]
            Granule::Tiny => 0,
        }
    }

    /// `PS` of VTCR_EL2, `S2PS` of an STE, `PASize` of an SMMUv2 TCR2.
    #[must_use]
    pub const fn ps(&self) -> u32 {
        encode_size(self.pa_bits as u8)
    }

    /// VTCR_EL2 for this table: all fields above, bit 31 as RES1, everything
    /// else zero (8-bit VMIDs, no hardware access flag or dirty state).
    ///
    /// A CPU's walks are always coherent with its own caches, so these are
    /// write-back inner shareable even where an SMMU's are not.
    #[must_use]
    pub const fn vtcr(&self) -> u64 {
        let walks = 1 << 8 | 1 << 10 | 3 << 12;
        (1 << 31 | walks | self.t0sz() | self.sl0() << 6 | self.tg0() << 14 | self.ps() << 16)
            as u64
    }
}

/// Least and most input bits.
const fn input_limits(granule: Granule, big: bool) -> (u32, u32) {
    match granule {
        Granule::K64 if big => (32, 52),
        #[cfg(loom)]
        Granule::Tiny => (15, 22),
        _ => (32, 48),
    }
}

/// The deepest level, but the last, whose root needs at most 16 tables.
const fn start_level<const G: u32, const B: u32>(ipa_bits: u32) -> u32 {
    let mut level = LAST.wrapping_sub(1);
    while level > 0 && ipa_bits > Geo::<G, B>::shift(level).wrapping_add(B).wrapping_add(4) {
        level = level.wrapping_sub(1);
    }
    level
}

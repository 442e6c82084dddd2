//! Small types shared by every SMMU architecture.

use pgtable::{Config, Ipa, Pa, Stale, Walks};

/// A StreamID: what the bus says about who issued a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

/// A virtual machine identifier as the SMMU tags its translations with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vmid(pub u16);

/// What the hardware driver calls a domain: a VMID on SMMUv3, a context bank
/// and its VMID on SMMUv2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextId(pub u16);

/// A range of input addresses whose translations must be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpaRange {
    /// First byte; aligned to the granule.
    pub ipa: Ipa,
    /// Bytes; a multiple of the granule, not zero.
    pub size: u64,
    /// Bytes of the smallest leaf that was there: one invalidation by address
    /// for each such step forgets the range. A power of two, at least the
    /// granule, which is always right.
    pub stride: u64,
    /// True when no table descriptor was removed or replaced, so that the
    /// walker's cached intermediate steps may stay.
    pub leaf_only: bool,
}

/// How a stage-2 table is to be walked: the fields of VTCR_EL2 that an SMMU
/// needs, in plain units (DDI 0487, D19.2.166; IHI 0070, 5.2 STE.S2*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage2 {
    /// Root table (S2TTB).
    pub root: Pa,
    /// Input address bits, 32..=48 (T0SZ = 64 - this).
    pub ipa_bits: u8,
    /// Output address bits, 32..=52 (PS).
    pub pa_bits: u8,
    /// log2 of the granule: 12, 14 or 16.
    pub granule_shift: u8,
    /// Level of the root table, 0..=2 (SL0).
    pub start_level: u8,
    /// Walks are inner shareable, write back (true), or non-cacheable
    /// (false). Must match the maintenance that the tables receive.
    pub coherent: bool,
    /// Memory attributes are written for forced write-back (S2FWB).
    pub fwb: bool,
}

impl Stage2 {
    /// The tables of `root` as `config` describes them: what the CPU walks.
    pub fn of(root: Pa, config: &Config) -> Self {
        Self {
            root,
            ipa_bits: config.ipa_bits() as u8,
            pa_bits: config.pa_bits() as u8,
            granule_shift: config.page_shift() as u8,
            start_level: config.start_level() as u8,
            coherent: config.walks() == Walks::Coherent,
            fwb: config.fwb(),
        }
    }
}

impl From<Stale> for IpaRange {
    fn from(stale: Stale) -> Self {
        Self {
            ipa: stale.ipa(),
            size: stale.len(),
            stride: stale.stride(),
            leaf_only: !stale.tables(),
        }
    }
}

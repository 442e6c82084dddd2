//! What a mapping allows and how it is cached (D8.4, D8.5).
//!
//! Kept as the descriptor's own bits, so that mapping costs no translation and
//! decoding is done only by those who look.

use crate::desc::{
    AF, FIRST, MEMATTR_SHIFT, NORMAL, NORMAL_FWB, S2AP_READ, S2AP_WRITE, SH_SHIFT, XN_SHIFT,
    leaf_bits, memattr,
};
use core::fmt;

/// Memory type of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryType {
    /// Normal, inner and outer write-back. With FWB forced, otherwise what
    /// the guest asks for at stage 1 may weaken it.
    Normal,
    /// Normal, non-cacheable.
    NonCacheable,
    /// Device-nGnRE: registers.
    Device,
    /// Device-nGnRnE: registers whose write must have arrived before it is
    /// acknowledged (PCI configuration space).
    DeviceStrong,
}

/// Who may do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads only.
    Read,
    /// Writes only.
    Write,
    /// Reads and writes.
    ReadWrite,
}

/// Where instructions may be fetched (D8.4.6, FEAT_XNX for all but `All` and
/// `None`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Execute {
    /// At EL1 and EL0.
    All,
    /// At EL0 only.
    El0,
    /// Nowhere.
    None,
    /// At EL1 only.
    El1,
}

/// Shareability of Normal memory; Device memory is always outer shareable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shareability {
    /// Not shared.
    Non,
    /// Outer shareable.
    Outer,
    /// Inner shareable.
    Inner,
}

/// The attributes of a mapping.
///
/// A descriptor's word: found in a table it is just that, with FWB or without
/// and with the address, which everything below looks past.
#[derive(Clone, Copy)]
pub struct Attrs(u64);

impl PartialEq for Attrs {
    fn eq(&self, other: &Self) -> bool {
        self.bits() == other.bits()
    }
}

impl Eq for Attrs {}

impl Attrs {
    /// Guest memory: normal, inner shareable, read, write, execute.
    pub const RAM: Self = Self::new(MemoryType::Normal, Access::ReadWrite, Execute::All);
    /// Registers given to a guest: Device-nGnRE, read, write, no execute.
    pub const DEVICE: Self = Self::new(MemoryType::Device, Access::ReadWrite, Execute::None);
    /// Memory that devices read and write: normal, no execute.
    pub const DMA: Self = Self::new(MemoryType::Normal, Access::ReadWrite, Execute::None);

    /// Attributes with the shareability that suits the type: inner for
    /// write-back memory, outer for the rest.
    #[must_use]
    pub const fn new(memory: MemoryType, access: Access, execute: Execute) -> Self {
        let (memattr, sh) = match memory {
            MemoryType::Normal => (NORMAL, 0b11),
            MemoryType::NonCacheable => (0b0101, 0b10),
            MemoryType::Device => (0b0001, 0b10),
            MemoryType::DeviceStrong => (0b0000, 0b10),
        };
        let xn: u64 = match execute {
            Execute::All => 0b00,
            Execute::El0 => 0b01,
            Execute::None => 0b10,
            Execute::El1 => 0b11,
        };
        Self(memattr << MEMATTR_SHIFT | sh << SH_SHIFT | xn << XN_SHIFT | access.bits() | AF)
    }

    /// The same with another shareability.
    #[must_use]
    pub const fn with_shareability(self, share: Shareability) -> Self {
        let sh: u64 = match share {
            Shareability::Non => 0b00,
            Shareability::Outer => 0b10,
            Shareability::Inner => 0b11,
        };
        Self(self.0 & !(0b11 << SH_SHIFT) | sh << SH_SHIFT)
    }

    /// The same for devices alone: the access flag is clear, so that a walker
    /// that takes access flag faults, as CPUs do here (`VTCR_EL2.HA` clear),
    /// faults, and one told not to (`STE.S2AFFD`, an SMMUv2's `SCTLR.AFFD`)
    /// translates. For tables that CPUs and SMMUs share.
    #[must_use]
    pub const fn devices_only(self) -> Self {
        Self(self.0 & !AF)
    }

    /// Whether CPUs fault here: see [`devices_only`](Self::devices_only).
    #[must_use]
    pub const fn is_devices_only(self) -> bool {
        self.0 & AF == 0
    }

    /// Whether the leaf was [marked](crate::Table::mark_first) as the first of
    /// its mapping. Says nothing about what the mapping allows: attributes that
    /// differ in this alone are equal.
    #[must_use]
    pub const fn is_first(self) -> bool {
        self.0 & FIRST != 0
    }

    /// Memory type.
    #[must_use]
    pub const fn memory(self) -> MemoryType {
        match self.0 >> MEMATTR_SHIFT & 0b1111 {
            NORMAL | NORMAL_FWB => MemoryType::Normal,
            0b0101 => MemoryType::NonCacheable,
            0b0000 => MemoryType::DeviceStrong,
            _ => MemoryType::Device,
        }
    }

    /// Access rights.
    #[must_use]
    pub const fn access(self) -> Access {
        match (self.readable(), self.writable()) {
            (true, false) => Access::Read,
            (false, _) => Access::Write,
            (true, true) => Access::ReadWrite,
        }
    }

    /// Where instructions may be fetched.
    #[must_use]
    pub const fn execute(self) -> Execute {
        match self.0 >> XN_SHIFT & 0b11 {
            0b00 => Execute::All,
            0b01 => Execute::El0,
            0b10 => Execute::None,
            _ => Execute::El1,
        }
    }

    /// Shareability.
    #[must_use]
    pub const fn shareability(self) -> Shareability {
        match self.0 >> SH_SHIFT & 0b11 {
            0b11 => Shareability::Inner,
            0b10 => Shareability::Outer,
            _ => Shareability::Non,
        }
    }

    /// Whether reads are allowed.
    #[must_use]
    pub const fn readable(self) -> bool {
        self.0 & S2AP_READ != 0
    }

    /// Whether writes are allowed.
    #[must_use]
    pub const fn writable(self) -> bool {
        self.0 & S2AP_WRITE != 0
    }

    /// The descriptor's attribute bits without FWB.
    pub(crate) const fn bits(self) -> u64 {
        leaf_bits(self, memattr(NORMAL))
    }

    /// The word it was found in, or the bits it was made of.
    #[inline(always)]
    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    /// Those of a leaf, with FWB or without.
    #[inline(always)]
    pub(crate) const fn of_leaf(word: u64) -> Self {
        Self(word)
    }
}

impl Access {
    /// S2AP of D8.4.1.
    pub(crate) const fn bits(self) -> u64 {
        match self {
            Self::Read => S2AP_READ,
            Self::Write => S2AP_WRITE,
            Self::ReadWrite => S2AP_READ | S2AP_WRITE,
        }
    }
}

impl fmt::Debug for Attrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} {:?} execute={:?} {:?}",
            self.memory(),
            self.access(),
            self.execute(),
            self.shareability()
        )?;
        if self.is_devices_only() {
            f.write_str(" devices only")?;
        }
        Ok(())
    }
}

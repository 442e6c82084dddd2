//! The board's interrupt controller: GICv2 (IHI 0048) or GICv3 (IHI 0069).
//!
//! [`Distributor`] is the shared part, [`Local`] one CPU's own. They hide which
//! version it is, save where the architecture differs in kind: a GICv3 CPU
//! takes and sends interrupts through system registers, which belong to the
//! hypervisor's CPU-specific room; a GICv2 does so through [`CpuInterface`]
//! and [`Distributor::send_sgi`], and has its list registers in [`Gich`].
//!
//! Nothing here locks. The set/clear registers are made for concurrent use;
//! [`Distributor::set_edge`] reads and writes back, so callers serialise it.

mod cpu_v2;
mod distributor;
mod fields;
mod gich;
pub mod its;
mod lpi;
mod memory;
mod redistributor;

pub use cpu_v2::{CpuInterface, GICC_STRIDED_LEN, SECOND_PAGE, SECOND_PAGE_STRIDED, is_strided};
pub use distributor::Distributor;
pub use gich::{Gich, HCR_EN, HCR_EOI_COUNT_SHIFT, HCR_LRENPIE, HCR_NPIE};
pub use lpi::{CpuLpis, LpiTables};
pub use memory::TableMemory;
pub use redistributor::Redistributor;

use crate::mmio::Mmio;

/// First shared interrupt; the ones below are private to each CPU.
pub const SPI_BASE: u32 = 32;
/// Priority all interrupts get: in the middle, the same for all.
pub const DEFAULT_PRIORITY: u8 = 0xa0;
/// How often a register is polled before [`Error::Timeout`]. Each poll is a
/// device access of at least some ten nanoseconds.
const POLLS: u32 = 1_000_000;

/// Architecture version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// GICv2, with virtualization extensions.
    V2,
    /// GICv3 or GICv4.
    V3,
}

impl Version {
    /// By device-tree `compatible` string.
    #[must_use]
    pub fn from_compatible(compatible: &str) -> Option<Self> {
        match compatible {
            "arm,gic-v3" => Some(Self::V3),
            "arm,gic-400" | "arm,cortex-a15-gic" | "arm,cortex-a7-gic" => Some(Self::V2),
            _ => None,
        }
    }
}

/// Why the interrupt controller could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The register at this offset never reported completion.
    Timeout(usize),
    /// No redistributor has this affinity (Aff3.Aff2.Aff1.Aff0, one byte each).
    NoRedistributor(u32),
    /// The interrupt id is not implemented here.
    Intid(u32),
    /// The redistributor takes no LPIs, or firmware's cannot be stopped.
    Lpis,
}

/// A CPU as an interrupt's destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// GICv3: `MPIDR_EL1` of the CPU; bits other than the affinity are ignored.
    pub mpidr: u64,
    /// GICv2: [`Distributor::own_mask`] as read on that CPU.
    pub mask: u8,
}

/// The part of the interrupt controller that belongs to one CPU. To be used on
/// that CPU only.
#[derive(Debug, Clone, Copy)]
pub enum Local<M> {
    /// Private interrupts stand in the distributor, in banked registers.
    V2(Distributor<M>, CpuInterface<M>),
    /// Private interrupts stand in the CPU's redistributor.
    V3(Redistributor<M>),
}

impl<M: Mmio> Local<M> {
    /// Makes this CPU's part ready: private interrupts off and inactive, at
    /// [`DEFAULT_PRIORITY`], in the group that reaches EL2 as IRQ; a GICv2 CPU
    /// interface on. With GICv3 the caller sets up `ICC_*_EL1` itself.
    ///
    /// # Errors
    /// [`Error::Timeout`] if the redistributor does not wake up.
    pub fn init(&self) -> Result<(), Error> {
        match self {
            Self::V2(distributor, cpu) => {
                distributor.init_private();
                cpu.init();
                Ok(())
            }
            Self::V3(redistributor) => redistributor.init(),
        }
    }

    /// Lets private interrupt `intid` (0–31) reach this CPU, or no longer.
    ///
    /// # Errors
    /// [`Error::Timeout`] if turning it off does not take effect.
    pub fn set_enabled(&self, intid: u32, on: bool) -> Result<(), Error> {
        match self {
            Self::V2(distributor, _) => distributor.set_enabled(intid, on),
            Self::V3(redistributor) => redistributor.set_enabled(intid, on),
        }
    }

    /// Sets the priority of a private interrupt; lower is more urgent.
    pub fn set_priority(&self, intid: u32, priority: u8) {
        match self {
            Self::V2(distributor, _) => distributor.set_priority(intid, priority),
            Self::V3(redistributor) => redistributor.set_priority(intid, priority),
        }
    }

    /// Makes a private interrupt pending, or no longer.
    pub fn set_pending(&self, intid: u32, on: bool) {
        match self {
            Self::V2(distributor, _) => distributor.set_pending(intid, on),
            Self::V3(redistributor) => redistributor.set_pending(intid, on),
        }
    }

    /// Makes a private interrupt active, or no longer.
    pub fn set_active(&self, intid: u32, on: bool) {
        match self {
            Self::V2(distributor, _) => distributor.set_active(intid, on),
            Self::V3(redistributor) => redistributor.set_active(intid, on),
        }
    }
}

#[cfg(test)]
mod tests;

//! What the crate needs from the outside, as traits for others to provide.

use crate::error::SupplyError;
use pgtable::Pa;

/// The register window of one SMMU. Offsets are bytes from its start.
///
/// A write is ordered after every earlier store to memory by the same CPU, so
/// that a device told through a register finds what was written before; a
/// read is ordered before every later load.
pub trait Registers: Sync {
    /// Reads a 32-bit register.
    fn read32(&self, offset: usize) -> u32;
    /// Writes a 32-bit register.
    fn write32(&self, offset: usize, value: u32);
    /// Reads a 64-bit register, single-copy atomic where the bus allows.
    fn read64(&self, offset: usize) -> u64;
    /// Writes a 64-bit register.
    fn write64(&self, offset: usize, value: u64);
}

/// A clock that feeds the SMMU, with the two tiers of Linux's clock
/// framework: *prepare* may be slow, *enable* is quick. `enable` is only
/// called on a prepared clock, `unprepare` only on a disabled one.
pub trait Clock: Sync {
    /// Makes the clock ready to be enabled (a PLL locks).
    fn prepare(&self) -> Result<(), SupplyError>;
    /// Opens the gate. On return the clock runs.
    fn enable(&self) -> Result<(), SupplyError>;
    /// Closes the gate. An error means that the clock still runs.
    fn disable(&self) -> Result<(), SupplyError>;
    /// Undoes [`prepare`](Clock::prepare).
    fn unprepare(&self);
    /// True when the clock cannot be switched; it is then never called.
    fn is_fixed(&self) -> bool {
        false
    }
}

/// A power domain that the SMMU stands in.
pub trait PowerDomain: Sync {
    /// Powers up; on return registers may be touched once clocks run.
    fn power_on(&self) -> Result<(), SupplyError>;
    /// Powers down. An error means that the domain is still up.
    fn power_off(&self) -> Result<(), SupplyError>;
    /// True when the domain cannot be switched; it is then never called.
    fn is_fixed(&self) -> bool {
        false
    }
}

/// Time, from a counter that never goes back.
pub trait Time: Sync {
    /// Nanoseconds since some fixed moment.
    fn now_ns(&self) -> u64;
    /// Called in each turn of a polling loop.
    fn relax(&self) {
        core::hint::spin_loop();
    }
}

/// Memory that CPU and SMMU share: stream tables and queues.
///
/// Addresses given to the access methods always lie in a block that `alloc`
/// returned. When `coherent` was probed false the driver calls `clean` after
/// writing for the SMMU and `discard` before reading what the SMMU wrote.
pub trait DmaMemory: Sync {
    /// A zeroed, physically contiguous block, aligned to `align` (a power of
    /// two), or `None`. The zeros have reached the point of coherency.
    fn alloc(&self, bytes: usize, align: usize) -> Option<Pa>;
    /// Gives a block back. The SMMU no longer refers to it.
    fn free(&self, block: Pa, bytes: usize);
    /// Loads a 64-bit word (little endian), in one access.
    fn load(&self, at: Pa) -> u64;
    /// Stores a 64-bit word (little endian), in one access.
    fn store(&self, at: Pa, value: u64);
    /// Cleans the lines of `bytes` from `at` to the point of coherency.
    fn clean(&self, at: Pa, bytes: usize);
    /// Drops the lines of `bytes` from `at` from the CPU's caches.
    fn discard(&self, at: Pa, bytes: usize);
    /// Every earlier store and cache operation is visible to the SMMU before
    /// anything later (DSB).
    fn barrier(&self);
}

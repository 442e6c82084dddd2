//! Locality-specific interrupts: the tables that all redistributors share, and
//! each one's own (IHI 0069, 6.1 and 12.11).

use super::its::LPI_BASE;
use super::memory::{Caching, TableMemory};

/// Interrupt id bits used at most: 57,344 LPIs.
const MOST_BITS: u32 = 16;
/// Configuration of an LPI in use: enabled; bit 1 is reserved, one.
const ENABLED: u8 = 0b11;

/// The LPI configuration table, with what a redistributor needs besides.
#[derive(Debug)]
pub struct LpiTables<T> {
    memory: T,
    configuration: u64,
    bits: u32,
    end: u32,
    caching: Caching,
}

impl<T: TableMemory> LpiTables<T> {
    /// Tables for LPIs below `end`. Not `coherent`: redistributors do not
    /// snoop caches, whatever they say. `None` without LPIs or memory.
    pub fn new(memory: T, end: u32, coherent: bool) -> Option<Self> {
        let end = end.min(1 << MOST_BITS);
        if end <= LPI_BASE {
            return None;
        }
        let bits = end.next_power_of_two().trailing_zeros();
        let configuration = memory.take((1 << bits) - u64::from(LPI_BASE), 4096)?;
        let caching = match coherent {
            true => Caching::Coherent,
            false => Caching::Uncached,
        };
        Some(Self {
            memory,
            configuration,
            bits,
            end,
            caching,
        })
    }

    /// First interrupt id beyond the LPIs.
    pub const fn end(&self) -> u32 {
        self.end
    }

    /// Lets `count` LPIs from `first` on be delivered, at the default
    /// priority. To be done before they are mapped.
    pub fn enable(&self, first: u32, count: u32) {
        let Some(index) = first.checked_sub(LPI_BASE) else {
            return;
        };
        let end = first.saturating_add(count).min(self.end());
        let at = self.configuration + u64::from(index);
        for (offset, _) in (0..).zip(first..end) {
            self.memory
                .write8(at + offset, super::DEFAULT_PRIORITY | ENABLED);
        }
        self.memory
            .publish(at, u64::from(end.saturating_sub(first)));
    }

    /// A pending table for one more redistributor.
    pub fn for_cpu(&self) -> Option<CpuLpis> {
        // A bit for every interrupt id, those below the LPIs included.
        let pending = self.memory.take(1 << (self.bits - 3), 0x1_0000)?;
        Some(CpuLpis {
            configuration: self.configuration,
            pending,
            bits: self.bits,
            caching: self.caching,
        })
    }
}

/// What one redistributor is told.
#[derive(Debug, Clone, Copy)]
pub struct CpuLpis {
    configuration: u64,
    pending: u64,
    bits: u32,
    caching: Caching,
}

impl CpuLpis {
    /// Whether uncached accesses were asked for.
    pub(super) const fn caching(&self) -> Caching {
        self.caching
    }

    /// `GICR_PROPBASER`.
    pub(super) const fn propbaser(&self, caching: Caching) -> u64 {
        caching.inner() << 7
            | caching.shareability() << 10
            | self.configuration
            | (self.bits as u64 - 1)
    }

    /// `GICR_PENDBASER`; bit 62: the table is all zero.
    pub(super) const fn pendbaser(&self, caching: Caching) -> u64 {
        caching.inner() << 7 | caching.shareability() << 10 | self.pending | 1 << 62
    }
}

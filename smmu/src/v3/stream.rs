//! The stream table: linear, or two levels with the second on demand
//! (IHI 0070, 3.3 and 5.1).

use super::features::Features;
use super::spec::{regs, ste, ste::Ste};
use crate::error::Error;
use crate::mutation::{Mutation, Step};
use crate::outside::DmaMemory;
use crate::sync::Lock;
use crate::types::StreamId;
use pgtable::Pa;

/// StreamID bits that the second level resolves.
const SPLIT: u8 = 8;
/// Most StreamID bits that the first level resolves: 1 MiB of descriptors.
const L1_BITS_MAX: u8 = 17;
/// Most StreamID bits of a linear table: 4 MiB of entries.
const LINEAR_BITS_MAX: u8 = 16;

pub(super) struct StreamTable {
    base: Pa,
    /// StreamID bits that the table covers.
    bits: u8,
    two_level: bool,
    clean: bool,
    /// Serialises changes; the SMMU reads without.
    changes: Lock<()>,
}

/// Where an entry is.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    at: Pa,
}

impl StreamTable {
    pub fn new(
        mem: &dyn DmaMemory,
        features: &Features,
        mutation: Mutation,
    ) -> Result<Self, Error> {
        // A second level for a handful of streams would only cost a fetch.
        let two_level = features.two_level && features.stream_bits > SPLIT;
        let (bits, entry) = if two_level {
            let bits = features.stream_bits.min(L1_BITS_MAX.saturating_add(SPLIT));
            (bits, 8usize)
        } else {
            (
                features.stream_bits.min(LINEAR_BITS_MAX),
                ste::BYTES as usize,
            )
        };
        let top = if two_level {
            bits.saturating_sub(SPLIT)
        } else {
            bits
        };
        let bytes = entry.wrapping_shl(top.into()).max(64);
        let base = mem.alloc(bytes, bytes).ok_or(Error::NoMemory(bytes))?;
        Ok(Self {
            base,
            bits,
            two_level,
            clean: !features.coherent && !mutation.skips(Step::CleanEntry),
            changes: Lock::new(()),
        })
    }

    /// Streams are below this.
    pub fn streams(&self) -> u64 {
        1u64.wrapping_shl(self.bits.into())
    }

    /// Values of STRTAB_BASE and STRTAB_BASE_CFG.
    pub fn registers(&self) -> (u64, u32) {
        let split = self.two_level.then_some(SPLIT);
        (
            self.base.0 | regs::BASE_ALLOCATE,
            regs::strtab_cfg(self.bits, split),
        )
    }

    /// Finds a stream's entry, making its second level where it has none.
    /// A new second level is all zero: its streams terminate.
    pub fn entry(&self, mem: &dyn DmaMemory, stream: StreamId) -> Result<Entry, Error> {
        if u64::from(stream.0) >= self.streams() {
            return Err(Error::StreamRange(stream));
        }
        if !self.two_level {
            return Ok(self.slot(self.base, stream.0));
        }
        let _changing = self.changes.lock();
        let l1_index = u64::from(stream.0).wrapping_shr(SPLIT.into());
        let l1 = Pa(self.base.0.wrapping_add(l1_index.wrapping_mul(8)));
        let present = mem.load(l1);
        let mask = 1u32.wrapping_shl(SPLIT.into()).wrapping_sub(1);
        if present != 0 {
            let l2 = Pa(present & !0x3f);
            return Ok(self.slot(l2, stream.0 & mask));
        }
        let bytes = (ste::BYTES as usize).wrapping_shl(SPLIT.into());
        let l2 = mem.alloc(bytes, bytes).ok_or(Error::NoMemory(bytes))?;
        mem.barrier();
        mem.store(l1, ste::l1_descriptor(l2.0, SPLIT.saturating_add(1)));
        self.publish(mem, l1, 8);
        Ok(self.slot(l2, stream.0 & mask))
    }

    /// The entry's first word.
    pub fn first(&self, mem: &dyn DmaMemory, entry: &Entry) -> u64 {
        mem.load(entry.at)
    }

    /// Writes the entry's first word, which makes it valid or terminate.
    pub fn write_first(&self, mem: &dyn DmaMemory, entry: &Entry, value: u64) {
        mem.store(entry.at, value);
        self.publish(mem, entry.at, 8);
    }

    /// Writes all words but the first; the entry terminates meanwhile.
    pub fn write_rest(&self, mem: &dyn DmaMemory, entry: &Entry, ste: &Ste) {
        let mut at = entry.at.0;
        for word in ste.0.iter().skip(1) {
            at = at.wrapping_add(8);
            mem.store(Pa(at), *word);
        }
        self.publish(mem, entry.at, ste::BYTES as usize);
    }

    fn publish(&self, mem: &dyn DmaMemory, at: Pa, bytes: usize) {
        if self.clean {
            mem.clean(at, bytes);
        }
        mem.barrier();
    }

    fn slot(&self, table: Pa, index: u32) -> Entry {
        let offset = u64::from(index).wrapping_mul(ste::BYTES);
        Entry {
            at: Pa(table.0.wrapping_add(offset)),
        }
    }
}

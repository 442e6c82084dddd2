//! The tables that an ITS keeps for itself: `GITS_BASERn`.

use super::Error;
use super::spec::{
    ADDRESS, BASER, INDIRECT, INNER_CACHE_SHIFT, MAX_PAGES, PAGE_SIZE, PAGE_SIZE_SHIFT,
    SHAREABILITY, SHAREABILITY_SHIFT, VALID, entry_size,
};
use crate::gic::memory::{Caching, TableMemory};
use crate::mmio::Mmio;
use alloc::vec::Vec;

/// Bytes of a first-level entry.
const L1_ENTRY: u64 = 8;

/// A table behind one `GITS_BASER`.
#[derive(Debug)]
pub(super) struct Table {
    base: u64,
    page: u64,
    entry: u64,
    /// Ids it has room for.
    room: u64,
    /// With two levels: the first-level entries that have a page.
    filled: Option<Vec<u64>>,
}

impl Table {
    /// Gives the ITS, which is disabled, memory for `ids` ids behind register
    /// `index`: in one level if that takes one page, or if it has no choice;
    /// else in two.
    pub fn new<M: Mmio>(
        regs: &M,
        index: usize,
        memory: &impl TableMemory,
        caching: Caching,
        ids: u64,
    ) -> Result<Self, Error> {
        let register = BASER + index * 8;
        let (page, encoding) = page_size(regs, register);
        let entry = entry_size(regs.read64(register));
        let flat = ids.saturating_mul(entry).div_ceil(page).max(1);
        let two_levels = flat > 1 && takes_two_levels(regs, register, encoding);
        let per_page = page / entry;
        let wanted = if two_levels {
            (ids.div_ceil(per_page) * L1_ENTRY).div_ceil(page)
        } else {
            flat
        };
        let pages = wanted.min(MAX_PAGES);
        let base = memory.take(pages * page, page).ok_or(Error::Memory)?;
        if base & !ADDRESS != 0 {
            return Err(Error::Memory);
        }
        let indirect = if two_levels { INDIRECT } else { 0 };
        let value = indirect | VALID | base | encoding << PAGE_SIZE_SHIFT | (pages - 1);
        install(regs, index, value, caching)?;
        let room = if two_levels {
            pages * page / L1_ENTRY * per_page
        } else {
            pages * page / entry
        };
        Ok(Self {
            base,
            page,
            entry,
            room: room.min(ids),
            filled: two_levels.then(Vec::new),
        })
    }

    /// Makes sure that `id` has an entry.
    pub fn provide(&mut self, id: u32, memory: &impl TableMemory) -> Result<(), Error> {
        let id64 = u64::from(id);
        if id64 >= self.room {
            return Err(Error::Device(id));
        }
        let Some(filled) = &mut self.filled else {
            return Ok(());
        };
        let index = id64 / (self.page / self.entry);
        if !filled.contains(&index) {
            let page = memory.take(self.page, self.page).ok_or(Error::Memory)?;
            let at = self.base + index * L1_ENTRY;
            memory.write64(at, VALID | page);
            memory.publish(at, L1_ENTRY);
            filled.push(index);
        }
        Ok(())
    }
}

/// The largest page that the register takes: bytes, and `Page_Size`.
fn page_size<M: Mmio>(regs: &M, register: usize) -> (u64, u64) {
    for (bytes, encoding) in [(0x1_0000, 0b10), (0x4000, 0b01)] {
        regs.write64(register, encoding << PAGE_SIZE_SHIFT);
        if (regs.read64(register) & PAGE_SIZE) >> PAGE_SIZE_SHIFT == encoding {
            return (bytes, encoding);
        }
    }
    (0x1000, 0b00)
}

fn takes_two_levels<M: Mmio>(regs: &M, register: usize, encoding: u64) -> bool {
    regs.write64(register, INDIRECT | encoding << PAGE_SIZE_SHIFT);
    regs.read64(register) & INDIRECT != 0
}

/// Writes the register; without cacheability if it takes no other.
fn install<M: Mmio>(regs: &M, index: usize, value: u64, caching: Caching) -> Result<(), Error> {
    let register = BASER + index * 8;
    let with = |caching: Caching| {
        value | caching.inner() << INNER_CACHE_SHIFT | caching.shareability() << SHAREABILITY_SHIFT
    };
    regs.write64(register, with(caching));
    if caching == Caching::Coherent && regs.read64(register) & SHAREABILITY == 0 {
        regs.write64(register, with(Caching::Uncached));
    }
    const KEPT: u64 = VALID | INDIRECT | ADDRESS | PAGE_SIZE | 0xff;
    match regs.read64(register) & KEPT == value & KEPT {
        true => Ok(()),
        false => Err(Error::Table(index)),
    }
}

//! Table pages in hand: allocated before anything changes, so that running
//! out of memory changes nothing.

use crate::desc::{UNCLEAN, table};
use crate::detach::{link_end, link_to, linked};
use crate::geometry::Geo;
use crate::mem::{Entry, Memory, Publish};
use crate::sync::Ordering;
use crate::walk::{Spot, Walk};
use crate::{Error, Pa};

/// Unlinked, zeroed table pages, chained through their first entries.
#[derive(Debug)]
pub(crate) struct Reserve {
    head: u64,
}

impl Reserve {
    pub(crate) const fn empty() -> Self {
        Self { head: link_end() }
    }
}

impl<'p, M: Memory, const G: u32, const B: u32> Walk<'p, M, G, B> {
    /// The first entry of a page that belongs to the caller.
    pub(crate) fn first(&self, page: Pa) -> &'p Entry {
        self.entry(Spot {
            node: page,
            level: 0,
            index: 0,
        })
    }

    /// A fresh table page.
    pub(crate) fn new_page(&self) -> Result<Pa, Error> {
        let bytes = Geo::<G, B>::PAGE as usize;
        let page = self.table.mem.alloc(bytes).ok_or(Error::NoMemory(bytes))?;
        if let Err(error) = self.table.check_frame(page, bytes) {
            self.free_page(page);
            return Err(error);
        }
        Ok(page)
    }

    /// Returns a page that no walker has ever seen, or that all forgot.
    pub(crate) fn free_page(&self, page: Pa) {
        self.table.mem.free(page, Geo::<G, B>::PAGE as usize);
    }

    /// `count` pages, or none at all.
    pub(crate) fn reserve(&self, count: usize) -> Result<Reserve, Error> {
        let mut reserve = Reserve::empty();
        for _ in 0..count {
            match self.new_page() {
                Ok(page) => self.put(&mut reserve, page),
                Err(error) => {
                    self.give_back(reserve);
                    return Err(error);
                }
            }
        }
        Ok(reserve)
    }

    /// Puts a zeroed page into the reserve.
    fn put(&self, reserve: &mut Reserve, page: Pa) {
        self.first(page).store(reserve.head, Ordering::Relaxed);
        reserve.head = link_to(page);
    }

    /// A zeroed page out of the reserve; a fresh one if it is empty, which
    /// only a race with the removal of tables in the same range can cause.
    fn take(&self, reserve: &mut Reserve) -> Result<Pa, Error> {
        let Some(page) = linked(reserve.head) else {
            return self.new_page();
        };
        let first = self.first(page);
        reserve.head = first.load(Ordering::Relaxed);
        first.store(0, Ordering::Relaxed);
        Ok(page)
    }

    /// Frees what is left.
    pub(crate) fn give_back(&self, mut reserve: Reserve) {
        while let Some(page) = linked(reserve.head) {
            reserve.head = self.first(page).load(Ordering::Relaxed);
            self.free_page(page);
        }
    }

    /// Links a page of the reserve at `spot`, which was absent. Returns what
    /// the entry holds now: the new table, or what a faster CPU put there.
    pub(crate) fn install(&self, spot: Spot, reserve: &mut Reserve) -> Result<u64, Error> {
        let page = self.take(reserve)?;
        self.table
            .publish_page(self.entries(page, 0, Geo::<G, B>::ENTRIES));
        let clean = table::<G>(page);
        let new = if self.table.cleans() {
            clean | UNCLEAN
        } else {
            clean
        };
        let entry = self.entry(spot);
        if let Err(found) = entry.compare_exchange(0, new, Ordering::AcqRel, Ordering::Acquire) {
            self.put(reserve, page);
            return Ok(found);
        }
        if self.table.cleans() {
            let walkers = self.table.mem.walkers();
            walkers.clean(self.entries(spot.node, spot.index, 1));
            walkers.complete();
            // Fails only if the table is unlinked again: nothing to clear.
            let _ = entry.compare_exchange(new, clean, Ordering::AcqRel, Ordering::Relaxed);
        }
        Ok(clean)
    }
}

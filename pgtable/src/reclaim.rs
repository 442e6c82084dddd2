//! From detached to free.
//!
//! A page that was unlinked passes three gates before the frame source gets
//! it back: every hardware walker has forgotten it (the caller's
//! invalidation), every software walker has left (the pins), and only then is
//! it freed. A page that fails the first is quarantined until the table is
//! reset; one that fails the second waits in limbo for the next release.

use crate::claim;
use crate::desc::{TABLE, output};
use crate::detach::{Chain, Claim, Detached, Stale, link_end, linked};
use crate::geometry::{Geo, LAST};
use crate::mem::{Memory, Publish};
use crate::sync::{AtomicU64, Ordering};
use crate::walk::{Spot, Walk, walking};
use crate::{Pa, Table};
use core::mem;

impl<M: Memory> Table<M> {
    /// Returns what was detached to the frame source, and the range to those
    /// who want to map there, after `invalidate` made every walker of this
    /// table forget it: completed, not just asked for. For a walker that is
    /// off and will invalidate everything before it walks again there is
    /// nothing to do.
    ///
    /// If `invalidate` fails, the table pages and the range are kept from
    /// reuse until [`reset`](Self::reset) succeeds; what becomes of the memory
    /// that was mapped is the caller's to decide, and it must not be reused
    /// either.
    ///
    /// # Errors
    /// That of `invalidate`.
    ///
    /// # Panics
    /// With debug assertions, if `detached` is from another table, or from
    /// before this one was [reset](Self::reset); otherwise its pages and its
    /// range are lost.
    #[inline(always)]
    pub fn release<E>(
        &self,
        mut detached: Detached,
        invalidate: impl FnOnce(Stale) -> Result<(), E>,
    ) -> Result<(), E> {
        let (stale, chain, owner) = (detached.stale, detached.chain, detached.owner);
        let claim = mem::replace(&mut detached.claim, Claim::None);
        detached.forget();
        if let Claim::One(entry) = claim {
            // The common case, and all that there is to it.
            debug_assert_eq!(owner, self.id, "released into another table");
            let done = invalidate(stale);
            if done.is_ok() && owner == self.id {
                entry.clear();
            }
            return done;
        }
        if stale.is_empty() {
            return Ok(());
        }
        debug_assert_eq!(owner, self.id, "released into another table");
        let done = invalidate(stale);
        if matches!(claim, Claim::All) && done.is_ok() && owner == self.id {
            self.unclaim(stale);
        }
        if chain.head != 0 {
            self.retire(chain, owner, done.is_ok());
        }
        done
    }

    /// Makes the entries of a range absent, all of which are claimed by the
    /// caller: from now on others may map there. Walkers see no difference.
    #[inline(never)]
    fn unclaim(&self, stale: Stale) {
        walking!(self, walk => walk.leaves(stale.start, stale.len(), claim::clear));
    }

    /// Empties the table, which nobody else may be using any more, after
    /// `invalidate` made every walker forget all of it. Frees all tables but
    /// the root, and everything that was quarantined. What was detached before
    /// has to be [released](Self::release) before, or its pages are lost.
    ///
    /// # Errors
    /// That of `invalidate`; then the table is empty, its pages are
    /// quarantined, and a second call may free them.
    pub fn reset<E>(&mut self, invalidate: impl FnOnce(Stale) -> Result<(), E>) -> Result<(), E> {
        // Whoever still has something of the old contents must not touch these.
        self.id = Self::next_id();
        let table = &*self;
        let chain = walking!(table, walk => walk.uproot());
        self.mem.walkers().complete();
        if chain.head != 0 {
            self.push(&self.quarantine, chain);
        }
        invalidate(self.everything())?;
        self.free_chain(self.quarantine.swap(0, Ordering::AcqRel));
        self.free_chain(self.limbo.swap(0, Ordering::AcqRel));
        Ok(())
    }

    /// All that walkers may remember of this table.
    pub(crate) const fn everything(&self) -> Stale {
        Stale {
            start: 0,
            end: self.limit,
            stride: self.config.page_size(),
            tables: true,
        }
    }

    /// Frees invalidated pages as soon as no software walker can know them;
    /// quarantines others.
    #[cold]
    fn retire(&self, chain: Chain, owner: u64, invalidated: bool) {
        if owner != self.id {
            return;
        }
        if !invalidated {
            self.push(&self.quarantine, chain);
            return;
        }
        let waiting = self.limbo.swap(0, Ordering::AcqRel);
        if self.pins.wait() {
            self.free_chain(chain.head);
            self.free_chain(waiting);
        } else {
            self.push(&self.limbo, chain);
            if let Some(page) = linked(waiting) {
                self.push(
                    &self.limbo,
                    Chain {
                        head: waiting,
                        tail: self.tail(page),
                    },
                );
            }
        }
    }

    /// Frees the pages from `link` on, which nobody knows any more.
    fn free_chain(&self, mut link: u64) {
        while let Some(page) = linked(link) {
            link = self.next(page);
            self.mem.free(page, self.config.page_size() as usize);
        }
    }

    /// Pushes a chain onto a stack. Stacks are only ever emptied whole, so
    /// that a head that was seen twice is the same stack.
    fn push(&self, stack: &AtomicU64, chain: Chain) {
        let mut head = stack.load(Ordering::Relaxed);
        loop {
            self.link(chain.tail, if head == 0 { link_end() } else { head });
            match stack.compare_exchange(head, chain.head, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(found) => head = found,
            }
        }
    }

    fn link(&self, page: Pa, to: u64) {
        walking!(self, walk => walk.first(page).store(to, Ordering::Relaxed));
    }

    fn next(&self, page: Pa) -> u64 {
        walking!(self, walk => walk.first(page).load(Ordering::Relaxed))
    }

    fn tail(&self, mut page: Pa) -> Pa {
        while let Some(next) = linked(self.next(page)) {
            page = next;
        }
        page
    }
}

impl<M: Memory, const G: u32, const B: u32> Walk<'_, M, G, B> {
    /// Unlinks everything below the root. Only for whoever is alone.
    fn uproot(&self) -> Chain {
        let mut chain = Chain::default();
        let root = self.entries(self.table.root, 0, self.table.config.root_entries());
        for entry in root {
            let word = entry.swap(0, Ordering::AcqRel);
            self.uproot_below(word, self.table.config.start, &mut chain);
        }
        self.table.publish(root);
        chain
    }

    /// Chains the table that `word`, of a table of `level`, points to, and all
    /// below it.
    fn uproot_below(&self, word: u64, level: u32, chain: &mut Chain) {
        if level >= LAST || word & TABLE != TABLE {
            return;
        }
        let page = Pa(output::<G>(word));
        let below = level.wrapping_add(1);
        if below < LAST {
            for index in 0..Geo::<G, B>::ENTRIES {
                let spot = Spot {
                    node: page,
                    level: below,
                    index,
                };
                self.uproot_below(self.entry(spot).load(Ordering::Acquire), below, chain);
            }
        }
        self.chain(chain, page);
    }
}

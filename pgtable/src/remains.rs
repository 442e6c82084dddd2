//! The end of a table: its frames go back a few at a time, so that whoever ends
//! a large one can do something else in between.

use crate::desc::{TABLE, output};
use crate::detach::{Stale, linked};
use crate::geometry::{Geo, LAST};
use crate::mem::Memory;
use crate::sync::{AtomicU64, Ordering};
use crate::walk::{Spot, Walk, walking};
use crate::{Pa, Table};

/// What is left of a table that nobody uses and no walker knows any more.
///
/// If it is dropped before [`free_some`](Self::free_some) says that nothing is
/// left, the rest of its frames is kept for ever, which is safe.
#[must_use = "the table's frames are not given back before free_some says so"]
#[derive(Debug)]
pub struct Remains<M: Memory> {
    table: Table<M>,
    /// The way down: of each table above the last level, the entry that is next.
    /// Those up to `depth` count.
    way: [Spot; LAST as usize],
    depth: usize,
}

/// What giving a frame back counts: so many looks at an entry, about.
const FRAME: usize = 16;

impl<M: Memory> Table<M> {
    /// Ends the table, which nobody else is using any more, after `invalidate`
    /// made every walker forget all of it. No walker may point to it any more.
    /// A table that is just dropped keeps its frames for ever.
    ///
    /// # Errors
    /// That of `invalidate`, with the table as it was, for another attempt.
    #[expect(
        clippy::result_large_err,
        reason = "once per table, and nothing may allocate here"
    )]
    pub fn close<E>(
        self,
        invalidate: impl FnOnce(Stale) -> Result<(), E>,
    ) -> Result<Remains<M>, (Self, E)> {
        if let Err(error) = invalidate(self.everything()) {
            return Err((self, error));
        }
        let root = Spot {
            node: self.root,
            level: self.config.start,
            index: 0,
        };
        Ok(Remains {
            table: self,
            way: [root; LAST as usize],
            depth: 1,
        })
    }

    /// [`close`](Self::close), and gives all frames back at once.
    ///
    /// # Errors
    /// As [`close`](Self::close).
    #[expect(
        clippy::result_large_err,
        reason = "once per table, and nothing may allocate here"
    )]
    pub fn destroy<E>(
        self,
        invalidate: impl FnOnce(Stale) -> Result<(), E>,
    ) -> Result<M, (Self, E)> {
        let mut remains = self.close(invalidate)?;
        while !remains.free_some(usize::MAX) {}
        Ok(remains.table.mem)
    }
}

impl<M: Memory> Remains<M> {
    /// The memory the table lived in.
    pub const fn memory(&self) -> &M {
        &self.table.mem
    }

    /// Gives frames back, the root last, and says whether nothing is left. Looks
    /// at `most` entries, or at less: a frame counts as some of them.
    pub fn free_some(&mut self, most: usize) -> bool {
        let Self { table, way, depth } = self;
        walking!(&*table, walk => walk.free_some(way, depth, most))
    }
}

impl<M: Memory, const G: u32, const B: u32> Walk<'_, M, G, B> {
    fn free_some(&self, way: &mut [Spot], depth: &mut usize, most: usize) -> bool {
        let mut left = most;
        while left != 0 && self.free_detached() {
            left = left.saturating_sub(FRAME);
        }
        while left != 0 {
            let Some(cost) = self.go_on(way, depth, left) else {
                return true;
            };
            left = left.saturating_sub(cost);
        }
        false
    }

    /// Looks at no more than `most` entries of one table, for the next table to
    /// go down to or to give back; or gives that table back, if it has no more.
    /// What that counts; `None` when nothing is left.
    fn go_on(&self, way: &mut [Spot], depth: &mut usize, most: usize) -> Option<usize> {
        let table = self.table;
        let above = depth.checked_sub(1)?;
        let spot = way.get_mut(above)?;
        let (entries, bytes) = match spot.level == table.config.start {
            true => (table.config.root_entries(), table.config.root_bytes()),
            false => (Geo::<G, B>::ENTRIES, Geo::<G, B>::PAGE as usize),
        };
        let rest = entries.saturating_sub(spot.index);
        if rest == 0 {
            table.mem.free(spot.node, bytes);
            *depth = above;
            return Some(FRAME);
        }
        let run = self.entries(spot.node, spot.index, rest.min(most));
        let mut words = run.iter().map(|entry| entry.load(Ordering::Acquire));
        let found = words.find(|word| word & TABLE == TABLE);
        let looked = run.len().wrapping_sub(words.len());
        spot.index = spot.index.wrapping_add(looked);
        let Some(word) = found else {
            return Some(looked);
        };
        let node = Pa(output::<G>(word));
        let level = spot.level.wrapping_add(1);
        match way.get_mut(*depth).filter(|_| level < LAST) {
            Some(below) => {
                *below = Spot {
                    node,
                    level,
                    index: 0,
                };
                *depth = depth.wrapping_add(1);
                Some(looked)
            }
            // Pages of the last level hold nothing that is ours.
            None => {
                table.mem.free(node, Geo::<G, B>::PAGE as usize);
                Some(looked.saturating_add(FRAME))
            }
        }
    }

    /// Gives a page back that was detached and not yet freed, if there is one.
    fn free_detached(&self) -> bool {
        let chains = [&self.table.quarantine, &self.table.limbo];
        chains.into_iter().any(|chain| self.free_first(chain))
    }

    /// Gives the first page of a chain back, if there is one.
    fn free_first(&self, chain: &AtomicU64) -> bool {
        let Some(page) = linked(chain.load(Ordering::Acquire)) else {
            return false;
        };
        let spot = Spot {
            node: page,
            level: LAST,
            index: 0,
        };
        let next = self.entry(spot).load(Ordering::Relaxed);
        chain.store(next, Ordering::Relaxed);
        self.table.mem.free(page, Geo::<G, B>::PAGE as usize);
        true
    }
}

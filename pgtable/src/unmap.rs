//! Unmapping: claim every entry of the range, and keep it claimed until every
//! walker has forgotten it.
//!
//! A table whose whole span is unmapped is taken out. Its entries are all
//! claimed by then, so that no other CPU can map below it any more, and they
//! stay so for ever: whoever still comes along finds nothing to change. What
//! pointed to it is claimed in its place.

use crate::claim::{self, Stop};
use crate::desc::{DEAD, TABLE, VALID, output};
use crate::detach::{Chain, Claim, Detached, Stale, link_end, link_to};
use crate::geometry::{Geo, LAST};
use crate::map::split_head;
use crate::mem::{Entry, Memory, Publish};
use crate::quick::Usual;
use crate::sync::Ordering;
use crate::walk::{Spot, Walk, walking};
use crate::{Error, Ipa, Pa, Table};

impl<M: Memory> Table<M> {
    /// Unmaps `len` bytes at `ipa`, all of which must be mapped, and takes out
    /// the tables that are empty for it.
    ///
    /// Takes no lock. When it returns, the range is out of memory for every
    /// walker that looks anew, and a full barrier has passed; but walkers
    /// remember, and nobody can map there, until the result is
    /// [released](Self::release).
    ///
    /// # Errors
    /// [`Error::Misaligned`], [`Error::Empty`], [`Error::IpaTooLarge`] for a
    /// range that does not fit; [`Error::NotMapped`] or [`Error::Racing`] with
    /// the first page at fault; [`Error::Partial`] if the range would cut a
    /// block: see [`unmap_with`](Self::unmap_with). On error everything is
    /// mapped as before; a walker may have missed a page of the range while
    /// the call lasted.
    #[inline(always)]
    pub fn unmap(&self, ipa: Ipa, len: u64) -> Result<Detached, Error> {
        if let Some(entry) = self.unmap_one(ipa.0, len) {
            let mut detached = self.detached(ipa.0, len, len, Chain::default());
            detached.claim = Claim::One(entry);
            return Ok(detached);
        }
        self.unmap_some(ipa, len, usize::MAX)
            .map(|(_, detached)| detached)
    }

    /// The shortest way to unmap one page of 4K and have every walker forget
    /// it: what `invalidate` says. If that fails, the page is unmapped and stays
    /// out of use. `None` if it cannot be done at once: then nothing has
    /// changed, and [`unmap`](Self::unmap) says why.
    ///
    /// While `invalidate` waits, tables that others detach are not freed: it
    /// must have a bound.
    #[inline(always)]
    pub fn unmap_page<E>(
        &self,
        ipa: Ipa,
        invalidate: impl FnOnce(Stale) -> Result<(), E>,
    ) -> Option<Result<(), E>> {
        if ipa.0 >= self.quick_limit {
            return None;
        }
        let pin = self.pin();
        let entry = self.unmap_usual(&pin, ipa.0)?;
        let done = invalidate(Stale::page(ipa.0, Usual::PAGE));
        if done.is_ok() {
            // As in `release`.
            entry.store(0, Ordering::Release);
        }
        Some(done)
    }

    /// Unmaps a first part of the range, clearing at most `budget` descriptors
    /// (at least one), and returns its length in bytes with what came out:
    /// call again with the rest.
    ///
    /// A table is taken out only if one part covers it.
    ///
    /// # Errors
    /// As [`unmap`](Self::unmap), for the part.
    #[inline(never)]
    pub fn unmap_some(&self, ipa: Ipa, len: u64, budget: usize) -> Result<(u64, Detached), Error> {
        self.check_ipa(ipa, len)?;
        walking!(self, walk => walk.unmap(ipa.0, len, budget.max(1)))
    }

    /// What was taken out of `ipa .. ipa + len`, all of which is claimed.
    #[inline(always)]
    fn detached_claimed(&self, ipa: u64, len: u64, stride: u64, chain: Chain) -> Detached {
        let mut detached = self.detached(ipa, len, stride, chain);
        detached.claim = Claim::All;
        detached
    }

    /// What walkers may remember of `ipa .. ipa + len`, where others may map.
    #[inline(always)]
    pub(crate) fn detached(&self, ipa: u64, len: u64, stride: u64, chain: Chain) -> Detached {
        let tables = chain.head != 0;
        let stale = Stale {
            start: ipa,
            end: ipa.wrapping_add(len),
            stride,
            tables,
        };
        Detached {
            stale,
            chain,
            owner: self.id,
            claim: Claim::None,
        }
    }
}

impl<'p, M: Memory, const G: u32, const B: u32> Walk<'p, M, G, B> {
    /// Unmaps; in one pass if the range is pages of one table that stays.
    #[inline(always)]
    fn unmap(&self, ipa: u64, len: u64, budget: usize) -> Result<(u64, Detached), Error> {
        let (spot, _) = self.find(ipa);
        if spot.level == LAST {
            let run = self.run(spot, len, budget);
            let bytes = (run.len() as u64).wrapping_shl(G);
            let ends = bytes == len || run.len() == budget;
            if ends && run.len() != Geo::<G, B>::ENTRIES {
                self.take_pages(run, spot.index, ipa)?;
                return Ok(self.finish(run, ipa, bytes, Geo::<G, B>::PAGE));
            }
        }
        self.unmap_all(ipa, len, budget)
    }

    /// Lets walkers see that entries are claimed.
    #[inline(always)]
    fn finish(&self, run: &'p [Entry], ipa: u64, bytes: u64, stride: u64) -> (u64, Detached) {
        self.table.publish(run);
        self.table.mem.walkers().complete();
        (
            bytes,
            self.table
                .detached_claimed(ipa, bytes, stride, Chain::default()),
        )
    }

    /// Claims pages for removal; none on failure. A contiguous group must be
    /// whole.
    #[inline(always)]
    fn take_pages(&self, run: &[Entry], index: usize, ipa: u64) -> Result<(), Error> {
        let (head, rest) = if self.table.config.contiguous {
            split_head::<G, B>(run, index)
        } else {
            (&[][..], run)
        };
        let whole = if self.table.config.contiguous {
            rest.len() & !Geo::<G, B>::GROUP.wrapping_sub(1)
        } else {
            rest.len()
        };
        let (groups, tail) = rest.split_at_checked(whole).unwrap_or((rest, &[]));
        let tail_at = head.len().wrapping_add(groups.len());
        let taken = claim::valid_single(head)
            .and_then(|()| {
                let fix = |n: usize| (n.wrapping_add(head.len()), Stop::Invalid);
                claim::valid(groups).map_err(fix)
            })
            .and_then(|()| {
                let fix = |(n, stop): (usize, Stop)| (n.wrapping_add(tail_at), stop);
                claim::valid_single(tail).map_err(fix)
            });
        let Err((n, stop)) = taken else { return Ok(()) };
        claim::commit(run.get(..n).unwrap_or(&[]));
        let at = ipa.wrapping_add((n as u64).wrapping_shl(G));
        let group = (Geo::<G, B>::GROUP as u64).wrapping_shl(G);
        Err(match stop {
            Stop::Group => Error::Partial(Ipa(at & !group.wrapping_sub(1))),
            Stop::Invalid => absent(
                run.get(n).map_or(0, |entry| entry.load(Ordering::Relaxed)),
                at,
            ),
        })
    }

    /// Claims the block at `spot`, read as `word`, for removal; `len` bytes
    /// from `ipa` must cover it.
    #[inline(always)]
    fn take_block(&self, spot: Spot, word: u64, ipa: u64, len: u64) -> Result<(), Error> {
        let span = Geo::<G, B>::span(spot.level);
        if word & VALID == 0 {
            return Err(absent(word, ipa));
        }
        let past = ipa & span.wrapping_sub(1);
        if past != 0 || len < span {
            return Err(Error::Partial(Ipa(ipa.wrapping_sub(past))));
        }
        let new = word & !VALID;
        match self
            .entry(spot)
            .compare_exchange(word, new, Ordering::Relaxed, Ordering::Relaxed)
        {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Racing(Ipa(ipa))),
        }
    }

    /// Unmaps a range of any kind.
    #[inline(never)]
    fn unmap_all(&self, ipa: u64, len: u64, budget: usize) -> Result<(u64, Detached), Error> {
        let mut done = 0;
        let mut stride = u64::MAX;
        if let Err(error) = self.take_all(ipa, len, budget, &mut done, &mut stride) {
            self.leaves(ipa, done, claim::commit);
            return Err(error);
        }
        let mut chain = Chain::default();
        if Self::holds_table(ipa, done) {
            let root = self.root(ipa);
            self.cut(root, ipa, ipa.wrapping_add(done), &mut chain);
        } else if self.table.cleans() {
            self.leaves(ipa, done, |run| self.table.publish(run));
        }
        self.table.mem.walkers().complete();
        Ok((done, self.table.detached_claimed(ipa, done, stride, chain)))
    }

    /// Whether the range covers all that one table of the last level maps.
    #[inline(always)]
    const fn holds_table(ipa: u64, len: u64) -> bool {
        let span = Geo::<G, B>::span(LAST.wrapping_sub(1));
        let before = ipa.wrapping_neg() & span.wrapping_sub(1);
        len >= span.wrapping_add(before)
    }

    /// Claims the leaves of a range and counts their bytes in `done`, also on
    /// failure.
    fn take_all(
        &self,
        ipa: u64,
        len: u64,
        mut budget: usize,
        done: &mut u64,
        stride: &mut u64,
    ) -> Result<(), Error> {
        while *done < len && budget != 0 {
            let at = ipa.wrapping_add(*done);
            let left = len.wrapping_sub(*done);
            let (spot, word) = self.find(at);
            let count = if spot.level == LAST {
                let run = self.run(spot, left, budget);
                self.take_pages(run, spot.index, at)?;
                run.len()
            } else {
                self.take_block(spot, word, at, left)?;
                1
            };
            let span = Geo::<G, B>::span(spot.level);
            *stride = (*stride).min(span);
            *done = done.wrapping_add((count as u64).wrapping_mul(span));
            budget = budget.saturating_sub(count);
        }
        Ok(())
    }

    /// Takes the tables that the claimed range `ipa .. end` covers out of the
    /// one that `spot` lies in.
    pub(crate) fn cut(&self, spot: Spot, ipa: u64, end: u64, chain: &mut Chain) {
        let span = Geo::<G, B>::span(spot.level);
        let steps = end
            .wrapping_sub(1)
            .wrapping_shr(Geo::<G, B>::shift(spot.level));
        let first = ipa.wrapping_shr(Geo::<G, B>::shift(spot.level));
        let count = steps.wrapping_sub(first).wrapping_add(1) as usize;
        let entries = self.entries(spot.node, spot.index, count);
        if spot.level < LAST {
            let mut at = ipa;
            for entry in entries {
                let next = (at | span.wrapping_sub(1)).wrapping_add(1).min(end);
                let word = entry.load(Ordering::Acquire);
                if word & TABLE == TABLE {
                    self.cut_below(entry, (spot, word), at, next, chain);
                }
                at = next;
            }
        }
        self.table.publish(entries);
    }

    /// Cuts `ipa .. end` out of the table below `entry`, and the table too if
    /// that is all of it: then the entry is claimed.
    fn cut_below(
        &self,
        entry: &Entry,
        (spot, word): (Spot, u64),
        ipa: u64,
        end: u64,
        chain: &mut Chain,
    ) {
        self.cut(self.below(spot, word, ipa), ipa, end, chain);
        if end.wrapping_sub(ipa) == Geo::<G, B>::span(spot.level) {
            entry.store(DEAD, Ordering::Release);
            self.chain(chain, Pa(output::<G>(word)));
        }
    }

    /// Appends an unlinked table page, whose entries are all claimed.
    pub(crate) fn chain(&self, chain: &mut Chain, page: Pa) {
        let next = if chain.head == 0 {
            link_end()
        } else {
            chain.head
        };
        let first = self.entry(Spot {
            node: page,
            level: LAST,
            index: 0,
        });
        first.store(next, Ordering::Relaxed);
        if chain.head == 0 {
            chain.tail = page;
        }
        chain.head = link_to(page);
    }
}

/// The error for a page whose entry holds `word`, which is not valid.
#[cold]
pub(crate) fn absent(word: u64, ipa: u64) -> Error {
    if word == 0 {
        Error::NotMapped(Ipa(ipa))
    } else {
        Error::Racing(Ipa(ipa))
    }
}

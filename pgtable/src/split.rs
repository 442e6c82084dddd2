//! Splitting a block, or a contiguous group, into what it is made of.
//!
//! Walkers that hold the old size must not meet the new one (D8.17.1), so the
//! entry is broken, every walker forgets it, and only then is it made anew. A
//! walker that comes in between faults; [`Lookup::Changing`] tells such a
//! fault from a real one.
//!
//! [`Lookup::Changing`]: crate::Lookup::Changing

use crate::claim;
use crate::desc::{CONT, FIRST, TABLE, VALID, field, output, table};
use crate::detach::{Detached, Stale};
use crate::geometry::{Geo, LAST};
use crate::mem::{Entry, Memory, Publish};
use crate::sync::Ordering;
use crate::unmap::absent;
use crate::walk::{Spot, Walk, walking};
use crate::{Bbml, Error, Ipa, Pa, Table};
use core::fmt;

/// Why an operation that invalidates on its way was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure<E> {
    /// The table refused.
    Table(Error),
    /// The walkers did not forget.
    Walkers(E),
}

impl<E> From<Error> for Failure<E> {
    fn from(error: Error) -> Self {
        Self::Table(error)
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(error) => error.fmt(f),
            Self::Walkers(error) => write!(f, "invalidation failed: {error}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Failure<E> {}

impl<M: Memory> Table<M> {
    /// Splits the block that maps `ipa` into a table of the next smaller size,
    /// or the contiguous group into plain pages, so that a part can be
    /// unmapped or protected. A plain page is left alone.
    ///
    /// `invalidate` must make every walker forget the range it is given, and
    /// complete that. By default that happens while the range is not mapped
    /// at all; with [`Bbml::Replace`] it stays mapped throughout.
    ///
    /// # Errors
    /// [`Error::NotMapped`], [`Error::Racing`], [`Error::NoMemory`], or what
    /// `invalidate` says. On error everything is mapped as before.
    pub fn split<E>(
        &self,
        ipa: Ipa,
        invalidate: impl FnOnce(Stale) -> Result<(), E>,
    ) -> Result<(), Failure<E>> {
        if ipa.0.wrapping_shr(self.config.ipa_bits) != 0 {
            return Err(Error::IpaTooLarge(ipa).into());
        }
        walking!(self, walk => walk.split(ipa.0, invalidate))
    }

    /// As [`unmap`](Self::unmap), but splits blocks that the range cuts, with
    /// `invalidate` as for [`split`](Self::split). What was unmapped still has
    /// to be [released](Self::release).
    ///
    /// # Errors
    /// As [`unmap`](Self::unmap) and [`split`](Self::split). On error the same
    /// addresses are mapped as before, though blocks may have been split.
    pub fn unmap_with<E>(
        &self,
        ipa: Ipa,
        len: u64,
        mut invalidate: impl FnMut(Stale) -> Result<(), E>,
    ) -> Result<Detached, Failure<E>> {
        // Two ends, each at most three levels and a group deep; whoever needs
        // more is racing against somebody who joins them again.
        for _ in 0..8 {
            match self.unmap(ipa, len) {
                Err(Error::Partial(at)) => self.split(at, &mut invalidate)?,
                done => return Ok(done?),
            }
        }
        Err(Error::Racing(ipa).into())
    }
}

impl<M: Memory, const G: u32, const B: u32> Walk<'_, M, G, B> {
    fn split<E>(
        &self,
        ipa: u64,
        invalidate: impl FnOnce(Stale) -> Result<(), E>,
    ) -> Result<(), Failure<E>> {
        let (spot, word) = self.find(ipa);
        if word & VALID == 0 {
            Err(absent(word, ipa).into())
        } else if spot.level < LAST {
            self.split_block(spot, word, ipa, invalidate)
        } else if word & CONT != 0 {
            self.split_group(spot, ipa, invalidate)
        } else {
            Ok(())
        }
    }

    fn split_block<E>(
        &self,
        spot: Spot,
        word: u64,
        ipa: u64,
        invalidate: impl FnOnce(Stale) -> Result<(), E>,
    ) -> Result<(), Failure<E>> {
        let page = self.new_page()?;
        self.fill(page, spot.level.wrapping_add(1), word);
        let entry = self.entry(spot);
        let link = table::<G>(page);
        let replace = self.table.config.bbml == Bbml::Replace;
        let broken = if replace { link } else { word & !VALID };
        if entry
            .compare_exchange(word, broken, Ordering::AcqRel, Ordering::Relaxed)
            .is_err()
        {
            self.free_page(page);
            return Err(Error::Racing(Ipa(ipa)).into());
        }
        self.publish_now(spot);
        let forgotten = invalidate(self.stale(spot.level, ipa));
        if replace {
            return forgotten.map_err(Failure::Walkers);
        }
        // The claim is ours: nobody else changed the entry in between.
        entry.store(
            if forgotten.is_ok() { link } else { word },
            Ordering::Release,
        );
        self.publish_now(spot);
        forgotten.map_err(|error| {
            self.free_page(page);
            Failure::Walkers(error)
        })
    }

    /// Makes one entry visible to walkers and waits for it.
    fn publish_now(&self, spot: Spot) {
        self.table.publish(self.entries(spot.node, spot.index, 1));
        self.table.mem.walkers().complete();
    }

    /// What walkers may hold of the block of `level` around `ipa`.
    fn stale(&self, level: u32, ipa: u64) -> Stale {
        let span = Geo::<G, B>::span(level);
        let start = ipa & !span.wrapping_sub(1);
        Stale {
            start,
            end: start.wrapping_add(span),
            stride: span,
            tables: false,
        }
    }

    /// Fills the new table `page` of `level` with what the block `word` one
    /// level up maps.
    fn fill(&self, page: Pa, level: u32, word: u64) {
        let base = output::<G>(word);
        let bits = word & !field::<G>(Pa(base)) & !FIRST;
        let bits = if level == LAST { bits | TABLE } else { bits };
        let entries = self.entries(page, 0, Geo::<G, B>::ENTRIES);
        let outputs = (base..).step_by(Geo::<G, B>::span(level) as usize);
        for (entry, pa) in entries.iter().zip(outputs) {
            let first = if pa == base { word & FIRST } else { 0 };
            entry.store(field::<G>(Pa(pa)) | bits | first, Ordering::Relaxed);
        }
        self.table.publish_page(entries);
    }

    fn split_group<E>(
        &self,
        spot: Spot,
        ipa: u64,
        invalidate: impl FnOnce(Stale) -> Result<(), E>,
    ) -> Result<(), Failure<E>> {
        let group = Geo::<G, B>::GROUP;
        let first = spot.index & !group.wrapping_sub(1);
        let entries = self.entries(spot.node, first, group);
        let bytes = (group as u64).wrapping_shl(G);
        let start = ipa & !bytes.wrapping_sub(1);
        let end = start.wrapping_add(bytes);
        let stale = Stale {
            start,
            end,
            stride: Geo::<G, B>::PAGE,
            tables: false,
        };
        if self.table.config.bbml == Bbml::Replace {
            drop_hint(entries);
            self.table.publish(entries);
            self.table.mem.walkers().complete();
            return invalidate(stale).map_err(Failure::Walkers);
        }
        if let Err(n) = claim::valid(entries) {
            claim::commit(entries.get(..n).unwrap_or(&[]));
            let at = start.wrapping_add((n as u64).wrapping_shl(G));
            return Err(Error::Racing(Ipa(at)).into());
        }
        self.table.publish(entries);
        self.table.mem.walkers().complete();
        let stride = Geo::<G, B>::PAGE;
        let end = start.wrapping_add(bytes);
        let forgotten = invalidate(Stale {
            start,
            end,
            stride,
            tables: false,
        });
        if forgotten.is_ok() {
            for entry in entries {
                entry.store(entry.load(Ordering::Relaxed) & !CONT, Ordering::Relaxed);
            }
        }
        claim::commit(entries);
        self.table.publish(entries);
        self.table.mem.walkers().complete();
        forgotten.map_err(Failure::Walkers)
    }
}

/// Takes the contiguous hint from entries that are valid.
fn drop_hint(entries: &[Entry]) {
    for entry in entries {
        let mut word = entry.load(Ordering::Relaxed);
        while word & VALID != 0 && word & CONT != 0 {
            let new = word & !CONT;
            match entry.compare_exchange_weak(word, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(found) => word = found,
            }
        }
    }
}

//! Taking out whatever is there, and tables that hold nothing.

use crate::desc::{CONT, DEAD, TABLE, VALID, output};
use crate::detach::{Chain, Detached};
use crate::geometry::{Geo, LAST};
use crate::mem::{Memory, Publish};
use crate::sync::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::walk::{Spot, Walk, walking};
use crate::{Error, Ipa, Pa, Table};

/// What to take out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    /// Mappings, and tables that are empty then.
    All,
    /// Tables that are empty already.
    Tables,
}

/// How far a sweep got.
struct Sweep {
    aim: Aim,
    chain: Chain,
    /// Smallest mapping taken out; `u64::MAX` for none.
    stride: u64,
}

impl<M: Memory> Table<M> {
    /// Unmaps whatever is mapped in `len` bytes at `ipa`, holes or not, and
    /// takes out all tables there that are empty for it.
    ///
    /// Pages that another CPU is mapping or unmapping meanwhile are left to
    /// it.
    ///
    /// # Errors
    /// [`Error::Misaligned`], [`Error::Empty`], [`Error::IpaTooLarge`] for a
    /// range that does not fit, [`Error::Partial`] if it would cut a block.
    pub fn clear(&self, ipa: Ipa, len: u64) -> Result<Detached, Error> {
        self.check_ipa(ipa, len)?;
        walking!(self, walk => {
            walk.check_edge(ipa.0)?;
            walk.check_edge(ipa.0.wrapping_add(len))?;
            Ok(walk.sweep_range(ipa.0, len, Aim::All))
        })
    }

    /// Takes out the tables within `len` bytes at `ipa` that map nothing, such
    /// as unmapping page by page leaves behind.
    ///
    /// A CPU that maps into such a table at this very moment gets
    /// [`Error::Racing`] and may try again.
    ///
    /// # Errors
    /// [`Error::Misaligned`], [`Error::Empty`], [`Error::IpaTooLarge`] for a
    /// range that does not fit.
    pub fn prune(&self, ipa: Ipa, len: u64) -> Result<Detached, Error> {
        self.check_ipa(ipa, len)?;
        walking!(self, walk => Ok(walk.sweep_range(ipa.0, len, Aim::Tables)))
    }
}

impl<M: Memory, const G: u32, const B: u32> Walk<'_, M, G, B> {
    /// That no block and no group lies on both sides of `ipa`.
    fn check_edge(&self, ipa: u64) -> Result<(), Error> {
        if ipa.wrapping_shr(self.table.config.ipa_bits) != 0 {
            return Ok(());
        }
        let (spot, word) = self.find(ipa);
        let span = if spot.level < LAST {
            Geo::<G, B>::span(spot.level)
        } else if word & CONT != 0 {
            (Geo::<G, B>::GROUP as u64).wrapping_shl(G)
        } else {
            return Ok(());
        };
        let past = ipa & span.wrapping_sub(1);
        if word & VALID != 0 && past != 0 {
            return Err(Error::Partial(Ipa(ipa.wrapping_sub(past))));
        }
        Ok(())
    }

    fn sweep_range(&self, ipa: u64, len: u64, aim: Aim) -> Detached {
        let mut sweep = Sweep {
            aim,
            chain: Chain::default(),
            stride: u64::MAX,
        };
        self.sweep(
            self.root(ipa),
            ipa,
            ipa.wrapping_add(len),
            false,
            &mut sweep,
        );
        self.table.mem.walkers().complete();
        if sweep.stride == u64::MAX && sweep.chain.head == 0 {
            return Detached::empty();
        }
        let stride = sweep.stride.min(Geo::<G, B>::span(LAST.wrapping_sub(1)));
        self.table.detached(ipa, len, stride, sweep.chain)
    }

    /// Sweeps `ipa .. end` out of the table that `spot` lies in. If that is
    /// the `whole` table, tries to own all its entries; whether that worked.
    /// If not, the owned ones are absent again.
    fn sweep(&self, spot: Spot, ipa: u64, end: u64, whole: bool, sweep: &mut Sweep) -> bool {
        let span = Geo::<G, B>::span(spot.level);
        let mut whole = whole && (sweep.aim == Aim::All || self.seems_empty(spot));
        if !whole && sweep.aim == Aim::Tables && spot.level == LAST {
            return false;
        }
        let first = spot.index;
        let mut at = ipa;
        let mut index = spot.index;
        while at < end {
            let next = (at | span.wrapping_sub(1)).wrapping_add(1).min(end);
            let here = Spot { index, ..spot };
            let owned = if spot.level < LAST {
                self.sweep_upper(here, at, next, whole, sweep)
            } else {
                self.sweep_page(here, (first, end.wrapping_sub(at)), whole, sweep)
            };
            if whole && !owned {
                whole = false;
                // Everything before this entry is ours: let it go.
                for entry in self.entries(spot.node, 0, index) {
                    entry.store(0, Release);
                }
            }
            at = next;
            index = index.wrapping_add(1);
        }
        self.table
            .publish(self.entries(spot.node, spot.index, index.wrapping_sub(spot.index)));
        whole
    }

    /// A first look, so that tables in use are not disturbed. At upper levels
    /// tables that are empty themselves do not count.
    fn seems_empty(&self, spot: Spot) -> bool {
        let entries = self.entries(spot.node, 0, Geo::<G, B>::ENTRIES);
        entries.iter().all(|entry| {
            let word = entry.load(Relaxed);
            word == 0 || spot.level < LAST && word & TABLE == TABLE
        })
    }

    /// Sweeps what is below an entry above the last level, `ipa .. end`.
    fn sweep_upper(&self, spot: Spot, ipa: u64, end: u64, whole: bool, sweep: &mut Sweep) -> bool {
        let entry = self.entry(spot);
        let word = entry.load(Acquire);
        let span = Geo::<G, B>::span(spot.level);
        let all = end.wrapping_sub(ipa) == span;
        if word & TABLE == TABLE {
            let gone = self.sweep(self.below(spot, word, ipa), ipa, end, all, sweep);
            if gone {
                entry.store(if whole { DEAD } else { 0 }, Release);
                self.chain(&mut sweep.chain, Pa(output::<G>(word)));
            }
            gone
        } else if word == 0 {
            whole && entry.compare_exchange(0, DEAD, AcqRel, Relaxed).is_ok()
        } else if word & VALID != 0 && all && sweep.aim == Aim::All {
            let new = if whole { DEAD } else { 0 };
            let taken = entry.compare_exchange(word, new, AcqRel, Relaxed).is_ok();
            if taken {
                sweep.stride = sweep.stride.min(span);
            }
            taken
        } else {
            false
        }
    }

    /// Sweeps one page of a range that starts at index `first` of this table
    /// and has `left` bytes from this page on.
    fn sweep_page(
        &self,
        spot: Spot,
        (first, left): (usize, u64),
        whole: bool,
        sweep: &mut Sweep,
    ) -> bool {
        let entry = self.entry(spot);
        let word = entry.load(Relaxed);
        if word == 0 {
            return whole && entry.compare_exchange(0, DEAD, AcqRel, Relaxed).is_ok();
        }
        // The edges were checked, but somebody may have mapped a group across
        // one since: then that came later, and stays.
        let past = spot.index & Geo::<G, B>::GROUP.wrapping_sub(1);
        let group = spot.index.wrapping_sub(past);
        let rest = (Geo::<G, B>::GROUP.wrapping_sub(past) as u64).wrapping_shl(G);
        let cut = word & CONT != 0 && (group < first || left < rest);
        if word & VALID == 0 || sweep.aim == Aim::Tables || cut {
            return false;
        }
        let new = if whole { DEAD } else { 0 };
        let taken = entry.compare_exchange(word, new, AcqRel, Relaxed).is_ok();
        if taken {
            sweep.stride = Geo::<G, B>::PAGE;
        }
        taken
    }
}

//! Many single pages, one after the other: scatter-gather lists.
//!
//! What one call of [`Table::map`] spends besides writing a descriptor, going
//! down to it, counting in and out, and the barrier, is spent once for the
//! pages that follow one another in one table of the last level.

use crate::desc::{TABLE, field, leaf_bits};
use crate::geometry::LAST;
use crate::mem::{self, Entry, Memory, Publish};
use crate::pins::Pin;
use crate::quick::Usual;
use crate::sync::Ordering;
use crate::{Attrs, Error, Ipa, Pa, Table};

/// Maps pages one after the other. Walkers are sure to see what was mapped when
/// the batch is dropped, and may see it before.
///
/// While it lives no detached table is freed: keep it for the length of one
/// bounded operation.
#[derive(Debug)]
pub struct Batch<'t, M: Memory> {
    table: &'t Table<M>,
    pin: Pin<'t>,
    attrs: Attrs,
    /// What a page's descriptor holds besides the address.
    bits: u64,
    /// The table of the last level that was used last, and which it is: the
    /// input address in units of what such a table maps.
    leaf: Pa,
    region: u64,
}

impl<M: Memory> Table<M> {
    /// Starts mapping many pieces with the same attributes.
    #[inline]
    pub fn batch(&self, attrs: Attrs) -> Batch<'_, M> {
        Batch {
            table: self,
            pin: self.pin(),
            attrs,
            bits: leaf_bits(attrs, self.normal) | TABLE,
            leaf: Pa(0),
            region: u64::MAX,
        }
    }
}

impl<M: Memory> Batch<'_, M> {
    /// Maps `len` bytes at `ipa` to `pa`.
    ///
    /// # Errors
    /// As [`Table::map`], for this piece.
    #[inline]
    pub fn map(&mut self, ipa: Ipa, pa: Pa, len: u64) -> Result<(), Error> {
        if len == Usual::PAGE && self.page(ipa, pa) {
            return Ok(());
        }
        self.table.map(ipa, pa, len, self.attrs)
    }

    /// Maps pages of 4K one after the other from `ipa` on, until there are no
    /// more, or one cannot be mapped at once: how many. What became of the next
    /// is for [`map`](Self::map) to say.
    #[inline]
    pub fn pages(&mut self, ipa: Ipa, pages: impl IntoIterator<Item = Pa>) -> usize {
        let mut pages = pages.into_iter();
        let mut done = 0usize;
        loop {
            let at = (done as u64).wrapping_shl(Usual::shift(LAST));
            let Some((leaf, index)) = self.turn(ipa.0.wrapping_add(at)) else {
                return done;
            };
            let count = Usual::ENTRIES.wrapping_sub(index);
            let (table, pin) = (self.table, &self.pin);
            let run = mem::entries(&table.mem, pin, leaf, index, count);
            let filled = fill(run, &mut pages, self.bits, table.output_limit);
            table.publish(run.get(..filled).unwrap_or(run));
            done = done.wrapping_add(filled);
            if filled < count {
                return done;
            }
        }
    }

    /// Maps one page of 4K, if its table is there and it is absent: whether it
    /// was. As [`pages`](Self::pages) with one, which is made for many.
    #[inline(always)]
    fn page(&mut self, ipa: Ipa, pa: Pa) -> bool {
        let Some((leaf, index)) = self.turn(ipa.0) else {
            return false;
        };
        let run = core::slice::from_ref(mem::entry(&self.table.mem, &self.pin, leaf, index));
        let done = fill(
            run,
            &mut core::iter::once(pa),
            self.bits,
            self.table.output_limit,
        ) == 1;
        if done {
            self.table.publish(run);
        }
        done
    }

    /// The table for the page at `ipa` and its index there, if there is one.
    #[inline(always)]
    fn turn(&mut self, ipa: u64) -> Option<(Pa, usize)> {
        let region = ipa.wrapping_shr(Usual::shift(LAST.wrapping_sub(1)));
        if region != self.region {
            self.leaf = self.table.leaf_table(&self.pin, ipa)?;
            self.region = region;
        }
        // A table that went meanwhile is still there, because of the pin, and
        // has no absent entry.
        let aligned = ipa & Usual::PAGE.wrapping_sub(1) == 0;
        aligned.then_some((self.leaf, Usual::index(ipa, LAST)))
    }
}

/// Maps `pages` into the absent entries of `run` until one of the two ends, an
/// entry is not absent or a page is none: how many.
#[inline(always)]
fn fill(run: &[Entry], pages: &mut impl Iterator<Item = Pa>, bits: u64, limit: u64) -> usize {
    // Below the page size, or at the limit and beyond.
    let odd = limit.wrapping_neg() | Usual::PAGE.wrapping_sub(1);
    let mut entries = run.iter();
    while let Some(entry) = entries.next() {
        let done = pages.next().is_some_and(|pa| {
            let new = field::<12>(pa) | bits;
            let map = || entry.compare_exchange(0, new, Ordering::AcqRel, Ordering::Relaxed);
            pa.0 & odd == 0 && map().is_ok()
        });
        if !done {
            // Counted by what is left: a counter would be another step.
            let left = entries.len().wrapping_add(1);
            return run.len().wrapping_sub(left);
        }
    }
    run.len()
}

impl<M: Memory> Drop for Batch<'_, M> {
    #[inline]
    fn drop(&mut self) {
        self.table.mem.walkers().complete();
    }
}

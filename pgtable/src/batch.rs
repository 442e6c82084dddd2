//! Many single pages, one after the other: scatter-gather lists.
//!
//! What one call of [`Table::map`] spends besides writing a descriptor, going
//! down to it, counting in and out, and the barrier, is spent once for the
//! pages that follow one another in one table of the last level.

use crate::desc::{TABLE, field, leaf_bits};
use crate::geometry::{Geo, LAST};
use crate::mem::{self, Memory, Publish};
use crate::pins::Pin;
use crate::sync::Ordering;
use crate::{Attrs, Error, Ipa, Pa, Table};

/// 4K pages; the model checker's are as large, in smaller tables.
#[cfg(not(loom))]
type K4 = Geo<12, 9>;
#[cfg(loom)]
type K4 = Geo<12, 2>;

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
    /// The attribute bits of a page.
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
            bits: leaf_bits(attrs, self.fwb_flip) | TABLE,
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
        if self.page(ipa.0, pa.0, len) {
            return Ok(());
        }
        self.table.map(ipa, pa, len, self.attrs)
    }

    /// Maps one page of 4K, if its table is at hand and it is absent: whether
    /// it was.
    #[inline(always)]
    fn page(&mut self, ipa: u64, pa: u64, len: u64) -> bool {
        let region = ipa.wrapping_shr(K4::shift(LAST.wrapping_sub(1)));
        let rest = (ipa | pa) & K4::PAGE.wrapping_sub(1) | len ^ K4::PAGE;
        if rest != 0 || pa >= self.table.output_limit {
            return false;
        }
        if region != self.region && !self.turn(ipa, region) {
            return false;
        }
        // A table that went meanwhile is still there, because of the pin, and
        // has no absent entry.
        let index = K4::index(ipa, LAST);
        let entry = mem::entry(&self.table.mem, &self.pin, self.leaf, index);
        let new = field::<12>(Pa(pa)) | self.bits;
        let done = entry
            .compare_exchange(0, new, Ordering::Release, Ordering::Relaxed)
            .is_ok();
        if done {
            self.table.publish(core::slice::from_ref(entry));
        }
        done
    }

    /// Takes the table for `ipa`, which is number `region`, to hand.
    #[inline(never)]
    fn turn(&mut self, ipa: u64, region: u64) -> bool {
        let Some(leaf) = self.table.leaf_table(&self.pin, ipa) else {
            return false;
        };
        self.leaf = leaf;
        self.region = region;
        true
    }
}

impl<M: Memory> Drop for Batch<'_, M> {
    #[inline]
    fn drop(&mut self) {
        self.table.mem.walkers().complete();
    }
}

//! Changing what a mapping allows.

use crate::desc::{CONT, S2AP_READ, S2AP_WRITE, VALID, XN_SHIFT};
use crate::detach::{Chain, Detached};
use crate::geometry::{Geo, LAST};
use crate::mem::{Entry, Memory, Publish};
use crate::sync::Ordering;
use crate::unmap::absent;
use crate::walk::{Walk, walking};
use crate::{Access, Attrs, Error, Execute, Ipa, MemoryType, Table};

/// The bits that may change while an entry is valid (D8.17.1 lists those that
/// may not).
const RIGHTS: u64 = S2AP_READ | S2AP_WRITE | 0b11 << XN_SHIFT;

impl<M: Memory> Table<M> {
    /// Changes access and execute rights of `len` bytes at `ipa`, all of which
    /// must be mapped. Walkers may use the old rights until the result is
    /// [released](Self::release).
    ///
    /// A page that another CPU unmaps meanwhile counts as unmapped after this.
    ///
    /// # Errors
    /// As [`unmap`](Self::unmap); [`Error::Partial`] also for a contiguous
    /// group that the range covers, whose entries may only differ while it is
    /// broken: [`split`](Self::split) it. On error no rights have changed.
    pub fn protect(
        &self,
        ipa: Ipa,
        len: u64,
        access: Access,
        execute: Execute,
    ) -> Result<Detached, Error> {
        self.check_ipa(ipa, len)?;
        let rights = Attrs::new(MemoryType::Normal, access, execute).bits() & RIGHTS;
        walking!(self, walk => walk.protect(ipa.0, len, rights))
    }
}

impl<M: Memory, const G: u32, const B: u32> Walk<'_, M, G, B> {
    fn protect(&self, ipa: u64, len: u64, rights: u64) -> Result<Detached, Error> {
        let stride = self.check_mapped(ipa, len)?;
        self.leaves(ipa, len, |run| {
            for entry in run {
                set_rights(entry, rights);
            }
            self.table.publish(run);
        });
        self.table.mem.walkers().complete();
        Ok(self.table.detached(ipa, len, stride, Chain::default()))
    }

    /// That the range consists of whole blocks and single pages; the smallest.
    fn check_mapped(&self, ipa: u64, len: u64) -> Result<u64, Error> {
        let mut done = 0u64;
        let mut stride = u64::MAX;
        while done < len {
            let at = ipa.wrapping_add(done);
            let (spot, word) = self.find(at);
            let span = Geo::<G, B>::span(spot.level);
            let past = at & span.wrapping_sub(1);
            if word & VALID == 0 {
                return Err(absent(word, at));
            } else if past != 0 || len.wrapping_sub(done) < span {
                return Err(Error::Partial(Ipa(at.wrapping_sub(past))));
            } else if spot.level == LAST && word & CONT != 0 {
                let group = (Geo::<G, B>::GROUP as u64).wrapping_shl(G);
                return Err(Error::Partial(Ipa(at & !group.wrapping_sub(1))));
            }
            stride = stride.min(span);
            done = done.wrapping_add(span);
        }
        Ok(stride)
    }
}

/// Changes the rights of one leaf, if it still is one.
fn set_rights(entry: &Entry, rights: u64) {
    let mut word = entry.load(Ordering::Relaxed);
    while word & VALID != 0 && word & CONT == 0 {
        let new = word & !RIGHTS | rights;
        match entry.compare_exchange_weak(word, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return,
            Err(found) => word = found,
        }
    }
}

//! Unmapping, at once or lazily, and what waits for the SMMU.
//!
//! What an unmap takes out of the table stays claimed there until the invalidation has completed, so that
//! no address is mapped anew while an SMMU may still translate it the old way.

use super::Error;
use super::domain::{Domain, LAZY_MAX, Progress, Request, table_error};
use super::outside::{Fixed, Outside};
use arrayvec::ArrayVec;
use core::sync::atomic::Ordering;
use pgtable::{Detached, Ipa, Memory, Stale, Table};

impl<M: Memory> Domain<M> {
    /// The short way for the usual call, one page at once: what became of it. `None` if nothing has
    /// changed; [`unmap`](Self::unmap) says why.
    #[inline(always)]
    pub(super) fn unmap_page<O: Outside>(
        &self,
        outside: &O,
        iova: u64,
    ) -> Option<Result<(), Error>> {
        let forget = |stale| outside.invalidate(self.key(), &[stale]);
        let done = self.usable(iova)?.unmap_page(Ipa(iova), forget)?;
        Some(done.map_err(|_| self.fence()))
    }

    /// Unmaps as much as there is; waits once for lazy unmaps in the way.
    #[inline(never)]
    pub(super) fn unmap<O: Outside>(
        &self,
        outside: &O,
        fixed: &[Fixed],
        request: Request,
        lazy: bool,
    ) -> Progress {
        let table = match self.check(fixed, request.iova, request.size) {
            Ok(table) => table,
            Err(error) => return Progress::failed(error),
        };
        let (mut detached, mut progress) = take_out(table, request);
        if progress.result == Err(Error::Busy) {
            if let Err(error) = self.settle_lazy(outside) {
                return Progress::failed(error);
            }
            (detached, progress) = take_out(table, request);
        }
        if lazy {
            self.defer(outside, table, detached, &mut progress);
        } else {
            self.settle(outside, table, detached, &mut progress);
        }
        progress
    }

    /// The SMMU did not complete: from now on the domain is of no use but to be freed.
    #[cold]
    fn fence(&self) -> Error {
        self.fenced.store(true, Ordering::Relaxed);
        Error::Fenced(u32::from(self.key().slot))
    }

    /// Invalidates and gives back what one unmap took out.
    fn settle<O: Outside>(
        &self,
        outside: &O,
        table: &Table<M>,
        detached: Detached,
        progress: &mut Progress,
    ) {
        let forget = |stale| outside.invalidate(self.key(), &[stale]);
        if table.release(detached, forget).is_err() {
            progress.result = Err(self.fence());
        }
    }

    /// Keeps what a lazy unmap took out until the sync; when too much is kept, syncs.
    fn defer<O: Outside>(
        &self,
        outside: &O,
        table: &Table<M>,
        detached: Detached,
        progress: &mut Progress,
    ) {
        if detached.is_empty() {
            return;
        }
        let overflow = self.lazy.lock().try_push(detached).err();
        if let Some(overflow) = overflow {
            self.settle(outside, table, overflow.element(), progress);
            if let Err(error) = self.settle_lazy(outside) {
                progress.result = Err(error);
            }
        }
    }

    /// Completes lazy unmaps, if there are any.
    pub(super) fn settle_lazy<O: Outside>(&self, outside: &O) -> Result<(), Error> {
        match self.sync(outside) {
            Ok(()) | Err(Error::Nothing) => Ok(()),
            error => error,
        }
    }

    /// Completes what lazy unmaps deferred. Only this serialises, and only within one domain.
    pub(super) fn sync<O: Outside>(&self, outside: &O) -> Result<(), Error> {
        let table = self.table().ok_or(Error::Nothing)?;
        let _syncing = self.syncing.lock();
        // After the lock: whoever waited for another's sync finds its own unmaps done, or does them.
        // Filled where it stays, and emptied there: as a whole it is 3 KiB to move.
        let mut batch: ArrayVec<Detached, LAZY_MAX> = ArrayVec::new_const();
        batch.extend(self.lazy.lock().drain(..));
        if batch.is_empty() {
            self.check_fence()?;
            return Err(Error::Nothing);
        }
        let mut stale: ArrayVec<Stale, LAZY_MAX> = ArrayVec::new_const();
        stale.extend(batch.iter().map(Detached::stale));
        let result = outside.invalidate(self.key(), &stale);
        for detached in batch.drain(..) {
            // The invalidation has happened, or has failed, for all of them at once.
            let _ = table.release(detached, |_| result);
        }
        result.map_err(|_| self.fence())
    }
}

/// Takes a first part of the range out of the table: as far as it is mapped and the bound allows.
fn take_out<M: Memory>(table: &Table<M>, request: Request) -> (Detached, Progress) {
    let budget = usize::try_from(request.leaves).unwrap_or(usize::MAX);
    let Request { iova, size, .. } = request;
    let mut result = Ok(());
    let mut taken = table.unmap_some(Ipa(iova), size, budget);
    if let Err(error @ pgtable::Error::NotMapped(hole)) = taken
        && hole.0 > iova
    {
        // What comes before the hole is unmapped all the same.
        result = Err(table_error(error));
        taken = table.unmap_some(Ipa(iova), hole.0.wrapping_sub(iova), budget);
    }
    match taken {
        Ok((bytes, detached)) => {
            let stride = detached.stale().stride().max(1);
            let leaves = bytes.checked_div(stride).unwrap_or(bytes);
            let progress = Progress {
                bytes,
                leaves: leaves.min(request.leaves),
                result,
            };
            (detached, progress)
        }
        Err(error) => (Detached::empty(), Progress::failed(table_error(error))),
    }
}

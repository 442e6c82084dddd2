//! One DMA domain.

use super::Error;
use super::claims::{Claim, Claims, MAX_PAGES, Refused};
use super::outside::{Fixed, Outside};
use super::vm::DomainKind;
use arrayvec::ArrayVec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use pgtable::{
    Access, Attrs, Config, Detached, Execute, Ipa, Memory, MemoryType, Pa, Stale, Table,
};

/// Lazy unmaps that a domain collects before one of them syncs by itself. Below the number of claims, so
/// that operations always find a slot.
const LAZY_MAX: usize = 48;

/// Claims are in pages of the smallest granule.
const CLAIM_SHIFT: u32 = 12;

/// Names a domain to the SMMU side. Unique among the domains that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DomainKey {
    /// The VM.
    pub vm: u16,
    /// Its domain id.
    pub slot: u16,
}

/// How far a request came. Bytes count from its start, and are done whatever the result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Progress {
    /// Bytes done; on success not zero, and less than asked for if the bound on work was reached.
    pub bytes: u64,
    /// Leaves written or cleared, for callers that spread one bound over several requests.
    pub leaves: u64,
    /// Why it stopped, unless it was done or the bound was reached.
    pub result: Result<(), Error>,
}

impl Progress {
    /// All of it.
    #[inline]
    pub(super) const fn whole(bytes: u64, leaves: u64) -> Self {
        Self {
            bytes,
            leaves,
            result: Ok(()),
        }
    }

    pub(super) const fn failed(error: Error) -> Self {
        Self {
            bytes: 0,
            leaves: 0,
            result: Err(error),
        }
    }
}

/// A range and a bound on the work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) iova: u64,
    pub(super) size: u64,
    pub(super) leaves: u64,
}

/// A lazy unmap that waits for its sync.
#[derive(Debug)]
struct Pending {
    claim: Claim,
    detached: Detached,
}

/// One DMA address space.
pub struct Domain<M: Memory> {
    key: DomainKey,
    kind: DomainKind,
    implicit: bool,
    /// log2 of the page size.
    page_shift: u32,
    /// Bits of an address inside a page.
    page_mask: u64,
    /// First address beyond the input size.
    limit: u64,
    table: Option<Table<M>>,
    pub(super) claims: Claims,
    lazy: spin::Mutex<ArrayVec<Pending, LAZY_MAX>>,
    /// Held while one CPU waits for the SMMU on behalf of all lazy unmaps.
    syncing: spin::Mutex<()>,
    fenced: AtomicBool,
    /// Closing it failed: its table pages stay as they are.
    lost: bool,
    pub(super) attached: AtomicU32,
}

pub(super) fn table_error(error: pgtable::Error) -> Error {
    match error {
        pgtable::Error::AlreadyMapped(at) => Error::Mapped(at.0),
        pgtable::Error::NotMapped(at) => Error::NotMapped(at.0),
        pgtable::Error::Partial(at) => Error::Cuts(at.0),
        pgtable::Error::Racing(_) => Error::Busy,
        pgtable::Error::NoMemory(_) | pgtable::Error::BadFrame(_) => Error::NoMemory,
        pgtable::Error::Misaligned(value) => Error::Misaligned(value),
        pgtable::Error::IpaTooLarge(at) => Error::Range(at.0),
        pgtable::Error::PaTooLarge(at) => Error::NotOwned(at.0),
        _ => Error::Range(0),
    }
}

impl<M: Memory> Domain<M> {
    pub(super) fn new(
        key: DomainKey,
        kind: DomainKind,
        implicit: bool,
        config: Config,
        frames: M,
        fixed: &[Fixed],
    ) -> Result<Self, Error> {
        let table = match kind {
            DomainKind::Paging => Some(Table::new(config, frames).map_err(table_error)?),
            DomainKind::Identity | DomainKind::Blocked => None,
        };
        if let Some(table) = &table {
            let doorbell = Attrs::new(MemoryType::Device, Access::Write, Execute::None);
            for fixed in fixed {
                table
                    .map(Ipa(fixed.iova), fixed.pa, fixed.size, doorbell)
                    .map_err(table_error)?;
                table.mark_first(Ipa(fixed.iova));
            }
        }
        Ok(Self {
            key,
            kind,
            implicit,
            page_shift: config.page_shift(),
            page_mask: config.page_size().wrapping_sub(1),
            limit: 1u64.wrapping_shl(config.ipa_bits()),
            table,
            claims: Claims::new(),
            lazy: spin::Mutex::new(ArrayVec::new_const()),
            syncing: spin::Mutex::new(()),
            fenced: AtomicBool::new(false),
            lost: false,
            attached: AtomicU32::new(0),
        })
    }

    /// Its name.
    pub const fn key(&self) -> DomainKey {
        self.key
    }

    /// What it is.
    pub const fn kind(&self) -> DomainKind {
        self.kind
    }

    #[cfg(test)]
    pub(crate) const fn table(&self) -> Option<&Table<M>> {
        self.table.as_ref()
    }

    pub(super) const fn implicit(&self) -> bool {
        self.implicit
    }

    /// Root and shape of its tables, or the kind of domain that has none.
    pub(super) fn shape(&self) -> Result<(Pa, Config), DomainKind> {
        match &self.table {
            Some(table) => Ok((table.root(), *table.config())),
            None => Err(self.kind),
        }
    }

    /// Whether an invalidation failed: the domain is then of no use but to be freed.
    pub(super) fn check_fence(&self) -> Result<(), Error> {
        if self.fenced.load(Ordering::Relaxed) {
            Err(Error::Fenced(u32::from(self.key.slot)))
        } else {
            Ok(())
        }
    }

    /// The table, if a range may be mapped or unmapped there at all.
    #[inline]
    pub(super) fn check(&self, fixed: &[Fixed], iova: u64, size: u64) -> Result<&Table<M>, Error> {
        let table = self
            .table
            .as_ref()
            .ok_or(Error::NotPaging(u32::from(self.key.slot)))?;
        self.check_fence()?;
        let misaligned = (iova | size) & self.page_mask;
        if misaligned != 0 {
            return Err(Error::Misaligned(misaligned));
        }
        let end = iova.checked_add(size).ok_or(Error::Range(iova))?;
        if size == 0 || end > self.limit {
            return Err(Error::Range(iova));
        }
        for fixed in fixed {
            if iova < fixed.iova.saturating_add(fixed.size) && fixed.iova < end {
                return Err(Error::Reserved(fixed.iova));
            }
        }
        Ok(table)
    }

    /// Refuses a range with an end inside a mapping: inside a block, or between two pages neither
    /// of which was [begun](Self::begin) there.
    pub(super) fn check_cuts(&self, iova: u64, size: u64) -> Result<(), Error> {
        let Some(table) = &self.table else {
            return Ok(());
        };
        for edge in [iova, iova.wrapping_add(size)] {
            let Some((_, attrs, block)) = table.translate(Ipa(edge)) else {
                continue;
            };
            let past = edge & block.wrapping_sub(1);
            if past != 0 {
                return Err(Error::Cuts(edge.wrapping_sub(past)));
            }
            // What lies behind a hole begins there, even if an unmap that knows no mappings made
            // the hole.
            let before = edge.checked_sub(1).map(Ipa);
            if !attrs.is_first() && before.and_then(|at| table.translate(at)).is_some() {
                return Err(Error::Cuts(edge));
            }
        }
        Ok(())
    }

    /// Remembers that a mapping begins at `iova`, for [`check_cuts`](Self::check_cuts). The mark is
    /// part of the descriptor: it costs no memory and goes with the page.
    pub(super) fn begin(&self, iova: u64) {
        if let Some(table) = &self.table {
            table.mark_first(Ipa(iova));
        }
    }

    /// The page size less one.
    #[inline]
    pub(super) const fn page_mask(&self) -> u64 {
        self.page_mask
    }

    /// Pages in so many bytes.
    #[inline]
    pub(super) const fn pages(&self, size: u64) -> u64 {
        size.wrapping_shr(self.page_shift)
    }

    /// Whether a range has no more pages than leaves are allowed.
    #[inline]
    pub(super) const fn fits(&self, request: Request) -> bool {
        self.pages(request.size) <= request.leaves
    }

    /// Claims a range; if lazy unmaps are in the way, syncs once.
    #[inline]
    pub(super) fn claim<O: Outside>(
        &self,
        outside: &O,
        iova: u64,
        size: u64,
    ) -> Result<Claim, Error> {
        let first = iova >> CLAIM_SHIFT;
        let pages = (size >> CLAIM_SHIFT).min(MAX_PAGES);
        match self.claims.take(first, pages) {
            Ok(claim) => Ok(claim),
            Err(refused) => self.claim_after_sync(outside, first, pages, refused),
        }
    }

    #[cold]
    fn claim_after_sync<O: Outside>(
        &self,
        outside: &O,
        first: u64,
        pages: u64,
        _refused: Refused,
    ) -> Result<Claim, Error> {
        match self.sync(outside) {
            Ok(()) | Err(Error::Nothing) => {}
            Err(error) => return Err(error),
        }
        self.claims.take(first, pages).map_err(|_| Error::Busy)
    }

    pub(super) fn unmap<O: Outside<Frames = M>>(
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
        let claim = match self.claim(outside, request.iova, request.size) {
            Ok(claim) => claim,
            Err(error) => return Progress::failed(error),
        };
        // All at once, if that is within the bound and all is mapped: the usual case.
        let whole = self
            .fits(request)
            .then(|| table.unmap(Ipa(request.iova), request.size));
        let (detached, mut progress) = match whole {
            Some(Ok(detached)) => (
                detached,
                Progress::whole(request.size, self.pages(request.size)),
            ),
            _ => take_out(table, request),
        };
        if progress.bytes == 0 {
            self.claims.release(claim);
            return progress;
        }
        if progress.bytes != request.size {
            self.claims.shrink(&claim, progress.bytes >> CLAIM_SHIFT);
        }
        let pending = Pending { claim, detached };
        if lazy {
            self.defer(outside, table, pending, &mut progress);
        } else {
            self.settle(table, outside, pending, &mut progress);
        }
        progress
    }

    /// Invalidates and gives back what one unmap took out.
    fn settle<O: Outside>(
        &self,
        table: &Table<M>,
        outside: &O,
        pending: Pending,
        progress: &mut Progress,
    ) {
        let Pending { claim, detached } = pending;
        let key = self.key;
        match table.release(detached, |stale| outside.invalidate(key, &[stale])) {
            Ok(()) => self.claims.release(claim),
            Err(_) => {
                // The claim is kept on purpose: the range may still be translated.
                self.fenced.store(true, Ordering::Relaxed);
                progress.result = Err(Error::Fenced(u32::from(self.key.slot)));
            }
        }
    }

    /// Keeps what a lazy unmap took out until the sync; when too much is kept, syncs.
    fn defer<O: Outside>(
        &self,
        outside: &O,
        table: &Table<M>,
        pending: Pending,
        progress: &mut Progress,
    ) {
        let overflow = self.lazy.lock().try_push(pending).err();
        if let Some(overflow) = overflow {
            self.settle(table, outside, overflow.element(), progress);
            if let Err(error) = self.sync(outside)
                && error != Error::Nothing
            {
                progress.result = Err(error);
            }
        }
    }

    /// Completes what lazy unmaps deferred. Only this serialises, and only within one domain.
    pub(super) fn sync<O: Outside>(&self, outside: &O) -> Result<(), Error> {
        let table = self.table.as_ref().ok_or(Error::Nothing)?;
        let _syncing = self.syncing.lock();
        // After the lock: whoever waited for another's sync finds its own unmaps done, or does them.
        let batch = {
            let mut lazy = self.lazy.lock();
            if lazy.is_empty() {
                drop(lazy);
                self.check_fence()?;
                return Err(Error::Nothing);
            }
            core::mem::take(&mut *lazy)
        };
        let stale: ArrayVec<Stale, LAZY_MAX> = batch
            .iter()
            .map(|pending| pending.detached.stale())
            .collect();
        let result = outside.invalidate(self.key, &stale);
        for Pending { claim, detached } in batch {
            // The invalidation has happened, or has failed, for all of them at once.
            if table.release(detached, |_| result).is_ok() {
                self.claims.release(claim);
            }
        }
        result.map_err(|_| {
            self.fenced.store(true, Ordering::Relaxed);
            Error::Fenced(u32::from(self.key.slot))
        })
    }

    /// The domain is to go: no endpoint is attached and nobody else holds it.
    ///
    /// Tried once: after a failure the SMMU side may know the domain no more, and its word that there is
    /// nothing to invalidate would be worth nothing.
    pub(super) fn close<O: Outside>(&mut self, outside: &O) -> Result<(), Error> {
        if self.lost {
            return Err(Error::Fenced(u32::from(self.key.slot)));
        }
        let Some(table) = self.table.take() else {
            return Ok(());
        };
        for Pending { detached, .. } in core::mem::take(&mut *self.lazy.lock()) {
            // Into quarantine, which `destroy` empties after its own invalidation.
            let _ = table.release(detached, |_| Err(()));
        }
        let key = self.key;
        match table.destroy(|_| outside.close(key)) {
            Ok(_) => Ok(()),
            Err((table, _)) => {
                self.table = Some(table);
                self.lost = true;
                self.fenced.store(true, Ordering::Relaxed);
                Err(Error::Fenced(u32::from(key.slot)))
            }
        }
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

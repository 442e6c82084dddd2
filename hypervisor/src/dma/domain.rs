//! One DMA domain.

use super::Error;
use super::outside::{Fixed, Outside};
use super::vm::DomainKind;
use arrayvec::ArrayVec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use pgtable::{
    Access, Attrs, Config, Detached, Execute, Ipa, Memory, MemoryType, Pa, Remains, Table,
};

/// Lazy unmaps that a domain collects before one of them syncs by itself.
pub(super) const LAZY_MAX: usize = 48;

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
    pub(super) const fn failed(error: Error) -> Self {
        Self {
            bytes: 0,
            leaves: 0,
            result: Err(error),
        }
    }

    /// Adds what came after.
    pub(super) const fn add(&mut self, rest: &Self) {
        self.bytes = self.bytes.wrapping_add(rest.bytes);
        self.leaves = self.leaves.saturating_add(rest.leaves);
        self.result = rest.result;
    }
}

/// A range and a bound on the work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) iova: u64,
    pub(super) size: u64,
    pub(super) leaves: u64,
}

impl Request {
    /// What is left after so many bytes and leaves.
    pub(super) const fn past(self, bytes: u64, leaves: u64) -> Self {
        Self {
            // The end of the range is looked at before anything is done there.
            iova: self.iova.wrapping_add(bytes),
            size: self.size.saturating_sub(bytes),
            leaves: self.leaves.saturating_sub(leaves),
        }
    }

    /// What is left when so much is done.
    pub(super) const fn after(self, progress: &Progress) -> Self {
        self.past(progress.bytes, progress.leaves)
    }
}

/// One DMA address space.
///
/// In this order in memory, so that the list comes last: what lies beyond 4 KiB takes an instruction
/// more to load.
#[repr(C)]
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
    /// From the first address to beyond the last that is mapped for good.
    fixed: (u64, u64),
    table: Option<Table<M>>,
    /// Held while one CPU waits for the SMMU on behalf of all lazy unmaps.
    pub(super) syncing: spin::Mutex<()>,
    pub(super) fenced: AtomicBool,
    /// Closing it failed: its table pages stay as they are.
    lost: bool,
    pub(super) attached: AtomicU32,
    /// Lazy unmaps that wait for their sync. What they took out stays claimed in the table.
    pub(super) lazy: spin::Mutex<ArrayVec<Detached, LAZY_MAX>>,
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
            fixed: (
                fixed.iter().map(|f| f.iova).min().unwrap_or(u64::MAX),
                fixed.iter().map(Fixed::end).max().unwrap_or(0),
            ),
            table,
            syncing: spin::Mutex::new(()),
            fenced: AtomicBool::new(false),
            lost: false,
            attached: AtomicU32::new(0),
            lazy: spin::Mutex::new(ArrayVec::new_const()),
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

    /// Its tables, if it has any of its own.
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
            if iova < fixed.end() && fixed.iova < end {
                return Err(Error::Reserved(fixed.iova));
            }
        }
        Ok(table)
    }

    /// The table, for one page at `iova` that may lie anywhere but where something is mapped for good.
    #[inline(always)]
    pub(super) fn usable(&self, iova: u64) -> Option<&Table<M>> {
        let (first, beyond) = self.fixed;
        if iova < beyond && iova >= first || self.fenced.load(Ordering::Relaxed) {
            return None;
        }
        self.table.as_ref()
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

    /// log2 of the page size.
    #[inline]
    pub(super) const fn page_shift(&self) -> u32 {
        self.page_shift
    }

    /// The domain is to go: no endpoint is attached and nobody else holds it. What is left of its tables.
    ///
    /// Tried once: after a failure the SMMU side may know the domain no more, and its word that there is
    /// nothing to invalidate would be worth nothing.
    pub(super) fn close<O: Outside>(&mut self, outside: &O) -> Result<Option<Remains<M>>, Error> {
        if self.lost {
            return Err(Error::Fenced(u32::from(self.key.slot)));
        }
        let Some(table) = self.table.take() else {
            return Ok(None);
        };
        for detached in core::mem::take(&mut *self.lazy.lock()) {
            // Into quarantine, which goes with the rest.
            let _ = table.release(detached, |_| Err(()));
        }
        let key = self.key;
        match table.close(|_| outside.close(key)) {
            Ok(remains) => Ok(Some(remains)),
            Err((table, _)) => {
                self.table = Some(table);
                self.lost = true;
                self.fenced.store(true, Ordering::Relaxed);
                Err(Error::Fenced(u32::from(key.slot)))
            }
        }
    }
}

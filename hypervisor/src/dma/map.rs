//! Mapping: from what the guest claims to own, to descriptors.

use super::Error;
use super::domain::{Domain, Progress, Request, table_error};
use super::outside::{ExtentKind, Fixed, Outside};
use super::steps::Steps;
use pgtable::{Access, Attrs, Execute, Ipa, Memory, MemoryType, Pa, Table};
use stagegate_abi::{ListEntry, Prot};

/// Pieces of a list that are checked and mapped at once.
pub const CHUNK: usize = 32;

/// How far a list came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct ListProgress {
    /// Entries done.
    pub entries: u32,
    /// Bytes done, those of a piece of the next entry included.
    pub bytes: u64,
    /// Bytes done of the next entry.
    pub extra: u64,
    /// Leaves written or cleared.
    pub leaves: u64,
    /// Why it stopped, unless it was done or the bound was reached.
    pub result: Result<(), Error>,
}

impl ListProgress {
    /// Nothing done yet.
    pub const NONE: Self = Self {
        entries: 0,
        bytes: 0,
        extra: 0,
        leaves: 0,
        result: Ok(()),
    };

    /// Adds what came after.
    pub(crate) fn add(&mut self, entries: u32, bytes: u64, leaves: u64) {
        self.entries = self.entries.saturating_add(entries);
        self.bytes = self.bytes.saturating_add(bytes);
        self.leaves = self.leaves.saturating_add(leaves);
    }

    pub(super) fn failed(mut self, error: Error) -> Self {
        self.result = Err(error);
        self
    }
}

const fn memory_type(prot: Prot) -> MemoryType {
    if prot.contains(Prot::MMIO) {
        MemoryType::Device
    } else if prot.contains(Prot::CACHE) {
        MemoryType::Normal
    } else {
        MemoryType::NonCacheable
    }
}

const fn encode(prot: Prot) -> Attrs {
    let access = match (prot.contains(Prot::READ), prot.contains(Prot::WRITE)) {
        (true, false) => Access::Read,
        (false, _) => Access::Write,
        (true, true) => Access::ReadWrite,
    };
    let execute = if prot.intersects(Prot::NOEXEC.union(Prot::MMIO)) {
        Execute::None
    } else {
        Execute::All
    };
    Attrs::new(memory_type(prot), access, execute)
}

/// Attributes for every protection: a load is quicker than the questions.
static ATTRS: [Attrs; 64] = {
    let mut table = [Attrs::DMA; 64];
    let mut bits = 0u16;
    while bits < 64 {
        // Evaluated by the compiler.
        #[allow(clippy::indexing_slicing)]
        {
            table[bits as usize] = encode(Prot::from_bits_truncate(bits));
        }
        bits = bits.wrapping_add(1);
    }
    table
};

#[inline]
fn attrs(prot: Prot) -> Attrs {
    // `Prot` has six bits.
    let found = ATTRS.get(usize::from(prot.bits()));
    found.copied().unwrap_or(Attrs::DMA)
}

impl<M: Memory> Domain<M> {
    #[inline]
    pub(super) fn map<O: Outside<Frames = M>>(
        &self,
        outside: &O,
        fixed: &[Fixed],
        request: Request,
        ipa: u64,
        prot: Prot,
    ) -> Progress {
        let table = match self.check(fixed, request.iova, request.size) {
            Ok(table) => table,
            Err(error) => return Progress::failed(error),
        };
        let claim = match self.claim(outside, request.iova, request.size) {
            Ok(claim) => claim,
            Err(error) => return Progress::failed(error),
        };
        let map = |iova, pa, size| table.map(iova, pa, size, attrs(prot));
        let progress = match self.map_whole(map, outside, request, ipa, prot) {
            Some(progress) => progress,
            None => map_steps(table, outside, request, ipa, prot),
        };
        self.claims.release(claim);
        progress
    }

    /// Maps all at once, if that is within the bound and one extent: the usual case.
    #[inline]
    fn map_whole<O: Outside>(
        &self,
        map: impl FnOnce(Ipa, Pa, u64) -> Result<(), pgtable::Error>,
        outside: &O,
        request: Request,
        ipa: u64,
        prot: Prot,
    ) -> Option<Progress> {
        let Request { iova, size, .. } = request;
        if !self.fits(request) {
            return None;
        }
        let pa = match outside.ram(Ipa(ipa), size) {
            Some(pa) if (ipa | pa.0) & self.page_mask() == 0 && !prot.contains(Prot::MMIO) => pa,
            _ => whole(outside, ipa, size, self.page_mask(), prot)?,
        };
        Some(match map(Ipa(iova), pa, size) {
            Ok(()) => Progress::whole(size, self.pages(size)),
            Err(error) => Progress::failed(table_error(error)),
        })
    }

    /// Maps the pieces of `list` (at most [`CHUNK`], addresses are IPAs) one after the other.
    pub(super) fn map_list<O: Outside<Frames = M>>(
        &self,
        outside: &O,
        fixed: &[Fixed],
        request: Request,
        list: &[ListEntry],
        prot: Prot,
    ) -> ListProgress {
        let none = ListProgress::NONE;
        let table = match self.check(fixed, request.iova, request.size) {
            Ok(table) => table,
            Err(error) => return none.failed(error),
        };
        let claim = match self.claim(outside, request.iova, request.size) {
            Ok(claim) => claim,
            Err(error) => return none.failed(error),
        };
        let progress = self.map_entries(table, outside, request, list, prot);
        self.claims.release(claim);
        progress
    }

    /// Maps the list entry by entry until one fails or the bound is reached.
    fn map_entries<O: Outside>(
        &self,
        table: &Table<M>,
        outside: &O,
        request: Request,
        list: &[ListEntry],
        prot: Prot,
    ) -> ListProgress {
        let mut done = ListProgress::NONE;
        // Its barrier, when it is dropped, is for all entries.
        let mut batch = table.batch(attrs(prot));
        for entry in list {
            let part = Request {
                iova: request.iova.wrapping_add(done.bytes),
                size: entry.size,
                leaves: request.leaves.saturating_sub(done.leaves),
            };
            let map = |iova, pa, size| batch.map(iova, pa, size);
            let step = match self.map_whole(map, outside, part, entry.address, prot) {
                Some(step) => step,
                None => map_steps(table, outside, part, entry.address, prot),
            };
            let whole = step.bytes == entry.size;
            done.add(u32::from(whole), step.bytes, step.leaves);
            if !whole || step.result.is_err() {
                done.extra = step.bytes;
                done.result = step.result;
                break;
            }
        }
        done
    }
}

#[inline(never)]
fn map_steps<M: Memory, O: Outside>(
    table: &Table<M>,
    outside: &O,
    request: Request,
    ipa: u64,
    prot: Prot,
) -> Progress {
    let steps = Steps::of(table.config());
    let mask = table.config().page_size().wrapping_sub(1);
    let attrs = attrs(prot);
    let mut progress = Progress {
        bytes: 0,
        leaves: 0,
        result: Ok(()),
    };
    while progress.bytes < request.size && progress.leaves < request.leaves {
        // The end of the range was checked; an IPA that wraps is looked up like any other.
        let iova = request.iova.wrapping_add(progress.bytes);
        let at = ipa.wrapping_add(progress.bytes);
        let left = request.size.wrapping_sub(progress.bytes);
        let budget = request.leaves.wrapping_sub(progress.leaves);
        let mapped = owned(outside, at, left, mask, prot).and_then(|(pa, len)| {
            let budget = usize::try_from(budget).unwrap_or(usize::MAX);
            let bytes = table
                .map_some(Ipa(iova), pa, len, attrs, budget)
                .map_err(table_error)?;
            Ok((pa, bytes))
        });
        match mapped {
            Ok((pa, bytes)) => {
                let leaves = steps.leaves(iova, pa.0, bytes).max(1);
                progress.bytes = progress.bytes.wrapping_add(bytes);
                progress.leaves = progress.leaves.saturating_add(leaves);
            }
            Err(error) => {
                progress.result = Err(error);
                break;
            }
        }
    }
    progress
}

/// Where a range is, if the VM owns it in one piece.
#[inline(never)]
fn whole<O: Outside>(outside: &O, ipa: u64, size: u64, mask: u64, prot: Prot) -> Option<Pa> {
    let (pa, len) = owned(outside, ipa, size, mask, prot).ok()?;
    (len == size).then_some(pa)
}

/// Where an IPA is and how many bytes from there on may be mapped, if the VM owns them.
#[inline]
fn owned<O: Outside>(
    outside: &O,
    ipa: u64,
    left: u64,
    mask: u64,
    prot: Prot,
) -> Result<(Pa, u64), Error> {
    if ipa & mask != 0 {
        return Err(Error::Misaligned(ipa));
    }
    let extent = outside.lookup(Ipa(ipa)).ok_or(Error::NotOwned(ipa))?;
    let wanted = if prot.contains(Prot::MMIO) {
        ExtentKind::Device
    } else {
        ExtentKind::Ram
    };
    let forbidden = prot.contains(Prot::WRITE) && !extent.writable;
    // Whole pages only: a page that is not the VM's to its end is not the VM's.
    let len = extent.len.min(left) & !mask;
    if extent.kind != wanted || forbidden || len == 0 || extent.pa.0 & mask != 0 {
        return Err(Error::NotOwned(ipa));
    }
    Ok((extent.pa, len))
}

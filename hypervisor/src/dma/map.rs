//! Mapping: from what the guest claims to own, to descriptors.

use super::Error;
use super::domain::{Domain, Progress, Request, table_error};
use super::outside::{ExtentKind, Fixed, Outside, Piece};
use super::steps::Steps;
use pgtable::{Access, Attrs, Config, Execute, Ipa, Leaf, Memory, MemoryType, Pa, Table};
use stagegate_abi::{ListEntry, PAGE_SIZE, Prot};

/// Pieces of a list that are read and mapped at once.
pub const CHUNK: usize = 64;

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

    pub(super) const fn failed(error: Error) -> Self {
        Self {
            result: Err(error),
            ..Self::NONE
        }
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

const fn attrs(prot: Prot) -> Attrs {
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

/// Leaves for every protection: a load is quicker than the questions.
#[derive(Debug)]
pub(super) struct Leaves([Leaf; 64]);

impl Leaves {
    pub(super) fn of(config: &Config) -> Self {
        let leaf = |bits| config.leaf(attrs(Prot::from_bits_truncate(bits as u16)));
        Self(core::array::from_fn(leaf))
    }

    #[inline(always)]
    pub(super) fn get(&self, prot: Prot) -> Option<Leaf> {
        self.0.get(usize::from(prot.bits())).copied()
    }
}

impl<M: Memory> Domain<M> {
    /// The short way for the usual call, one page of RAM: whether it was mapped. If not, nothing has
    /// changed, and [`map`](Self::map) says why.
    #[inline(always)]
    pub(super) fn map_page<O: Outside>(
        &self,
        outside: &O,
        leaves: &Leaves,
        iova: u64,
        ipa: u64,
        prot: Prot,
    ) -> bool {
        let Some(table) = self.usable(iova) else {
            return false;
        };
        let (Some(piece), false) = (outside.ram(Ipa(ipa)), prot.contains(Prot::MMIO)) else {
            return false;
        };
        let (Some(pa), Some(leaf)) = (piece.place(ipa, PAGE_SIZE), leaves.get(prot)) else {
            return false;
        };
        ipa & PAGE_SIZE.wrapping_sub(1) == 0 && table.map_page(Ipa(iova), pa, leaf)
    }

    /// Maps piece by piece; waits once for lazy unmaps in the way.
    #[inline(never)]
    pub(super) fn map<O: Outside>(
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
        let mut progress = map_steps(table, outside, request, ipa, prot);
        if progress.result == Err(Error::Busy) {
            if let Err(error) = self.settle_lazy(outside) {
                progress.result = Err(error);
                return progress;
            }
            let rest = map_steps(
                table,
                outside,
                request.after(&progress),
                ipa.wrapping_add(progress.bytes),
                prot,
            );
            progress.add(&rest);
        }
        progress
    }

    /// Maps the pieces of `list` (addresses are IPAs) one after the other, until an interrupt waits.
    pub(super) fn map_list<O: Outside<Frames = M>>(
        &self,
        outside: &O,
        fixed: &[Fixed],
        mut request: Request,
        list: &[ListEntry],
        prot: Prot,
    ) -> ListProgress {
        let mut done = ListProgress::NONE;
        let mut rest = list;
        loop {
            let pages = self.map_pages(outside, fixed, request, rest, prot);
            let bytes = pages.wrapping_shl(self.page_shift());
            done.add(pages as u32, bytes, pages);
            request = request.past(bytes, pages);
            rest = rest.get(pages as usize..).unwrap_or(&[]);
            // What is more than a page, or no RAM, or something is the matter with.
            let Some((entry, others)) = rest.split_first().filter(|_| request.leaves != 0) else {
                return done;
            };
            request.size = entry.size;
            let step = self.map(outside, fixed, request, entry.address, prot);
            let whole = step.result.is_ok() && step.bytes == entry.size;
            done.add(u32::from(whole), step.bytes, step.leaves);
            if !whole {
                done.extra = step.bytes;
                done.result = step.result;
                return done;
            }
            if outside.interrupted() {
                return done;
            }
            request = request.past(step.bytes, step.leaves);
            rest = others;
        }
    }

    /// Maps the entries at the start of `list` that are single pages of RAM, and says how many.
    #[inline(never)]
    fn map_pages<O: Outside>(
        &self,
        outside: &O,
        fixed: &[Fixed],
        request: Request,
        list: &[ListEntry],
        prot: Prot,
    ) -> u64 {
        let most = (list.len() as u64).min(request.leaves);
        let size = most.wrapping_shl(self.page_shift());
        let Ok(table) = self.check(fixed, request.iova, size) else {
            return 0;
        };
        if prot.contains(Prot::MMIO) {
            return 0;
        }
        let list = list.get(..most as usize).unwrap_or(list);
        let mut piece = Piece::NONE;
        let pages = list.iter().map_while(move |entry| {
            let ListEntry { address, size } = *entry;
            if size != PAGE_SIZE {
                return None;
            }
            // A page of the machine is a page of the guest, in a piece of whole pages: that it is one
            // is looked at when it is mapped.
            piece.place(address, PAGE_SIZE).or_else(|| {
                piece = outside.ram(Ipa(address)).filter(Piece::is_aligned)?;
                piece.place(address, PAGE_SIZE)
            })
        });
        table.batch(attrs(prot)).pages(Ipa(request.iova), pages) as u64
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

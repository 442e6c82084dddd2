//! Memory for stage-2 tables: the heap, through the identity map.

use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use pgtable::{Entry, Linear, Memory, Native, Pa};

/// Tables in the hypervisor's heap.
#[derive(Debug, Clone, Copy, Default)]
pub struct TableMemory;

static WALKERS: Native = Native;

// SAFETY: the global allocator returns zeroed memory of the layout's size and
// alignment that nothing else uses until it is freed; EL2 maps it at its
// physical address.
unsafe impl Memory for TableMemory {
    type Walkers = Native;

    fn alloc(&self, bytes: usize) -> Option<Pa> {
        let layout = Layout::from_size_align(bytes, bytes)
            .ok()
            .filter(|l| l.size() > 0)?;
        // SAFETY: the layout is not empty.
        let block = unsafe { alloc_zeroed(layout) };
        NonNull::new(block).map(|block| Pa(block.as_ptr().expose_provenance() as u64))
    }

    fn free(&self, pa: Pa, bytes: usize) {
        if let Ok(layout) = Layout::from_size_align(bytes, bytes) {
            let block = core::ptr::with_exposed_provenance_mut(pa.0 as usize);
            // SAFETY: `pa` came from `alloc` with the same size.
            unsafe { dealloc(block, layout) };
        }
    }

    fn entries(&self, table: Pa) -> NonNull<Entry> {
        Linear::new(0).pointer(table)
    }

    fn walkers(&self) -> &Native {
        &WALKERS
    }

    fn slot(&self) -> usize {
        super::percpu::try_get().map_or(0, |cpu| cpu.index)
    }
}

/// Tables of a guest's own DMA domains: the heap again, up to a quota, so that
/// no guest can use up what others need.
#[derive(Debug, Clone, Copy)]
pub struct QuotaMemory {
    used: &'static AtomicUsize,
    limit: usize,
}

impl QuotaMemory {
    /// At most `limit` bytes over all copies.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            used: alloc::boxed::Box::leak(alloc::boxed::Box::new(AtomicUsize::new(0))),
            limit,
        }
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

// SAFETY: as for `TableMemory`, which does the work.
unsafe impl Memory for QuotaMemory {
    type Walkers = Native;

    fn alloc(&self, bytes: usize) -> Option<Pa> {
        let more = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= self.limit);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        let block = TableMemory.alloc(bytes);
        if block.is_none() {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        block
    }

    fn free(&self, pa: Pa, bytes: usize) {
        TableMemory.free(pa, bytes);
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn entries(&self, table: Pa) -> NonNull<Entry> {
        TableMemory.entries(table)
    }

    fn walkers(&self) -> &Native {
        &WALKERS
    }

    fn slot(&self) -> usize {
        TableMemory.slot()
    }
}

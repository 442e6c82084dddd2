//! Memory for stage-2 tables: the heap, through the identity map.

use alloc::alloc::{alloc_zeroed, dealloc};
use alloc::boxed::Box;
use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use pgtable::{Entry, Linear, Memory, Native, Pa, Slot};

/// Tables in the hypervisor's heap, up to a quota: no guest's own DMA domains
/// can use up what others need. One type for all tables, so that the code that
/// walks them exists once.
#[derive(Debug, Clone, Copy)]
pub struct TableMemory {
    used: &'static AtomicUsize,
    limit: usize,
}

static WALKERS: Native = Native;
static UNBOUNDED: AtomicUsize = AtomicUsize::new(0);

impl TableMemory {
    /// As much as there is: for the VMs' own tables.
    #[must_use]
    pub fn unbounded() -> Self {
        Self {
            used: &UNBOUNDED,
            limit: usize::MAX,
        }
    }

    /// At most `limit` bytes over all copies.
    #[must_use]
    pub fn bounded(limit: usize) -> Self {
        Self {
            used: Box::leak(Box::new(AtomicUsize::new(0))),
            limit,
        }
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

// SAFETY: the global allocator returns zeroed memory of the layout's size and
// alignment that nothing else uses until it is freed; EL2 maps it at its
// physical address.
unsafe impl Memory for TableMemory {
    type Walkers = Native;

    fn alloc(&self, bytes: usize) -> Option<Pa> {
        let layout = Layout::from_size_align(bytes, bytes).ok();
        let layout = layout.filter(|l| l.size() > 0)?;
        let more = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= self.limit);
        let relaxed = Ordering::Relaxed;
        self.used.fetch_update(relaxed, relaxed, more).ok()?;
        // SAFETY: the layout is not empty.
        let block = NonNull::new(unsafe { alloc_zeroed(layout) });
        if block.is_none() {
            self.used.fetch_sub(bytes, relaxed);
        }
        block.map(|block| Pa(block.as_ptr().expose_provenance() as u64))
    }

    fn free(&self, pa: Pa, bytes: usize) {
        if let Ok(layout) = Layout::from_size_align(bytes, bytes) {
            let block = core::ptr::with_exposed_provenance_mut(pa.0 as usize);
            // SAFETY: `pa` came from `alloc` with the same size.
            unsafe { dealloc(block, layout) };
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    #[inline(always)]
    fn entries(&self, table: Pa) -> NonNull<Entry> {
        // SAFETY: `alloc` hands out no null pointer.
        unsafe { Linear::new(0).pointer_unchecked(table) }
    }

    #[inline(always)]
    fn walkers(&self) -> &Native {
        &WALKERS
    }

    #[inline(always)]
    fn slot(&self) -> Slot {
        super::percpu::try_get().map_or(Slot::default(), |cpu| cpu.slot)
    }
}

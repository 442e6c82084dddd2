//! Memory for stage-2 tables: the heap, through the identity map.

use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::ptr::NonNull;

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
        let layout = Layout::from_size_align(bytes, bytes).ok().filter(|l| l.size() > 0)?;
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

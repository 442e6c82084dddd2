//! What an SMMU driver needs of the machine: its registers, memory that it and
//! the CPU share, and time.

use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::ptr::NonNull;

use pgtable::Pa;
use smmu::Time;
use smmu::mmio::{DirectMemory, Frames, Mmio};

/// Stream tables and queues come from the heap.
struct Heap;

impl Frames for Heap {
    fn alloc(&self, bytes: usize, align: usize) -> Option<Pa> {
        let layout = Layout::from_size_align(bytes, align.max(4096))
            .ok()
            .filter(|l| l.size() > 0)?;
        // SAFETY: the layout is not empty.
        let block = unsafe { alloc(layout) };
        NonNull::new(block).map(|block| Pa(block.as_ptr().expose_provenance() as u64))
    }

    fn free(&self, block: Pa, bytes: usize) {
        // Blocks live as long as their SMMU, which is for ever, save when a
        // probe fails half way. `alloc` aligned to a page at least; a larger
        // alignment is a power of two that divides the block's own size.
        let align = bytes
            .next_power_of_two()
            .max(4096)
            .min(1 << block.0.trailing_zeros().min(30));
        if let Ok(layout) = Layout::from_size_align(bytes, align) {
            let pointer = core::ptr::with_exposed_provenance_mut(block.0 as usize);
            // SAFETY: the block came from `alloc`; the buddy allocator finds
            // its order by the larger of size and alignment, which is the size
            // rounded up here as there.
            unsafe { dealloc(pointer, layout) };
        }
    }
}

static HEAP: Heap = Heap;

/// Memory that SMMUs and CPUs share.
#[must_use]
pub fn memory() -> DirectMemory<'static> {
    // SAFETY: the heap is mapped at its physical addresses, write-back.
    unsafe { DirectMemory::new(&HEAP, 0) }
}

/// The registers of the SMMU at physical `base`, `len` bytes long. `None` for
/// an address that is not 8-byte aligned or zero.
#[must_use]
pub fn smmu_registers(base: u64, len: u64) -> Option<Mmio> {
    super::mmu::map_device(base, len);
    let pointer = NonNull::new(core::ptr::with_exposed_provenance_mut(base as usize))
        .filter(|_| base.is_multiple_of(8))?;
    // SAFETY: mapped just now as device memory, for ever; only boot calls this,
    // once for each SMMU of the device tree.
    Some(unsafe { Mmio::new(pointer, usize::try_from(len).ok()?) })
}

/// The generic timer, as the drivers ask for it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Time for Clock {
    fn now_ns(&self) -> u64 {
        super::timer::now_ns()
    }
}

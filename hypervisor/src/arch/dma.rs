//! What drivers of SMMUs and of the interrupt controller need of the machine:
//! registers, memory that they and the CPU share, and time.

use alloc::alloc::{alloc, alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::ptr::NonNull;

use pgtable::Pa;
use platform::gic::TableMemory;
use smmu::Time;
use smmu::mmio::{DirectMemory, Frames, Mmio};

use super::mmu::{self, WriteEnd};

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

/// Memory for tables and queues of the interrupt controller, from the heap.
#[derive(Debug, Clone, Copy)]
pub struct GicMemory(());

/// The one handle; what it takes is written through it alone.
pub const GIC_MEMORY: GicMemory = GicMemory(());

impl TableMemory for GicMemory {
    fn take(&self, size: u64, align: u64) -> Option<u64> {
        let (size, align) = (usize::try_from(size).ok()?, usize::try_from(align).ok()?);
        let layout = Layout::from_size_align(size, align.max(4096))
            .ok()
            .filter(|l| l.size() > 0)?;
        // SAFETY: the layout is not empty.
        let block = unsafe { alloc_zeroed(layout) };
        let at = NonNull::new(block)?.as_ptr().expose_provenance() as u64;
        self.publish(at, size as u64);
        Some(at)
    }

    fn write8(&self, at: u64, value: u8) {
        let pointer = core::ptr::with_exposed_provenance_mut::<u8>(at as usize);
        // SAFETY: the trait's rule: a block that `take` gave, never freed; no
        // reference to it exists, the controller is the only other user.
        unsafe { pointer.write_volatile(value) };
    }

    fn write64(&self, at: u64, value: u64) {
        let pointer = core::ptr::with_exposed_provenance_mut::<u64>(at as usize);
        // SAFETY: as above; aligned by the trait's rule.
        unsafe { pointer.write_volatile(value) };
    }

    fn publish(&self, at: u64, len: u64) {
        // Ends with a full barrier.
        super::cache::clean(at, len);
    }
}

/// The registers of the SMMU at physical `base`, `len` bytes long. `None` for
/// an address that is not 8-byte aligned or zero.
#[must_use]
pub fn smmu_registers(base: u64, len: u64) -> Option<Mmio> {
    mmu::map_device(base, len, WriteEnd::Bridge);
    let pointer = NonNull::new(core::ptr::with_exposed_provenance_mut(base as usize))
        .filter(|_| base.is_multiple_of(8))?;
    // SAFETY: mapped just now as device memory, for ever; only probing calls this,
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

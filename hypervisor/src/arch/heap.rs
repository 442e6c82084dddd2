//! The heap: a buddy allocator, first on a piece of the image, then on RAM that
//! the device tree says is there.

use buddy_system_allocator::Heap;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use spin::mutex::SpinMutex;

/// Orders up to 2^31 bytes.
const ORDERS: usize = 32;
/// Enough to read device trees and to build EL2's own tables.
const EARLY_SIZE: usize = 2 << 20;

#[repr(C, align(4096))]
struct Early(core::cell::UnsafeCell<[u8; EARLY_SIZE]>);
// SAFETY: handed to the allocator once, which serialises all use.
unsafe impl Sync for Early {}
static EARLY: Early = Early(core::cell::UnsafeCell::new([0; EARLY_SIZE]));

/// Interrupts are masked whenever EL2 runs, so the lock is never taken twice on
/// one CPU.
struct Locked(SpinMutex<Heap<ORDERS>>);

// SAFETY: the buddy allocator hands out disjoint blocks of memory that was
// given to it; the lock serialises it.
unsafe impl GlobalAlloc for Locked {
    // Out of line: it is called from everywhere, and never on a fast path.
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0
            .lock()
            .alloc(layout)
            .map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller got `block` from `alloc` with this layout.
            unsafe { self.0.lock().dealloc(block, layout) };
        }
    }
}

#[global_allocator]
static HEAP: Locked = Locked(SpinMutex::new(Heap::empty()));

/// Gives the image's own piece to the heap. Called once, first.
pub fn init_early() {
    let start = EARLY.0.get() as usize;
    // SAFETY: the static is referred to nowhere else and lives for ever.
    unsafe { HEAP.0.lock().init(start, EARLY_SIZE) };
}

/// Adds RAM to the heap.
///
/// # Safety
/// `start..start + len` is mapped read-write normal memory that nothing else
/// uses, for ever.
pub unsafe fn add(start: u64, len: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        HEAP.0
            .lock()
            .add_to_heap(start as usize, (start + len) as usize)
    };
}

/// Bytes (total, in use).
#[must_use]
pub fn usage() -> (usize, usize) {
    let heap = HEAP.0.lock();
    (heap.stats_total_bytes(), heap.stats_alloc_actual())
}

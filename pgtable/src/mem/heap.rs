//! The program's own heap as table memory, addressed as it is: what identity
//! mapping is to a hypervisor. For measurements on a host.

use super::{Entry, Linear, Memory, Native, Slot};
use crate::Pa;
use core::cell::Cell;
use core::ptr::NonNull;
use std::alloc::{Layout, alloc_zeroed, dealloc};

/// A [`Memory`] whose physical addresses are the host's virtual ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct Heap;

std::thread_local! {
    static SLOT: Cell<Slot> = const { Cell::new(Slot::of(0)) };
}

impl Heap {
    /// Numbers the calling thread, as a CPU is: threads with different numbers
    /// do not contend for a [`Memory::slot`].
    pub fn number_thread(number: usize) {
        SLOT.set(Slot::of(number));
    }
}

// SAFETY: the allocator gives zeroed, unshared memory of the layout's size and
// alignment; `Linear` at distance zero leads back to it, because its address
// was exposed when it was handed out.
unsafe impl Memory for Heap {
    type Walkers = Native;

    fn alloc(&self, bytes: usize) -> Option<Pa> {
        let layout = Layout::from_size_align(bytes, bytes).ok()?;
        if bytes == 0 {
            return None;
        }
        // SAFETY: the layout's size is not zero.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Pa(memory.as_ptr().expose_provenance() as u64))
    }

    fn free(&self, pa: Pa, bytes: usize) {
        let Ok(layout) = Layout::from_size_align(bytes, bytes) else {
            return;
        };
        let memory = self.entries(pa).as_ptr().cast();
        // SAFETY: `alloc` gave this address for this layout, and the crate
        // returns each once.
        unsafe { dealloc(memory, layout) }
    }

    #[inline(always)]
    fn entries(&self, table: Pa) -> NonNull<Entry> {
        // SAFETY: `alloc` hands out no null pointer.
        unsafe { Linear::new(0).pointer_unchecked(table) }
    }

    fn walkers(&self) -> &Native {
        &Native
    }

    #[inline(always)]
    fn slot(&self) -> Slot {
        SLOT.get()
    }
}

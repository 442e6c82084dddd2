//! Who is inside a table: the software walkers' side of "detach, invalidate,
//! free".
//!
//! Every operation holds a [`Pin`] while it follows descriptors. A table page
//! that was unlinked is freed only after each slot was seen at zero once:
//! whoever was inside before the unlinking has left, and whoever came later
//! cannot have found the page any more.

use crate::sync::{AtomicU64, Ordering, fence, full_after_rmw};

/// Slots, so that CPUs do not share a line. A power of two.
#[cfg(not(loom))]
const SLOTS: usize = 8;
#[cfg(loom)]
const SLOTS: usize = 1;

/// How often a slot is looked at before [`Pins::wait`] gives up.
#[cfg(not(any(loom, miri)))]
const PATIENCE: u32 = 100_000;
#[cfg(any(loom, miri))]
const PATIENCE: u32 = 1;

#[repr(align(64))]
#[derive(Debug)]
struct Slot(AtomicU64);

/// The operations in flight, by slot.
#[derive(Debug)]
pub(crate) struct Pins([Slot; SLOTS]);

/// An operation in flight.
#[derive(Debug)]
pub(crate) struct Pin<'t>(&'t AtomicU64);

impl Pins {
    pub(crate) fn new() -> Self {
        Self(core::array::from_fn(|_| Slot(AtomicU64::new(0))))
    }

    /// Enters. The full barrier pairs with the one in [`wait`](Self::wait):
    /// either that sees this entry, or this sees what was unlinked before.
    #[inline(always)]
    pub(crate) fn enter(&self, hint: usize) -> Pin<'_> {
        let [first, ..] = &self.0;
        let slot = self.0.get(hint & (SLOTS - 1)).unwrap_or(first);
        slot.0.fetch_add(1, Ordering::SeqCst);
        full_after_rmw();
        Pin(&slot.0)
    }

    /// Waits until all that were inside before the call have left. False if
    /// that takes too long: the caller itself may be one of them.
    pub(crate) fn wait(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.iter().all(|slot| {
            (0..PATIENCE).any(|_| {
                let free = slot.0.load(Ordering::Acquire) == 0;
                if !free {
                    core::hint::spin_loop();
                }
                free
            })
        })
    }
}

impl Drop for Pin<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

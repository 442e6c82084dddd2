//! Who is inside a table: the software walkers' side of "detach, invalidate,
//! free".
//!
//! Every operation holds a [`Pin`] while it follows descriptors. A table page
//! that was unlinked is freed only after each counter was seen at zero once:
//! whoever was inside before the unlinking has left, and whoever came later
//! cannot have found the page any more.

use crate::mem;
use crate::sync::{AtomicU64, Ordering, fence, full_after_rmw};

/// Counters, so that CPUs do not share a line. A power of two.
#[cfg(not(loom))]
pub(crate) const SLOTS: usize = 8;
#[cfg(loom)]
pub(crate) const SLOTS: usize = 1;

/// How often a counter is looked at before [`Pins::wait`] gives up.
#[cfg(not(any(loom, miri)))]
const PATIENCE: u32 = 100_000;
#[cfg(any(loom, miri))]
const PATIENCE: u32 = 1;

#[repr(align(64))]
#[derive(Debug)]
pub(crate) struct Counter(pub(crate) AtomicU64);

/// Where a CPU counts its operations. Kept as the counter's distance in bytes,
/// for those who make it once: it is found by one addition then.
#[derive(Debug, Clone, Copy, Default)]
pub struct Slot(usize);

impl Slot {
    /// That of CPU number `cpu`. Those of CPUs with different numbers are
    /// mostly different; if not, the CPUs contend for a counter.
    #[inline(always)]
    #[must_use]
    pub const fn of(cpu: usize) -> Self {
        Self((cpu & SLOTS.wrapping_sub(1)).wrapping_mul(size_of::<Counter>()))
    }

    /// The distance: that of a counter, always.
    #[inline(always)]
    pub(crate) const fn bytes(self) -> usize {
        self.0
    }
}

/// The operations in flight, by slot.
#[derive(Debug)]
pub(crate) struct Pins([Counter; SLOTS]);

/// An operation in flight.
#[derive(Debug)]
pub(crate) struct Pin<'t>(&'t AtomicU64);

impl Pins {
    pub(crate) fn new() -> Self {
        Self(core::array::from_fn(|_| Counter(AtomicU64::new(0))))
    }

    /// Enters. The full barrier pairs with the one in [`wait`](Self::wait):
    /// either that sees this entry, or this sees what was unlinked before.
    #[inline(always)]
    pub(crate) fn enter(&self, slot: Slot) -> Pin<'_> {
        let counter = mem::counter(&self.0, slot);
        counter.fetch_add(1, Ordering::SeqCst);
        full_after_rmw();
        Pin(counter)
    }

    /// Waits until all that were inside before the call have left. False if
    /// that takes too long: the caller itself may be one of them.
    pub(crate) fn wait(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.iter().all(|counter| {
            (0..PATIENCE).any(|_| {
                let free = counter.0.load(Ordering::Acquire) == 0;
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

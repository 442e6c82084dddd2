//! Table memory: the one place in this crate that dereferences a physical
//! address or speaks to the caches.
#![allow(unsafe_code)]

use crate::Pa;
use crate::pins::{Counter, Pin, SLOTS, Slot};
use crate::sync::AtomicU64;
use core::ptr::NonNull;

/// One descriptor in memory, shared with other CPUs and with walkers.
pub type Entry = AtomicU64;

/// Makes writes to table memory visible to walkers (D8.2.7, B2.3).
pub trait Publish {
    /// Writes before this are seen by every walker before writes after it.
    fn order(&self);
    /// Returns when every write before this is visible to every walker; and
    /// no access of this CPU after it is performed before it.
    fn complete(&self);
    /// Starts cleaning the lines that hold `entries` to the point of
    /// coherency; [`complete`](Self::complete) waits for the end of it.
    fn clean(&self, entries: &[Entry]);
}

/// The barriers and cache maintenance of the processor this runs on. On a
/// host, where no walker looks, a fence.
#[derive(Debug, Clone, Copy, Default)]
pub struct Native;

impl Publish for Native {
    #[inline(always)]
    fn order(&self) {
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a barrier changes no state. Outer shareable, because an
        // SMMU may sit outside the CPUs' inner shareable domain.
        unsafe {
            core::arch::asm!("dmb oshst", options(nostack, preserves_flags));
        }
        #[cfg(not(target_arch = "aarch64"))]
        crate::sync::fence(crate::sync::Ordering::Release);
    }

    #[inline(always)]
    fn complete(&self) {
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a barrier changes no state. Full system, for the same
        // reason and because it also ends cache maintenance.
        unsafe {
            core::arch::asm!("dsb sy", options(nostack, preserves_flags));
        }
        #[cfg(not(target_arch = "aarch64"))]
        crate::sync::fence(crate::sync::Ordering::SeqCst);
    }

    fn clean(&self, entries: &[Entry]) {
        #[cfg(target_arch = "aarch64")]
        clean_lines(entries);
        #[cfg(not(target_arch = "aarch64"))]
        let _ = entries;
    }
}

/// Out of line: every change of a table ends here, and only walkers that do not
/// snoop need it.
#[cfg(target_arch = "aarch64")]
#[inline(never)]
fn clean_lines(entries: &[Entry]) {
    let ctr: u64;
    // SAFETY: CTR_EL0 is readable at every level that runs this and reading it
    // changes nothing.
    unsafe {
        core::arch::asm!("mrs {0}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags));
    }
    // DminLine, bits 19:16: log2 of the words in the smallest line.
    let line = 4usize.wrapping_shl((ctr >> 16 & 0xf) as u32);
    let mut at = entries.as_ptr().addr() & !line.wrapping_sub(1);
    let end = entries.as_ptr_range().end.addr();
    while at < end {
        // SAFETY: cleaning a line changes no value that software can read, and
        // the line holds part of a live slice.
        unsafe {
            core::arch::asm!("dc cvac, {0}", in(reg) at, options(nostack, preserves_flags));
        }
        at = at.wrapping_add(line);
    }
}

/// Where tables live: a frame source and the way from a physical address to a
/// pointer.
///
/// # Safety
/// The crate builds references from what these methods return. An
/// implementation must ensure that
/// - a range returned by [`alloc`](Self::alloc) is `bytes` long, aligned to
///   `bytes`, all zero, ordinary memory that nothing else accesses until it is
///   passed to [`free`](Self::free);
/// - [`entries`](Self::entries) of an address in such a range points to that
///   memory, for as long as the range is allocated, contiguously to its end;
/// - freeing a range happens before (as a lock or a release-acquire pair makes
///   it) the allocation that hands it out again.
pub unsafe trait Memory {
    /// How writes are published to the walkers.
    type Walkers: Publish;

    /// Zeroed memory of `bytes`, a power of two and at least a granule,
    /// aligned to its size; `None` when there is none.
    fn alloc(&self, bytes: usize) -> Option<Pa>;

    /// Takes back what [`alloc`](Self::alloc) gave. The contents are
    /// arbitrary.
    fn free(&self, pa: Pa, bytes: usize);

    /// The entries of the table at `table`.
    fn entries(&self, table: Pa) -> NonNull<Entry>;

    /// How writes are published to the walkers.
    fn walkers(&self) -> &Self::Walkers;

    /// Where the calling CPU counts its operations, as far as it is cheap to
    /// know which it is. Any slot is correct; CPUs with the same contend.
    #[inline(always)]
    fn slot(&self) -> Slot {
        Slot::of(0)
    }
}

/// Physical memory mapped at a fixed distance; distance zero is identity.
#[derive(Debug, Clone, Copy, Default)]
pub struct Linear {
    offset: u64,
}

impl Linear {
    /// Physical address `pa` is at virtual address `pa + offset`, wrapping.
    #[must_use]
    pub const fn new(offset: u64) -> Self {
        Self { offset }
    }

    /// The pointer to the table at `table`; dangling for the one address
    /// whose pointer would be null.
    #[inline(always)]
    #[must_use]
    pub fn pointer(self, table: Pa) -> NonNull<Entry> {
        let at = table.0.wrapping_add(self.offset) as usize;
        NonNull::new(core::ptr::with_exposed_provenance_mut(at)).unwrap_or(NonNull::dangling())
    }

    /// The same, without looking whether it is null: the short way for tables
    /// that the caller knows not to lie at virtual address zero.
    ///
    /// # Safety
    /// `table + offset` must not be zero.
    #[inline(always)]
    #[must_use]
    pub unsafe fn pointer_unchecked(self, table: Pa) -> NonNull<Entry> {
        let at = table.0.wrapping_add(self.offset) as usize;
        // SAFETY: the caller's promise.
        unsafe { NonNull::new_unchecked(core::ptr::with_exposed_provenance_mut(at)) }
    }
}

/// Entry `index` of the table at `table`.
///
/// Every caller keeps to this: `table` is the root, or came out of a table
/// descriptor read under `pin`, or was allocated or detached by the caller and
/// not yet freed; and `index` is below the number of its entries. A table is
/// freed only when no pin that could know it is left, see `pins`.
#[inline(always)]
pub(crate) fn entry<'p, M: Memory>(
    mem: &'p M,
    pin: &'p Pin<'_>,
    table: Pa,
    index: usize,
) -> &'p Entry {
    let _ = pin;
    let at = mem.entries(table);
    // SAFETY: by the rule above the offset stays inside the allocation that
    // `Memory` vouches for.
    let at = unsafe { at.add(index) };
    // SAFETY: as above; the memory is initialised (zeroed), aligned, and only
    // ever accessed as `Entry`, an atomic, until it is freed.
    unsafe { at.as_ref() }
}

/// An entry that its holder has claimed, found without another walk.
///
/// It stays where it is: a table is taken out only by whoever has claimed all
/// its entries, and emptied as a whole only by [`Table::reset`], which gives the
/// table another number, so that whoever compares that first comes no more.
///
/// [`Table::reset`]: crate::Table::reset
#[derive(Debug)]
pub(crate) struct Claimed(NonNull<Entry>);

// SAFETY: an entry is an atomic, which any CPU may access.
unsafe impl Send for Claimed {}
// SAFETY: as above; and nothing can be done through a reference to this.
unsafe impl Sync for Claimed {}

impl Claimed {
    /// An entry that the caller has just claimed.
    #[inline(always)]
    pub(crate) fn of(entry: &Entry) -> Self {
        Self(NonNull::from(entry))
    }

    /// Makes it absent, for others to map there: only while the table is not
    /// reset. What was done before, the invalidation above all, comes before
    /// what those do who find it absent.
    #[inline(always)]
    pub(crate) fn clear(self) {
        // SAFETY: by the rule above its table is still there until the store,
        // and it is only ever accessed as `Entry`, an atomic.
        unsafe { self.0.as_ref() }.store(0, crate::sync::Ordering::Release);
    }
}

/// Entries `first .. first + count` of the table at `table`, by the same rule.
#[inline(always)]
pub(crate) fn entries<'p, M: Memory>(
    mem: &'p M,
    pin: &'p Pin<'_>,
    table: Pa,
    first: usize,
    count: usize,
) -> &'p [Entry] {
    let _ = pin;
    let at = mem.entries(table);
    // SAFETY: as in `entry`.
    let at = unsafe { at.add(first) };
    // SAFETY: as in `entry`, for each of the `count` entries.
    unsafe { core::slice::from_raw_parts(at.as_ptr(), count) }
}

/// The counter of `slot`.
#[inline(always)]
pub(crate) fn counter(all: &[Counter; SLOTS], slot: Slot) -> &AtomicU64 {
    let first = core::ptr::from_ref(all).cast::<Counter>();
    // SAFETY: a slot is the distance of a counter in such an array, by its only
    // constructor.
    let at = unsafe { first.byte_add(slot.bytes()) };
    // SAFETY: as above; the reference lives as long as the array's.
    let counter = unsafe { &*at };
    &counter.0
}

#[cfg(any(test, feature = "host", loom))]
pub(crate) mod arena;
#[cfg(all(any(test, feature = "host"), not(loom)))]
pub(crate) mod heap;

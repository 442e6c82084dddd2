//! Memory for tests on a host: a block that stands in for RAM, with a count of
//! what is out and a switch to run dry. Part of the unsafe room for the
//! promise of `unsafe impl Memory` and for one pointer.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use super::{Entry, Memory, Native, Publish};
use crate::Pa;
use crate::sync::Ordering;
use core::ptr::NonNull;
use core::sync::atomic::{self, AtomicPtr};
#[cfg(loom)]
use loom::sync::{Mutex, MutexGuard};
use std::collections::BTreeMap;
#[cfg(not(loom))]
use std::sync::{Mutex, MutexGuard};

/// Entries that stand for 4 KiB.
const PER_PAGE: usize = if cfg!(loom) { 4 } else { 512 };

/// What freed memory is filled with: a valid page descriptor of an address
/// that no test maps, so that whoever still walks there is caught; within 36
/// bits, so that walkers of any size follow it.
pub const POISON: u64 = 0xd_eadd_e7ff;

#[derive(Debug, Default)]
struct State {
    next: usize,
    /// Freed ranges by size.
    free: BTreeMap<usize, Vec<usize>>,
    /// Ranges in use: first page and bytes.
    used: BTreeMap<usize, usize>,
    /// Allocations that still succeed.
    budget: Option<usize>,
}

impl State {
    /// Takes a range of `bytes` out of `pages`.
    fn take(&mut self, bytes: usize, pages: usize) -> Option<usize> {
        match &mut self.budget {
            Some(0) => return None,
            Some(left) => *left -= 1,
            None => {}
        }
        let recycled = self.free.get_mut(&bytes).and_then(Vec::pop);
        let page = match recycled {
            Some(page) => page,
            None => {
                let count = bytes / 4096;
                let page = self.next.next_multiple_of(count);
                if page + count > pages {
                    return None;
                }
                self.next = page + count;
                page
            }
        };
        self.used.insert(page, bytes);
        Some(page)
    }
}

/// A [`Memory`] for tests on a host. Frees are checked: freeing what is not
/// allocated panics.
#[derive(Debug)]
pub struct Arena<W = Native> {
    base: u64,
    /// Used through `first`: a reference to all of it at every access is what
    /// Miri would spend its time on.
    entries: Vec<Entry>,
    /// The first of `entries`. Atomic only to be shared between threads.
    first: AtomicPtr<Entry>,
    state: Mutex<State>,
    walkers: W,
}

impl Arena {
    /// `bytes` of memory that pretends to start at physical address `base`,
    /// which must be a multiple of `bytes` or of 1 MiB.
    #[must_use]
    pub fn new(base: Pa, bytes: usize) -> Self {
        Self::with_walkers(base, bytes, Native)
    }
}

impl<W> Arena<W> {
    /// The same, publishing to `walkers`.
    pub fn with_walkers(base: Pa, bytes: usize, walkers: W) -> Self {
        let count = bytes / 4096 * PER_PAGE;
        let mut entries: Vec<Entry> = (0..count).map(|_| Entry::new(POISON)).collect();
        Self {
            base: base.0,
            first: AtomicPtr::new(entries.as_mut_ptr()),
            entries,
            state: Mutex::new(State::default()),
            walkers,
        }
    }

    /// Lets the next `count` allocations succeed and refuses all after them;
    /// `None` lifts the limit.
    pub fn limit(&self, count: Option<usize>) {
        self.lock().budget = count;
    }

    /// Ranges allocated and not freed.
    pub fn in_use(&self) -> usize {
        self.lock().used.len()
    }

    /// Whether `pa` lies in a range that is allocated.
    pub fn is_used(&self, pa: Pa) -> bool {
        let page = (pa.0.wrapping_sub(self.base) / 4096) as usize;
        let state = self.lock();
        let below = state.used.range(..=page).next_back();
        below.is_some_and(|(first, bytes)| page < first + bytes / 4096)
    }

    /// Reads the word at `pa` as a walker would, if the arena holds it.
    pub fn word(&self, pa: Pa) -> Option<u64> {
        let offset = pa.0.checked_sub(self.base)?;
        let index = (offset / 4096) as usize * PER_PAGE + (offset % 4096 / 8) as usize;
        (index < self.entries.len()).then(|| self.entry(index).load(Ordering::Acquire))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn fill(&self, page: usize, bytes: usize, word: u64) {
        let first = page * PER_PAGE;
        for index in first..first + bytes / 4096 * PER_PAGE {
            self.entry(index).store(word, Ordering::Relaxed);
        }
    }

    fn pointer(&self, index: usize) -> NonNull<Entry> {
        assert!(index < self.entries.len(), "not in the arena");
        let first = self.first.load(atomic::Ordering::Relaxed);
        // SAFETY: the element exists, by the assertion.
        let at = unsafe { first.add(index) };
        // SAFETY: a pointer to an element is not null.
        unsafe { NonNull::new_unchecked(at) }
    }

    fn entry(&self, index: usize) -> &Entry {
        // SAFETY: the pointer is to an element of `entries`, which lives as
        // long as `self` and is only accessed as atomics.
        unsafe { self.pointer(index).as_ref() }
    }
}

// SAFETY: ranges come from one vector of entries, handed out once each
// (a bump pointer aligned to the size, or a freed range of the same size) and
// zeroed under the lock; `entries` indexes that vector, which lives as long as
// the arena and is only accessed as atomics.
unsafe impl<W: Publish> Memory for Arena<W> {
    type Walkers = W;

    fn alloc(&self, bytes: usize) -> Option<Pa> {
        let page = self.lock().take(bytes, self.entries.len() / PER_PAGE)?;
        // Not under the lock: the model checker may switch threads here.
        self.fill(page, bytes, 0);
        Some(Pa(self.base + page as u64 * 4096))
    }

    fn free(&self, pa: Pa, bytes: usize) {
        let page = ((pa.0 - self.base) / 4096) as usize;
        let used = self.lock().used.remove(&page);
        assert_eq!(used, Some(bytes), "freed twice or never allocated: {pa}");
        self.fill(page, bytes, POISON);
        self.lock().free.entry(bytes).or_default().push(page);
    }

    fn entries(&self, table: Pa) -> NonNull<Entry> {
        let page = (table.0.wrapping_sub(self.base) / 4096) as usize;
        self.pointer(page * PER_PAGE)
    }

    fn walkers(&self) -> &W {
        &self.walkers
    }
}

// SAFETY: all is done by what is shared, which lives as long as any share of it.
unsafe impl<M: Memory> Memory for std::sync::Arc<M> {
    type Walkers = M::Walkers;

    fn alloc(&self, bytes: usize) -> Option<Pa> {
        M::alloc(self, bytes)
    }

    fn free(&self, pa: Pa, bytes: usize) {
        M::free(self, pa, bytes);
    }

    fn entries(&self, table: Pa) -> NonNull<Entry> {
        M::entries(self, table)
    }

    fn walkers(&self) -> &M::Walkers {
        M::walkers(self)
    }
}

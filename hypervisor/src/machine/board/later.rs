//! When what has not come is asked again: by one CPU, with pauses that grow.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::cpus;
use crate::arch::timer;

/// The first pause.
const FIRST_NS: u64 = 100_000_000;
/// The longest.
const LONGEST_NS: u64 = 5_000_000_000;
/// No time.
const NEVER: u64 = u64::MAX;

/// When, on the system's clock in nanoseconds.
static NEXT: AtomicU64 = AtomicU64::new(NEVER);
/// The CPU that asks.
static ASKER: AtomicUsize = AtomicUsize::new(0);

/// When this CPU is to ask next, if it is the one that asks and anything is
/// waited for.
#[inline]
pub fn next() -> Option<u64> {
    let next = NEXT.load(Ordering::Relaxed);
    (next != NEVER && cpus::this_cpu() == Some(ASKER.load(Ordering::Relaxed))).then_some(next)
}

/// This CPU asks from now on: the one that did has failed.
pub fn inherit() {
    if let Some(cpu) = cpus::this_cpu() {
        ASKER.store(cpu, Ordering::Relaxed);
    }
}

/// Pauses between two questions.
#[derive(Default)]
pub struct Pauses {
    last_ns: u64,
}

impl Pauses {
    /// The next question is due after a pause, twice as long as the last one,
    /// or the first again if the last question was of use.
    pub fn pause(&mut self, of_use: bool) {
        self.last_ns = match of_use {
            true => FIRST_NS,
            false => self.last_ns.saturating_mul(2).clamp(FIRST_NS, LONGEST_NS),
        };
        NEXT.store(
            timer::now_ns().saturating_add(self.last_ns),
            Ordering::Relaxed,
        );
    }

    /// Nothing is waited for any more.
    pub fn end(&mut self) {
        NEXT.store(NEVER, Ordering::Relaxed);
    }
}

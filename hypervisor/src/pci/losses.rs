//! Configuration accesses that the bus refused, counted for the operator.

use super::ecam::Lost;
use super::rid::Rid;
use crate::burst::{Burst, Turn};
use arrayvec::ArrayVec;
use spin::mutex::SpinMutex;

/// Functions that are told apart.
const FUNCTIONS: usize = 32;

/// How often accesses to the functions behind one host bridge were lost.
#[derive(Debug)]
pub struct Losses {
    lines: Burst,
    counts: SpinMutex<Counts>,
}

/// Counts by function, in the order of their first losses.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// A function and its losses.
    pub functions: ArrayVec<(Rid, u32), FUNCTIONS>,
    /// Losses of functions beyond those.
    pub others: u32,
}

impl Default for Losses {
    fn default() -> Self {
        Self::new()
    }
}

impl Losses {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            lines: Burst::new(1),
            counts: SpinMutex::new(Counts {
                functions: ArrayVec::new_const(),
                others: 0,
            }),
        }
    }

    /// Counts a loss at `now_ns`; whether it is told on the console.
    pub fn note(&self, lost: Lost, now_ns: u64) -> Turn {
        self.counts.lock().add(lost.rid);
        self.lines.turn(now_ns)
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts.lock().clone()
    }
}

impl Counts {
    fn add(&mut self, rid: Rid) {
        let known = self.functions.iter().position(|&(own, _)| own == rid);
        if known.is_none() {
            let _ = self.functions.try_push((rid, 0));
        }
        let own = self.functions.iter_mut().find(|(own, _)| *own == rid);
        let count = own.map_or(&mut self.others, |(_, count)| count);
        *count = count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_by_function_and_told_once() {
        let losses = Losses::new();
        let lost = |rid| Lost {
            rid: Rid(rid),
            offset: 0,
            write: false,
        };
        let told = |rid| losses.note(lost(rid), 2_000_000_000).shown;
        assert!(told(1));
        assert!(!told(1));
        for rid in 2..=40 {
            assert!(!told(rid));
        }
        let Counts { functions, others } = losses.counts();
        assert_eq!(functions.len(), FUNCTIONS);
        assert_eq!(functions.first(), Some(&(Rid(1), 2)));
        assert_eq!(functions.last(), Some(&(Rid(32), 1)));
        assert_eq!(others, 8);
    }
}

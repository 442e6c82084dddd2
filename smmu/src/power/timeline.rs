//! A bounded record of transitions, for reports.

use super::word::State;
use crate::sync::Lock;
use alloc::boxed::Box;
use alloc::vec;

/// Whose state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The SMMU itself.
    Smmu,
    /// One of its TBUs.
    Tbu(usize),
    /// A link's master, by link number; only `On` (active) and `Idle`.
    Master(usize),
}

/// One transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at_ns: u64,
    /// Whose.
    pub who: Who,
    /// Into what.
    pub state: State,
}

/// The newest transitions; the oldest give way.
pub struct Timeline {
    ring: Lock<Ring>,
}

struct Ring {
    marks: Box<[Mark]>,
    /// Marks ever made.
    made: u64,
}

impl Timeline {
    /// Room for `capacity` marks.
    pub fn new(capacity: usize) -> Self {
        let blank = Mark {
            at_ns: 0,
            who: Who::Smmu,
            state: State::Off,
        };
        Self {
            ring: Lock::new(Ring {
                marks: vec![blank; capacity.max(1)].into_boxed_slice(),
                made: 0,
            }),
        }
    }

    /// Adds a mark.
    pub fn add(&self, mark: Mark) {
        let mut ring = self.ring.lock();
        let slots = (ring.marks.len() as u64).max(1);
        let index = ring.made.checked_rem(slots).unwrap_or(0) as usize;
        if let Some(slot) = ring.marks.get_mut(index) {
            *slot = mark;
        }
        ring.made = ring.made.wrapping_add(1);
    }

    /// Calls `each` with the marks from number `from` on that are still
    /// there, oldest first; returns the number to ask from next time.
    pub fn read(&self, from: u64, mut each: impl FnMut(Mark)) -> u64 {
        let ring = self.ring.lock();
        let slots = (ring.marks.len() as u64).max(1);
        let oldest = ring.made.saturating_sub(slots);
        for number in from.max(oldest)..ring.made {
            let index = number.checked_rem(slots).unwrap_or(0) as usize;
            if let Some(mark) = ring.marks.get(index) {
                each(*mark);
            }
        }
        ring.made
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn the_oldest_give_way_and_nothing_is_told_twice() {
        let timeline = Timeline::new(4);
        let mark = |at_ns| Mark {
            at_ns,
            who: Who::Smmu,
            state: State::On,
        };
        let read = |from| {
            let mut times = Vec::new();
            let next = timeline.read(from, |m| times.push(m.at_ns));
            (next, times)
        };
        assert_eq!(read(0), (0, Vec::new()));
        for at in 0..3 {
            timeline.add(mark(at));
        }
        assert_eq!(read(0), (3, std::vec![0, 1, 2]));
        for at in 3..9 {
            timeline.add(mark(at));
        }
        assert_eq!(read(3), (9, std::vec![5, 6, 7, 8]));
        assert_eq!(read(9), (9, Vec::new()));
    }
}

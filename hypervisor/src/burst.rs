//! Console lines that a guest can cause as often as it likes: some of each
//! burst are shown, the rest is counted.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// How long a burst lasts, in nanoseconds: a second.
const SPAN_NS: u64 = 1_000_000_000;

/// Shows so many lines of a kind in a second.
#[derive(Debug)]
pub struct Burst {
    most: u32,
    since: AtomicU64,
    count: AtomicU32,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// It is shown.
    pub shown: bool,
    /// So many of the burst before were not.
    pub left_out: u32,
}

impl Burst {
    /// Shows `most` lines of each second.
    #[must_use]
    pub const fn new(most: u32) -> Self {
        Self {
            most,
            since: AtomicU64::new(0),
            count: AtomicU32::new(0),
        }
    }

    /// A line that is due at `now_ns`. CPUs that call at once may show one
    /// line more or less; none is lost from the count.
    pub fn turn(&self, now_ns: u64) -> Turn {
        let since = self.since.load(Relaxed);
        let mut left_out = 0;
        if now_ns.saturating_sub(since) > SPAN_NS
            && self
                .since
                .compare_exchange(since, now_ns, Relaxed, Relaxed)
                .is_ok()
        {
            left_out = self.count.swap(0, Relaxed).saturating_sub(self.most);
        }
        Turn {
            shown: self.count.fetch_add(1, Relaxed) < self.most,
            left_out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: Turn = Turn {
        shown: true,
        left_out: 0,
    };

    #[test]
    fn some_of_a_burst_are_shown_and_the_rest_is_counted() {
        let burst = Burst::new(3);
        let begin = 5 * SPAN_NS;
        let turns: Vec<Turn> = (0..10).map(|n| burst.turn(begin + n)).collect();
        assert_eq!(turns[..3], [SHOWN; 3]);
        assert!(turns[3..].iter().all(|turn| !turn.shown));
        let next = burst.turn(begin + SPAN_NS + 1);
        assert_eq!((next.shown, next.left_out), (true, 7));
    }

    #[test]
    fn what_is_rare_is_always_shown() {
        let burst = Burst::new(1);
        for second in 2..20 {
            assert_eq!(burst.turn(second * (SPAN_NS + 1)), SHOWN);
        }
    }
}

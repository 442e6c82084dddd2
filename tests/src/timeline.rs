//! What each VM, SMMU and master was doing, over the time of a run.

use crate::closeups::Closeup;
use std::time::{SystemTime, UNIX_EPOCH};

/// A stretch of time in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// State, one of the names the report has a colour for.
    pub state: String,
    /// Start, microseconds since the run began.
    pub from_us: u64,
    /// End.
    pub to_us: u64,
}

/// One row of the picture.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    /// Who.
    pub name: String,
    /// `vm`, `smmu` or `master`.
    pub kind: &'static str,
    /// States in order, without overlap.
    pub spans: Vec<Span>,
}

impl Lane {
    /// Builds a row from moments of change; the last state lasts to `end_us`.
    pub fn from_changes(
        name: &str,
        kind: &'static str,
        changes: &[(u64, String)],
        end_us: u64,
    ) -> Self {
        let ends = changes.iter().skip(1).map(|c| c.0).chain([end_us]);
        let spans = changes
            .iter()
            .zip(ends)
            .filter(|((from, _), to)| from < to)
            .map(|((from, state), to)| Span {
                state: state.clone(),
                from_us: *from,
                to_us: to,
            })
            .collect();
        Self {
            name: name.to_string(),
            kind,
            spans,
        }
    }

    /// Time spent in a state.
    pub fn total_us(&self, state: &str) -> u64 {
        let in_state = self.spans.iter().filter(|s| s.state == state);
        in_state.map(|s| s.to_us - s.from_us).sum()
    }

    /// How often the state was entered.
    pub fn entries(&self, state: &str) -> usize {
        self.spans.iter().filter(|s| s.state == state).count()
    }
}

/// A point in time worth a line in the picture.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Microseconds since the run began.
    pub at_us: u64,
    /// A word or two.
    pub label: String,
}

/// The whole picture.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// Length of the run.
    pub end_us: u64,
    /// Rows from top to bottom.
    pub lanes: Vec<Lane>,
    /// Marked moments.
    pub marks: Vec<Mark>,
    /// Each time the SMMU went to sleep.
    pub sleeps: Vec<Closeup>,
    /// Each time it woke.
    pub wakes: Vec<Closeup>,
}

/// Microseconds since the Unix epoch, the scale QEMU's trace uses.
pub fn epoch_us(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_join_up_and_empty_ones_vanish() {
        let changes = [(0, "on"), (10, "idle"), (10, "gated"), (40, "on")];
        let changes = changes.map(|(at, state)| (at, state.to_string()));
        let lane = Lane::from_changes("smmu", "smmu", &changes, 50);
        assert_eq!(lane.spans.len(), 3);
        assert_eq!(lane.total_us("on"), 20);
        assert_eq!(lane.total_us("gated"), 30);
        assert_eq!(lane.entries("on"), 2);
        assert_eq!(lane.entries("idle"), 0);
    }
}

//! Whether the hypervisor's own books say what QEMU's trace does: how often and
//! how long an SMMU's clock stood, and how long each master was active.

use crate::account::{self, Account};
use crate::activity::Change;
use crate::console::Line;
use crate::gates::Gate;
use crate::timeline::epoch_us;

/// How far times may be apart: both sides look at their clocks a moment after
/// the thing itself, and the computer may do something else in between.
const SLACK_US: u64 = 500_000;

/// One comparison.
#[derive(Clone, Debug)]
pub struct Agreement {
    /// What should agree.
    pub what: String,
    /// Whether it does.
    pub ok: bool,
    /// What each side says.
    pub evidence: String,
}

/// Compares what is told of the only SMMU and of these masters, by name, when
/// the machine ends.
pub fn compare(lines: &[Line], gates: &[Gate], masters: &[(&str, Vec<Change>)]) -> Vec<Agreement> {
    let told = account::read(lines, "smmu").into_iter().next();
    let told = told.unwrap_or_default();
    let end_us = told_at(lines);
    let smmu = [
        counted(&told, gates),
        stood(&told, gates, end_us),
        moved(lines, gates),
    ];
    let books = account::read(lines, "master");
    let masters = masters.iter().map(|(name, changes)| {
        let own = books.iter().find(|account| account.name == *name);
        active(name, own, changes, end_us)
    });
    smmu.into_iter().chain(masters).collect()
}

/// When the books were told.
fn told_at(lines: &[Line]) -> u64 {
    let line = lines.iter().find(|l| l.is("stagegate", "@sg smmu "));
    line.map_or(0, |l| epoch_us(l.at))
}

/// The first time up is the SMMU's probe, every other one a wake.
fn counted(told: &Account, gates: &[Gate]) -> Agreement {
    let low = gates.iter().filter(|g| !g.open).count() as u64;
    let high = (gates.len() as u64).saturating_sub(low + 1);
    let (stops, wakes) = (told.get("gates"), told.get("wakes"));
    Agreement {
        what: "the hypervisor's accounting agrees with QEMU".into(),
        ok: (stops, wakes) == (low, high) && low > 0,
        evidence: format!(
            "told {stops} gates and {wakes} wakes, QEMU's GPIO went low {low} × and high again {high} ×"
        ),
    }
}

fn stood(told: &Account, gates: &[Gate], end_us: u64) -> Agreement {
    let states = gates.iter().map(|g| (g.at_us, !g.open));
    let seen = total(states, end_us);
    let told = told.get("gated");
    Agreement {
        what: "the time that the clock stood is QEMU's".into(),
        ok: told.abs_diff(seen) <= SLACK_US && seen > 0,
        evidence: format!("told {}, QEMU's GPIO low {}", seconds(told), seconds(seen)),
    }
}

fn active(name: &str, told: Option<&Account>, changes: &[Change], end_us: u64) -> Agreement {
    let seen = total(changes.iter().map(|c| (c.at_us, c.active)), end_us);
    let said = told.map_or(0, |account| account.get("active"));
    Agreement {
        what: format!("the time that {name} was active is QEMU's"),
        ok: told.is_some() && said.abs_diff(seen) <= SLACK_US,
        evidence: format!("told {}, QEMU {}", seconds(said), seconds(seen)),
    }
}

/// The record of what happened, as far back as it goes, has each movement of
/// the gate where QEMU has it.
fn moved(lines: &[Line], gates: &[Gate]) -> Agreement {
    let told = recorded(lines);
    let kept = &gates[gates.len().saturating_sub(told.len())..];
    // Their clocks have different zeros: what agrees is the time between.
    let pairs = told.windows(2).zip(kept.windows(2));
    let apart = pairs.map(|(t, s)| (t[1].0 - t[0].0).abs_diff(s[1].at_us - s[0].at_us));
    let most = apart.max();
    let same = told.iter().map(|t| t.1).eq(kept.iter().map(|g| g.open));
    Agreement {
        what: "the record of gatings and wakes is QEMU's".into(),
        ok: same && most.is_some_and(|us| us <= SLACK_US),
        evidence: format!(
            "{} of {} movements of the GPIO, {} us apart at most",
            told.len(),
            gates.len(),
            most.unwrap_or(0)
        ),
    }
}

/// What `@sg mark` lines tell of the SMMU's clock: microseconds, whether it
/// runs from here on.
fn recorded(lines: &[Line]) -> Vec<(u64, bool)> {
    let marks = lines.iter().filter(|l| l.is("stagegate", "@sg mark "));
    let moves = marks.filter_map(|line| {
        let words: Vec<&str> = line.words().split_ascii_whitespace().collect();
        let [_, _, at, who, state] = words[..] else {
            return None;
        };
        let runs = match state {
            "gated" => false,
            "resuming" => true,
            _ => return None,
        };
        who.starts_with("smmu:").then_some(())?;
        Some((at.parse().ok()?, runs))
    });
    moves.collect()
}

/// How long it was so, up to `end_us`, after these changes.
fn total(changes: impl Iterator<Item = (u64, bool)> + Clone, end_us: u64) -> u64 {
    let ends = changes.clone().skip(1).map(|c| c.0).chain([end_us]);
    let spans = changes.zip(ends).filter(|((_, so), _)| *so);
    spans.map(|((from, _), to)| to.saturating_sub(from)).sum()
}

fn seconds(us: u64) -> String {
    format!("{:.3} s", us as f64 / 1e6)
}

#[cfg(test)]
mod tests;

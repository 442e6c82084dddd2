//! What QEMU saw: verdicts about isolation and power from its event trace,
//! and the rows of the timeline.

pub mod domains;
pub mod lanes;
pub mod power;
pub mod stock;

use super::canary::VICTIM_REGISTERS;
use super::hardware::{GATE_LINE, MASTERS, Master};
use crate::activity::{self, Change};
use crate::checks::Checks;
use crate::director::Mark;
use crate::gates::{self, Gate};
use crate::trace::Event;
use std::ops::Range;

/// SMMUv3's control register (IHI 0070, 6.3.9); bit 0 enables translation.
const CR0: u64 = 0x20;

/// What QEMU saw, and what the guests said meanwhile.
pub struct Seen<'s> {
    /// QEMU's events.
    pub trace: &'s [Event],
    /// The guests' marks.
    pub marks: &'s [Mark],
}

impl Seen<'_> {
    /// When the first mark of this name was set.
    fn moment(&self, what: &str) -> Option<u64> {
        self.marks.iter().find(|m| m.what == what).map(|m| m.at_us)
    }

    /// From the first mark `from` to the first `to` after it. If either is
    /// missing it is empty: no check passes by what did not happen.
    fn span(&self, from: &str, to: &str) -> Range<u64> {
        let first = self.marks.iter().position(|m| m.what == from);
        self.span_at(first, to)
    }

    /// The same from the last mark `from`.
    fn last_span(&self, from: &str, to: &str) -> Range<u64> {
        let last = self.marks.iter().rposition(|m| m.what == from);
        self.span_at(last, to)
    }

    fn span_at(&self, from: Option<usize>, to: &str) -> Range<u64> {
        let marks = from.map_or(&[][..], |at| &self.marks[at..]);
        let end = marks.iter().find(|m| m.what == to);
        match (marks.first(), end) {
            (Some(begin), Some(end)) => begin.at_us..end.at_us,
            _ => 0..0,
        }
    }

    /// A master's changes within a span.
    fn changes(&self, master: &str, span: &Range<u64>) -> Vec<Change> {
        let own = MASTERS.iter().find(|m| m.name == master);
        let all = own.map(|m| activity(self.trace, m)).unwrap_or_default();
        let within = all.into_iter().filter(|c| span.contains(&c.at_us));
        within.collect()
    }

    /// Whether QEMU had a master in D3hot at the beginning of a span or later in it.
    fn was_in_d3hot(&self, master: &Master, span: &Range<u64>) -> bool {
        let own = |e: &&Event| e.name == "pci_pm_transition" && e.text.starts_with(master.function);
        let sleeps = |e: &Event| e.text.ends_with("D0->D3");
        let own: Vec<&Event> = self.trace.iter().filter(own).collect();
        let before = own.iter().rfind(|e| e.at_us <= span.start);
        let mut within = own.iter().filter(|e| span.contains(&e.at_us));
        before.is_some_and(|e| sleeps(e)) || within.any(|e| sleeps(e))
    }
}

/// Movements of the gate within a span.
fn moved<'g>(gates: &'g [Gate], span: &Range<u64>) -> Vec<&'g Gate> {
    let within = gates.iter().filter(|g| span.contains(&g.at_us));
    within.collect()
}

/// Microseconds.
fn length(span: &Range<u64>) -> u64 {
    span.end.saturating_sub(span.start)
}

/// All movements of the SMMU's clock gate.
pub fn gates(trace: &[Event]) -> Vec<Gate> {
    gates::movements(trace, GATE_LINE)
}

/// Changes of a master's activity.
fn activity(trace: &[Event], master: &Master) -> Vec<Change> {
    activity::changes(trace, master.function)
}

/// Isolation: every translation of every master went through stage 2, and
/// nothing ever bypassed.
pub fn isolation(trace: &[Event], marks: &[Mark], checks: &mut Checks) {
    let named = |name: &str| trace.iter().filter(|e| e.name == name).count();
    let bypasses = named("smmuv3_translate_disable") + named("smmuv3_translate_bypass");
    let translations: Vec<_> = trace
        .iter()
        .filter(|e| e.name == "smmuv3_translate_success")
        .collect();
    let evidence = format!(
        "QEMU trace: {bypasses} bypasses, {} translations",
        translations.len()
    );
    checks.note(
        "C4",
        "no stream bypassed at any time",
        bypasses == 0,
        evidence,
    );
    for master in &MASTERS {
        let own = translations
            .iter()
            .filter(|e| e.number("sid") == Some(master.rid.into()));
        let stage2 = own.clone().filter(|e| e.number("stage") == Some(2)).count();
        let all = own.count();
        let evidence = format!(
            "QEMU trace: {stage2} of {all} translations of stream {:#x}",
            master.rid
        );
        let what = format!("{}: DMA goes through its VM's stage 2", master.name);
        checks.note("C1", what, all > 0 && stage2 == all, evidence);
    }
    attacks(&translations, marks, checks);
}

/// No address that the attacker aimed at was ever translated for it.
fn attacks(translations: &[&Event], marks: &[Mark], checks: &mut Checks) {
    let edu = MASTERS
        .iter()
        .find(|m| m.name == "edu")
        .map_or(0, |m| m.rid);
    let targets: Vec<u64> = marks.iter().filter_map(|m| target(&m.what)).collect();
    let hits = translations.iter().filter(|e| {
        e.number("sid") == Some(edu.into())
            && e.number("iova").is_some_and(|a| targets.contains(&a))
    });
    let hits = hits.count();
    let evidence = format!(
        "QEMU trace: {hits} translations at {} attacked addresses",
        targets.len()
    );
    let what = "DMA aimed at foreign memory and devices is terminated";
    let aimed = targets.contains(&VICTIM_REGISTERS);
    checks.note("C4", what, hits == 0 && aimed, evidence);
}

/// The address of an `attack…` mark.
pub fn target(mark: &str) -> Option<u64> {
    let address = mark.strip_prefix("attack")?.split_once("0x")?.1;
    u64::from_str_radix(address, 16).ok()
}

#[cfg(test)]
mod tests;

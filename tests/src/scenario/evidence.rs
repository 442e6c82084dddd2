//! What QEMU saw: verdicts about isolation and power from its event trace,
//! and the rows of the timeline.

pub mod domains;
pub mod lanes;
pub mod power;

use super::canary::VICTIM_REGISTERS;
use super::hardware::{GATE_LINE, MASTERS, Master};
use crate::activity::{self, Change};
use crate::checks::Checks;
use crate::director::Mark;
use crate::gates::{self, Gate};
use crate::trace::Event;

/// SMMUv3's control register (IHI 0070, 6.3.9); bit 0 enables translation.
const CR0: u64 = 0x20;

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

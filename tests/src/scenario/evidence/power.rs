//! Verdicts about the SMMU's clock gate: when it closes, what happens before
//! and after, and that nobody touches the SMMU in between.

use super::{CR0, activity, gates};
use crate::activity::Change;
use crate::checks::Checks;
use crate::director::Mark;
use crate::gates::{self as gate, Gate};
use crate::scenario::hardware::MASTERS;
use crate::trace::Event;

/// SMMUv3's default for streams while it is disabled (IHI 0070, 6.3.16).
const GBPA: u64 = 0x44;
const GBPA_ABORT: u64 = 1 << 20;

/// The gate follows the masters as it should.
pub fn check(trace: &[Event], marks: &[Mark], delay_us: u64, checks: &mut Checks) {
    let gates = gates(trace);
    let closed: Vec<_> = gates.iter().filter(|g| !g.open).collect();
    let evidence = format!(
        "QEMU's GPIO: low {} ×, high {} ×",
        closed.len(),
        gates.len() - closed.len()
    );
    checks.note(
        "D4",
        "the SMMU's clock is gated when all masters are idle",
        !closed.is_empty(),
        evidence,
    );
    one_idle(&gates, marks, checks);
    elided(&gates, marks, checks);
    for gate in &closed {
        gating(trace, gate, delay_us, checks);
        silence(trace, gate, &gates, checks);
    }
    for gate in gates.iter().skip(1).filter(|g| g.open) {
        waking(trace, gate, checks);
    }
}

pub(super) fn moment(marks: &[Mark], what: &str) -> Option<u64> {
    marks.iter().find(|m| m.what == what).map(|m| m.at_us)
}

/// One VM's masters idle, the other's not: the clock runs on.
fn one_idle(gates: &[Gate], marks: &[Mark], checks: &mut Checks) {
    let (Some(from), Some(to)) = (moment(marks, "idle nvme"), moment(marks, "one-idle")) else {
        return;
    };
    let open = gates
        .iter()
        .rev()
        .find(|g| g.at_us <= to)
        .is_some_and(|g| g.open);
    let moves = gates
        .iter()
        .filter(|g| (from..=to).contains(&g.at_us))
        .count();
    let evidence = format!(
        "QEMU's GPIO: high, {moves} changes in {:.1} s",
        (to - from) as f64 / 1e6
    );
    checks.note(
        "D3",
        "one VM idle, the other active: the clock runs on",
        open && moves == 0,
        evidence,
    );
}

/// Mapping and unmapping while the clock stands wakes nothing.
pub(super) fn elided(gates: &[Gate], marks: &[Mark], checks: &mut Checks) {
    let Some(done) = moment(marks, "unmapped and mapped 20 times") else {
        return;
    };
    let last = gates.iter().rev().find(|g| g.at_us <= done);
    let ok = last.is_some_and(|g| !g.open);
    let evidence = format!(
        "20 times each; the gate was {} before and after",
        if ok { "low" } else { "high" }
    );
    checks.note("D7", "unmap while gated woke nothing", ok, evidence);
}

/// Before the clock stopped: all masters idle for the whole delay, and the
/// SMMU terminating and disabled.
fn gating(trace: &[Event], gate: &Gate, delay_us: u64, checks: &mut Checks) {
    let before = &trace[..gate.index];
    let states = MASTERS.map(|m| activity(before, &m).last().copied());
    let states: Vec<Change> = states.into_iter().flatten().collect();
    let active = states.iter().filter(|s| s.active).count();
    let opened = gates(before).last().map_or(0, |g| g.at_us);
    let last = states
        .iter()
        .map(|s| s.at_us)
        .max()
        .unwrap_or(0)
        .max(opened);
    let waited = gate.at_us.saturating_sub(last);
    let evidence = format!(
        "{active} masters active; the last activity was {:.1} ms before, the delay is {:.1} ms",
        waited as f64 / 1e3,
        delay_us as f64 / 1e3
    );
    checks.note(
        "D4",
        "gated after the delay and not before",
        active == 0 && waited >= delay_us,
        evidence,
    );
    let last_write = |register| {
        let own = |e: &&Event| e.name == "smmuv3_write_mmio" && e.number("addr") == Some(register);
        before.iter().rev().find(own).and_then(|e| e.number("val"))
    };
    let (gbpa, cr0) = (last_write(GBPA), last_write(CR0));
    let ok = gbpa.is_some_and(|v| v & GBPA_ABORT != 0) && cr0.is_some_and(|v| v & 1 == 0);
    let evidence = format!(
        "last writes before: GBPA {:#x}, CR0 {:#x}",
        gbpa.unwrap_or(0),
        cr0.unwrap_or(!0)
    );
    checks.note(
        "D5",
        "terminating and disabled before its clock stops",
        ok,
        evidence,
    );
}

/// While the clock stands: no register access at all.
fn silence(trace: &[Event], gate: &Gate, gates: &[Gate], checks: &mut Checks) {
    let span = gate::while_low(trace, gates, gate);
    let touched = span.iter().filter(|e| gate::touches_smmu(e)).count();
    let length = span.last().map_or(0, |e| e.at_us - gate.at_us);
    let evidence = format!(
        "QEMU trace: {touched} SMMU accesses in {:.1} ms",
        length as f64 / 1e3
    );
    checks.note(
        "D7",
        "nobody touches the SMMU while it is gated",
        touched == 0,
        evidence,
    );
}

/// After the clock came back: everything invalidated, enabled, and only then
/// the first master.
fn waking(trace: &[Event], gate: &Gate, checks: &mut Checks) {
    let after = &trace[gate.index..];
    let enabled = after.iter().position(|e| {
        e.name == "smmuv3_write_mmio"
            && e.number("addr") == Some(CR0)
            && e.number("val").is_some_and(|v| v & 1 == 1)
    });
    let master = MASTERS
        .iter()
        .filter_map(|m| {
            activity(trace, m)
                .into_iter()
                .find(|c| c.active && c.index > gate.index)
        })
        .map(|c| c.index - gate.index)
        .min();
    let flushed = after[..enabled.unwrap_or(0)]
        .iter()
        .filter(|e| {
            e.name == "smmuv3_cmdq_opcode" && (e.text.contains("TLBI") || e.text.contains("CFGI"))
        })
        .count();
    let ok = matches!((enabled, master), (Some(e), Some(m)) if e < m);
    let evidence = format!(
        "SMMUEN is event {enabled:?} after the clock, the master's first bus mastering {master:?}"
    );
    checks.note(
        "D6",
        "supplier first: the master wakes after the SMMU is on",
        ok,
        evidence,
    );
    let evidence = format!("{flushed} invalidations of everything before SMMUEN");
    checks.note(
        "D6",
        "everything is invalidated before translation goes on",
        flushed > 0,
        evidence,
    );
}

//! Verdicts about the SMMU's clock gate: when it closes, what happens before
//! and after, and that nobody touches the SMMU in between.

use super::{CR0, Seen, activity, gates, length, moved};
use crate::activity::Change;
use crate::checks::Checks;
use crate::director::Mark;
use crate::gates::{self as gate, Gate};
use crate::scenario::hardware::{MASTERS, Master};
use crate::trace::Event;

/// SMMUv3's default for streams while it is disabled (IHI 0070, 6.3.16).
const GBPA: u64 = 0x44;
const GBPA_ABORT: u64 = 1 << 20;

/// The gate follows the masters as it should.
pub fn check(seen: &Seen<'_>, delay_us: u64, checks: &mut Checks) {
    let trace = seen.trace;
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
    for gate in &closed {
        gating(trace, gate, delay_us, checks);
        silence(trace, gate, &gates, checks);
    }
    for gate in gates.iter().skip(1).filter(|g| g.open) {
        waking(trace, gate, checks);
    }
}

/// The gate moves between the marks of the guests, and only there.
pub fn marked(seen: &Seen<'_>, delay_us: u64, checks: &mut Checks) {
    let gates = gates(seen.trace);
    busy(seen, &gates, checks);
    one_idle(seen, &gates, checks);
    all_idle(seen, &gates, delay_us, checks);
    woken(seen, &gates, checks);
    elided(seen, &gates, checks);
}

/// Devices of both VMs at work: the clock runs.
fn busy(seen: &Seen<'_>, gates: &[Gate], checks: &mut Checks) {
    let at = seen.moment("busy").unwrap_or(0);
    let active = |m: &&Master| {
        let all = activity(seen.trace, m);
        let last = all.iter().rfind(|c| c.at_us <= at);
        last.is_some_and(|c| c.active)
    };
    let active: Vec<_> = MASTERS.iter().filter(active).map(|m| m.name).collect();
    let open = gates
        .iter()
        .rfind(|g| g.at_us <= at)
        .is_some_and(|g| g.open);
    let evidence = format!(
        "QEMU: {} master the bus; its GPIO is {}",
        active.join(", "),
        if open { "high" } else { "low" }
    );
    let what = "devices of both VMs active: the clock runs";
    checks.note("D3", what, open && active.len() == MASTERS.len(), evidence);
}

/// One VM's masters idle, the other's not: the clock runs on.
fn one_idle(seen: &Seen<'_>, gates: &[Gate], checks: &mut Checks) {
    let span = seen.span("idle nvme", "one-idle");
    let before = gates.iter().rfind(|g| g.at_us <= span.end);
    let open = before.is_some_and(|g| g.open);
    let moves = moved(gates, &span).len();
    let evidence = format!(
        "QEMU's GPIO: high, {moves} changes in {:.1} s",
        length(&span) as f64 / 1e6
    );
    checks.note(
        "D3",
        "one VM idle, the other active: the clock runs on",
        open && moves == 0 && !span.is_empty(),
        evidence,
    );
}

/// All idle by their guests' own words: the clock stops once, not before the
/// delay after the last of them.
fn all_idle(seen: &Seen<'_>, gates: &[Gate], delay_us: u64, checks: &mut Checks) {
    let span = seen.span("busy", "wake nvme");
    let idle = |m: &&Mark| m.what.starts_with("idle ") && span.contains(&m.at_us);
    let said: Vec<&Mark> = seen.marks.iter().filter(idle).collect();
    let last = said.iter().map(|m| m.at_us).max().unwrap_or(0);
    let moved = moved(gates, &span);
    let waited = moved.first().map_or(0, |g| g.at_us.saturating_sub(last));
    let once = matches!(moved[..], [Gate { open: false, .. }]);
    let evidence = format!(
        "QEMU's GPIO moved {} ×, low {:.1} ms after the guests had said {} × that a device will be idle",
        moved.len(),
        waited as f64 / 1e3,
        said.len()
    );
    checks.note(
        "D4",
        "both VMs idle: the clock stops after the delay and not before",
        once && waited >= delay_us && said.len() == MASTERS.len(),
        evidence,
    );
}

/// A guest wakes its device: clock, SMMU, device, and only then its request is
/// complete.
fn woken(seen: &Seen<'_>, gates: &[Gate], checks: &mut Checks) {
    let span = seen.span("wake nvme", "woken nvme");
    let opened = moved(gates, &span).into_iter().find(|g| g.open);
    let enabled = opened.and_then(|g| enabled(&seen.trace[g.index..]));
    let nvme = seen.changes("nvme", &span);
    let active = nvme.iter().find(|c| c.active);
    let moments = [
        opened.map(|g| g.at_us),
        enabled.map(|e| e.at_us),
        active.map(|c| c.at_us),
    ];
    let since = |at: &Option<u64>| match at {
        Some(at) => format!("{:.1} ms", at.saturating_sub(span.start) as f64 / 1e3),
        None => "never".into(),
    };
    let [clock, on, device] = [0, 1, 2].map(|i| since(&moments[i]));
    let evidence = format!(
        "after the guest's word: clock {clock}, SMMUEN {on}, nvme {device}, driver bound {:.1} ms",
        length(&span) as f64 / 1e3
    );
    checks.note(
        "D6",
        "a guest wakes its device: SMMU first, then its request completes",
        moments.iter().all(Option::is_some) && moments.is_sorted(),
        evidence,
    );
}

/// Mapping and unmapping while the clock stands wakes nothing.
pub(super) fn elided(seen: &Seen<'_>, gates: &[Gate], checks: &mut Checks) {
    let done = seen.moment("unmapped and mapped 20 times").unwrap_or(0);
    let last = gates.iter().rev().find(|g| g.at_us <= done);
    let ok = last.is_some_and(|g| !g.open);
    let evidence = format!(
        "20 times each; the gate was {} before and after",
        if ok { "low" } else { "high" }
    );
    checks.note("D7", "unmap while gated woke nothing", ok, evidence);
}

/// Before the clock stopped: all masters idle for the whole delay, and the
/// SMMU terminating, forgetful and disabled.
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
    suspending(before, checks);
}

/// The last that the SMMU heard before its clock stopped, in this order.
fn suspending(before: &[Event], checks: &mut Checks) {
    let on = before.iter().rposition(enables);
    let words = &before[on.map_or(0, |at| at + 1)..];
    let last = |what: &dyn Fn(&Event) -> bool| words.iter().rposition(what);
    let told = |e: &Event, opcode: &str| e.name == "smmuv3_cmdq_opcode" && e.text.contains(opcode);
    let steps = [
        ("abort", last(&|e| writes(e, GBPA, |v| v & GBPA_ABORT != 0))),
        ("invalidate configuration", last(&|e| told(e, "CFGI_"))),
        ("invalidate translations", last(&|e| told(e, "TLBI_"))),
        ("sync", last(&|e| told(e, "CMD_SYNC"))),
        ("disable", last(&|e| writes(e, CR0, |v| v == 0))),
        ("read back", last(&|e| e.name == "smmuv3_read_mmio")),
    ];
    let missing = steps.iter().filter(|s| s.1.is_none()).map(|s| s.0);
    let missing: Vec<_> = missing.collect();
    let ok = missing.is_empty() && steps.is_sorted_by_key(|s| s.1);
    let evidence = match (ok, missing.is_empty()) {
        (true, _) => "QEMU trace: ".to_string() + &steps.map(|s| s.0).join(", "),
        (false, true) => format!("QEMU trace, out of order: {steps:?}"),
        (false, false) => format!("QEMU trace: no {}", missing.join(", no ")),
    };
    let what = "terminated, invalidated and disabled before its clock stops";
    checks.note("D5", what, ok, evidence);
}

fn writes(event: &Event, register: u64, value: impl Fn(u64) -> bool) -> bool {
    event.name == "smmuv3_write_mmio"
        && event.number("addr") == Some(register)
        && event.number("val").is_some_and(value)
}

/// Translation is switched on.
pub(super) fn enables(event: &Event) -> bool {
    writes(event, CR0, |v| v & 1 == 1)
}

fn enabled(after: &[Event]) -> Option<&Event> {
    after.iter().find(|e| enables(e))
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
    let enabled = after.iter().position(enables);
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

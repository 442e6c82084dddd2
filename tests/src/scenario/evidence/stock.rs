//! Verdicts about the means that stock guests have to let their devices sleep:
//! rebinding, runtime power management, suspend to idle, and the end of a VM.

use super::{Seen, gates, length, moved};
use crate::checks::Checks;
use crate::gates::Gate;
use crate::scenario::hardware::MASTERS;

/// How often the disk's driver is taken away and comes back.
pub const REBINDS: usize = 5;

/// All of them, each between the marks of the guests that did it.
pub fn check(seen: &Seen<'_>, checks: &mut Checks) {
    let gates = gates(seen.trace);
    rebound(seen, checks);
    suspended(seen, &gates, checks);
    replugged(seen, checks);
    let crash = "a crashed VM's devices are idle, whatever it last said";
    ended(seen, &gates, ["panic", "reset disk"], "nvme", crash, checks);
    let off = "a VM that powered off keeps nothing awake";
    ended(seen, &gates, ["parting", "off nic"], "igb", off, checks);
}

/// Each unbinding ended the disk's bus mastering and each binding began it.
fn rebound(seen: &Seen<'_>, checks: &mut Checks) {
    let span = seen.span("awake", "stock");
    let changes = seen.changes("nvme", &span);
    let idled = changes.iter().filter(|c| !c.active).count();
    let back = changes.last().is_some_and(|c| c.active);
    let alternate = changes.windows(2).all(|w| w[0].active != w[1].active);
    checks.note(
        "D1",
        format!("nvme: {REBINDS} times unbound and bound, its link is there"),
        idled >= REBINDS && back && alternate,
        format!("QEMU: bus mastering ended {idled} × and came back each time"),
    );
}

/// One guest suspended to idle, the other's network card asleep by itself for
/// want of a link: the clock stands while both are in D3hot.
fn suspended(seen: &Seen<'_>, gates: &[Gate], checks: &mut Checks) {
    // A guest whose attempt was ended by a key tries again.
    let span = seen.last_span("suspend", "resumed");
    let closed = moved(gates, &span).into_iter().find(|g| !g.open);
    let opened = closed.and_then(|c| gates.iter().find(|g| g.index > c.index && g.open));
    let low = match (closed, opened) {
        (Some(closed), Some(opened)) => closed.at_us..opened.at_us,
        _ => 0..0,
    };
    for (name, what) in [
        (
            "igb",
            "the SMMU sleeps when runtime power management put igb to sleep",
        ),
        (
            "nvme",
            "the SMMU sleeps when its guest has suspended to idle",
        ),
    ] {
        let master = MASTERS.iter().find(|m| m.name == name);
        // Without bus mastering a device is idle before it goes to D3hot, and after
        // it has left it: the clock may stop before it sleeps, and start after.
        let asleep = master.is_some_and(|m| !low.is_empty() && seen.was_in_d3hot(m, &low));
        let evidence = format!(
            "QEMU: {name} {}, the gate low for {:.1} ms until the guest resumed",
            if asleep { "in D3hot" } else { "awake" },
            length(&low) as f64 / 1e3
        );
        checks.note("D2", what, asleep, evidence);
    }
}

/// The cable is back, and so is the card.
fn replugged(seen: &Seen<'_>, checks: &mut Checks) {
    let span = seen.span("plug igb", "woken igb");
    let changes = seen.changes("igb", &span);
    let woke = changes.first().is_some_and(|c| c.active);
    let after = changes.first().map_or(0, |c| c.at_us - span.start);
    checks.note(
        "D2",
        "igb: wakes when its cable is plugged",
        woke,
        format!(
            "QEMU: D0 {:.1} ms after the cable was plugged",
            after as f64 / 1e3
        ),
    );
}

/// A VM ended with a device at work: it was the last active one, and the clock
/// stopped while the VM's memory was being scrubbed.
fn ended(
    seen: &Seen<'_>,
    gates: &[Gate],
    [from, to]: [&str; 2],
    master: &str,
    what: &str,
    checks: &mut Checks,
) {
    let span = seen.span(from, to);
    let changes = seen.changes(master, &span);
    let idle = changes.iter().find(|c| !c.active);
    let closed = moved(gates, &span).into_iter().find(|g| !g.open);
    let ok = matches!((idle, closed), (Some(i), Some(g)) if i.index < g.index);
    let evidence = match (idle, closed) {
        (Some(idle), Some(gate)) => format!(
            "QEMU: {master} stopped mastering the bus, the gate low {:.1} ms later",
            gate.at_us.saturating_sub(idle.at_us) as f64 / 1e3
        ),
        other => format!("QEMU: {other:?}"),
    };
    checks.note("D2", what, ok, evidence);
}

#[cfg(test)]
mod tests;

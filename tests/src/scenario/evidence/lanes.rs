//! The rows of the timeline that QEMU's trace tells.

use super::{CR0, activity, gates};
use crate::scenario::hardware::{MASTERS, Master};
use crate::timeline::Lane;
use crate::trace::Event;

/// A master's row.
pub fn master_lane(trace: &[Event], master: &Master, zero: u64, end_us: u64) -> Lane {
    let mut changes = vec![(0, "idle".to_string())];
    for change in activity(trace, master) {
        let state = if change.active { "active" } else { "idle" };
        changes.push((change.at_us.saturating_sub(zero), state.to_string()));
    }
    Lane::from_changes(master.name, "master", &changes, end_us)
}

/// The SMMU's row: terminating, on, idle (on, but no master is active), gated.
pub fn smmu_lane(trace: &[Event], zero: u64, end_us: u64) -> Lane {
    let mut masters = MASTERS.map(|m| activity(trace, &m).into_iter().peekable());
    let mut gates = gates(trace).into_iter().peekable();
    let mut active = [false; MASTERS.len()];
    let (mut enabled, mut open) = (false, true);
    let mut changes = vec![(0, "deny".to_string())];
    for (index, event) in trace.iter().enumerate() {
        if let Some(gate) = gates.next_if(|g| g.index == index) {
            open = gate.open;
        } else if event.name == "smmuv3_write_mmio" && event.number("addr") == Some(CR0) {
            enabled = event.number("val").is_some_and(|v| v & 1 == 1);
        } else {
            let mut moved = false;
            for (changes, active) in masters.iter_mut().zip(&mut active) {
                if let Some(change) = changes.next_if(|c| c.index == index) {
                    (*active, moved) = (change.active, true);
                }
            }
            if !moved {
                continue;
            }
        }
        let state = match (open, enabled, active.contains(&true)) {
            (false, ..) => "gated",
            (_, false, _) => "deny",
            (_, _, true) => "on",
            (_, _, false) => "idle",
        };
        changes.push((event.at_us.saturating_sub(zero), state.to_string()));
    }
    changes.dedup_by(|next, last| next.1 == last.1);
    Lane::from_changes("SMMU", "smmu", &changes, end_us)
}

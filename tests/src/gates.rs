//! Clock gates on the board's PL061, as QEMU saw them move.

use crate::trace::Event;

/// A gate moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Position among all events.
    pub index: usize,
    /// Microseconds since the Unix epoch.
    pub at_us: u64,
    /// Whether the clock runs from here on.
    pub open: bool,
}

/// All movements of the gate on a GPIO line, the first one up: the line is low
/// from reset until Stagegate first drives it.
pub fn movements(trace: &[Event], line: u64) -> Vec<Gate> {
    let mut gates: Vec<Gate> = Vec::new();
    for (index, event) in trace.iter().enumerate() {
        if event.name != "pl061_set_output" || event.number("output") != Some(line) {
            continue;
        }
        let open = event.number(" to") == Some(1);
        if gates.last().map_or(open, |last| last.open != open) {
            gates.push(Gate {
                index,
                at_us: event.at_us,
                open,
            });
        }
    }
    gates
}

/// The events while the gate was low after its movement `closed`.
pub fn while_low<'t>(trace: &'t [Event], gates: &[Gate], closed: &Gate) -> &'t [Event] {
    let opened = gates.iter().find(|g| g.index > closed.index);
    &trace[closed.index..opened.map_or(trace.len(), |g| g.index)]
}

/// Whether an event is a CPU's access to a register of the SMMU.
pub fn touches_smmu(event: &Event) -> bool {
    matches!(
        event.name.as_str(),
        "smmuv3_read_mmio" | "smmuv3_write_mmio"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::parse;

    #[test]
    fn a_gate_moves_only_when_its_own_line_does() {
        let trace = parse(
            "1@1.0:pl061_set_output pl061 0x5 setting output 5 to 0\n\
             1@2.0:pl061_set_output pl061 0x5 setting output 5 to 1\n\
             1@3.0:smmuv3_write_mmio addr: 0x20 val:0x0 size: 0x4 (0)\n\
             1@4.0:pl061_set_output pl061 0x6 setting output 6 to 1\n\
             1@5.0:pl061_set_output pl061 0x5 setting output 5 to 1\n\
             1@6.0:pl061_set_output pl061 0x5 setting output 5 to 0\n\
             1@7.0:smmuv3_translate_abort sid=0x30\n\
             1@8.0:pl061_set_output pl061 0x5 setting output 5 to 1\n",
        );
        let gates = movements(&trace, 5);
        let moved: Vec<_> = gates.iter().map(|g| (g.index, g.open)).collect();
        assert_eq!(moved, [(1, true), (5, false), (7, true)]);
        let low = while_low(&trace, &gates, &gates[1]);
        assert!(low.iter().any(|e| e.name == "smmuv3_translate_abort"));
        assert!(!low.iter().any(touches_smmu));
    }
}

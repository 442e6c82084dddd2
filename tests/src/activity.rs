//! When a PCI function may issue transactions, as QEMU saw it: it is in D0 and
//! may master the bus.

use crate::trace::Event;

/// The command register and its bus-master bit.
const COMMAND: u64 = 4;
const BUS_MASTER: u64 = 1 << 2;

/// A function became active, or idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Position among all events.
    pub index: usize,
    /// Microseconds since the Unix epoch.
    pub at_us: u64,
    /// Whether it may issue transactions from here on.
    pub active: bool,
}

/// All changes of a function, by QEMU's name for it.
pub fn changes(trace: &[Event], function: &str) -> Vec<Change> {
    let (mut mastering, mut awake) = (false, true);
    let mut changes = Vec::new();
    for (index, event) in trace.iter().enumerate() {
        let before = mastering && awake;
        if let Some(value) = command_write(event, function) {
            mastering = value & BUS_MASTER != 0;
        } else if event.name == "pci_pm_transition" && event.text.starts_with(function) {
            awake = event.text.ends_with("D0");
        }
        if before != (mastering && awake) {
            changes.push(Change {
                index,
                at_us: event.at_us,
                active: !before,
            });
        }
    }
    changes
}

/// The new value, if an event is a write to the function's command register.
fn command_write(event: &Event, function: &str) -> Option<u64> {
    let ours = event.name == "pci_cfg_write" && event.text.starts_with(function);
    if !ours || event.number("@") != Some(COMMAND) {
        return None;
    }
    event.number("<-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::parse;

    #[test]
    fn active_is_awake_and_mastering() {
        let trace = parse(
            "1@1.0:pci_cfg_write igb 00:02.0 @0x4 <- 0x2\n\
             1@2.0:pci_cfg_write igb 00:02.0 @0x4 <- 0x6\n\
             1@3.0:pci_cfg_write nvme 00:01.0 @0x4 <- 0x6\n\
             1@4.0:pci_pm_transition igb 00:02.0 PM transition D0->D3\n\
             1@5.0:pci_cfg_write igb 00:02.0 @0x4 <- 0x0\n\
             1@6.0:pci_pm_transition igb 00:02.0 PM transition D3->D0\n\
             1@7.0:pci_cfg_write igb 00:02.0 @0x4 <- 0x6\n",
        );
        let changes = changes(&trace, "igb");
        let moments: Vec<_> = changes.iter().map(|c| (c.index, c.active)).collect();
        assert_eq!(moments, [(1, true), (3, false), (6, true)]);
    }
}

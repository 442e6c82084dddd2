//! Outcomes in words.
use super::{Entry, Graph, Index, Role, State};
use crate::report::Report;
use alloc::format;
use alloc::string::String;

impl Graph {
    /// What has become of a device, in words.
    #[must_use]
    pub fn outcome(&self, index: Index) -> String {
        let Some(device) = self.devices().get(index) else {
            return String::new();
        };
        match &device.state {
            State::New => "not probed yet".into(),
            State::Ready => "ready".into(),
            State::Waiting(on) => format!("deferred: waits for {}", self.name(*on)),
            State::NotYet(why) => format!("deferred: {why}"),
            State::Bypassed(by) => format!("bypassed: {} never came", self.name(*by)),
            State::NoDriver => "no driver".into(),
            State::Disabled => "disabled".into(),
            State::Failed(why) => format!("failed: {why}"),
            State::Refused(by) => format!("refused: {}", self.chain(*by)),
            State::Cycle(ring) => {
                let names = ring.iter().map(|&i| self.name(i));
                let list = names.fold(String::new(), |list, name| format!("{list}{name} → "));
                format!("waits for itself: {list}{}", self.name(index_of(ring)))
            }
        }
    }

    fn serves_master(&self, supplier: Index, entries: &[Entry]) -> bool {
        let mut devices = self.devices().iter().zip(entries);
        devices.any(|(device, entry)| {
            matches!(entry.role, Role::Master(..))
                && device.links.iter().any(|l| l.supplier == supplier)
        })
    }

    fn name(&self, index: Index) -> &str {
        self.devices().get(index).map_or("?", |d| d.name.as_str())
    }

    /// The supplier that never came, and through whom.
    fn chain(&self, first: Index) -> String {
        let mut text = String::new();
        let mut at = first;
        loop {
            text.push_str(self.name(at));
            match self.devices().get(at).map(|d| &d.state) {
                Some(State::Refused(by)) if text.len() < 400 => {
                    text.push_str(" needs ");
                    at = *by;
                }
                Some(State::Cycle(_)) => return format!("{text} waits for itself"),
                _ => return format!("{text}: {}", self.outcome(at)),
            }
        }
    }

    /// Reports every SMMU, TBU and master that did not become ready, and every
    /// cycle.
    pub fn explain(&self, entries: &[Entry], report: &mut Report) {
        for (index, (device, entry)) in self.devices().iter().zip(entries).enumerate() {
            let place = (device.name.as_str(), "");
            let what = self.outcome(index);
            match (&device.state, entry.role) {
                (State::Ready | State::Disabled | State::New, _) => {}
                (State::Cycle(_), _) => {
                    let remedy = "break the ring: a supplier must not need what it supplies";
                    report.error("cycle", place, what, remedy);
                }
                (State::Bypassed(_), _) => {
                    let remedy = "remove stagegate,optional to refuse it instead";
                    report.warning("bypassed", place, what, remedy);
                }
                (_, Role::Smmu(_) | Role::Tbu(..)) if !self.serves_master(index, entries) => {
                    report.note("smmu-unready", place, what);
                }
                (_, Role::Smmu(_) | Role::Tbu(..)) => {
                    let remedy = "name suppliers with a driver, or set stagegate,always-on if \
                                  firmware keeps it running";
                    report.warning("smmu-unready", place, what, remedy);
                }
                (_, Role::Master(..)) => {
                    let remedy = "put its SMMU right, or accept the risk with stagegate,optional";
                    report.error("master-refused", place, what, remedy);
                }
                (_, Role::Supplier | Role::PciHost(_)) => {}
            }
        }
    }
}

fn index_of(ring: &[Index]) -> Index {
    ring.first().copied().unwrap_or(0)
}

//! Probes the board in the order that its parts' needs allow, and says what
//! became of each.
//!
//! The graph and its rules are those of `stagegate check`; here the drivers
//! really ask. What does not answer yet is asked again until the operator's
//! patience ends; then all that is left is refused, so that guests start with
//! what there is.

use alloc::string::String;
use alloc::vec::Vec;

use platform::config::Plan;
use platform::facts::Board;
use platform::probe::{Entry, Graph, Probed, Role, State, graph_of};
use platform::supply::Suppliers;
use platform::tree::Tree;

use crate::arch::timer;
use crate::machine::board::smmus::{self, SAID};
use crate::machine::board::supplies::Machine;

/// Pause before what did not answer is asked again.
const PAUSE_NS: u64 = 5_000_000;

/// Devices of the plan that something they need keeps from being given.
pub struct Refused(Vec<((usize, usize), String)>);

impl Refused {
    /// Why this device of this VM may not be given, if it may not.
    pub fn why(&self, vm: usize, device: usize) -> Option<&str> {
        let mut all = self.0.iter();
        let found = all.find(|(place, _)| *place == (vm, device));
        found.map(|(_, why)| why.as_str())
    }
}

/// Probes suppliers, SMMUs, TBUs, host bridges and masters. Afterwards
/// [`smmus::units`] are those that work.
pub fn run(tree: &Tree<'_>, board: &Board, plan: &Plan) -> Refused {
    let (graph, entries) = graph_of(tree, board, plan);
    let mut probing = Probing {
        told: alloc::vec![false; entries.len()],
        graph,
        entries,
    };
    let mut suppliers = Suppliers::new(Machine);
    let mut start = smmus::Start::new(board, plan);
    let began = timer::now_ns();
    let patience = plan.probe_timeout_us.saturating_mul(1000);
    loop {
        let entries = &probing.entries;
        probing.graph.run(&mut |index| match entries.get(index) {
            Some(entry) => probe(tree, entry, &mut suppliers, &mut start),
            None => Probed::Failed("not part of the board"),
        });
        let waited = timer::now_ns().saturating_sub(began);
        probing.tell_deferred(waited);
        if !probing.waits() || waited >= patience {
            break;
        }
        pause();
    }
    probing.graph.finish();
    probing.tell_outcomes();
    start.finish();
    probing.refused()
}

fn probe(
    tree: &Tree<'_>,
    entry: &Entry,
    suppliers: &mut Suppliers<Machine>,
    start: &mut smmus::Start<'_>,
) -> Probed {
    match entry.role {
        Role::Supplier => suppliers.probe(tree, entry.node),
        Role::Smmu(index) => start.smmu(tree, index, suppliers),
        Role::Tbu(smmu, index) => start.tbu(smmu, index),
        // Nothing of their own: they stand or fall with what they need. What the
        // graph does not know is looked at when VMs are made.
        Role::PciHost(_) | Role::Master(..) => Probed::Ready,
    }
}

fn pause() {
    let end = timer::now_ns().saturating_add(PAUSE_NS);
    while timer::now_ns() < end {
        core::hint::spin_loop();
    }
}

struct Probing {
    graph: Graph,
    entries: Vec<Entry>,
    /// Whose deferral has been told.
    told: Vec<bool>,
}

impl Probing {
    /// Whether something may still come.
    fn waits(&self) -> bool {
        let mut devices = self.graph.devices().iter();
        devices.any(|device| matches!(device.state, State::NotYet(_)))
    }

    /// Says once who is deferred and why, and who is ready after all.
    fn tell_deferred(&mut self, waited_ns: u64) {
        for (index, (device, told)) in self.graph.devices().iter().zip(&mut self.told).enumerate() {
            let deferred = matches!(device.state, State::NotYet(_) | State::Waiting(_));
            if deferred && !*told {
                log::info!("{}: {}", device.name, self.graph.outcome(index));
            } else if *told && device.state == State::Ready {
                let ms = waited_ns / 1_000_000;
                log::info!("{}: ready after {ms} ms", device.name);
            }
            *told = deferred;
        }
    }

    /// The masters that never came.
    fn refused(&self) -> Refused {
        let each = self.graph.devices().iter().zip(&self.entries).enumerate();
        let dead = each.filter_map(|(index, (device, entry))| match entry.role {
            Role::Master(vm, place) if device.state.is_dead() => {
                Some(((vm, place), self.graph.outcome(index)))
            }
            _ => None,
        });
        Refused(dead.collect())
    }

    /// Says what became of those that are not ready. Masters are told of when
    /// their VM is made.
    fn tell_outcomes(&self) {
        let each = self.graph.devices().iter().zip(&self.entries).enumerate();
        for (index, (device, entry)) in each {
            let (name, outcome) = (&device.name, self.graph.outcome(index));
            match (&device.state, entry.role) {
                (State::Ready | State::Disabled | State::Failed(SAID), _) => {}
                (State::Cycle(_), _) => log::error!("{name}: {outcome}"),
                (_, Role::Smmu(_) | Role::Tbu(..)) => {
                    log::error!("{name}: {outcome}: its masters are given to nobody");
                }
                (State::Bypassed(_), _) => log::warn!("{name}: {outcome}"),
                _ => {}
            }
        }
    }
}

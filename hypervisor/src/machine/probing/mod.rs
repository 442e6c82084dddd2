//! Probes the board in the order that its parts' needs allow, and says what
//! became of each.
//!
//! The graph and its rules are those of `stagegate check`; here the drivers
//! really ask. What does not answer yet is asked again until the operator's
//! patience ends. Then guests start with what there is, and the rest is asked
//! one by one while they run ([`late`]).

pub mod give;
pub mod late;

use alloc::string::String;
use alloc::vec::Vec;

use platform::config::Plan;
use platform::facts::Board;
use platform::probe::{Entry, Graph, Probed, Role, State, graph_of};
use platform::supply::{NO_ANSWER, OpenError, Suppliers};
use platform::tree::Tree;

use crate::arch::timer;
use crate::machine::board::smmus::{self, SAID};
use crate::machine::board::supplies::{self, Machine};

/// Pause before what did not answer is asked again.
const PAUSE_NS: u64 = 5_000_000;

/// What becomes of a device of the plan.
pub enum Fate {
    /// All that it needs is there.
    Ready,
    /// Something is not there yet: what, in words.
    Waits(String),
    /// It is not given: why, in words.
    Refused(String),
}

/// The board on its way up.
pub struct Probing {
    tree: &'static Tree<'static>,
    graph: Graph,
    entries: Vec<Entry>,
    /// Whose deferral has been told.
    told: Vec<bool>,
    /// Whose end has been told.
    ended: Vec<bool>,
    suppliers: Suppliers<Machine>,
    start: smmus::Start<'static>,
    began_ns: u64,
}

impl Probing {
    /// Probes suppliers, SMMUs, TBUs, host bridges and masters until all have an
    /// outcome, or the operator's patience ends.
    pub fn run(tree: &'static Tree<'static>, board: &'static Board, plan: &'static Plan) -> Self {
        let (graph, entries) = graph_of(tree, board, plan);
        let mut probing = Self {
            tree,
            told: alloc::vec![false; entries.len()],
            ended: alloc::vec![false; entries.len()],
            graph,
            entries,
            suppliers: Suppliers::new(Machine),
            start: smmus::Start::new(board, plan),
            began_ns: timer::now_ns(),
        };
        let patience = plan.probe_timeout_us.saturating_mul(1000);
        loop {
            probing.step(|graph, probe| {
                graph.run(probe);
            });
            if !probing.graph.waits() || probing.waited_ns() >= patience {
                break;
            }
            pause();
        }
        probing.settle();
        probing
    }

    /// Lets the graph ask.
    fn step<T>(&mut self, ask: impl FnOnce(&mut Graph, &mut dyn FnMut(usize) -> Probed) -> T) -> T {
        let (entries, suppliers) = (&self.entries, &mut self.suppliers);
        let (tree, start) = (self.tree, &mut self.start);
        let answer = ask(&mut self.graph, &mut |index| match entries.get(index) {
            Some(entry) => probe(tree, entry, suppliers, start),
            None => Probed::Failed("not part of the board"),
        });
        self.tell_deferred();
        answer
    }

    /// Guests start.
    fn settle(&mut self) {
        let entries = &self.entries;
        // Their functions are looked for now or never.
        let is_host = |entry: &Entry| matches!(entry.role, Role::PciHost(_));
        let may_come = |index| !entries.get(index).is_some_and(is_host);
        self.graph.settle(&may_come);
        self.tell_outcomes();
        for (index, device) in self.graph.devices().iter().enumerate() {
            let role = self.entries.get(index).map(|entry| entry.role);
            if !device.state.is_final() && matches!(role, Some(Role::Smmu(_))) {
                let (name, outcome) = (&device.name, self.graph.outcome(index));
                log::warn!("{name}: {outcome}: guests start without its masters");
            }
        }
        let late = self.all().filter_map(|(_, state, entry)| match entry.role {
            Role::Smmu(index) if !state.is_final() => Some(index),
            _ => None,
        });
        let late: Vec<usize> = late.collect();
        self.start.settle(late.into_iter());
    }

    /// Asks one of those that may still come, while guests run. Whether that
    /// changed anything.
    pub fn ask(&mut self) -> bool {
        let before = self.graph.order().len();
        while let Some(index) = self.step(Graph::ask_one) {
            let entry = self.entries.get(index);
            // These only stand or fall with others.
            if !entry.is_some_and(|entry| matches!(entry.role, Role::Master(..))) {
                break;
            }
        }
        self.tell_outcomes();
        self.graph.order().len() != before
    }

    /// Whether something may still come.
    pub fn waits(&self) -> bool {
        self.graph.waits()
    }

    /// Nanoseconds since probing began.
    pub fn waited_ns(&self) -> u64 {
        timer::now_ns().saturating_sub(self.began_ns)
    }

    fn all(&self) -> impl Iterator<Item = (usize, &State, &Entry)> {
        let each = self.graph.devices().iter().zip(&self.entries).enumerate();
        each.map(|(index, (device, entry))| (index, &device.state, entry))
    }

    /// What becomes of this device of this VM.
    pub fn fate(&self, vm: usize, device: usize) -> Fate {
        let role = Role::Master(vm, device);
        let found = self.all().find(|(_, _, entry)| entry.role == role);
        match found {
            Some((index, state, _)) if state.is_dead() => Fate::Refused(self.graph.outcome(index)),
            Some((index, state, _)) if !state.is_final() => Fate::Waits(self.graph.outcome(index)),
            // What the graph does not know is looked at when VMs are made.
            _ => Fate::Ready,
        }
    }

    /// Whether what host bridge `index` needs is on. One that no VM uses is taken
    /// as the boot loader left it.
    pub fn powers_host(&self, index: usize) -> bool {
        let role = Role::PciHost(index);
        let found = self.all().find(|(_, _, entry)| entry.role == role);
        found.is_none_or(|(_, state, _)| *state == State::Ready)
    }

    /// The devices that are not there, and why, for people.
    pub fn missing(&self) -> impl Iterator<Item = (&str, String)> {
        let each = self.graph.devices().iter().enumerate();
        let missing = each.filter(|(_, device)| device.state != State::Ready);
        missing.map(|(index, device)| (device.name.as_str(), self.graph.outcome(index)))
    }

    /// Says once who is deferred and why, and who is ready after all.
    fn tell_deferred(&mut self) {
        let ms = self.waited_ns() / 1_000_000;
        for (index, (device, told)) in self.graph.devices().iter().zip(&mut self.told).enumerate() {
            let deferred = matches!(device.state, State::NotYet(_) | State::Waiting(_));
            if deferred && !*told {
                log::info!("{}: {}", device.name, self.graph.outcome(index));
            } else if *told && device.state == State::Ready {
                log::info!("{}: ready after {ms} ms", device.name);
            }
            *told = deferred;
        }
    }

    /// Says once what became of those that are not ready. Masters are told of
    /// when their VM is made.
    fn tell_outcomes(&mut self) {
        let each = self.graph.devices().iter().zip(&self.entries);
        for (index, ((device, entry), ended)) in each.zip(&mut self.ended).enumerate() {
            if core::mem::replace(ended, device.state.is_final()) {
                continue;
            }
            let (name, outcome) = (&device.name, self.graph.outcome(index));
            match (&device.state, entry.role) {
                (State::Ready | State::Disabled | State::Failed(SAID), _) => {}
                (State::Cycle(_), _) => log::error!("{name}: {outcome}"),
                (state, _) if !state.is_final() => {}
                (_, Role::Smmu(_) | Role::Tbu(..)) => {
                    log::error!("{name}: {outcome}: its masters are given to nobody");
                }
                (State::Bypassed(_), _) => log::warn!("{name}: {outcome}"),
                _ => {}
            }
        }
    }
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
        Role::PciHost(_) => match supplies::power(suppliers, tree, entry.node) {
            Ok(()) => Probed::Ready,
            Err(OpenError::Firmware(error)) if error.may_pass() => Probed::NotYet(NO_ANSWER),
            Err(_) => Probed::Failed("a clock or power domain of it does not come on"),
        },
        // Nothing of their own: they stand or fall with what they need.
        Role::Master(..) => Probed::Ready,
    }
}

fn pause() {
    let end = timer::now_ns().saturating_add(PAUSE_NS);
    while timer::now_ns() < end {
        core::hint::spin_loop();
    }
}

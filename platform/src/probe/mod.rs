//! Probe ordering: everything is probed when what it depends on is ready,
//! waits with a reason until then, and ends in an outcome.
//!
//! [`Graph`] is plain bookkeeping and knows no device; [`graph_of`] builds one
//! from a device tree and a plan; the caller probes. A supplier that turns up
//! late is no special case: [`Graph::run`] may be called again whenever
//! something new has appeared. Once guests run, [`Graph::settle`] ends what
//! cannot come any more, and [`Graph::ask_one`] goes on with the rest in small
//! steps.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]
mod build;
mod cycle;
mod depend;
mod explain;
mod late;
#[cfg(test)]
mod tests;

pub use build::{Entry, Role, graph_of};
pub use depend::{Driver, depends_on, driver_of, suppliers_of};

use alloc::string::String;
use alloc::vec::Vec;

/// A device's place in a [`Graph`].
pub type Index = usize;

/// What a device waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The supplier.
    pub supplier: Index,
    /// What becomes of the consumer when the supplier never comes.
    pub need: Need,
}

/// What becomes of a consumer when a supplier never comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It is refused.
    Required,
    /// It does without.
    Optional,
    /// It does without, and is marked: the operator wrote that this master may
    /// run past its SMMU.
    OrBypass,
}

/// A device in the graph.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its path or name, for messages.
    pub name: String,
    /// Its suppliers.
    pub links: Vec<Link>,
    /// Where it stands.
    pub state: State,
}

/// Where a device stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not looked at yet.
    New,
    /// Waiting for a supplier.
    Waiting(Index),
    /// Its own probing said "not yet", with a reason.
    NotYet(&'static str),
    /// Probed and working.
    Ready,
    /// Runs without its supplier, because the operator wrote so.
    Bypassed(Index),
    /// There is no driver for it.
    NoDriver,
    /// The device tree disables it.
    Disabled,
    /// Its own probing failed for good.
    Failed(&'static str),
    /// This supplier never came.
    Refused(Index),
    /// It waits for itself, through these devices.
    Cycle(Vec<Index>),
}

impl State {
    /// Whether nothing can change it any more.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::New | Self::Waiting(_) | Self::NotYet(_))
    }

    /// Whether it never comes: neither ready nor passed by.
    #[must_use]
    pub const fn is_dead(&self) -> bool {
        self.is_final() && !matches!(self, Self::Ready | Self::Bypassed(_))
    }
}

/// What probing one device came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probed {
    /// It works.
    Ready,
    /// Ask again when something new has appeared.
    NotYet(&'static str),
    /// It never will.
    Failed(&'static str),
}

/// Devices and who supplies whom.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    devices: Vec<Device>,
    /// Order in which devices became ready: the power-up order.
    order: Vec<Index>,
    /// Whose turn it is to be asked alone.
    turn: Index,
}

impl Graph {
    /// An empty graph.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            devices: Vec::new(),
            order: Vec::new(),
            turn: 0,
        }
    }

    /// Adds a device in state `state`.
    pub fn add(&mut self, name: impl Into<String>, state: State) -> Index {
        let device = Device {
            name: name.into(),
            links: Vec::new(),
            state,
        };
        self.devices.push(device);
        self.devices.len().saturating_sub(1)
    }

    /// Notes that `consumer` depends on `supplier`.
    pub fn link(&mut self, consumer: Index, supplier: Index, need: Need) {
        if let Some(device) = self.devices.get_mut(consumer)
            && !device.links.iter().any(|l| l.supplier == supplier)
        {
            device.links.push(Link { supplier, need });
        }
    }

    /// All devices.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// Devices in the order they became ready.
    #[must_use]
    pub fn order(&self) -> &[Index] {
        &self.order
    }

    /// Probes until nothing moves any more. Returns whether anything became
    /// ready. May be called again at any time.
    pub fn run(&mut self, probe: &mut dyn FnMut(Index) -> Probed) -> bool {
        let asked = alloc::vec![false; self.devices.len()];
        self.run_but(asked, probe)
    }

    /// As [`run`](Self::run); those that were asked already are not asked again
    /// before something has become ready.
    fn run_but(&mut self, mut asked: Vec<bool>, probe: &mut dyn FnMut(Index) -> Probed) -> bool {
        let mut moved = false;
        loop {
            let mut progress = false;
            for index in 0..self.devices.len() {
                let before = self.devices.get(index).map(|d| d.state.clone());
                let ready = self.step(index, &mut asked, probe);
                let after = self.devices.get(index).map(|d| d.state.clone());
                progress |= before != after;
                if ready {
                    moved = true;
                    self.order.push(index);
                    // Something new: those that said "not yet" are asked again.
                    asked.fill(false);
                }
            }
            if !progress {
                return moved;
            }
        }
    }

    /// Looks at one device; true when it has just become ready.
    fn step(
        &mut self,
        index: Index,
        asked: &mut [bool],
        probe: &mut dyn FnMut(Index) -> Probed,
    ) -> bool {
        let Some(device) = self.devices.get(index) else {
            return false;
        };
        if device.state.is_final() {
            return false;
        }
        let next = match self.suppliers(device) {
            Suppliers::Missing(by) => State::Refused(by),
            Suppliers::Bypass(by) => State::Bypassed(by),
            Suppliers::Waiting(on) => State::Waiting(on),
            Suppliers::Ready => {
                let Some(asked) = asked.get_mut(index).filter(|a| !**a) else {
                    return false;
                };
                *asked = true;
                match probe(index) {
                    Probed::Ready => State::Ready,
                    Probed::NotYet(why) => State::NotYet(why),
                    Probed::Failed(why) => State::Failed(why),
                }
            }
        };
        let ready = next == State::Ready;
        if let Some(device) = self.devices.get_mut(index) {
            device.state = next;
        }
        ready
    }

    fn suppliers(&self, device: &Device) -> Suppliers {
        let (mut waiting, mut bypass) = (None, None);
        for link in &device.links {
            let Some(supplier) = self.devices.get(link.supplier) else {
                continue;
            };
            match link.need {
                Need::Required if supplier.state.is_dead() => {
                    return Suppliers::Missing(link.supplier);
                }
                Need::OrBypass if supplier.state.is_dead() => bypass = Some(link.supplier),
                _ => {}
            }
            if !supplier.state.is_final() {
                waiting = waiting.or(Some(link.supplier));
            }
        }
        match (waiting, bypass) {
            (Some(on), _) => Suppliers::Waiting(on),
            (None, Some(by)) => Suppliers::Bypass(by),
            (None, None) => Suppliers::Ready,
        }
    }

    /// Ends the waiting: cycles are named, the rest is refused or bypassed,
    /// so that every device has an outcome.
    pub fn finish(&mut self) {
        self.name_rings();
        for device in &mut self.devices {
            if let State::NotYet(why) = device.state {
                device.state = State::Failed(why);
            }
        }
        // Whoever waited for one of these is refused in turn, or turns out to
        // have everything it needs: nobody is left to be asked.
        self.run(&mut |_| Probed::Failed("gave up waiting"));
    }
}

/// Where the suppliers of a device stand, taken together.
enum Suppliers {
    Ready,
    Waiting(Index),
    Missing(Index),
    Bypass(Index),
}

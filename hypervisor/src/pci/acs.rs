//! Isolation: who can reach whom without passing the SMMU.
//!
//! Functions of one device, and devices below one switch, may send to each
//! other directly unless access control services (PCIe base 5.0, 6.12) make
//! every transaction go up. Functions that cannot be kept apart form a group,
//! and one group belongs to one VM.

use alloc::vec::Vec;

use super::caps::find_extended;
use super::config::ConfigSpace;
use super::regs::{ext, pcie};
use super::rid::Rid;
use super::topology::{Function, Topology};

/// Turns on isolating access control wherever it is offered, and records where
/// it is in force.
pub fn enable(cfg: &impl ConfigSpace, topology: &mut Topology) {
    for function in &mut topology.functions {
        function.acs = function.port.is_some() && enable_one(cfg, function.rid);
    }
}

fn enable_one(cfg: &impl ConfigSpace, rid: Rid) -> bool {
    let Some(at) = find_extended(cfg, rid, ext::ACS) else {
        return false;
    };
    let offered = cfg.read16(rid, at.saturating_add(ext::ACS_CAP)) & ext::ACS_ISOLATE;
    let control = at.saturating_add(ext::ACS_CTL);
    cfg.write16(rid, control, offered);
    // A multi-function endpoint has nothing to forward upstream and offers
    // only the redirects; a port must offer all.
    cfg.read16(rid, control) & offered == offered && offered != 0
}

/// The group of a function, named after its first member: two functions may go
/// to different VMs only if their groups differ.
#[must_use]
pub fn group(topology: &Topology, function: &Function) -> Rid {
    // The bridge nearest to the root that does not isolate what is behind it.
    let leaky = topology
        .bridges_above(function)
        .filter(|bridge| !isolates(bridge))
        .last();
    let leader = leaky.unwrap_or(function);
    match siblings_apart(topology, leader) {
        true => leader.rid,
        false => leader.rid.sibling(0),
    }
}

/// Whom the groups of one host bridge were given to, `W` as the caller knows
/// them. A function that was given to nobody is silent and counts for nothing.
#[derive(Debug)]
pub struct Owners<W> {
    given: Vec<Given<W>>,
}

#[derive(Debug)]
struct Given<W> {
    group: Rid,
    owner: W,
    first: Rid,
}

/// A function of the same group was given to somebody else before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inseparable<W> {
    /// That function.
    pub function: Rid,
    /// Whose it is.
    pub owner: W,
}

impl<W> Default for Owners<W> {
    fn default() -> Self {
        Self { given: Vec::new() }
    }
}

impl<W: Clone + PartialEq> Owners<W> {
    /// Gives a function to `owner`, and with it its group. A function that is
    /// not there has no group.
    ///
    /// # Errors
    /// The group is somebody else's; nothing was given.
    pub fn give(&mut self, topology: &Topology, rid: Rid, owner: W) -> Result<(), Inseparable<W>> {
        let Ok(function) = topology.get(rid) else {
            return Ok(());
        };
        let group = group(topology, function);
        match self.given.iter().find(|given| given.group == group) {
            Some(given) if given.owner == owner => {}
            Some(given) => {
                return Err(Inseparable {
                    function: given.first,
                    owner: given.owner.clone(),
                });
            }
            None => self.given.push(Given {
                group,
                owner,
                first: rid,
            }),
        }
        Ok(())
    }
}

/// Only a port that leads to a single link can promise that all goes up.
fn isolates(bridge: &Function) -> bool {
    let port = matches!(bridge.port, Some(pcie::ROOT_PORT | pcie::DOWNSTREAM));
    let upstream = matches!(bridge.port, Some(5));
    // An upstream port forwards between its downstream ports, which decide.
    upstream || (port && bridge.acs)
}

/// Whether the functions of a device cannot reach each other.
fn siblings_apart(topology: &Topology, function: &Function) -> bool {
    let slot = function.rid.sibling(0);
    let mut all = topology
        .functions
        .iter()
        .filter(|f| f.rid.sibling(0) == slot);
    let several = topology
        .functions
        .iter()
        .filter(|f| f.rid.sibling(0) == slot)
        .count()
        > 1;
    !several || all.all(|f| f.acs)
}

//! The graph of a board and its plan.
use super::depend::{driver_of, suppliers_of};
use super::{Graph, Index, Need, State};
use crate::config::{DeviceConfig, DeviceKind, Plan};
use crate::facts::{Board, Smmu};
use crate::tree::{NodeId, Tree};
use alloc::vec::Vec;
use litemap::LiteMap;

/// What a device in the graph is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Supplier of clocks, power or GPIO lines.
    Supplier,
    /// An SMMU: index into [`Board::smmus`].
    Smmu(usize),
    /// A TBU: indices of its SMMU and of it.
    Tbu(usize, usize),
    /// A PCI host bridge: index into [`Board::pci_hosts`].
    PciHost(usize),
    /// A master: indices of VM and device in the plan.
    Master(usize, usize),
}

/// What stands at one index of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its node in the tree.
    pub node: NodeId,
    /// What it is.
    pub role: Role,
}

struct Builder<'b, 'a> {
    tree: &'b Tree<'a>,
    graph: Graph,
    entries: Vec<Entry>,
    places: LiteMap<NodeId, Index>,
}

/// Builds the graph: every enabled SMMU and its TBUs, the masters of the plan
/// and their host bridges, and all suppliers any of these depend on.
#[must_use]
pub fn graph_of(tree: &Tree<'_>, board: &Board, plan: &Plan) -> (Graph, Vec<Entry>) {
    let mut builder = Builder {
        tree,
        graph: Graph::new(),
        entries: Vec::new(),
        places: LiteMap::new(),
    };
    for (index, smmu) in board.smmus.iter().enumerate() {
        let always_on = plan.smmus.iter().any(|s| s.smmu == index && s.always_on);
        builder.smmu(index, smmu, always_on);
    }
    for (index, host) in board.pci_hosts.iter().enumerate() {
        if used(plan, index) {
            let state = if host.enabled {
                State::New
            } else {
                State::Disabled
            };
            let at = builder.add(host.node, Role::PciHost(index), state);
            builder.suppliers(at, host.node, Need::Required);
        }
    }
    for (v, vm) in plan.vms.iter().enumerate() {
        for (d, device) in vm.devices.iter().enumerate() {
            builder.master(board, (v, d), device);
        }
    }
    (builder.graph, builder.entries)
}

fn used(plan: &Plan, host: usize) -> bool {
    let devices = plan.vms.iter().flat_map(|vm| &vm.devices);
    devices
        .into_iter()
        .any(|d| matches!(d.kind, DeviceKind::Pci { host: h, .. } if h == host))
}

impl Builder<'_, '_> {
    fn add(&mut self, node: NodeId, role: Role, state: State) -> Index {
        let index = self.graph.add(self.tree.path(node), state);
        self.entries.push(Entry { node, role });
        self.places.entry(node).or_insert(index);
        index
    }

    /// Links a device to its suppliers, which are added as they are met.
    fn suppliers(&mut self, index: Index, node: NodeId, need: Need) {
        for supplier in suppliers_of(self.tree, node) {
            let at = self.supplier(supplier);
            self.graph.link(index, at, need);
        }
    }

    /// A cycle ends the recursion because a node is placed before its
    /// suppliers are looked at.
    fn supplier(&mut self, node: NodeId) -> Index {
        if let Some(&index) = self.places.get(&node) {
            return index;
        }
        let state = match (self.tree.is_enabled(node), driver_of(self.tree, node)) {
            (false, _) => State::Disabled,
            (true, None) => State::NoDriver,
            (true, Some(_)) => State::New,
        };
        let has_driver = state == State::New;
        let index = self.add(node, Role::Supplier, state);
        if has_driver {
            self.suppliers(index, node, Need::Required);
        }
        index
    }

    fn smmu(&mut self, index: usize, smmu: &Smmu, always_on: bool) {
        if !smmu.enabled {
            self.add(smmu.node, Role::Smmu(index), State::Disabled);
            return;
        }
        let at = self.add(smmu.node, Role::Smmu(index), State::New);
        // What is never switched off needs nobody who could switch it on.
        let need = if always_on {
            Need::Optional
        } else {
            Need::Required
        };
        self.suppliers(at, smmu.node, need);
        for (t, tbu) in smmu.tbus.iter().enumerate() {
            let unit = self.add(tbu.node, Role::Tbu(index, t), State::New);
            self.suppliers(unit, tbu.node, need);
            self.graph.link(unit, at, Need::Required);
            // The SMMU is started with its TBUs: those that can come are waited
            // for, the others are done without.
            self.suppliers(at, tbu.node, Need::Optional);
        }
    }

    fn master(&mut self, board: &Board, place: (usize, usize), device: &DeviceConfig) {
        let node = match device.kind {
            DeviceKind::Pci { host, .. } => board.pci_hosts.get(host).map(|h| h.node),
            DeviceKind::Platform { node, .. } => Some(node),
        };
        let Some(node) = node else { return };
        let index = self.graph.add(device.path.as_str(), State::New);
        self.entries.push(Entry {
            node,
            role: Role::Master(place.0, place.1),
        });
        let may_bypass = device.bypass || device.optional;
        let need = if may_bypass {
            Need::OrBypass
        } else {
            Need::Required
        };
        if matches!(device.kind, DeviceKind::Pci { .. })
            && let Some(&host) = self.places.get(&node)
        {
            self.graph.link(index, host, Need::Required);
        }
        for stream in &device.streams {
            let Some(smmu) = board.smmu_at(stream.smmu) else {
                continue;
            };
            let unit = board
                .smmus
                .get(smmu)
                .and_then(|s| Some(s.tbus.get(s.tbu_of(stream.id)?)?.node));
            for supplier in [Some(stream.smmu), unit].into_iter().flatten() {
                if let Some(&at) = self.places.get(&supplier) {
                    self.graph.link(index, at, need);
                }
            }
        }
    }
}

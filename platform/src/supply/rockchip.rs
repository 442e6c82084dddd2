//! Rockchip: clock gates of the clock and reset unit (CRU), and power domains
//! of the power management unit (PMU), table-driven.
//!
//! In both, the upper half of a word chooses which bits of the lower half a
//! write changes, so no register is read before it is written.
mod domain;
mod rk3588;

pub use domain::{Domain, DomainEntry, PmuLayout, Request};

use super::poll::soon;
use super::{SupplyError, SupplyKind, Switch};
use crate::fdt::Node;
use crate::mmio::Mmio;
use crate::tree::{NodeId, Tree};
use alloc::sync::Arc;

/// A word that sets `bit` to `value` and leaves its neighbours alone.
const fn masked(bit: u8, value: bool) -> u32 {
    let bit = bit & 15;
    let chosen = 1 << bit << 16;
    if value { chosen | 1 << bit } else { chosen }
}

/// Clocks and domains of one SoC that its SMMUs need.
#[derive(Debug)]
pub struct Table {
    /// Compatible string of the CRU.
    pub cru: &'static str,
    /// Compatible string of the power controller, whose parent is the PMU.
    pub power_controller: &'static str,
    /// Its gates.
    pub gates: &'static [GateEntry],
    /// The PMU's registers.
    pub pmu: PmuLayout,
    /// Its power domains.
    pub domains: &'static [DomainEntry],
}

/// A clock gate: a one stops the clock.
#[derive(Debug)]
pub struct GateEntry {
    /// Number in the device-tree binding.
    pub number: u16,
    /// Offset of the register in bytes.
    pub register: u16,
    /// Its bit there.
    pub bit: u8,
    /// Whether it may be stopped: below one that is shared there are clocks
    /// of devices that are nobody's business here.
    pub shared: bool,
    /// The gate it runs behind.
    pub parent: Option<u16>,
}

const TABLES: &[&Table] = &[&rk3588::TABLE];

/// The table for a CRU's or power controller's node.
#[must_use]
pub fn table(node: &Node<'_>) -> Option<(SupplyKind, &'static Table)> {
    TABLES.iter().find_map(|&table| {
        if node.is_compatible(table.cru) {
            Some((SupplyKind::Clock, table))
        } else if node.is_compatible(table.power_controller) {
            Some((SupplyKind::PowerDomain, table))
        } else {
            None
        }
    })
}

/// The node of domain `number` below its power controller. Without one the
/// domain is as good as absent: nobody says which clocks its transitions need.
#[must_use]
pub fn domain_node(tree: &Tree<'_>, controller: NodeId, number: u32) -> Option<NodeId> {
    let is = |&id: &NodeId| {
        let reg = tree.node(id).property("reg").and_then(|p| p.u32());
        id != controller && reg == Some(number)
    };
    tree.subtree(controller).find(is)
}

impl Table {
    /// The gate of this number.
    #[must_use]
    pub fn gate(&self, number: u32) -> Option<&GateEntry> {
        self.gates.iter().find(|g| u32::from(g.number) == number)
    }

    /// The domain of this number.
    #[must_use]
    pub fn domain(&self, number: u32) -> Option<&DomainEntry> {
        self.domains.iter().find(|d| u32::from(d.number) == number)
    }
}

/// A gate of a CRU.
#[derive(Debug)]
pub struct Gate<M> {
    registers: Arc<M>,
    entry: &'static GateEntry,
}

impl<M: Mmio> Gate<M> {
    /// The gate that `entry` describes.
    #[must_use]
    pub const fn new(registers: Arc<M>, entry: &'static GateEntry) -> Self {
        Self { registers, entry }
    }

    fn set(&self, stopped: bool) -> Result<(), SupplyError> {
        let at = usize::from(self.entry.register);
        self.registers.write32(at, masked(self.entry.bit, stopped));
        if soon(|| self.stopped() == stopped) {
            Ok(())
        } else {
            Err(SupplyError::Stuck(self.registers.read32(at)))
        }
    }

    fn stopped(&self) -> bool {
        let value = self.registers.read32(usize::from(self.entry.register));
        value >> (self.entry.bit & 15) & 1 != 0
    }
}

impl<M: Mmio + Send + Sync> Switch for Gate<M> {
    fn enable(&self) -> Result<(), SupplyError> {
        self.set(false)
    }

    fn disable(&self) -> Result<(), SupplyError> {
        if self.entry.shared {
            return Ok(());
        }
        self.set(true)
    }

    fn is_on(&self) -> Result<bool, SupplyError> {
        Ok(!self.stopped())
    }
}

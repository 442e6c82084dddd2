//! Qualcomm clock controllers: branch clocks and power domains (GDSCs),
//! table-driven.
mod branch;
mod domain;
mod tables;

pub use tables::{BranchEntry, BranchKind, DomainEntry, DomainKind, Table};

use super::fixed::Fixed;
use super::{OpenError, Services, SupplyKind, Switch};
use crate::fdt::Node;
use crate::mmio::Mmio;
use alloc::sync::Arc;
use branch::Branch;
use domain::Domain;
use spin::Mutex;

/// Whether the controller at `node` has a clock or domain of this number.
#[must_use]
pub fn knows(node: &Node<'_>, kind: SupplyKind, number: u32) -> bool {
    let is = |entry: u16| u32::from(entry) == number;
    table(node).is_some_and(|table| match kind {
        SupplyKind::Clock => table.clocks.iter().any(|c| is(c.number)),
        SupplyKind::PowerDomain => table.domains.iter().any(|d| is(d.number)),
    })
}

/// All tables.
pub fn all() -> impl Iterator<Item = &'static Table> {
    tables::ALL.iter().copied()
}

/// A clock controller.
#[derive(Debug)]
pub struct Controller<M> {
    registers: M,
    table: &'static Table,
    /// Serialises read-modify-write: clocks share registers.
    lock: Mutex<()>,
}

/// The table for a controller's node.
#[must_use]
pub fn table(node: &Node<'_>) -> Option<&'static Table> {
    tables::ALL
        .iter()
        .find(|t| node.is_compatible(t.compatible))
        .copied()
}

impl<M: Mmio> Controller<M> {
    /// A controller with these registers and this table.
    #[must_use]
    pub const fn new(registers: M, table: &'static Table) -> Self {
        Self {
            registers,
            table,
            lock: Mutex::new(()),
        }
    }

    fn update(&self, offset: u32, clear: u32, set: u32) {
        let _guard = self.lock.lock();
        let offset = offset as usize;
        let value = self.registers.read32(offset);
        self.registers.write32(offset, value & !clear | set);
    }

    fn read(&self, offset: u32) -> u32 {
        self.registers.read32(offset as usize)
    }
}

/// The switch for clock or domain `number` of the binding. What must never
/// stop is started here, if it is not on, and is left alone ever after.
///
/// # Errors
/// [`OpenError::Unknown`]; [`OpenError::Start`] of what must never stop.
pub fn switch<M: Mmio + Send + Sync + 'static>(
    controller: Arc<Controller<M>>,
    services: Arc<dyn Services>,
    kind: SupplyKind,
    number: u32,
) -> Result<Arc<dyn Switch>, OpenError> {
    let table = controller.table;
    let unknown = OpenError::Unknown(number);
    let is = |entry: u16| u32::from(entry) == number;
    let (switch, kept): (Arc<dyn Switch>, bool) = match kind {
        SupplyKind::Clock => {
            let entry = table.clocks.iter().find(|c| is(c.number)).ok_or(unknown)?;
            let kept = entry.kind == BranchKind::Kept;
            (Arc::new(Branch::new(controller, services, entry)), kept)
        }
        SupplyKind::PowerDomain => {
            let entry = table.domains.iter().find(|d| is(d.number)).ok_or(unknown)?;
            let kept = entry.kind == DomainKind::Kept;
            (Arc::new(Domain::new(controller, services, entry)), kept)
        }
    };
    if !kept {
        return Ok(switch);
    }
    if !switch.is_on().map_err(OpenError::Start)? {
        switch.enable().map_err(OpenError::Start)?;
    }
    Ok(Arc::new(Fixed))
}

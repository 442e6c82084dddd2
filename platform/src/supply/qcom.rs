//! Qualcomm clock controllers: branch clocks and power domains (GDSCs),
//! table-driven.
mod tables;

pub use tables::{BranchEntry, DomainEntry, Table};

use super::poll::until;
use super::{Services, SupplyError, SupplyKind, Switch};
use crate::fdt::Node;
use crate::mmio::Mmio;
use alloc::sync::Arc;
use spin::Mutex;

/// Branch control register: the clock is off.
const CLK_OFF: u32 = 1 << 31;
/// GDSCR: collapse the domain by software.
const SW_COLLAPSE: u32 = 1 << 0;
/// GDSCR: the domain is powered.
const PWR_ON: u32 = 1 << 31;
/// CFG_GDSCR, four bytes after GDSCR: power-up and power-down complete.
const POWER_UP_COMPLETE: u32 = 1 << 16;
const POWER_DOWN_COMPLETE: u32 = 1 << 15;

/// Longest wait for a clock in microseconds.
const CLOCK_LIMIT_US: u64 = 200;
/// Longest wait for a domain in microseconds.
const DOMAIN_LIMIT_US: u64 = 1_500;

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

/// The switch for clock or domain `number` of the binding.
#[must_use]
pub fn switch<M: Mmio + Send + Sync + 'static>(
    controller: Arc<Controller<M>>,
    services: Arc<dyn Services>,
    kind: SupplyKind,
    number: u32,
) -> Option<Arc<dyn Switch>> {
    match kind {
        SupplyKind::Clock => {
            let entry = controller
                .table
                .clocks
                .iter()
                .find(|c| c.number == number)?;
            Some(Arc::new(Branch {
                controller,
                services,
                entry,
            }))
        }
        SupplyKind::PowerDomain => {
            let entry = controller
                .table
                .domains
                .iter()
                .find(|d| d.number == number)?;
            Some(Arc::new(Domain {
                controller,
                services,
                entry,
            }))
        }
    }
}

struct Branch<M> {
    controller: Arc<Controller<M>>,
    services: Arc<dyn Services>,
    entry: &'static BranchEntry,
}

impl<M: Mmio + Send + Sync> Branch<M> {
    fn runs(&self) -> bool {
        self.controller.read(self.entry.halt) & CLK_OFF == 0
    }
}

impl<M: Mmio + Send + Sync> Switch for Branch<M> {
    fn enable(&self) -> Result<(), SupplyError> {
        self.controller
            .update(self.entry.enable, 0, self.entry.mask);
        if !self.entry.reports {
            return Ok(());
        }
        until(&*self.services, CLOCK_LIMIT_US, || self.runs())
    }

    /// A voted clock may keep running for another processor: only our vote is
    /// taken back, and nothing is waited for.
    fn disable(&self) -> Result<(), SupplyError> {
        self.controller
            .update(self.entry.enable, self.entry.mask, 0);
        if self.entry.voted || !self.entry.reports {
            return Ok(());
        }
        until(&*self.services, CLOCK_LIMIT_US, || !self.runs())
    }

    fn is_on(&self) -> Result<bool, SupplyError> {
        if self.entry.reports {
            return Ok(self.runs());
        }
        Ok(self.controller.read(self.entry.enable) & self.entry.mask != 0)
    }
}

struct Domain<M> {
    controller: Arc<Controller<M>>,
    services: Arc<dyn Services>,
    entry: &'static DomainEntry,
}

impl<M: Mmio + Send + Sync> Domain<M> {
    fn is(&self, up: bool) -> bool {
        if self.entry.status_in_config {
            let config = self.controller.read(self.entry.gdscr.saturating_add(4));
            return config
                & if up {
                    POWER_UP_COMPLETE
                } else {
                    POWER_DOWN_COMPLETE
                }
                != 0;
        }
        let status = self.entry.status.unwrap_or(self.entry.gdscr);
        (self.controller.read(status) & PWR_ON != 0) == up
    }
}

impl<M: Mmio + Send + Sync> Switch for Domain<M> {
    fn enable(&self) -> Result<(), SupplyError> {
        self.controller.update(self.entry.gdscr, SW_COLLAPSE, 0);
        until(&*self.services, DOMAIN_LIMIT_US, || self.is(true))
    }

    fn disable(&self) -> Result<(), SupplyError> {
        self.controller.update(self.entry.gdscr, 0, SW_COLLAPSE);
        if self.entry.voted {
            return Ok(());
        }
        until(&*self.services, DOMAIN_LIMIT_US, || self.is(false))
    }

    fn is_on(&self) -> Result<bool, SupplyError> {
        Ok(self.is(true))
    }
}

//! Qualcomm clock controllers: branch clocks and power domains (GDSCs),
//! table-driven.
mod tables;

pub use tables::{BranchEntry, BranchKind, DomainEntry, DomainKind, Table};

use super::fixed::Fixed;
use super::poll::until;
use super::{Services, SupplyError, SupplyKind, Switch};
use crate::fdt::Node;
use crate::mmio::Mmio;
use alloc::sync::Arc;
use spin::Mutex;

/// CBCR: the clock is wanted.
const CLK_ENABLE: u32 = 1 << 0;
/// CBCR: the clock is off.
const CLK_OFF: u32 = 1 << 31;
/// CBCR: state of the network-on-chip's handshake, and that it says "on",
/// which CLK_OFF then lags behind.
const NOC_FSM_MASK: u32 = 7 << 28;
const NOC_FSM_ON: u32 = 2 << 28;
/// GDSCR: collapse the domain by software.
const SW_COLLAPSE: u32 = 1 << 0;
/// GDSCR: the domain is powered.
const PWR_ON: u32 = 1 << 31;
/// Longest wait for a clock in microseconds.
const CLOCK_LIMIT_US: u64 = 200;
/// Longest wait for a domain in microseconds.
const DOMAIN_LIMIT_US: u64 = 1_500;

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

/// The switch for clock or domain `number` of the binding.
#[must_use]
pub fn switch<M: Mmio + Send + Sync + 'static>(
    controller: Arc<Controller<M>>,
    services: Arc<dyn Services>,
    kind: SupplyKind,
    number: u32,
) -> Option<Arc<dyn Switch>> {
    let number = u16::try_from(number).ok()?;
    let table = controller.table;
    match kind {
        SupplyKind::Clock => {
            let entry = table.clocks.iter().find(|c| c.number == number)?;
            if entry.kind == BranchKind::Kept {
                return Some(Arc::new(Fixed));
            }
            Some(Arc::new(Branch {
                controller,
                services,
                entry,
            }))
        }
        SupplyKind::PowerDomain => {
            let entry = table.domains.iter().find(|d| d.number == number)?;
            if entry.kind == DomainKind::Kept {
                return Some(Arc::new(Fixed));
            }
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
    fn control(&self) -> u32 {
        self.controller.read(self.entry.register)
    }

    fn runs(&self) -> bool {
        let control = self.control();
        control & CLK_OFF == 0 || control & NOC_FSM_MASK == NOC_FSM_ON
    }
}

impl<M: Mmio + Send + Sync> Switch for Branch<M> {
    fn enable(&self) -> Result<(), SupplyError> {
        self.controller.update(self.entry.register, 0, CLK_ENABLE);
        if self.entry.kind == BranchKind::Unseen {
            return Ok(());
        }
        until(&*self.services, CLOCK_LIMIT_US, || self.runs())
    }

    /// A voted clock may keep running for another processor: only our vote is
    /// taken back, and nothing is waited for.
    fn disable(&self) -> Result<(), SupplyError> {
        self.controller.update(self.entry.register, CLK_ENABLE, 0);
        if self.entry.kind != BranchKind::Plain {
            return Ok(());
        }
        until(&*self.services, CLOCK_LIMIT_US, || {
            self.control() & CLK_OFF != 0
        })
    }

    fn is_on(&self) -> Result<bool, SupplyError> {
        if self.entry.kind == BranchKind::Unseen {
            return Ok(self.control() & CLK_ENABLE != 0);
        }
        Ok(self.runs())
    }
}

struct Domain<M> {
    controller: Arc<Controller<M>>,
    services: Arc<dyn Services>,
    entry: &'static DomainEntry,
}

impl<M: Mmio + Send + Sync> Domain<M> {
    fn is_up(&self) -> bool {
        self.controller.read(self.entry.status) & PWR_ON != 0
    }
}

impl<M: Mmio + Send + Sync> Switch for Domain<M> {
    fn enable(&self) -> Result<(), SupplyError> {
        self.controller.update(self.entry.register, SW_COLLAPSE, 0);
        until(&*self.services, DOMAIN_LIMIT_US, || self.is_up())
    }

    /// As with clocks, only a vote is taken back where others vote too.
    fn disable(&self) -> Result<(), SupplyError> {
        self.controller.update(self.entry.register, 0, SW_COLLAPSE);
        if self.entry.kind == DomainKind::Voted {
            return Ok(());
        }
        until(&*self.services, DOMAIN_LIMIT_US, || !self.is_up())
    }

    fn is_on(&self) -> Result<bool, SupplyError> {
        Ok(self.is_up())
    }
}

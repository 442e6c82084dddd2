//! Power domains (GDSCs).
use super::super::poll::{pause, until};
use super::super::{Services, SupplyError, Switch};
use super::{Controller, DomainEntry, DomainKind};
use crate::mmio::Mmio;
use alloc::sync::Arc;
use spin::Mutex;

/// GDSCR: collapse the domain by software.
const SW_COLLAPSE: u32 = 1 << 0;
/// GDSCR: hardware collapses the domain while nobody needs it.
const HW_CONTROL: u32 = 1 << 1;
/// GDSCR: software moves each switch of the domain by itself.
const SW_OVERRIDE: u32 = 1 << 2;
/// GDSCR, or the register of its controller: the domain is powered.
const PWR_ON: u32 = 1 << 31;
/// Longest wait for a domain in microseconds.
const LIMIT_US: u64 = 1_500;
/// From a request until a status register of its own may be believed, and from
/// "powered" until clocks and memories are, in microseconds.
const SETTLE_US: u64 = 1;
/// Shortest time between taking a vote back and voting again, in microseconds:
/// a domain that is just going does not take it.
const REVOTE_US: u64 = 500;

pub(super) struct Domain<M> {
    controller: Arc<Controller<M>>,
    services: Arc<dyn Services>,
    entry: &'static DomainEntry,
    /// When our vote was taken back.
    dropped_us: Mutex<Option<u64>>,
}

impl<M: Mmio> Domain<M> {
    pub(super) const fn new(
        controller: Arc<Controller<M>>,
        services: Arc<dyn Services>,
        entry: &'static DomainEntry,
    ) -> Self {
        Self {
            controller,
            services,
            entry,
            dropped_us: Mutex::new(None),
        }
    }

    fn is_up(&self) -> bool {
        self.controller.read(self.entry.status) & PWR_ON != 0
    }

    /// Asks, and waits until the answer is about that.
    fn request(&self, clear: u32, set: u32) {
        self.controller.update(self.entry.register, clear, set);
        if self.entry.status != self.entry.register {
            pause(&*self.services, SETTLE_US);
        }
    }

    /// Leaves time after the last vote.
    fn revote(&self) {
        let Some(dropped) = self.dropped_us.lock().take() else {
            return;
        };
        let passed = self.services.now_us().saturating_sub(dropped);
        if let Some(left) = REVOTE_US.checked_sub(passed) {
            pause(&*self.services, left);
        }
    }
}

impl<M: Mmio + Send + Sync> Switch for Domain<M> {
    /// Software takes the domain over, whoever had it: it is to stay up for as
    /// long as it is wanted.
    fn enable(&self) -> Result<(), SupplyError> {
        self.revote();
        self.request(SW_COLLAPSE | HW_CONTROL | SW_OVERRIDE, 0);
        until(&*self.services, LIMIT_US, || self.is_up())?;
        pause(&*self.services, SETTLE_US);
        Ok(())
    }

    /// As with clocks, only a vote is taken back where others vote too.
    fn disable(&self) -> Result<(), SupplyError> {
        self.request(0, SW_COLLAPSE);
        if self.entry.kind == DomainKind::Voted {
            *self.dropped_us.lock() = Some(self.services.now_us());
            return Ok(());
        }
        until(&*self.services, LIMIT_US, || !self.is_up())
    }

    fn is_on(&self) -> Result<bool, SupplyError> {
        Ok(self.is_up())
    }
}

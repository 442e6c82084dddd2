//! Branch clocks.
use super::super::poll::{pause, until};
use super::super::{Services, SupplyError, Switch};
use super::{BranchEntry, BranchKind, Controller};
use crate::mmio::Mmio;
use alloc::sync::Arc;

/// CBCR: the clock is wanted.
const CLK_ENABLE: u32 = 1 << 0;
/// CBCR: hardware stops the clock while nobody needs it, whatever is wanted.
const HW_CTL: u32 = 1 << 1;
/// CBCR: the clock is off.
const CLK_OFF: u32 = 1 << 31;
/// CBCR: state of the network-on-chip's handshake, and that it says "on",
/// which CLK_OFF then lags behind.
const NOC_FSM_MASK: u32 = 7 << 28;
const NOC_FSM_ON: u32 = 2 << 28;
/// Longest wait for a clock in microseconds.
const LIMIT_US: u64 = 200;
/// What a clock that does not tell is given to follow, in microseconds.
const UNSEEN_US: u64 = 10;

pub(super) struct Branch<M> {
    controller: Arc<Controller<M>>,
    services: Arc<dyn Services>,
    entry: &'static BranchEntry,
}

impl<M: Mmio> Branch<M> {
    pub(super) const fn new(
        controller: Arc<Controller<M>>,
        services: Arc<dyn Services>,
        entry: &'static BranchEntry,
    ) -> Self {
        Self {
            controller,
            services,
            entry,
        }
    }

    fn control(&self) -> u32 {
        self.controller.read(self.entry.register)
    }

    /// Whether CLK_OFF follows what is wanted, and nothing else.
    fn tells(&self, control: u32) -> bool {
        let seen = matches!(self.entry.kind, BranchKind::Plain | BranchKind::Voted);
        seen && control & HW_CTL == 0
    }

    /// Gives a clock that does not tell its time; what is wanted must then
    /// still be wanted.
    fn pass(&self, wanted: u32) -> Result<(), SupplyError> {
        pause(&*self.services, UNSEEN_US);
        let control = self.control();
        if control & CLK_ENABLE == wanted {
            Ok(())
        } else {
            Err(SupplyError::Stuck(control))
        }
    }
}

const fn runs(control: u32) -> bool {
    control & CLK_OFF == 0 || control & NOC_FSM_MASK == NOC_FSM_ON
}

impl<M: Mmio + Send + Sync> Switch for Branch<M> {
    fn enable(&self) -> Result<(), SupplyError> {
        self.controller.update(self.entry.register, 0, CLK_ENABLE);
        if !self.tells(self.control()) {
            return self.pass(CLK_ENABLE);
        }
        until(&*self.services, LIMIT_US, || runs(self.control()))
    }

    /// A voted clock may keep running for another processor: only our vote is
    /// taken back, and its end is not waited for.
    fn disable(&self) -> Result<(), SupplyError> {
        self.controller.update(self.entry.register, CLK_ENABLE, 0);
        if self.entry.kind == BranchKind::Voted || !self.tells(self.control()) {
            return self.pass(0);
        }
        until(&*self.services, LIMIT_US, || self.control() & CLK_OFF != 0)
    }

    fn is_on(&self) -> Result<bool, SupplyError> {
        let control = self.control();
        Ok(if self.tells(control) {
            runs(control)
        } else {
            control & CLK_ENABLE != 0
        })
    }
}

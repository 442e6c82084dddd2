//! TBUs with a power of their own under a TCU (D8, P10).
//!
//! Before a TBU's clock stops its streams terminate and a sync completes.
//! While it sleeps it hears no invalidation; before it serves again, the
//! entries and the contexts behind it are invalidated.

use super::{Smmu, Whole};
use crate::error::Error;
use crate::hardware::{Hardware, StreamAction};
use crate::mutation::{Mutation, Step};
use crate::outside::{Clock, PowerDomain, Time};
use crate::power::{Account, Delays, Machine, Powered, Sleeper, State, Supplies, Who};
use crate::sync::Lock;
use crate::types::StreamId;
use litemap::LiteMap;

/// What the board says about a TBU.
pub struct TbuConfig<'c, 'a> {
    /// In the order in which they must start.
    pub clocks: &'c [&'a dyn Clock],
    /// In the order in which they must come up.
    pub power_domains: &'c [&'a dyn PowerDomain],
    /// Gating policy.
    pub delays: Delays,
}

pub(super) struct Tbu<'a> {
    machine: Machine<'a>,
    behind: Lock<Behind>,
}

struct Behind {
    /// The clock is stopped, or may stop at any moment.
    blocked: bool,
    /// What the TBU may hold is no longer just what is wanted: a stream was
    /// set while it slept, and its old context's VMID may be another's now.
    changed: bool,
    /// How often the SMMU had forgotten everything when the TBU fell asleep.
    /// If it has since, without the TBU hearing of it, or lost its power, any
    /// VMID may be in there.
    epoch: u64,
    /// What each stream is to do while the TBU is on.
    wanted: LiteMap<StreamId, StreamAction>,
}

impl<'a> Tbu<'a> {
    pub fn new(config: &TbuConfig<'_, 'a>, time: &'a dyn Time, mutation: Mutation) -> Self {
        let supplies = Supplies::new(config.clocks, config.power_domains);
        Self {
            machine: Machine::new(supplies, config.delays, time, mutation),
            behind: Lock::new(Behind {
                blocked: false,
                changed: false,
                epoch: 0,
                wanted: LiteMap::new(),
            }),
        }
    }

    pub fn switchable(&self) -> bool {
        self.machine.switchable()
    }

    pub fn is_on(&self) -> bool {
        !self.switchable() || matches!(self.machine.state(), State::On | State::Idle)
    }

    pub fn next_deadline(&self) -> Option<u64> {
        self.machine.next_deadline()
    }

    pub fn stats(&self, now_ns: u64) -> (State, Account) {
        (self.machine.state(), self.machine.account(now_ns))
    }
}

/// Powers all TBUs up, then runs `probe`, whose invalidation of everything
/// they must hear: nobody knows what firmware left in them. On error their
/// supplies are down again.
pub(super) fn boot_around<T>(
    tbus: &[Tbu<'_>],
    probe: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    match tbus.split_first() {
        Some((tbu, rest)) => tbu.machine.boot(|_| boot_around(rest, probe)),
        None => probe(),
    }
}

impl<'a, H: Hardware> Smmu<'a, H> {
    /// Sets a stream behind a TBU: now, or when the TBU wakes.
    pub(super) fn set_behind(
        &self,
        tbu: &Tbu<'a>,
        stream: StreamId,
        action: StreamAction,
    ) -> Result<(), Error> {
        let mut behind = tbu.behind.lock();
        behind.wanted.insert(stream, action);
        if behind.blocked {
            behind.changed = true;
            return self.set_now(stream, StreamAction::Abort);
        }
        self.set_now(stream, action)
    }

    /// The stream is no longer this SMMU's concern.
    pub(super) fn forget_behind(&self, index: usize, stream: StreamId) {
        if let Some(tbu) = self.tbus.get(index) {
            tbu.behind.lock().wanted.remove(&stream);
        }
    }

    pub(super) fn activate_tbu(&self, index: usize) -> Result<(), Error> {
        let tbu = self.tbus.get(index).ok_or(Error::TbuUnknown(index))?;
        tbu.machine.activate(&Part {
            smmu: self,
            tbu,
            index,
        })
    }

    pub(super) fn deactivate_tbu(&self, index: usize) {
        if let Some(tbu) = self.tbus.get(index) {
            tbu.machine.deactivate(&Part {
                smmu: self,
                tbu,
                index,
            });
        }
    }

    pub(super) fn tick_tbu(&self, index: usize, now_ns: u64) {
        if let Some(tbu) = self.tbus.get(index) {
            let part = Part {
                smmu: self,
                tbu,
                index,
            };
            tbu.machine.tick(now_ns, &part);
        }
    }

    /// Makes the TBU forget what it may hold, with power if the SMMU has some.
    /// Without, the SMMU's own resume does it, and the TBU hears it.
    fn refresh_behind(&self, behind: &Behind) -> Result<(), Error> {
        let strangers = behind.changed || behind.epoch != self.clean_epoch();
        self.machine.settle(&mut |power| match power {
            None => Ok(()),
            Some(power) if strangers && !self.mutation.skips(Step::TbuForgetsStrangers) => {
                self.hardware.forget_all(power)
            }
            Some(power) => self.refresh_wanted(power, behind),
        })
    }

    fn refresh_wanted(&self, power: &Powered, behind: &Behind) -> Result<(), Error> {
        for (stream, action) in &behind.wanted {
            self.hardware.refresh_stream(power, *stream)?;
            if let StreamAction::Translate(context) = action {
                let ticket = self.hardware.invalidate_context(power, *context)?;
                self.hardware.wait(power, ticket)?;
            }
        }
        Ok(())
    }
}

/// A TBU, as its machine sees it.
struct Part<'s, 'a, H> {
    smmu: &'s Smmu<'a, H>,
    tbu: &'s Tbu<'a>,
    index: usize,
}

impl<H: Hardware> Sleeper for Part<'_, '_, H> {
    fn resume(&self, _: &Powered) -> Result<(), Error> {
        let mut behind = self.tbu.behind.lock();
        if !self.smmu.mutation.skips(Step::RefreshTbu) {
            self.smmu.refresh_behind(&behind)?;
        }
        for (stream, action) in &behind.wanted {
            self.smmu.set_now(*stream, *action)?;
        }
        behind.blocked = false;
        behind.changed = false;
        Ok(())
    }

    fn suspend(&self, _: &Powered) -> Result<(), Error> {
        let mut behind = self.tbu.behind.lock();
        if self.smmu.mutation.skips(Step::BlockTbu) {
            return Ok(());
        }
        if !behind.blocked {
            behind.blocked = true;
            behind.changed = false;
            behind.epoch = self.smmu.clean_epoch();
        }
        for stream in behind.wanted.keys() {
            self.smmu.set_now(*stream, StreamAction::Abort)?;
        }
        Ok(())
    }

    fn changed(&self, state: State, now_ns: u64) {
        self.smmu.mark(Who::Tbu(self.index), state, now_ns);
    }

    fn failed(&self, error: Error) {
        Whole(self.smmu).failed(error);
    }
}

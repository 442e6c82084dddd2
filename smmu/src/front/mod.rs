//! One SMMU as the rest of the system sees it: hardware, power, domains,
//! links and faults joined.
//!
//! Everything here may be called from any CPU. The order of locks is in
//! docs/locking.md.

mod domains;
mod faults;
mod links;
mod recovery;
mod tbu;

pub use domains::{DomainId, Done, Pending};
pub use faults::Fault;
pub use links::{LinkId, LinkStats};
pub use tbu::TbuConfig;

use crate::error::Error;
use crate::hardware::Hardware;
use crate::mutation::Mutation;
#[cfg(any(feature = "model", loom))]
use crate::mutation::Step;
use crate::outside::{Clock, PowerDomain, Time};
use crate::power::{
    Account, Delays, Machine, Mark, Powered, Sleeper, State, Supplies, Timeline, Who,
};
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use domains::Domains;
use faults::FaultLog;
use links::Links;
use recovery::Recovery;
use tbu::Tbu;

/// What the operator and the board say about one SMMU.
pub struct SmmuConfig<'c, 'a> {
    /// As people know it.
    pub name: &'c str,
    /// In the order in which they must start.
    pub clocks: &'c [&'a dyn Clock],
    /// In the order in which they must come up.
    pub power_domains: &'c [&'a dyn PowerDomain],
    /// Gating policy.
    pub delays: Delays,
    /// TBUs with a power of their own; often none.
    pub tbus: &'c [TbuConfig<'c, 'a>],
    /// Links at most.
    pub links: usize,
    /// Domains at most.
    pub domains: usize,
    /// Transitions and faults that are remembered.
    pub history: usize,
    /// A step to leave out, for tests that prove that it is needed.
    #[cfg(any(feature = "model", loom))]
    pub leave_out: Option<Step>,
}

impl SmmuConfig<'_, '_> {
    fn mutation(&self) -> Mutation {
        #[cfg(any(feature = "model", loom))]
        return Mutation::of(self.leave_out);
        #[cfg(not(any(feature = "model", loom)))]
        Mutation::default()
    }
}

impl Default for SmmuConfig<'_, '_> {
    fn default() -> Self {
        Self {
            name: "smmu",
            clocks: &[],
            power_domains: &[],
            delays: Delays::default(),
            tbus: &[],
            links: 64,
            domains: 64,
            history: 256,
            #[cfg(any(feature = "model", loom))]
            leave_out: None,
        }
    }
}

/// One SMMU.
pub struct Smmu<'a, H> {
    name: String,
    hardware: H,
    time: &'a dyn Time,
    machine: Machine<'a>,
    /// The SMMU or one of its TBUs can be switched (P8).
    managed: bool,
    tbus: Box<[Tbu<'a>]>,
    links: Links,
    domains: Domains,
    faults: FaultLog,
    recovery: Recovery,
    timeline: Timeline,
    mutation: Mutation,
}

/// What an SMMU has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// The state now.
    pub state: State,
    /// Power accounting.
    pub account: Account,
    /// Commands issued, syncs among them.
    pub commands: (u64, u64),
    /// Faults recorded.
    pub faults: u64,
    /// Times that faults were lost because nobody took them in time.
    pub faults_lost: u64,
    /// The last thing that failed.
    pub last_error: Option<Error>,
}

impl<'a, H: Hardware> Smmu<'a, H> {
    /// Powers the SMMU and its TBUs up, lets `make` probe it (which must deny
    /// all traffic before it writes anything else), and brings it through the
    /// resume path, whose invalidation every TBU hears. It is then on and idle, and is gated after the idle delay if no
    /// link becomes active.
    ///
    /// # Errors
    /// What `make` or the resume said; the supplies are down again.
    pub fn probe(
        config: &SmmuConfig<'_, 'a>,
        time: &'a dyn Time,
        make: impl FnOnce(&Powered) -> Result<H, Error>,
    ) -> Result<Self, Error> {
        let mutation = config.mutation();
        let supplies = Supplies::new(config.clocks, config.power_domains);
        let machine = Machine::new(supplies, config.delays, time, mutation);
        let (hardware, tbus) = machine.boot(|power| {
            let tbus = config.tbus.iter().map(|tbu| Tbu::new(tbu, time, mutation));
            let tbus: Box<[_]> = tbus.collect();
            let hardware = tbu::boot_around(&tbus, || {
                let hardware = make(power)?;
                hardware.resume(power)?;
                Ok(hardware)
            })?;
            Ok((hardware, tbus))
        })?;
        let managed = machine.switchable() || tbus.iter().any(Tbu::switchable);
        let smmu = Self {
            name: String::from(config.name),
            hardware,
            time,
            machine,
            managed,
            tbus,
            links: Links::new(config.links),
            domains: Domains::new(config.domains),
            faults: FaultLog::new(config.history),
            recovery: Recovery::default(),
            timeline: Timeline::new(config.history),
            mutation,
        };
        smmu.mark(Who::Smmu, State::Idle, time.now_ns());
        Ok(smmu)
    }

    /// As people know it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The driver; its register-touching methods ask for power.
    pub fn hardware(&self) -> &H {
        &self.hardware
    }

    /// Whether gating is possible at all.
    pub fn is_managed(&self) -> bool {
        self.managed
    }

    /// The state as people see it.
    pub fn state(&self) -> State {
        self.machine.state()
    }

    /// When [`tick`](Self::tick) has something to do next, in [`Time`]'s
    /// nanoseconds. A few loads where nothing is pending.
    pub fn next_deadline(&self) -> Option<u64> {
        let tbus = self.tbus.iter().filter_map(Tbu::next_deadline);
        tbus.chain(self.machine.next_deadline())
            .chain(self.recovery.next_deadline())
            .min()
    }

    /// Does what is due at `now_ns`: gates TBUs and the SMMU, powers off,
    /// retries what failed. Any CPU may call it, at any time.
    pub fn tick(&self, now_ns: u64) {
        if self.recovery.pending() {
            self.retry_recovery(now_ns);
        }
        for index in 0..self.tbus.len() {
            self.tick_tbu(index, now_ns);
        }
        self.machine.tick(now_ns, &Whole(self));
    }

    /// What it has done. Touches no register (P4).
    pub fn stats(&self) -> Stats {
        let (faults, faults_lost) = self.faults.counts();
        Stats {
            state: self.machine.state(),
            account: self.machine.account(self.time.now_ns()),
            commands: self.hardware.commands(),
            faults,
            faults_lost,
            last_error: self.recovery.last_error(),
        }
    }

    /// State and account of a TBU.
    ///
    /// # Errors
    /// [`Error::TbuUnknown`].
    pub fn tbu_stats(&self, index: usize) -> Result<(State, Account), Error> {
        let tbu = self.tbus.get(index).ok_or(Error::TbuUnknown(index))?;
        Ok(tbu.stats(self.time.now_ns()))
    }

    /// The newest transitions; see [`Timeline::read`].
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The probe's findings, for people.
    ///
    /// # Errors
    /// The formatter's.
    pub fn describe(&self, f: &mut dyn fmt::Write) -> fmt::Result {
        self.hardware.describe(f)
    }

    /// Power and hardware held on, if on already; for tests and monitors.
    pub fn machine(&self) -> &Machine<'a> {
        &self.machine
    }

    fn mark(&self, who: Who, state: State, at_ns: u64) {
        self.timeline.add(Mark { at_ns, who, state });
    }
}

/// The SMMU itself, as its machine sees it.
struct Whole<'s, 'a, H>(&'s Smmu<'a, H>);

impl<H: Hardware> Sleeper for Whole<'_, '_, H> {
    fn resume(&self, power: &Powered) -> Result<(), Error> {
        let number = self.0.recovery.begin();
        self.0.hardware.resume(power)?;
        self.0.recovery.all_forgotten(number);
        Ok(())
    }

    fn suspend(&self, power: &Powered) -> Result<(), Error> {
        let number = self.0.recovery.begin();
        self.0.hardware.suspend(power)?;
        self.0.recovery.all_forgotten(number);
        // What was reported up to the end is not lost with the queue.
        self.0.collect_faults(power);
        Ok(())
    }

    fn changed(&self, state: State, now_ns: u64) {
        self.0.mark(Who::Smmu, state, now_ns);
    }

    fn failed(&self, error: Error) {
        self.0.recovery.report(error);
    }
}

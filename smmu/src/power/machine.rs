//! The state machine of docs/power.md.

use super::Powered;
use super::meter::{Account, Meter};
use super::supplies::Supplies;
use super::word::{State, Word};
use crate::error::{Error, Wait};
use crate::mutation::{Mutation, Step};
use crate::outside::Time;
use crate::sync::{AtomicU64, Lock, Ordering, full_barrier};

/// What has to happen to the hardware when its power comes and goes.
pub trait Sleeper {
    /// After the clocks started (P5). On error nothing may pass.
    fn resume(&self, power: &Powered) -> Result<(), Error>;
    /// Before the clocks stop (P6, P10).
    fn suspend(&self, power: &Powered) -> Result<(), Error>;
    /// The state, as people see it, has changed.
    fn changed(&self, state: State, now_ns: u64);
    /// Something failed and will be retried.
    fn failed(&self, error: Error);
}

/// The operator's policy, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays {
    /// From the last link's idleness to the stopping of clocks.
    pub idle_ns: u64,
    /// From there to the power domain's going down; `None`: never.
    pub off_ns: Option<u64>,
    /// Between tries of something that failed.
    pub retry_ns: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            idle_ns: 20_000_000,
            off_ns: None,
            retry_ns: 100_000_000,
        }
    }
}

/// No deadline.
pub(super) const NEVER: u64 = u64::MAX;
/// When an operation was in flight at the deadline: look again after this.
pub(super) const BUSY_NS: u64 = 100_000;

/// Power of one SMMU or TBU. See the module's text and docs/locking.md:
/// `transition` before `meter`; `transition` is held over the bounded waits
/// of a resume or suspend, `meter` over nothing.
pub struct Machine<'a> {
    pub(super) switchable: bool,
    pub(super) word: Word,
    /// Written under `meter`.
    pub(super) deadline: AtomicU64,
    pub(super) meter: Lock<Meter>,
    pub(super) transition: Lock<()>,
    elided: AtomicU64,
    sync_timeouts: AtomicU64,
    pub(super) supplies: Supplies<'a>,
    pub(super) delays: Delays,
    pub(super) time: &'a dyn Time,
    mutation: Mutation,
}

/// An operation in flight: as long as this lives the SMMU stays on.
#[must_use]
pub struct Hold<'m> {
    word: Option<&'m Word>,
    power: Powered,
}

impl Hold<'_> {
    /// The proof that comes with it.
    pub fn power(&self) -> &Powered {
        &self.power
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if let Some(word) = self.word {
            word.leave();
        }
    }
}

impl<'a> Machine<'a> {
    /// A machine in `Off`.
    pub(crate) fn new(
        supplies: Supplies<'a>,
        delays: Delays,
        time: &'a dyn Time,
        mutation: Mutation,
    ) -> Self {
        Self {
            switchable: supplies.switchable(),
            word: Word::new(State::Off),
            deadline: AtomicU64::new(NEVER),
            meter: Lock::new(Meter::new(State::Off, time.now_ns())),
            transition: Lock::new(()),
            elided: AtomicU64::new(0),
            sync_timeouts: AtomicU64::new(0),
            supplies,
            delays,
            time,
            mutation,
        }
    }

    /// A machine alone, for the model checker.
    #[cfg(loom)]
    pub fn under_check(
        supplies: Supplies<'a>,
        delays: Delays,
        time: &'a dyn Time,
        leave_out: Option<Step>,
    ) -> Self {
        Self::new(supplies, delays, time, Mutation::of(leave_out))
    }

    /// Leaves a step out from now on.
    #[cfg(loom)]
    pub fn leave_out(&mut self, step: Option<Step>) {
        self.mutation = Mutation::of(step);
    }

    pub(super) fn skips(&self, step: Step) -> bool {
        self.mutation.skips(step)
    }

    /// Powers up for the first time, runs `probe`, and is `On` and idle with
    /// the deadline running. On error the supplies are down again.
    pub fn boot<T>(&self, probe: impl FnOnce(&Powered) -> Result<T, Error>) -> Result<T, Error> {
        let _transition = self.transition.lock();
        self.supplies.power_on()?;
        let outcome = self
            .supplies
            .start()
            .and_then(|()| probe(&Powered::attest()));
        match outcome {
            Ok(found) => {
                self.word.set(State::On);
                let now = self.time.now_ns();
                self.meter.lock().enter(State::Idle, now);
                if self.switchable {
                    self.arm(now.saturating_add(self.delays.idle_ns));
                }
                Ok(found)
            }
            Err(error) => {
                // The first error is the one to tell.
                let _ = self.supplies.stop();
                let _ = self.supplies.power_off();
                Err(error)
            }
        }
    }

    /// Whether there is anything to switch (P8).
    #[inline]
    pub fn switchable(&self) -> bool {
        self.switchable
    }

    /// The state as people see it.
    pub fn state(&self) -> State {
        self.word.load().shown()
    }

    /// Active links and operations in flight.
    pub fn counts(&self) -> (u32, u32) {
        let word = self.word.load();
        (word.links(), word.operations())
    }

    /// One link becomes active. Returns when the state is `On` (P2).
    ///
    /// # Errors
    /// What kept the supplies or the hardware from coming up; the link is
    /// then not counted.
    #[inline]
    pub fn activate(&self, sleeper: &dyn Sleeper) -> Result<(), Error> {
        if !self.switchable {
            return Ok(());
        }
        // Not the first: one exchange, no lock.
        if self.word.link(|links| links != 0).is_ok() {
            return Ok(());
        }
        self.activate_first(sleeper)
    }

    fn activate_first(&self, sleeper: &dyn Sleeper) -> Result<(), Error> {
        if self.skips(Step::SupplierFirst) && self.word.load().state() == State::Resuming {
            return Ok(());
        }
        while !self.count_link(sleeper) {
            let _transition = self.transition.lock();
            match self.word.load().state() {
                State::On => continue,
                from => self.wake(from, sleeper)?,
            }
            // Nobody can gate while the lock is held.
            self.count_link(sleeper);
            break;
        }
        Ok(())
    }

    /// Counts a link if the state is `On`, and cancels the deferral.
    fn count_link(&self, sleeper: &dyn Sleeper) -> bool {
        let mut meter = self.meter.lock();
        let Ok(before) = self.word.link(|_| true) else {
            return false;
        };
        if before.links() == 0 {
            if self.deadline.swap(NEVER, Ordering::Relaxed) != NEVER {
                let cancelled = &mut meter.account.deferrals_cancelled;
                *cancelled = cancelled.saturating_add(1);
            }
            self.show(&mut meter, State::On, sleeper);
        }
        true
    }

    /// One link becomes idle; the last one starts the deferral.
    #[inline]
    pub fn deactivate(&self, sleeper: &dyn Sleeper) {
        if !self.switchable || self.word.unlink(|links| links > 1).is_ok() {
            return;
        }
        let mut meter = self.meter.lock();
        match self.word.unlink(|_| true) {
            Ok(before) if before.links() == 1 && before.state() == State::On => {
                let now = self.show(&mut meter, State::Idle, sleeper);
                let deadline = now.saturating_add(self.delays.idle_ns);
                self.deadline.store(deadline, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// A hold, only if the state is `On` already: for interrupt and fault
    /// paths and for statistics (P4).
    #[inline]
    pub fn hold(&self) -> Option<Hold<'_>> {
        if !self.switchable {
            return Some(Hold::free());
        }
        if self.skips(Step::HoldCheck) {
            return Some(Hold::free());
        }
        self.word.enter().ok().map(|()| Hold::of(&self.word))
    }

    /// For one who has just changed memory that the hardware may have cached:
    /// a hold, if that has to be told to it; `None`, if the resume's
    /// invalidation of everything is certain to come after the change (P12).
    ///
    /// Waits while another CPU is in a transition, as long as that takes.
    ///
    /// # Errors
    /// [`Error::Denied`]: nobody can tell what is cached.
    #[inline]
    pub fn hold_or_elide(&self) -> Result<Option<Hold<'_>>, Error> {
        if !self.switchable {
            return Ok(Some(Hold::free()));
        }
        if self.elides() {
            return Ok(None);
        }
        loop {
            match self.word.enter() {
                Ok(()) => return Ok(Some(Hold::of(&self.word))),
                Err(State::Off | State::Gated) => return Ok(None),
                Err(State::Denied) => return Err(Error::Denied),
                Err(_) => drop(self.transition.lock()),
            }
        }
    }

    /// Whether the hardware is off for one who has just changed memory: the
    /// short way to the `None` of [`hold_or_elide`](Self::hold_or_elide). Not
    /// for long, so it says nothing about what is changed later.
    #[inline]
    pub fn elides(&self) -> bool {
        if !self.switchable {
            return false;
        }
        // The change, then this barrier, then the look at the state; the
        // other side is in `wake`. One of the two sees the other.
        if !self.skips(Step::ElisionBarrier) {
            full_barrier();
        }
        matches!(self.word.load().state(), State::Off | State::Gated)
    }

    /// Runs `change` with power if the state is `On`, and otherwise without,
    /// while no transition can begin: for changes that memory alone carries
    /// into the next resume.
    ///
    /// # Errors
    /// [`Error::Denied`] after the change was made without power, when what
    /// was cached before it may still be in use; or what `change` returned.
    pub fn settle(
        &self,
        change: &mut dyn FnMut(Option<&Powered>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        loop {
            if let Some(hold) = self.hold_certain() {
                return change(Some(hold.power()));
            }
            let _transition = self.transition.lock();
            match self.word.load().state() {
                State::Off | State::Gated => return change(None),
                State::Denied => {
                    change(None)?;
                    return Err(Error::Denied);
                }
                _ => continue,
            }
        }
    }

    fn hold_certain(&self) -> Option<Hold<'_>> {
        if !self.switchable {
            return Some(Hold::free());
        }
        self.word.enter().ok().map(|()| Hold::of(&self.word))
    }

    /// Counts an elided invalidation.
    pub fn note_elided(&self) {
        self.elided.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an error's kind, if it is one that is counted.
    pub fn note_error(&self, error: Error) {
        if error == Error::Timeout(Wait::Sync) {
            self.sync_timeouts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// When [`tick`](Self::tick) has something to do next.
    #[inline]
    pub fn next_deadline(&self) -> Option<u64> {
        let deadline = self.deadline.load(Ordering::Relaxed);
        (deadline != NEVER).then_some(deadline)
    }

    /// Does what is due: gates, powers off, retries. Cheap before that.
    #[inline]
    pub fn tick(&self, now_ns: u64, sleeper: &dyn Sleeper) {
        let due = now_ns >= self.deadline.load(Ordering::Relaxed);
        if due || self.skips(Step::DeadlineCheck) {
            self.due(now_ns, sleeper);
        }
    }

    /// The account up to `now_ns`. No register is touched.
    pub fn account(&self, now_ns: u64) -> Account {
        let mut account = self.meter.lock().read(now_ns);
        account.invalidations_elided = self.elided.load(Ordering::Relaxed);
        account.sync_timeouts = self.sync_timeouts.load(Ordering::Relaxed);
        account
    }

    pub(super) fn enter(&self, state: State, sleeper: &dyn Sleeper) {
        let mut meter = self.meter.lock();
        self.word.set(state);
        self.show(&mut meter, self.word.load().shown(), sleeper);
    }

    pub(super) fn show(&self, meter: &mut Meter, state: State, sleeper: &dyn Sleeper) -> u64 {
        let now = self.time.now_ns();
        if meter.enter(state, now) {
            sleeper.changed(state, now);
        }
        now
    }

    pub(super) fn count(&self, field: impl FnOnce(&mut Account) -> &mut u64) {
        let mut meter = self.meter.lock();
        let count = field(&mut meter.account);
        *count = count.saturating_add(1);
    }

    pub(super) fn arm(&self, deadline: u64) {
        let _meter = self.meter.lock();
        self.deadline.store(deadline, Ordering::Relaxed);
    }
}

impl<'m> Hold<'m> {
    fn of(word: &'m Word) -> Self {
        Hold {
            word: Some(word),
            power: Powered::attest(),
        }
    }

    fn free() -> Self {
        Hold {
            word: None,
            power: Powered::attest(),
        }
    }
}

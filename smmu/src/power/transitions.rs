//! The transitions themselves: down, up, and what happens when they fail.
//! All run under the transition lock.

use super::Powered;
use super::machine::{BUSY_NS, Machine, NEVER, Sleeper};
use super::supplies::StopError;
use super::word::State;
use crate::error::Error;
use crate::mutation::Step;
use crate::sync::{Ordering, full_barrier};

impl Machine<'_> {
    pub(super) fn due(&self, now_ns: u64, sleeper: &dyn Sleeper) {
        let _transition = self.transition.lock();
        let word = self.word.load();
        match word.state() {
            State::On if self.switchable => {
                if self.close(now_ns, sleeper) {
                    self.gate(sleeper);
                }
            }
            // Masters are waiting for what failed before, or are not counted.
            from @ (State::Off | State::Gated | State::Denied)
                if word.links() != 0 || !self.switchable =>
            {
                // Told to the sleeper, and the next try is set.
                let _ = self.wake(from, sleeper);
            }
            State::Gated => self.power_off(now_ns, sleeper),
            State::Denied => self.gate(sleeper),
            _ => self.arm(NEVER),
        }
    }

    /// The last look, under the lock that admits links (P3).
    fn close(&self, now_ns: u64, sleeper: &dyn Sleeper) -> bool {
        let mut meter = self.meter.lock();
        let early = now_ns < self.deadline.load(Ordering::Relaxed);
        if early && !self.skips(Step::DeadlineCheck) {
            return false;
        }
        let closed = self.word.close(self.skips(Step::CountCheck));
        let next = match closed {
            Err(word) if word.links() == 0 => now_ns.saturating_add(BUSY_NS),
            _ => NEVER,
        };
        self.deadline.store(next, Ordering::Relaxed);
        if closed.is_ok() {
            self.show(&mut meter, State::Suspending, sleeper);
        }
        closed.is_ok()
    }

    /// From `Suspending` or `Denied` to `Gated`; on failure to `On`, or to
    /// `Denied` (P9).
    fn gate(&self, sleeper: &dyn Sleeper) {
        let power = Powered::attest();
        if let Err(error) = sleeper.suspend(&power)
            && !self.skips(Step::StayOn)
        {
            return self.stay_on(error, &power, sleeper);
        }
        match self.supplies.stop() {
            Ok(()) => self.count(|account| &mut account.gates),
            Err(StopError::Halfway(error)) => sleeper.failed(error),
            Err(StopError::StillOn(error)) => return self.stay_on(error, &power, sleeper),
        }
        self.enter(State::Gated, sleeper);
        self.arm_asleep(State::Gated);
    }

    fn stay_on(&self, error: Error, power: &Powered, sleeper: &dyn Sleeper) {
        self.count(|account| &mut account.suspend_failures);
        self.note_error(error);
        sleeper.failed(error);
        let state = match sleeper.resume(power) {
            Ok(()) => State::On,
            Err(error) => {
                self.note_error(error);
                sleeper.failed(error);
                State::Denied
            }
        };
        self.enter(state, sleeper);
        self.arm_retry();
    }

    fn power_off(&self, now_ns: u64, sleeper: &dyn Sleeper) {
        self.arm(NEVER);
        if self.delays.off_ns.is_none() || !self.supplies.has_domain() {
            return;
        }
        match self.supplies.power_off() {
            Ok(()) => self.enter(State::Off, sleeper),
            Err(error) => {
                sleeper.failed(error);
                self.arm(now_ns.saturating_add(self.delays.retry_ns));
            }
        }
    }

    /// The one way up (P5). Under the transition lock.
    pub(super) fn wake(&self, from: State, sleeper: &dyn Sleeper) -> Result<(), Error> {
        self.arm(NEVER);
        if !self.skips(Step::ResumePublish) {
            self.enter(State::Resuming, sleeper);
        }
        // The state, then this barrier, then the invalidation (P12); the
        // other side is in `hold_or_elide`.
        full_barrier();
        if let Err(error) = self.supply(from) {
            self.count(|account| &mut account.resume_failures);
            sleeper.failed(error);
            self.enter(from, sleeper);
            self.arm_asleep(from);
            return Err(error);
        }
        let power = Powered::attest();
        match sleeper.resume(&power) {
            Ok(()) => {
                self.count(|account| &mut account.wakes);
                self.word.set(State::On);
                Ok(())
            }
            Err(_) if self.skips(Step::FailClosed) => {
                self.word.set(State::On);
                Ok(())
            }
            Err(error) => {
                self.deny(error, &power, sleeper);
                Err(error)
            }
        }
    }

    fn supply(&self, from: State) -> Result<(), Error> {
        match from {
            State::Off => {
                self.supplies.power_on()?;
                self.supplies.start().inspect_err(|_| {
                    // Left up is wasteful, not wrong.
                    let _ = self.supplies.power_off();
                })
            }
            State::Gated => self.supplies.start(),
            // Clocked already.
            _ => Ok(()),
        }
    }

    /// After a resume that failed: gated if the hardware says that it forgot
    /// everything, else denied, with its clocks on, until a retry succeeds.
    fn deny(&self, error: Error, power: &Powered, sleeper: &dyn Sleeper) {
        self.count(|account| &mut account.resume_failures);
        self.note_error(error);
        sleeper.failed(error);
        let clean = sleeper.suspend(power).is_ok();
        if clean && !matches!(self.supplies.stop(), Err(StopError::StillOn(_))) {
            self.enter(State::Gated, sleeper);
            self.arm_asleep(State::Gated);
        } else {
            self.enter(State::Denied, sleeper);
            self.arm_retry();
        }
    }

    /// Forces an SMMU that is on into `Denied` although links are active:
    /// its hardware said that it cannot go on. Retried like a failed resume;
    /// the next activation or tick tries.
    pub fn condemn(&self, error: Error, sleeper: &dyn Sleeper) {
        let _transition = self.transition.lock();
        if self.word.load().state() == State::On {
            sleeper.failed(error);
            self.word.set(State::Suspending);
            let power = Powered::attest();
            self.stay_on(error, &power, sleeper);
        }
    }

    /// The next deadline of one who is off or gated: another try if masters
    /// wait, else the power domain's.
    fn arm_asleep(&self, state: State) {
        if self.word.load().links() != 0 {
            return self.arm_retry();
        }
        let off = self.delays.off_ns.filter(|_| self.supplies.has_domain());
        let deadline = match off {
            Some(delay) if state == State::Gated => self.time.now_ns().saturating_add(delay),
            _ => NEVER,
        };
        self.arm(deadline);
    }

    fn arm_retry(&self) {
        if self.skips(Step::Retry) {
            return self.arm(NEVER);
        }
        let now = self.time.now_ns();
        self.arm(now.saturating_add(self.delays.retry_ns));
    }
}

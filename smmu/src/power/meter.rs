//! Accounting (D11): how long in which state, and how often what.

use super::word::State;

/// What one SMMU, TBU or master has done. Times are nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// On with an active link, and while resuming (a master: active).
    pub on_ns: u64,
    /// On without an active link, and while suspending (a master: idle).
    pub idle_ns: u64,
    /// Clocks stopped.
    pub gated_ns: u64,
    /// Power domain down.
    pub off_ns: u64,
    /// Successful resumes.
    pub wakes: u64,
    /// Successful suspends.
    pub gates: u64,
    /// Deadlines that a link's activity cancelled.
    pub deferrals_cancelled: u64,
    /// Invalidations left out because the SMMU was off (P12).
    pub invalidations_elided: u64,
    /// Syncs that did not complete within the bound.
    pub sync_timeouts: u64,
    /// Resumes that failed.
    pub resume_failures: u64,
    /// Suspends that failed.
    pub suspend_failures: u64,
}

/// An account, and since when the current state holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    pub account: Account,
    state: State,
    since_ns: u64,
}

impl Meter {
    pub fn new(state: State, now_ns: u64) -> Self {
        Self {
            account: Account::default(),
            state,
            since_ns: now_ns,
        }
    }

    /// The state changes to `state`; true if it was another.
    pub fn enter(&mut self, state: State, now_ns: u64) -> bool {
        self.settle(now_ns);
        core::mem::replace(&mut self.state, state) != state
    }

    /// The account with the current state's time counted up to `now_ns`.
    pub fn read(&self, now_ns: u64) -> Account {
        let mut copy = *self;
        copy.settle(now_ns);
        copy.account
    }

    fn settle(&mut self, now_ns: u64) {
        let spent = now_ns.saturating_sub(self.since_ns);
        self.since_ns = self.since_ns.max(now_ns);
        let account = &mut self.account;
        let slot = match self.state {
            State::On | State::Resuming => &mut account.on_ns,
            State::Idle | State::Suspending | State::Denied => &mut account.idle_ns,
            State::Gated => &mut account.gated_ns,
            State::Off => &mut account.off_ns,
        };
        *slot = slot.saturating_add(spent);
    }
}

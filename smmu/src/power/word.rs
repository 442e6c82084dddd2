//! State and counts in one word, so that no hold can slip in between the
//! look at the counts and the decision to gate (P3).

use crate::sync::{AtomicU64, Ordering};

/// Where an SMMU or TBU stands. `Idle` of docs/power.md is [`State::On`] with
/// no active link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Power domain down, or never up.
    Off,
    /// Clocks stopped.
    Gated,
    /// Coming up; streams terminate.
    Resuming,
    /// In use, or ready to be.
    On,
    /// Going down; streams terminate.
    Suspending,
    /// Clocked, but neither cleanly on nor cleanly off: streams terminate,
    /// and old translations may not have been forgotten. Retried.
    Denied,
    /// As reported to people: on, with no active link.
    Idle,
}

impl State {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            State::Off => "off",
            State::Gated => "gated",
            State::Resuming => "resuming",
            State::On => "on",
            State::Suspending => "suspending",
            State::Denied => "denied",
            State::Idle => "idle",
        }
    }

    fn decode(code: u64) -> Self {
        match code & 0xff {
            0 => State::Off,
            1 => State::Gated,
            2 => State::Resuming,
            3 => State::On,
            4 => State::Suspending,
            _ => State::Denied,
        }
    }

    fn encode(self) -> u64 {
        match self {
            State::Off => 0,
            State::Gated => 1,
            State::Resuming => 2,
            State::On | State::Idle => 3,
            State::Suspending => 4,
            State::Denied => 5,
        }
    }
}

/// Bits 7:0 state, 31:8 operations in flight, 63:32 active links.
const OP: u64 = 1 << 8;
const OPS: u64 = 0xff_ffff << 8;
const LINK: u64 = 1 << 32;

/// A snapshot of the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Snapshot(u64);

impl Snapshot {
    pub fn state(self) -> State {
        State::decode(self.0)
    }
    pub fn links(self) -> u32 {
        (self.0 >> 32) as u32
    }
    pub fn operations(self) -> u32 {
        ((self.0 & OPS) >> 8) as u32
    }
    /// The state as people see it.
    pub fn shown(self) -> State {
        match self.state() {
            State::On if self.links() == 0 => State::Idle,
            state => state,
        }
    }
}

pub(super) struct Word(AtomicU64);

impl Word {
    pub fn new(state: State) -> Self {
        Self(AtomicU64::new(state.encode()))
    }

    pub fn load(&self) -> Snapshot {
        Snapshot(self.0.load(Ordering::Acquire))
    }

    /// An operation starts, if the state is `On`; otherwise what it was.
    pub fn enter(&self) -> Result<(), State> {
        self.change(|word| {
            let room = word.0 & OPS != OPS;
            (word.state() == State::On && room).then(|| word.0.wrapping_add(OP))
        })
        .map(drop)
        .map_err(Snapshot::state)
    }

    /// The operation ends.
    pub fn leave(&self) {
        self.0.fetch_sub(OP, Ordering::Release);
    }

    /// One more active link, if the state is `On` and `links` pass `allow`.
    /// Returns the word before.
    pub fn link(&self, allow: impl Fn(u32) -> bool) -> Result<Snapshot, Snapshot> {
        self.change(|word| {
            (word.state() == State::On && allow(word.links())).then(|| word.0.wrapping_add(LINK))
        })
    }

    /// One link less, if `links` pass `allow`. Returns the word before.
    pub fn unlink(&self, allow: impl Fn(u32) -> bool) -> Result<Snapshot, Snapshot> {
        self.change(|word| {
            (word.links() != 0 && allow(word.links())).then(|| word.0.wrapping_sub(LINK))
        })
    }

    /// From `On` with nobody there to `Suspending` (P3). `blind` is the bug
    /// of not looking.
    pub fn close(&self, blind: bool) -> Result<(), Snapshot> {
        self.change(|word| {
            let nobody = word.0 & !0xff == 0;
            (word.state() == State::On && (nobody || blind))
                .then(|| word.0 & !0xff | State::Suspending.encode())
        })
        .map(drop)
    }

    /// Moves to `state`. Only under the transition lock, and only between
    /// states in which nobody can enter, or into or out of which the caller
    /// has just moved.
    pub fn set(&self, state: State) {
        // No failure: the closure always yields a value.
        let _ = self.change(|word| Some(word.0 & !0xff | state.encode()));
    }

    fn change(&self, next: impl Fn(Snapshot) -> Option<u64>) -> Result<Snapshot, Snapshot> {
        let mut seen = self.0.load(Ordering::Acquire);
        loop {
            let Some(new) = next(Snapshot(seen)) else {
                return Err(Snapshot(seen));
            };
            match self
                .0
                .compare_exchange(seen, new, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return Ok(Snapshot(seen)),
                Err(now) => seen = now,
            }
        }
    }
}

//! The phases of a VM's life: running, coming together to end or begin, off.
//!
//! Any CPU may ask for an end or a start at any time; one word, changed at once,
//! decides whose wish counts.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

use core::sync::atomic::{AtomicU32, Ordering};

/// Why a VM ends or begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Not an end: the first start.
    PowerOn,
    /// The guest asked for a reset, or the operator.
    Reset,
    /// The guest switched itself off, or the operator did.
    PowerOff,
    /// It did what no guest may do.
    Crash,
}

/// Phase in the low byte, number of ends so far above it: one word, so that a
/// CPU that slept through an end and a start still tells them apart.
#[derive(Debug)]
pub struct Life {
    state: AtomicU32,
    arrived: AtomicU32,
    resets: AtomicU32,
}

/// What a VM is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Guest code may run.
    Running,
    /// Its CPUs are coming together.
    Ending(Ending),
    /// Off until the operator starts it.
    Off(Ending),
    /// Off for good: one of its CPUs has failed at EL2.
    Failed,
}

const RUNNING: u32 = 0;
const ENDING: u32 = 0x10;
const OFF: u32 = 0x20;
const FAILED: u32 = 0x30;

impl Ending {
    const fn code(self) -> u32 {
        match self {
            Self::PowerOn => 0,
            Self::Reset => 1,
            Self::PowerOff => 2,
            Self::Crash => 3,
        }
    }

    const fn from_code(code: u32) -> Self {
        match code & 3 {
            0 => Self::PowerOn,
            1 => Self::Reset,
            2 => Self::PowerOff,
            _ => Self::Crash,
        }
    }
}

impl Default for Life {
    fn default() -> Self {
        Self::new()
    }
}

impl Life {
    /// A VM that starts as soon as its CPUs have come together.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: AtomicU32::new(ENDING),
            arrived: AtomicU32::new(0),
            resets: AtomicU32::new(0),
        }
    }

    /// The phase, and which end this is or was the last.
    #[must_use]
    pub fn phase(&self) -> (Phase, u32) {
        let word = self.state.load(Ordering::Acquire);
        let ending = Ending::from_code(word);
        let phase = match word & 0xf0 {
            ENDING => Phase::Ending(ending),
            OFF => Phase::Off(ending),
            FAILED => Phase::Failed,
            _ => Phase::Running,
        };
        (phase, word >> 8)
    }

    /// Whether guest code may run.
    #[must_use]
    #[inline]
    pub fn runs(&self) -> bool {
        self.state.load(Ordering::Relaxed) & 0xf0 == RUNNING
    }

    /// How often it was reset.
    #[must_use]
    pub fn resets(&self) -> u32 {
        self.resets.load(Ordering::Relaxed)
    }

    /// Running → Ending; false if it was not running.
    pub fn end(&self, ending: Ending) -> bool {
        let update = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
                (word & 0xf0 == RUNNING)
                    .then(|| ((word >> 8).wrapping_add(1) << 8) | ENDING | ending.code())
            });
        update.is_ok()
    }

    /// Off → Ending(PowerOn): the operator starts it again; false if it was not
    /// off.
    pub fn start(&self) -> bool {
        let update = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
                (word & 0xf0 == OFF).then(|| ((word >> 8).wrapping_add(1) << 8) | ENDING)
            });
        update.is_ok()
    }

    /// Whether one of its CPUs has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.phase().0 == Phase::Failed
    }

    /// One of its `all` CPUs has left the guest for good; true for the last.
    pub fn arrive(&self, all: u32) -> bool {
        let last = self.arrived.fetch_add(1, Ordering::AcqRel).wrapping_add(1) == all;
        if last {
            self.arrived.store(0, Ordering::Release);
        }
        last
    }

    /// It is being reset.
    pub fn count_reset(&self) {
        self.resets.fetch_add(1, Ordering::Relaxed);
    }

    /// Ending → Running.
    pub fn run(&self) {
        self.set(RUNNING);
    }

    /// Ending → Off.
    pub fn rest(&self, ending: Ending) {
        self.set(OFF | ending.code());
    }

    /// A CPU of it has failed: it never runs again, whatever it did.
    pub fn fail(&self) {
        self.set(FAILED);
    }

    /// The last step of an end or a beginning, unless a CPU has failed.
    fn set(&self, phase: u32) {
        let _kept = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
                (word & 0xf0 != FAILED).then_some(word & !0xff | phase)
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A VM that has started.
    fn running() -> Life {
        let life = Life::new();
        life.run();
        life
    }

    #[test]
    fn a_vm_begins_by_coming_together() {
        let life = Life::new();
        assert_eq!(life.phase(), (Phase::Ending(Ending::PowerOn), 0));
        assert!(!life.runs());
        life.run();
        assert_eq!(life.phase().0, Phase::Running);
        assert!(life.runs());
    }

    #[test]
    fn the_first_wish_counts() {
        for first in [Ending::Reset, Ending::PowerOff, Ending::Crash] {
            let life = running();
            assert!(life.end(first));
            assert!(!life.end(Ending::Reset));
            assert!(!life.start());
            assert_eq!(life.phase(), (Phase::Ending(first), 1));
        }
    }

    #[test]
    fn only_what_is_off_can_be_started() {
        let life = running();
        assert!(!life.start());
        assert!(life.end(Ending::Crash));
        life.rest(Ending::Crash);
        assert_eq!(life.phase(), (Phase::Off(Ending::Crash), 1));
        assert!(life.start());
        assert_eq!(life.phase(), (Phase::Ending(Ending::PowerOn), 2));
        assert!(!life.start());
    }

    #[test]
    fn a_cpu_that_slept_through_an_end_sees_another_number() {
        let life = running();
        assert!(life.end(Ending::Reset));
        let seen = life.phase();
        life.run();
        assert!(life.end(Ending::Reset));
        assert_ne!(life.phase(), seen);
    }

    #[test]
    fn nothing_wakes_a_vm_that_has_failed() {
        for bring in [Life::run, Life::count_reset, |life: &Life| {
            life.rest(Ending::PowerOff);
        }] {
            let life = running();
            life.fail();
            bring(&life);
            assert!(life.has_failed());
            assert!(!life.start());
            assert!(!life.end(Ending::Reset));
            assert!(!life.runs());
        }
    }

    #[test]
    fn the_last_cpu_is_told_so_in_each_meeting() {
        let life = Life::new();
        for _ in 0..2 {
            let told = [life.arrive(3), life.arrive(3), life.arrive(3)];
            assert_eq!(told, [false, false, true]);
        }
        assert!(life.arrive(1));
    }
}

//! Power state of one vCPU, shared by the vCPUs of its VM.
//!
//! ```text
//!         claim (CPU_ON)        publish             begin (target)
//!   Off ───────────────► Claimed ─────► OnPending ──────────────► On
//!    ▲                                                             │
//!    └───────────────────────── off (CPU_OFF) ─────────────────────┘
//! ```
//!
//! `Claimed` keeps two CPU_ON calls from mixing their arguments: whoever wins
//! the step out of `Off` writes entry and context alone, then publishes them.
//! To everybody else `Claimed` is ON_PENDING.

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::Error;

const OFF: u32 = 0;
const CLAIMED: u32 = 1;
const ON_PENDING: u32 = 2;
const ON: u32 = 3;

/// AFFINITY_INFO's answers, DEN 0022 5.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum State {
    /// At least one vCPU runs.
    On = 0,
    /// None runs.
    Off = 1,
    /// A CPU_ON is under way.
    OnPending = 2,
}

/// Where a vCPU starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Guest physical address of the first instruction.
    pub entry: u64,
    /// Value of x0.
    pub context: u64,
}

/// Power state and pending start of one vCPU.
#[derive(Debug)]
pub struct VcpuPower {
    state: AtomicU32,
    entry: AtomicU64,
    context: AtomicU64,
}

impl Default for VcpuPower {
    fn default() -> Self {
        Self::new()
    }
}

impl VcpuPower {
    /// A vCPU that is off.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: AtomicU32::new(OFF),
            entry: AtomicU64::new(0),
            context: AtomicU64::new(0),
        }
    }

    /// A vCPU that is off.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: AtomicU32::new(OFF),
            entry: AtomicU64::new(0),
            context: AtomicU64::new(0),
        }
    }

    /// Asks a vCPU that is off to start. The caller then kicks its CPU.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyOn`] or [`Error::OnPending`]; nothing changed.
    pub fn request(&self, start: Start) -> Result<(), Error> {
        self.state
            .compare_exchange(OFF, CLAIMED, Ordering::Acquire, Ordering::Relaxed)
            .map_err(|found| match found {
                ON => Error::AlreadyOn,
                _ => Error::OnPending,
            })?;
        self.entry.store(start.entry, Ordering::Relaxed);
        self.context.store(start.context, Ordering::Relaxed);
        // Release: who sees OnPending sees entry and context.
        self.state.store(ON_PENDING, Ordering::Release);
        Ok(())
    }

    /// The target's side: takes a pending start, once. Called by the vCPU's
    /// own CPU after a kick or a wake-up; `None` means stay asleep.
    pub fn begin(&self) -> Option<Start> {
        self.state
            .compare_exchange(ON_PENDING, ON, Ordering::Acquire, Ordering::Relaxed)
            .ok()?;
        Some(Start {
            entry: self.entry.load(Ordering::Relaxed),
            context: self.context.load(Ordering::Relaxed),
        })
    }

    /// The vCPU's own CPU_OFF, or the VM's end. Call it only when this vCPU
    /// executes guest code no more.
    pub fn off(&self) {
        // Release: everything the vCPU did happens before its next start.
        self.state.store(OFF, Ordering::Release);
    }

    /// As AFFINITY_INFO reports it.
    #[must_use]
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            OFF => State::Off,
            ON => State::On,
            _ => State::OnPending,
        }
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    fn start(n: u64) -> Start {
        Start {
            entry: n,
            context: n,
        }
    }

    /// Every interleaving of two CPU_ON calls and the target: one call wins,
    /// and the target starts at most once, with arguments of one call.
    #[test]
    fn one_start_wins_whole() {
        loom::model(|| {
            let power = Arc::new(VcpuPower::new());
            let callers = [1, 2].map(|n| {
                let power = Arc::clone(&power);
                thread::spawn(move || power.request(start(n)).is_ok())
            });
            let early = power.begin();
            let wins = callers.map(|caller| caller.join().unwrap());
            let late = power.begin();
            assert!(early.is_none() || late.is_none());
            let begun = early.or(late).expect("nobody was refused for nothing");
            assert_eq!(begun.entry, begun.context);
            assert_eq!(wins.iter().filter(|won| **won).count(), 1);
            assert!(wins[begun.entry as usize - 1], "the winner's arguments");
        });
    }

    /// A vCPU that turns off while another turns it on either refuses or
    /// starts again with the new arguments; no start is lost.
    #[test]
    fn off_and_on_cross_without_loss() {
        loom::model(|| {
            let power = Arc::new(VcpuPower::new());
            power.request(start(1)).unwrap();
            assert_eq!(power.begin(), Some(start(1)));
            let caller = {
                let power = Arc::clone(&power);
                thread::spawn(move || power.request(start(2)))
            };
            power.off();
            match caller.join().unwrap() {
                Ok(()) => assert_eq!(power.begin(), Some(start(2))),
                Err(error) => {
                    assert_eq!(error, Error::AlreadyOn);
                    assert_eq!(power.begin(), None);
                }
            }
        });
    }
}

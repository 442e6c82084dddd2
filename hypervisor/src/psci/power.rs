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
//!
//! The same word counts the starts, so that a look at all vCPUs of a VM can
//! tell whether anything happened meanwhile: see [`all_off`].

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};

use super::Error;

/// Bits of the state that hold the phase; the number of starts is above them.
const PHASE: u64 = 3;
const OFF: u64 = 0;
const CLAIMED: u64 = 1;
const ON_PENDING: u64 = 2;
const ON: u64 = 3;
/// One start.
const START: u64 = PHASE + 1;

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
    state: AtomicU64,
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
            state: AtomicU64::new(OFF),
            entry: AtomicU64::new(0),
            context: AtomicU64::new(0),
        }
    }

    /// A vCPU that is off.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: AtomicU64::new(OFF),
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
        let claim = |word: u64| (word & PHASE == OFF).then_some(word.wrapping_add(START) | CLAIMED);
        let before = self
            .state
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, claim)
            .map_err(|found| match found & PHASE {
                ON => Error::AlreadyOn,
                _ => Error::OnPending,
            })?;
        self.entry.store(start.entry, Ordering::Relaxed);
        self.context.store(start.context, Ordering::Relaxed);
        // Release: who sees OnPending sees entry and context.
        let pending = before.wrapping_add(START) | ON_PENDING;
        self.state.store(pending, Ordering::Release);
        Ok(())
    }

    /// The target's side: takes a pending start, once. Called by the vCPU's
    /// own CPU after a kick or a wake-up; `None` means stay asleep.
    pub fn begin(&self) -> Option<Start> {
        let begin = |word: u64| (word & PHASE == ON_PENDING).then_some(word | ON);
        self.state
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, begin)
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
        self.state.fetch_and(!PHASE, Ordering::Release);
    }

    /// As AFFINITY_INFO reports it.
    #[must_use]
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) & PHASE {
            OFF => State::Off,
            ON => State::On,
            _ => State::OnPending,
        }
    }
}

/// Whether all vCPUs of a VM were off at one moment: then nobody is left who
/// could start one, and the VM will never run again by itself.
///
/// For a vCPU that has just gone [off](VcpuPower::off). Of several that do so
/// at once at least one is told true; nobody is while a start is under way.
#[must_use]
pub fn all_off<'a>(vcpus: impl Iterator<Item = &'a VcpuPower> + Clone) -> bool {
    // After the caller's own store to its state: of two CPUs that go off at
    // once, the one whose fence is second sees the other off.
    fence(Ordering::SeqCst);
    // Counts of starts only grow: equal sums mean that nothing has started
    // between the two looks, so each vCPU was off all the time.
    let look = || {
        vcpus.clone().try_fold(0_u64, |sum, vcpu| {
            let word = vcpu.state.load(Ordering::Acquire);
            (word & PHASE == OFF).then_some(sum.wrapping_add(word))
        })
    };
    look().is_some_and(|first| look() == Some(first))
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

    fn on() -> Arc<VcpuPower> {
        let power = Arc::new(VcpuPower::new());
        power.request(start(1)).unwrap();
        power.begin().unwrap();
        power
    }

    /// Two vCPUs, all there are, go off at once: at least one learns that it
    /// was the last.
    #[test]
    fn somebody_is_last() {
        loom::model(|| {
            let (a, b) = (on(), on());
            let other = {
                let (a, b) = (Arc::clone(&a), Arc::clone(&b));
                thread::spawn(move || {
                    b.off();
                    all_off([&*a, &*b].into_iter())
                })
            };
            a.off();
            let own = all_off([&*a, &*b].into_iter());
            assert!(own || other.join().unwrap());
        });
    }

    /// While one goes off another hands over to a third, behind or before the
    /// first one's eyes: nobody takes that for the end.
    #[test]
    fn handing_over_is_no_end() {
        for order in [[0, 1, 2], [0, 2, 1], [2, 1, 0]] {
            loom::model(move || {
                let all = [on(), on(), Arc::new(VcpuPower::new())];
                let list = order.map(|index: usize| Arc::clone(&all[index]));
                let other = {
                    let (all, list) = (all.clone(), list.clone());
                    thread::spawn(move || {
                        all[2].request(start(2)).unwrap();
                        all[1].off();
                        all_off(list.iter().map(|power| &**power))
                    })
                };
                all[0].off();
                assert!(!all_off(list.iter().map(|power| &**power)));
                assert!(!other.join().unwrap());
            });
        }
    }
}

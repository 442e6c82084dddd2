//! The power state machine under the model checker: every interleaving, and
//! every order that memory may show, of count, deferral, gate, wake, elision
//! and fault hold (P2, P3, P4, P12).
//!
//! Each property is also checked with the step left out that it rests on; the
//! checker must then find the failure, or it would prove nothing.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p smmu --test power_loom`
#![cfg(loom)]

use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::thread;
use smmu::model::Step;
use smmu::power::{Delays, Machine, Powered, Sleeper, State, Supplies};
use smmu::{Clock, Error, SupplyError, Time};
use std::sync::Arc;

const IDLE: u64 = 10;

/// Time stands still unless a test moves it.
struct Stopped(AtomicU64);

impl Time for Stopped {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Something to switch.
struct Gate;

impl Clock for Gate {
    fn prepare(&self) -> Result<(), SupplyError> {
        Ok(())
    }
    fn enable(&self) -> Result<(), SupplyError> {
        Ok(())
    }
    fn disable(&self) -> Result<(), SupplyError> {
        Ok(())
    }
    fn unprepare(&self) {}
}

/// The hardware, as far as these properties see it.
struct Part {
    /// It may be touched.
    usable: AtomicBool,
    /// The table entry of a page that is being unmapped.
    entry: AtomicU64,
    /// The entry as a walk found it after the last resume's invalidation.
    walked: AtomicU64,
    /// When the last link became idle.
    idle_since: AtomicU64,
    /// The time that the timer believes it is.
    timer: u64,
}

impl Sleeper for Part {
    fn resume(&self, _: &Powered) -> Result<(), Error> {
        // Invalidated; from here on a walk may come at any time, and the
        // soonest one caches most.
        self.walked
            .store(self.entry.load(Ordering::Relaxed), Ordering::Relaxed);
        self.usable.store(true, Ordering::Relaxed);
        Ok(())
    }
    fn suspend(&self, _: &Powered) -> Result<(), Error> {
        let since = self.idle_since.load(Ordering::Relaxed);
        assert!(self.timer >= since + IDLE, "gated before the deadline");
        self.usable.store(false, Ordering::Relaxed);
        Ok(())
    }
    fn changed(&self, state: State, now_ns: u64) {
        if state == State::Idle {
            self.idle_since.store(now_ns, Ordering::Relaxed);
        }
    }
    fn failed(&self, error: Error) {
        panic!("{error}");
    }
}

struct World {
    machine: Machine<'static>,
    part: Part,
    time: &'static Stopped,
}

/// A machine that has booted at time 0 and is idle; `gated`: asleep.
fn world(step: Option<Step>, gated: bool) -> Arc<World> {
    let time: &'static Stopped = Box::leak(Box::new(Stopped(AtomicU64::new(0))));
    let supplies = Supplies::new(&[&Gate], &[]);
    let delays = Delays {
        idle_ns: IDLE,
        off_ns: None,
        retry_ns: 1000,
    };
    let world = World {
        machine: Machine::under_check(supplies, delays, time, None),
        part: Part {
            usable: AtomicBool::new(true),
            entry: AtomicU64::new(1),
            walked: AtomicU64::new(1),
            idle_since: AtomicU64::new(0),
            timer: IDLE,
        },
        time,
    };
    world.machine.boot(|_| Ok(())).unwrap();
    if gated {
        world.machine.tick(IDLE, &world.part);
        assert_eq!(world.machine.state(), State::Gated);
    }
    let World {
        mut machine,
        part,
        time,
    } = world;
    machine.leave_out(step);
    Arc::new(World {
        machine,
        part,
        time,
    })
}

impl World {
    fn touch(&self, who: &str) {
        assert!(
            self.part.usable.load(Ordering::Relaxed),
            "{who} touched it asleep"
        );
    }
}

fn explore(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

/// The property holds; without the step it does not.
fn needs(steps: &[Step], property: fn(Option<Step>)) {
    explore(move || property(None));
    for step in steps.iter().copied() {
        let found = std::panic::catch_unwind(|| explore(move || property(Some(step))));
        assert!(found.is_err(), "nobody noticed that {step:?} was left out");
    }
}

/// P3: no hold meets a gate. P4: a fault path touches nothing that sleeps.
#[test]
fn holds_and_gate() {
    needs(&[Step::CountCheck, Step::HoldCheck], |step| {
        let world = world(step, false);
        let other = world.clone();
        let fault = thread::spawn(move || {
            if let Some(hold) = other.machine.hold() {
                other.touch("the fault path");
                drop(hold);
            }
        });
        world.machine.tick(IDLE, &world.part);
        fault.join().unwrap();
        assert_eq!(world.machine.counts(), (0, 0));
    });
}

/// P2, P3: an active master finds it on, whatever the timer does.
#[test]
fn activity_and_gate() {
    needs(&[], |step| {
        let world = world(step, false);
        let other = world.clone();
        let master = thread::spawn(move || {
            other.machine.activate(&other.part).unwrap();
            other.touch("the master");
            assert!(matches!(other.machine.state(), State::On));
        });
        world.machine.tick(IDLE, &world.part);
        master.join().unwrap();
        assert_eq!(world.machine.counts(), (1, 0));
        world.touch("the master at the end");
    });
}

/// D4: a deadline that moved while the timer was on its way is honoured.
#[test]
fn deferral_starts_afresh() {
    needs(&[Step::DeadlineCheck], |step| {
        let world = world(step, false);
        let other = world.clone();
        let master = thread::spawn(move || {
            other.machine.activate(&other.part).unwrap();
            other.time.0.store(5, Ordering::SeqCst);
            other.machine.deactivate(&other.part);
        });
        world.machine.tick(IDLE, &world.part);
        master.join().unwrap();
    });
}

/// P2: of two masters that wake it at once, neither goes on too early.
#[test]
fn two_wake_it() {
    needs(&[Step::SupplierFirst], |step| {
        let world = world(step, true);
        let other = world.clone();
        let second = thread::spawn(move || {
            other.machine.activate(&other.part).unwrap();
            other.touch("the second master");
        });
        world.machine.activate(&world.part).unwrap();
        world.touch("the first master");
        second.join().unwrap();
        assert_eq!(world.machine.counts(), (2, 0));
    });
}

/// The count comes out right whoever comes and goes.
#[test]
fn counts_balance() {
    needs(&[], |step| {
        let world = world(step, true);
        let other = world.clone();
        let second = thread::spawn(move || {
            other.machine.activate(&other.part).unwrap();
            other.machine.deactivate(&other.part);
        });
        world.machine.activate(&world.part).unwrap();
        world.machine.deactivate(&world.part);
        second.join().unwrap();
        assert_eq!(world.machine.counts(), (0, 0));
        assert_eq!(world.machine.state(), State::Idle);
        assert!(world.machine.next_deadline().is_some());
    });
}

/// P12: an unmap that is elided happened before the resume's invalidation.
#[test]
fn elision_is_sound() {
    needs(&[Step::ElisionBarrier, Step::ResumePublish], |step| {
        let world = world(step, true);
        let other = world.clone();
        let waker = thread::spawn(move || {
            other.machine.activate(&other.part).unwrap();
        });
        world.part.entry.store(0, Ordering::Relaxed);
        let elided = match world.machine.hold_or_elide().unwrap() {
            Some(hold) => {
                world.touch("the invalidation");
                drop(hold);
                false
            }
            None => true,
        };
        waker.join().unwrap();
        let walked = world.part.walked.load(Ordering::Relaxed);
        assert!(!elided || walked == 0, "a page was freed and is cached");
    });
}

/// P12, the other way: an unmap during a gate either invalidates or elides,
/// and touches nothing that sleeps.
#[test]
fn unmap_and_gate() {
    needs(&[Step::CountCheck], |step| {
        let world = world(step, false);
        let other = world.clone();
        let unmap = thread::spawn(move || {
            other.part.entry.store(0, Ordering::Relaxed);
            if let Some(hold) = other.machine.hold_or_elide().unwrap() {
                other.touch("the invalidation");
                drop(hold);
            }
        });
        world.machine.tick(IDLE, &world.part);
        unmap.join().unwrap();
    });
}

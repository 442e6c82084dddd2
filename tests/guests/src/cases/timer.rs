//! Virtual and physical timer.

use super::{Case, Outcome, case};
use crate::exception::{on_interrupt, seen};
use crate::timer::Timer;
use crate::{check, cpu, gic, msr, smp};
use core::sync::atomic::Ordering::SeqCst;

pub const CASES: &[Case] = &[
    case("timer-counter", counter),
    case("timer-virtual", || fires(Timer::Virtual)),
    case("timer-physical", || fires(Timer::Physical)),
    case("timer-virtual-level", || stays(Timer::Virtual)),
    case("timer-physical-level", || stays(Timer::Physical)),
    case("timer-virtual-masked", || masked(Timer::Virtual)),
    case("timer-physical-masked", || masked(Timer::Physical)),
    case("timer-many-virtual", || many(Timer::Virtual)),
    case("timer-many-physical", || many(Timer::Physical)),
    case("timer-wfi", wfi),
    case("timer-other-cpu", other_cpu),
    case("timer-both", both),
];

fn count() -> u32 {
    seen(0).interrupts.load(SeqCst)
}

fn ready(timer: Timer) {
    gic::enable(timer.intid());
    cpu::irq_on();
}

fn done(timer: Timer) {
    cpu::irq_off();
    timer.control(0);
    gic::disable(timer.intid());
}

fn millisecond() -> u64 {
    cpu::frequency() / 1000
}

fn counter() -> Outcome {
    let frequency = cpu::frequency();
    check!(
        (1_000_000..=2_000_000_000).contains(&frequency),
        "CNTFRQ",
        frequency
    );
    let mut last = cpu::count();
    for _ in 0..10_000 {
        let now = cpu::count();
        check!(now >= last, "the counter went back", last - now);
        last = now;
    }
    Ok(())
}

/// Turns a timer off in its handler.
fn once(timer: Timer) -> fn(u32) {
    match timer {
        Timer::Virtual => |_| Timer::Virtual.control(0),
        Timer::Physical => |_| Timer::Physical.control(0),
    }
}

fn fires(timer: Timer) -> Outcome {
    on_interrupt(Some(once(timer)));
    ready(timer);
    let begin = cpu::count();
    timer.arm(5 * millisecond());
    // On a busy computer its time may have come before it is looked at.
    let (state, early) = (timer.state(), cpu::count() - begin < 5 * millisecond());
    check!(!early || state & 4 == 0, "ISTATUS before its time", state);
    let fired = cpu::eventually(|| count() == 1);
    let waited = cpu::count() - begin;
    done(timer);
    check!(fired, "the timer did not fire", count());
    check!(
        seen(0).last.load(SeqCst) == timer.intid(),
        "INTID",
        seen(0).last.load(SeqCst)
    );
    check!(waited >= 5 * millisecond(), "it fired early", waited);
    cpu::settle();
    check!(count() == 1, "it fired again", count());
    Ok(())
}

/// The timer is level-sensitive: it comes back until it is served.
fn stays(timer: Timer) -> Outcome {
    on_interrupt(Some(match timer {
        Timer::Virtual => |_| serve(Timer::Virtual),
        Timer::Physical => |_| serve(Timer::Physical),
    }));
    ready(timer);
    timer.arm(millisecond());
    let fired = cpu::eventually(|| count() >= 3);
    cpu::settle();
    done(timer);
    check!(fired, "it did not come back", count());
    check!(count() == 3, "it came too often", count());
    Ok(())
}

fn serve(timer: Timer) {
    if count() == 2 {
        timer.control(0);
    }
}

fn masked(timer: Timer) -> Outcome {
    on_interrupt(Some(once(timer)));
    ready(timer);
    // Masked before it is on: on a busy computer a millisecond is soon over.
    timer.set(millisecond());
    timer.control(3);
    check!(
        cpu::eventually(|| timer.state() & 4 != 0),
        "ISTATUS does not rise",
        timer.state()
    );
    cpu::settle();
    check!(count() == 0, "a masked timer fired", count());
    timer.control(1);
    let fired = cpu::eventually(|| count() == 1);
    done(timer);
    check!(fired, "it did not fire when unmasked", count());
    Ok(())
}

fn many(timer: Timer) -> Outcome {
    on_interrupt(Some(once(timer)));
    ready(timer);
    for round in 0..200 {
        timer.arm(cpu::frequency() / 20_000);
        check!(
            cpu::eventually(|| count() == round + 1),
            "an interrupt got lost",
            round
        );
    }
    done(timer);
    Ok(())
}

fn wfi() -> Outcome {
    on_interrupt(Some(once(Timer::Virtual)));
    gic::enable(Timer::Virtual.intid());
    for round in 0..20 {
        cpu::irq_off();
        Timer::Virtual.arm(2 * millisecond());
        while count() == round {
            // WFI ends on a pending interrupt even if it is masked.
            cpu::wfi();
            cpu::irq_on();
            cpu::irq_off();
        }
    }
    done(Timer::Virtual);
    check!(count() == 20, "interrupts after 20 sleeps", count());
    Ok(())
}

/// Each CPU has timers of its own.
fn other_cpu() -> Outcome {
    check!(smp::start(1) == 0, "CPU 1 does not start", 0);
    on_interrupt(Some(once(Timer::Virtual)));
    let done = smp::run_on(1, || {
        ready(Timer::Virtual);
        Timer::Virtual.arm(millisecond());
        cpu::eventually(|| seen(1).interrupts.load(SeqCst) != 0);
        done(Timer::Virtual);
    });
    let counts = (count(), seen(1).interrupts.load(SeqCst));
    check!(smp::stop(1), "CPU 1 does not go off", 0);
    check!(done && counts == (0, 1), "interrupts on CPU 1", counts.1);
    Ok(())
}

/// Both timers at once, each with its own interrupt.
fn both() -> Outcome {
    on_interrupt(Some(|intid| match intid {
        27 => Timer::Virtual.control(0),
        _ => Timer::Physical.control(0),
    }));
    msr!("cntv_tval_el0", millisecond());
    msr!("cntp_tval_el0", millisecond());
    for timer in [Timer::Virtual, Timer::Physical] {
        gic::enable(timer.intid());
        timer.control(1);
    }
    cpu::irq_on();
    let fired = cpu::eventually(|| count() == 2);
    let sum = seen(0).last.load(SeqCst) + seen(0).before.load(SeqCst);
    done(Timer::Virtual);
    done(Timer::Physical);
    check!(fired && sum == 57, "both interrupts", count());
    Ok(())
}

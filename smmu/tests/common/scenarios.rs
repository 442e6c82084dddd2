//! What must hold for every SMMU. Each scenario runs as a test of its own,
//! and again with a step left out, when it must fail.

use super::*;
use smmu::model::{Dma, Loss, Violation};
use smmu::power::{State, Who};

const IPA: u64 = 0x4000_0000;
const PA: u64 = 0x8000_0000;
const OTHER: u64 = 0x9000_0000;

fn setup(step: Option<Step>) -> Setup {
    Setup {
        leave_out: step,
        ..Setup::default()
    }
}

/// C4: nothing passes, from before the probe to after the end, for anyone
/// who was not attached.
pub fn default_deny<B: Backend>(step: Option<Step>) {
    let rig = Rig::<B>::new(setup(step));
    for stream in [0, 7, 0x123, 0xffff] {
        assert_eq!(rig.model.dma(stream, PA, true), Dma::Terminated);
    }
    let guest = rig.bare_guest(&[7], 0);
    guest.map(IPA, PA, PAGE);
    guest.active().unwrap();
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Terminated);
    rig.smmu.attach(guest.link, guest.domain).unwrap();
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(PA));
    assert_eq!(rig.model.dma(8, IPA, true), Dma::Terminated);
    rig.check();
}

/// An entry is old, new or terminating at every moment, and new on return.
pub fn attach_and_detach<B: Backend>(step: Option<Step>) {
    for seed in 1..20 {
        let mut setup = setup(step);
        setup.nature.seed = seed;
        let rig = Rig::<B>::new(setup);
        let one = rig.bare_guest(&[7, 8], 0);
        let two = rig.bare_guest(&[9], 0);
        rig.model.set_restless(7, IPA);
        one.map(IPA, PA, PAGE);
        two.map(IPA, OTHER, PAGE);
        one.active().unwrap();
        for turn in 0..4 {
            // The entry's absence may be cached as well.
            assert_eq!(rig.model.dma(7, IPA, true), Dma::Terminated);
            let domain = if turn % 2 == 0 {
                one.domain
            } else {
                two.domain
            };
            let target = if turn % 2 == 0 { PA } else { OTHER };
            rig.smmu.attach(one.link, domain).unwrap();
            assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(target));
            // Straight from one domain to the other.
            rig.smmu.attach(one.link, two.domain).unwrap();
            assert_eq!(rig.model.dma(8, IPA, false), Dma::Reached(OTHER));
            rig.model.launch(8, IPA);
            rig.smmu.detach(one.link).unwrap();
            rig.model.forbid(OTHER);
            rig.model.land();
            assert_eq!(rig.model.dma(8, IPA, true), Dma::Terminated);
            rig.model.permit(OTHER);
        }
        rig.check();
    }
}

/// B4: never an old page after unmap returned.
pub fn unmap_while_dma<B: Backend>(step: Option<Step>) {
    for (coherent, ranges) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut setup = setup(step);
        setup.nature.coherent = coherent;
        setup.nature.ranges = ranges;
        let rig = Rig::<B>::new(setup);
        let guest = rig.guest(&[7], 0);
        guest.active().unwrap();
        for (pages, at) in [
            (1, IPA),
            (3, IPA),
            (33, IPA + PAGE),
            (512, IPA),
            (1025, IPA + PAGE),
        ] {
            guest.map(at, PA, pages * PAGE);
            for page in 0..pages {
                let offset = page * PAGE;
                assert_eq!(
                    rig.model.dma(7, at + offset, true),
                    Dma::Reached(PA + offset)
                );
            }
            rig.model.launch(7, at);
            assert_eq!(guest.unmap(at, pages * PAGE), Ok(Done::Completed));
            rig.model.land();
            for page in 0..pages {
                assert_eq!(rig.model.dma(7, at + page * PAGE, false), Dma::Terminated);
            }
            // Blocks after pages, pages after blocks: cached steps must go.
            guest.map(at, OTHER, PAGE);
            assert_eq!(rig.model.dma(7, at, true), Dma::Reached(OTHER));
            guest.unmap(at, PAGE).unwrap();
        }
        rig.check();
    }
}

/// D4, P3: both busy, one idle, both idle, and not before the delay.
pub fn deferred_gating<B: Backend>(step: Option<Step>) {
    let rig = Rig::<B>::new(setup(step));
    let (one, two) = (rig.guest(&[7], 0), rig.guest(&[9], 0));
    one.map(IPA, PA, PAGE);
    one.active().unwrap();
    two.active().unwrap();
    rig.pass(10 * IDLE);
    assert_eq!(rig.smmu.state(), State::On);
    two.idle();
    rig.pass(10 * IDLE);
    assert_eq!(rig.smmu.state(), State::On);
    one.idle();
    assert_eq!(rig.smmu.state(), State::Idle);
    // A timer that comes early, or for something else, gates nothing.
    rig.smmu.tick(0);
    rig.pass(IDLE - 1);
    assert_eq!(rig.smmu.state(), State::Idle);
    one.active().unwrap();
    rig.pass(10 * IDLE);
    assert_eq!(rig.smmu.state(), State::On);
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(PA));
    one.idle();
    rig.pass(IDLE);
    assert_eq!(rig.smmu.state(), State::Gated);
    assert!(!rig.clock.is_on());
    let account = rig.smmu.stats().account;
    assert_eq!((account.gates, account.deferrals_cancelled), (1, 2));
    rig.check();
}

/// P3: an operation in flight keeps the SMMU on past the deadline.
pub fn operation_holds<B: Backend>(step: Option<Step>) {
    let rig = Rig::<B>::new(setup(step));
    let guest = rig.guest(&[7], 0);
    let range = smmu::IpaRange {
        ipa: Ipa(IPA),
        size: PAGE,
        stride: PAGE,
        leaf_only: true,
    };
    let pending = rig.smmu.begin_invalidate(guest.domain, &[range]).unwrap();
    rig.pass(2 * IDLE);
    assert_eq!(rig.smmu.state(), State::Idle);
    assert_eq!(pending.finish(), Ok(Done::Completed));
    rig.pass(IDLE);
    assert_eq!(rig.smmu.state(), State::Gated);
    rig.check();
}

/// D5, D6, P1, P5, P6: through gate and wake, whatever power-off does.
pub fn gate_and_wake<B: Backend>(step: Option<Step>) {
    for loss in [Loss::Retain, Loss::Reset, Loss::Scramble] {
        for off in [None, Some(5 * IDLE)] {
            let mut setup = setup(step);
            setup.nature.loss = loss;
            setup.delays.off_ns = off;
            let rig = Rig::<B>::new(setup);
            let guest = rig.guest(&[7], 0);
            rig.model.set_restless(7, IPA);
            guest.map(IPA, PA, 4 * PAGE);
            for _ in 0..3 {
                guest.active().unwrap();
                for page in 0..4 {
                    assert_eq!(
                        rig.model.dma(7, IPA + page * PAGE, true),
                        Dma::Reached(PA + page * PAGE)
                    );
                }
                rig.model.launch(7, IPA + PAGE);
                guest.idle();
                rig.pass(IDLE);
                assert_eq!(rig.smmu.state(), State::Gated);
                rig.pass(10 * IDLE);
                let state = if off.is_some() {
                    State::Off
                } else {
                    State::Gated
                };
                assert_eq!(rig.smmu.state(), state);
                // D7: nothing is woken, nothing is touched, nothing is stale.
                let before = rig.model.accesses();
                assert_eq!(guest.unmap(IPA + PAGE, PAGE), Ok(Done::Elided));
                rig.model.land();
                assert_eq!(rig.model.dma(7, IPA + PAGE, true), Dma::Terminated);
                rig.smmu.handle_event_irq(&mut |_| ());
                rig.smmu.handle_error_irq();
                let _ = rig.smmu.stats();
                assert_eq!(rig.model.accesses(), before);
                guest.active().unwrap();
                assert_eq!(rig.model.dma(7, IPA + PAGE, true), Dma::Terminated);
                guest.map(IPA + PAGE, PA + PAGE, PAGE);
                guest.idle();
                rig.pass(10 * IDLE);
                // A domain's change while off is in force after the wake.
                rig.smmu.detach(guest.link).unwrap();
                rig.smmu.attach(guest.link, guest.domain).unwrap();
                rig.smmu.detach(guest.link).unwrap();
                guest.active().unwrap();
                assert_eq!(rig.model.dma(7, IPA, true), Dma::Terminated);
                guest.idle();
                rig.pass(10 * IDLE);
                rig.smmu.attach(guest.link, guest.domain).unwrap();
            }
            rig.check();
        }
    }
}

/// D8, P10: a TBU sleeps while the TCU runs, and serves nothing stale.
pub fn tbu_sleeps<B: Backend>(step: Option<Step>) {
    let mut setup = setup(step);
    setup.nature.tbus = 3;
    setup.tbu_clocks = true;
    let rig = Rig::<B>::new(setup);
    let (busy, lazy) = (rig.guest(&[1], 1), rig.guest(&[2], 2));
    busy.map(IPA, OTHER, PAGE);
    lazy.map(IPA, PA, 2 * PAGE);
    busy.active().unwrap();
    for _ in 0..3 {
        lazy.active().unwrap();
        assert_eq!(rig.model.dma(2, IPA, true), Dma::Reached(PA));
        lazy.idle();
        assert!(rig.tbu_clocks[1].is_on());
        rig.pass(2 * IDLE);
        assert_eq!(rig.smmu.state(), State::On);
        assert_eq!(rig.smmu.tbu_stats(2).unwrap().0, State::Gated);
        assert!(!rig.tbu_clocks[1].is_on() && rig.tbu_clocks[0].is_on());
        assert_eq!(rig.model.dma(1, IPA, true), Dma::Reached(OTHER));
        assert_eq!(rig.model.dma(2, IPA, true), Dma::Terminated);
        // The TCU is told; the TBU cannot hear it.
        assert_eq!(lazy.unmap(IPA, PAGE), Ok(Done::Completed));
        lazy.active().unwrap();
        assert_eq!(rig.model.dma(2, IPA, true), Dma::Terminated);
        assert_eq!(rig.model.dma(2, IPA + PAGE, true), Dma::Reached(PA + PAGE));
        lazy.map(IPA, PA, PAGE);
    }
    lazy.idle();
    busy.idle();
    rig.pass(10 * IDLE);
    assert_eq!(rig.smmu.state(), State::Gated);
    lazy.active().unwrap();
    assert_eq!(rig.model.dma(2, IPA, true), Dma::Reached(PA));
    rig.check();
}

/// P10: a VMID that was given to another domain while the TBU slept.
pub fn tbu_meets_strangers<B: Backend>(step: Option<Step>) {
    let mut setup = setup(step);
    setup.nature.tbus = 3;
    setup.tbu_clocks = true;
    let rig = Rig::<B>::new(setup);
    let (busy, lazy) = (rig.guest(&[1], 1), rig.guest(&[2], 2));
    let next = rig.bare_guest(&[3], 2);
    lazy.map(IPA, PA, PAGE);
    busy.active().unwrap();
    lazy.active().unwrap();
    assert_eq!(rig.model.dma(2, IPA, true), Dma::Reached(PA));
    lazy.idle();
    rig.pass(2 * IDLE);
    assert_eq!(rig.smmu.tbu_stats(2).unwrap().0, State::Gated);
    rig.smmu.detach(lazy.link).unwrap();
    let vmid = rig.smmu.vmid(lazy.domain).unwrap();
    rig.smmu.destroy_domain(lazy.domain).unwrap();
    rig.model.forbid(PA);
    let tables = Stage2::of(next.table.root(), next.table.config());
    let domain = rig.smmu.create_domain(&tables, Some(vmid)).unwrap();
    lazy.active().unwrap();
    rig.smmu.attach(lazy.link, domain).unwrap();
    assert_eq!(rig.model.dma(2, IPA, true), Dma::Terminated);
    rig.check();
}

/// C5: a sync that never completes fences its domain and nothing else, and
/// the pages stay out of use until everything was forgotten.
pub fn stuck_sync<B: Backend>(step: Option<Step>) {
    let rig = Rig::<B>::new(setup(step));
    let (one, two) = (rig.guest(&[7], 0), rig.guest(&[9], 0));
    one.map(IPA, PA, 3 * PAGE);
    two.map(IPA, OTHER, PAGE);
    one.active().unwrap();
    two.active().unwrap();
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(PA));
    assert_eq!(rig.model.dma(9, IPA, true), Dma::Reached(OTHER));
    rig.model.set_syncs(false);
    assert!(one.unmap(IPA, PAGE).is_err());
    let epoch = rig.smmu.epoch();
    assert_eq!(rig.smmu.is_fenced(one.domain), Ok(true));
    assert_eq!(rig.smmu.is_fenced(two.domain), Ok(false));
    assert!(rig.smmu.stats().account.sync_timeouts >= 1);
    assert!(rig.smmu.clean_epoch() <= epoch);
    assert_eq!(rig.model.dma(9, IPA, true), Dma::Reached(OTHER));
    // Refused at once from now on, not after another timeout.
    let accesses = rig.model.accesses();
    assert!(one.unmap(IPA + PAGE, PAGE).is_err());
    assert_eq!(rig.model.accesses(), accesses);
    // It goes again: retried by the tick, the pages come back.
    rig.model.set_syncs(true);
    rig.pass(3 * RETRY);
    assert!(!rig.smmu.is_stuck());
    assert!(rig.smmu.clean_epoch() > epoch);
    rig.model.forbid(PA);
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Terminated);
    assert_eq!(rig.model.dma(7, IPA + PAGE, true), Dma::Terminated);
    assert_eq!(rig.model.dma(7, IPA + 2 * PAGE, true), Dma::Terminated);
    assert_eq!(rig.model.dma(9, IPA, true), Dma::Reached(OTHER));
    assert_eq!(two.unmap(IPA, PAGE), Ok(Done::Completed));
    // A fenced domain can only be left.
    rig.smmu.detach(one.link).unwrap();
    assert!(matches!(
        rig.smmu.attach(one.link, one.domain),
        Err(Error::Fenced(_))
    ));
    rig.smmu.destroy_domain(one.domain).unwrap();
    rig.check();
}

/// D10, P9: a suspend whose sync does not complete leaves the SMMU on, or
/// denied, and never with pages that may be reached.
pub fn suspend_fails<B: Backend>(step: Option<Step>) {
    let rig = Rig::<B>::new(setup(step));
    let guest = rig.guest(&[7], 0);
    guest.map(IPA, PA, PAGE);
    guest.active().unwrap();
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(PA));
    guest.idle();
    rig.model.set_syncs(false);
    rig.pass(IDLE);
    assert!(rig.clock.is_on());
    assert_eq!(rig.smmu.state(), State::Denied);
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Terminated);
    assert_eq!(guest.unmap(IPA, PAGE), Err(Error::Denied));
    assert!(guest.active().is_err());
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Terminated);
    rig.model.set_syncs(true);
    rig.pass(2 * RETRY);
    assert_eq!(rig.smmu.state(), State::Gated);
    assert!(rig.smmu.stats().account.suspend_failures >= 1);
    assert!(rig.smmu.stats().last_error.is_some());
    guest.active().unwrap();
    rig.check();
}

/// D10, P9: a resume that fails denies the master; the next one may succeed.
pub fn resume_fails<B: Backend>(step: Option<Step>) {
    let rig = Rig::<B>::new(setup(step));
    let guest = rig.guest(&[7], 0);
    guest.map(IPA, PA, PAGE);
    rig.pass(2 * IDLE);
    assert_eq!(rig.smmu.state(), State::Gated);
    rig.clock.fail_after(Some(0));
    assert!(matches!(guest.active(), Err(Error::Clock(1, _))));
    assert_eq!(rig.smmu.state(), State::Gated);
    assert!(!rig.smmu.link_stats(guest.link).unwrap().active);
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Terminated);
    rig.clock.fail_after(None);
    rig.model.set_syncs(false);
    assert!(matches!(guest.active(), Err(Error::Timeout(_))));
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Terminated);
    rig.model.set_syncs(true);
    guest.active().unwrap();
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(PA));
    assert_eq!(rig.smmu.stats().account.resume_failures, 2);
    rig.check();
}

/// A clock that does not stop: on, reported, retried.
pub fn clock_does_not_stop<B: Backend>(step: Option<Step>) {
    let rig = Rig::<B>::new(setup(step));
    let guest = rig.guest(&[7], 0);
    guest.map(IPA, PA, PAGE);
    rig.clock.fail_after(Some(0));
    rig.pass(IDLE);
    assert_eq!(rig.smmu.state(), State::Idle);
    guest.active().unwrap();
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(PA));
    guest.idle();
    rig.clock.fail_after(None);
    rig.pass(2 * RETRY);
    assert_eq!(rig.smmu.state(), State::Gated);
    rig.check();
}

/// D9, P8: with nothing to switch nothing is counted, marked or scheduled.
pub fn nothing_to_switch<B: Backend>(step: Option<Step>) {
    let mut setup = setup(step);
    setup.switched = false;
    let rig = Rig::<B>::new(setup);
    let guest = rig.guest(&[7], 0);
    guest.map(IPA, PA, PAGE);
    let accesses = rig.model.accesses();
    for _ in 0..10 {
        guest.active().unwrap();
        guest.idle();
    }
    assert_eq!(rig.model.accesses(), accesses);
    assert_eq!(rig.smmu.next_deadline(), None);
    assert_eq!(rig.smmu.machine().counts(), (0, 0));
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(PA));
    assert_eq!(guest.unmap(IPA, PAGE), Ok(Done::Completed));
    rig.check();
}

/// C6: faults come with stream, link, domain, address, kind and direction.
pub fn faults_are_attributed<B: Backend>(step: Option<Step>) {
    let rig = Rig::<B>::new(setup(step));
    let guest = rig.guest(&[7], 0);
    guest.active().unwrap();
    assert_eq!(rig.model.dma(7, 0x1234_5000, true), Dma::Terminated);
    let mut seen = Vec::new();
    rig.smmu.handle_event_irq(&mut |fault| seen.push(fault));
    assert_eq!(seen.len(), 1);
    let fault = seen[0];
    assert_eq!(fault.record.stream, StreamId(7));
    assert_eq!(fault.record.address, Some(Ipa(0x1234_5000)));
    assert_eq!(fault.record.kind, smmu::FaultKind::Translation);
    assert!(fault.record.write);
    assert_eq!(fault.link, Some(guest.link));
    assert_eq!(fault.domain, Some(guest.domain));
    assert_eq!(fault.vmid, rig.smmu.vmid(guest.domain).ok());
    assert_eq!(rig.smmu.link_stats(guest.link).unwrap().faults, 1);
    // What came just before the suspend is not lost with the queue.
    rig.model.dma(7, 0x2000, false);
    guest.idle();
    rig.pass(IDLE);
    assert_eq!(rig.smmu.state(), State::Gated);
    let accesses = rig.model.accesses();
    rig.smmu.handle_event_irq(&mut |fault| seen.push(fault));
    assert_eq!(rig.model.accesses(), accesses);
    assert_eq!(seen[1].record.address, Some(Ipa(0x2000)));
    rig.check();
}

/// P4: an interrupt that comes late finds the SMMU off and leaves it alone.
pub fn late_interrupt<B: Backend>(step: Option<Step>) {
    let rig = Rig::<B>::new(setup(step));
    rig.pass(IDLE);
    assert_eq!(rig.smmu.state(), State::Gated);
    rig.smmu.handle_event_irq(&mut |_| ());
    rig.smmu.handle_error_irq();
    rig.check();
}

/// Two SMMUs: independent, and their waits overlap.
pub fn two_smmus<B: Backend>(step: Option<Step>) {
    let mut setup = setup(step);
    let one = Rig::<B>::new(setup);
    setup.base = 0x2_0000_0000;
    let two = Rig::<B>::new(setup);
    let (g1, g2) = (one.guest(&[7], 0), two.guest(&[7], 0));
    g1.map(IPA, PA, PAGE);
    g2.map(IPA, OTHER, PAGE);
    g1.active().unwrap();
    assert_eq!(one.model.dma(7, IPA, true), Dma::Reached(PA));
    g2.active().unwrap();
    assert_eq!(two.model.dma(7, IPA, true), Dma::Reached(OTHER));
    let range = smmu::IpaRange {
        ipa: Ipa(IPA),
        size: PAGE,
        stride: PAGE,
        leaf_only: true,
    };
    let first = one.smmu.begin_invalidate(g1.domain, &[range]).unwrap();
    let second = two.smmu.begin_invalidate(g2.domain, &[range]).unwrap();
    assert_eq!(second.finish(), Ok(Done::Completed));
    assert_eq!(first.finish(), Ok(Done::Completed));
    // One stuck, the other not.
    one.model.set_syncs(false);
    assert!(g1.unmap(IPA, PAGE).is_err());
    assert_eq!(g2.unmap(IPA, PAGE), Ok(Done::Completed));
    g2.idle();
    two.pass(IDLE);
    assert_eq!(two.smmu.state(), State::Gated);
    assert_eq!(one.smmu.state(), State::On);
    one.check();
    two.check();
}

/// P2: supplier first, and the picture of it in the timeline.
pub fn timeline_tells<B: Backend>(step: Option<Step>) {
    let rig = Rig::<B>::new(setup(step));
    let guest = rig.guest(&[7], 0);
    rig.pass(IDLE);
    guest.active().unwrap();
    guest.idle();
    rig.pass(IDLE);
    let mut marks = Vec::new();
    rig.smmu
        .timeline()
        .read(0, |m| marks.push((m.who, m.state)));
    let smmu = |state| (Who::Smmu, state);
    let master = |state| (Who::Master(guest.link.0), state);
    assert_eq!(
        marks,
        [
            smmu(State::Idle),
            smmu(State::Suspending),
            smmu(State::Gated),
            smmu(State::Resuming),
            smmu(State::On),
            master(State::On),
            master(State::Idle),
            smmu(State::Idle),
            smmu(State::Suspending),
            smmu(State::Gated),
        ]
    );
    let account = rig.smmu.stats().account;
    assert_eq!((account.wakes, account.gates), (1, 2));
    assert!(account.idle_ns >= 2 * IDLE);
    let journal = rig.journal.lock().unwrap().join(", ");
    let up = "bus enable, core enable";
    let down = "core disable, bus disable";
    let whole = format!("domain up, bus prepare, core prepare, {up}, {down}, {up}, {down}");
    assert_eq!(journal, whole);
    rig.check();
}

/// Nothing is left behind by `count` turns of gating and waking.
pub fn many_turns<B: Backend>(count: usize) {
    let mut setup = setup(None);
    setup.delays.off_ns = Some(IDLE);
    setup.nature.sync_delay = 0;
    setup.nature.rate = 64;
    let rig = Rig::<B>::new(setup);
    let guest = rig.guest(&[7], 0);
    guest.map(IPA, PA, PAGE);
    let (ram, tables) = (rig.ram.in_use(), guest.table.memory().in_use());
    for turn in 0..count {
        guest.active().unwrap();
        guest.idle();
        rig.pass(if turn % 2 == 0 { IDLE } else { 3 * IDLE });
        if turn % 1000 == 0 {
            rig.journal.lock().unwrap().clear();
        }
    }
    let account = rig.smmu.stats().account;
    assert_eq!(
        (account.wakes, account.gates),
        (count as u64 - 1, count as u64)
    );
    assert_eq!(
        (rig.ram.in_use(), guest.table.memory().in_use()),
        (ram, tables)
    );
    assert_eq!(rig.smmu.machine().counts(), (0, 0));
    guest.active().unwrap();
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(PA));
    rig.check();
}

/// Domains come and go; contexts do not run out.
pub fn domains_come_and_go<B: Backend>(_: Option<Step>) {
    let rig = Rig::<B>::new(setup(None));
    let guest = rig.guest(&[7], 0);
    guest.active().unwrap();
    let tables = Stage2::of(guest.table.root(), guest.table.config());
    for _ in 0..300 {
        let domain = rig.smmu.create_domain(&tables, None).unwrap();
        rig.smmu.attach(guest.link, domain).unwrap();
        assert_eq!(
            rig.smmu.destroy_domain(domain),
            Err(Error::DomainBusy(domain.0))
        );
        rig.smmu.detach(guest.link).unwrap();
        assert_eq!(rig.smmu.destroy_domain(domain), Ok(Done::Completed));
        assert_eq!(
            rig.smmu.destroy_domain(domain),
            Err(Error::DomainUnknown(domain.0))
        );
    }
    rig.check();
}

/// P7: links stay whatever the guest does, and go when they are taken.
pub fn links_outlive_drivers<B: Backend>(_: Option<Step>) {
    let rig = Rig::<B>::new(setup(None));
    let guest = rig.guest(&[7, 8], 0);
    guest.map(IPA, PA, PAGE);
    for _ in 0..100 {
        guest.active().unwrap();
        assert_eq!(rig.model.dma(8, IPA, true), Dma::Reached(PA));
        guest.idle();
        rig.pass(2 * IDLE);
        assert_eq!(rig.smmu.state(), State::Gated);
    }
    assert_eq!(
        rig.smmu.link(&[StreamId(8)], None),
        Err(Error::StreamBusy(StreamId(8)))
    );
    guest.active().unwrap();
    rig.smmu.unlink(guest.link).unwrap();
    assert_eq!(rig.model.dma(8, IPA, true), Dma::Terminated);
    assert_eq!(
        rig.smmu.master_active(guest.link),
        Err(Error::LinkUnknown(guest.link.0))
    );
    rig.smmu.link(&[StreamId(8)], None).unwrap();
    rig.pass(2 * IDLE);
    assert_eq!(rig.smmu.state(), State::Gated);
    rig.check();
}

/// The model's own promise: its violations can be seen.
pub fn model_bites<B: Backend>() {
    let rig = Rig::<B>::new(setup(None));
    rig.model.clock(Unit::Smmu, false);
    assert!(
        rig.model
            .violations()
            .contains(&Violation::StoppedLive(Unit::Smmu))
    );
}

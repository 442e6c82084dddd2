//! What must hold of power, for every SMMU (D4 to D10, P1 to P12).

use super::{IPA, OTHER, PA, setup};
use crate::common::*;
use smmu::model::{Dma, Loss};
use smmu::power::{State, Who};

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

/// P10: what firmware, or whoever drove the SMMU before, left in a TBU whose
/// clock stood still at boot is forgotten before it serves the first time.
pub fn tbu_wakes_to_a_new_owner<B: Backend>(step: Option<Step>) {
    let mut setup = setup(step);
    setup.nature.tbus = 2;
    setup.tbu_clocks = true;
    let before = Rig::<B>::new(setup);
    let old = before.guest(&[1], 1);
    old.map(IPA, PA, PAGE);
    old.active().unwrap();
    assert_eq!(before.model.dma(1, IPA, true), Dma::Reached(PA));
    before.smmu.detach(old.link).unwrap();
    before.model.clock(Unit::Tbu(1), false);
    before.model.forbid(PA);
    setup.base *= 3;
    let rig = Rig::<B>::around(setup, before.ram.clone(), before.model.clone()).unwrap();
    let new = rig.guest(&[1], 1);
    assert_eq!(
        before.smmu.vmid(old.domain).unwrap(),
        rig.smmu.vmid(new.domain).unwrap(),
    );
    new.active().unwrap();
    assert_eq!(rig.model.dma(1, IPA, true), Dma::Terminated);
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
    let marks = rig.smmu.timeline().read(0, |_| ());
    for _ in 0..10 {
        guest.active().unwrap();
        guest.idle();
    }
    assert_eq!(rig.model.accesses(), accesses);
    assert_eq!(rig.smmu.timeline().read(0, |_| ()), marks);
    assert_eq!(rig.smmu.next_deadline(), None);
    assert_eq!(rig.smmu.machine().counts(), (0, 0));
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(PA));
    assert_eq!(guest.unmap(IPA, PAGE), Ok(Done::Completed));
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

/// Nothing is left behind by `count` turns of gating and waking, whatever
/// becomes of the state meanwhile.
pub fn many_turns<B: Backend>(count: usize) {
    for loss in [Loss::Retain, Loss::Reset, Loss::Scramble] {
        turns::<B>(count.div_ceil(3), loss);
    }
}

fn turns<B: Backend>(count: usize, loss: Loss) {
    let mut setup = setup(None);
    setup.nature.loss = loss;
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

/// P7: links stay whatever the guest does, and go when they are taken.
pub fn links_outlive_drivers<B: Backend>(step: Option<Step>) {
    let rig = Rig::<B>::new(setup(step));
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

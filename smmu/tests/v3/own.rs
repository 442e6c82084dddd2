//! What is SMMUv3's own: queues, global errors, stream tables, commands.

use crate::common::scenarios as s;
use crate::common::{IDLE, PAGE, RETRY, Rig, Setup};
use crate::{IPA, PA, Three, setup};
use smmu::model::v3::ModelV3;
use smmu::model::{Device, Dma, Ram, Step, Unit};
use smmu::power::State;
use smmu::v3::V3;
use smmu::{Done, Error, Hardware, Stage2, StreamAction, StreamId};
use std::sync::Arc;

/// Firmware may have left the SMMU in any state, enabled and bypassing too;
/// a probe that fails half way must leave it denying.
pub fn probe_denies(step: Option<Step>) {
    let setup = setup(step);
    let ram = Arc::new(Ram::new(true));
    let model = ModelV3::new(setup.nature, ram.clone());
    model.power(true);
    model.clock(Unit::Smmu, true);
    ram.limit(Some(1));
    let setup = Setup {
        switched: false,
        ..setup
    };
    let outcome = Rig::<Three>::around(setup, ram, model.clone());
    assert!(matches!(outcome.map(drop), Err(Error::NoMemory(_))));
    assert_eq!(model.dma(3, PA, true), Dma::Terminated);
    assert_eq!(model.violations(), []);
}

/// A command that the queue chokes on loses its neighbours; whoever waited
/// for one of them must hear of it.
pub fn lost_commands(step: Option<Step>) {
    for reason in [1, 2] {
        let rig = Rig::<Three>::new(setup(step));
        let (one, two) = (rig.guest(&[7], 0), rig.guest(&[9], 0));
        one.map(IPA, PA, 4 * PAGE);
        two.map(IPA, PA + 0x10_0000, PAGE);
        one.active().unwrap();
        two.active().unwrap();
        assert!(matches!(rig.model.dma(7, IPA, true), Dma::Reached(_)));
        rig.model.fail_next_command(reason);
        assert_eq!(one.unmap(IPA, PAGE), Err(Error::Command(reason)));
        // Repaired: the queue runs, and everything was forgotten.
        assert_eq!(rig.model.dma(7, IPA, true), Dma::Terminated);
        assert!(!rig.smmu.is_stuck());
        assert_eq!(two.unmap(IPA, PAGE), Ok(Done::Completed));
        assert_eq!(rig.model.dma(9, IPA, true), Dma::Terminated);
        rig.check();
    }
}

/// More faults than the queue holds: none is made up, the loss is known, and
/// the next one is seen.
pub fn event_storm(step: Option<Step>) {
    let rig = Rig::<Three>::new(setup(step));
    let guest = rig.guest(&[7], 0);
    guest.active().unwrap();
    for round in 1..4 {
        for n in 0..100 {
            rig.model.dma(7, 0x1_0000 + n * PAGE, true);
        }
        assert!(rig.model.overflowed());
        let mut seen = 0;
        rig.smmu.handle_event_irq(&mut |_| seen += 1);
        assert_eq!(seen, 32);
        assert!(!rig.model.overflowed());
        assert_eq!(rig.smmu.stats().faults_lost, round);
        rig.model.dma(7, 0x5000, false);
        rig.smmu.handle_event_irq(&mut |f| {
            assert_eq!(f.record.address, Some(pgtable::Ipa(0x5000)));
            seen += 1;
        });
        assert_eq!(seen, 33);
    }
    rig.check();
}

/// An entry that is replaced while it is live passes through termination, so
/// that no mixture of the two can be fetched.
pub fn replace_in_place(step: Option<Step>) {
    for seed in 1..20 {
        let mut setup = setup(step);
        setup.nature.seed = seed;
        let rig = Rig::<Three>::new(setup);
        let (one, two) = (rig.guest(&[7], 0), rig.guest(&[9], 0));
        one.map(IPA, PA, PAGE);
        two.map(IPA, PA + PAGE, PAGE);
        rig.model.set_restless(7, IPA);
        let hardware = rig.smmu.hardware();
        let contexts = [&one, &two].map(|guest| {
            let tables = Stage2::of(guest.table.root(), guest.table.config());
            hardware.open(&tables, None).unwrap().0
        });
        let hold = rig.smmu.machine().hold().unwrap();
        for turn in 0..6 {
            let action = StreamAction::Translate(contexts[turn % 2]);
            hardware
                .set_stream(Some(hold.power()), StreamId(7), action)
                .unwrap();
            let pa = PA + (turn as u64 % 2) * PAGE;
            assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(pa));
        }
        rig.check();
    }
}

/// Events that the SMMU wrote past the CPU's caches are read from memory, also
/// where an older one was read before.
pub fn events_are_read_afresh(step: Option<Step>) {
    let mut setup = setup(step);
    setup.nature.coherent = false;
    let rig = Rig::<Three>::new(setup);
    let guest = rig.guest(&[7], 0);
    guest.active().unwrap();
    // More than two laps of the queue.
    for n in 1..100 {
        rig.model.dma(7, n * PAGE, true);
        let mut seen = Vec::new();
        rig.smmu
            .handle_event_irq(&mut |fault| seen.push(fault.record.address));
        assert_eq!(seen, [Some(pgtable::Ipa(n * PAGE))]);
    }
    rig.check();
}

/// A second level of the stream table is there when its first stream is set,
/// once for all of its streams, though its absence was cached.
pub fn streams_far_apart(step: Option<Step>) {
    let rig = Rig::<Three>::new(setup(step));
    let before = rig.ram.in_use();
    for (streams, tables) in [
        ([0x100, 0x1ff], 1),
        ([0x180, 0x101], 1),
        ([0x8000, 0xffff], 3),
    ] {
        for stream in streams {
            assert_eq!(rig.model.dma(stream, IPA, true), Dma::Terminated);
        }
        let guest = rig.guest(&streams, 0);
        guest.map(IPA, PA, PAGE);
        guest.active().unwrap();
        for stream in streams {
            assert_eq!(rig.model.dma(stream, IPA, true), Dma::Reached(PA));
        }
        assert_eq!(rig.ram.in_use(), before + tables);
        // Its neighbours have entries now, which say no.
        assert_eq!(rig.model.dma(0x123, IPA, true), Dma::Terminated);
    }
    rig.check();
}

#[test]
fn second_levels_come_on_demand() {
    streams_far_apart(None);
}

#[test]
fn events_of_a_walker_that_is_not_coherent() {
    events_are_read_afresh(None);
}

/// A queue that is full and does not move: the one who finds no room is told,
/// its domain fenced, and everything goes on when the queue does.
#[test]
fn a_full_queue_that_is_stuck() {
    let mut setup = setup(None);
    setup.nature.ranges = false;
    let rig = Rig::<Three>::new(setup);
    let (one, two) = (rig.guest(&[7], 0), rig.guest(&[9], 0));
    one.map(IPA, PA, PAGE);
    two.map(IPA, PA + PAGE, PAGE);
    one.active().unwrap();
    two.active().unwrap();
    rig.model.set_syncs(false);
    let range = smmu::IpaRange {
        ipa: pgtable::Ipa(IPA),
        size: 64 * PAGE,
        stride: PAGE,
        leaf_only: true,
    };
    let mut begun = Vec::new();
    let full = loop {
        match rig.smmu.begin_invalidate(one.domain, &[range]) {
            Ok(pending) => begun.push(pending),
            Err(error) => break error,
        }
    };
    assert_eq!(full, Error::Timeout(smmu::Wait::QueueSpace));
    assert!((3..8).contains(&begun.len()), "{}", begun.len());
    assert_eq!(rig.smmu.is_fenced(one.domain), Ok(true));
    assert_eq!(rig.smmu.is_fenced(two.domain), Ok(false));
    for pending in begun {
        assert!(pending.finish().is_err());
    }
    rig.model.set_syncs(true);
    rig.pass(3 * RETRY);
    assert!(!rig.smmu.is_stuck());
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Terminated);
    assert_eq!(rig.model.dma(9, IPA, true), Dma::Reached(PA + PAGE));
    assert_eq!(two.unmap(IPA, PAGE), Ok(Done::Completed));
    rig.check();
}

#[test]
fn a_live_entry_is_replaced_safely() {
    replace_in_place(None);
}

/// The real thing can be shared between CPUs.
#[test]
fn an_smmu_is_shared() {
    fn shared<T: Send + Sync>() {}
    shared::<smmu::Smmu<'static, V3<'static, smmu::mmio::Mmio>>>();
}

#[test]
fn a_failed_probe_denies() {
    probe_denies(None);
}

#[test]
fn lost_commands_are_told() {
    lost_commands(None);
}

#[test]
fn an_event_storm_passes() {
    event_storm(None);
}

#[test]
fn service_failure_is_denied_and_repaired() {
    let rig = Rig::<Three>::new(setup(None));
    let guest = rig.guest(&[7], 0);
    guest.map(IPA, PA, PAGE);
    guest.active().unwrap();
    rig.model.fail_service();
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Terminated);
    rig.smmu.handle_error_irq();
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(PA));
    assert!(matches!(
        rig.smmu.stats().last_error,
        Some(Error::ServiceFailure(_))
    ));
    rig.pass(3 * RETRY);
    assert_eq!(rig.smmu.state(), State::On);
    rig.check();
}

/// Without anything to switch there is still something to repair.
#[test]
fn service_failure_is_retried_without_a_switch() {
    let rig = Rig::<Three>::new(Setup {
        switched: false,
        ..setup(None)
    });
    let guest = rig.guest(&[7], 0);
    guest.map(IPA, PA, PAGE);
    guest.active().unwrap();
    rig.model.set_syncs(false);
    rig.model.fail_service();
    rig.smmu.handle_error_irq();
    assert_eq!(rig.smmu.state(), State::Denied);
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Terminated);
    rig.pass(2 * RETRY);
    assert_eq!(rig.smmu.state(), State::Denied);
    rig.model.set_syncs(true);
    rig.pass(2 * RETRY);
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(PA));
    rig.pass(10 * RETRY);
    assert_eq!(rig.smmu.next_deadline(), None);
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(PA));
    rig.check();
}

#[test]
fn power_that_does_not_come_up_is_noticed() {
    let rig = Rig::<Three>::new(setup(None));
    let guest = rig.guest(&[7], 0);
    rig.pass(IDLE);
    rig.model.set_dead(true);
    assert_eq!(guest.active(), Err(Error::Stuck(0)));
    rig.model.set_dead(false);
    guest.active().unwrap();
    rig.check();
}

#[test]
fn a_full_queue_makes_producers_wait() {
    let mut setup = setup(None);
    setup.nature.ranges = false;
    setup.nature.rate = 1;
    let rig = Rig::<Three>::new(setup);
    let guests: Vec<_> = (0..4).map(|n| rig.guest(&[n], 0)).collect();
    let range = |n: u64| smmu::IpaRange {
        ipa: pgtable::Ipa(IPA + n * 0x10_0000),
        size: 64 * PAGE,
        stride: PAGE,
        leaf_only: true,
    };
    let mut pending = Vec::new();
    for turn in 0..16 {
        for guest in &guests {
            pending.push(
                rig.smmu
                    .begin_invalidate(guest.domain, &[range(turn)])
                    .unwrap(),
            );
        }
    }
    for one in pending {
        assert_eq!(one.finish(), Ok(Done::Completed));
    }
    let (commands, syncs) = rig.smmu.stats().commands;
    assert!(commands >= 64 * 65 && syncs >= 64);
    rig.check();
}

#[test]
fn several_cpus_produce_at_once() {
    let mut setup = setup(None);
    setup.nature.rate = 3;
    s::several_cpus_at_once::<Three>(setup);
}

#[test]
fn a_linear_table_and_an_early_sync_work_too() {
    let mut setup = setup(None);
    setup.nature.two_level = false;
    setup.nature.ranges = false;
    // MMU-700: a sync before 64 commands.
    setup.nature.iidr = 0x4870_043b;
    let rig = Rig::<Three>::new(setup);
    let guest = rig.guest(&[0xfff0], 0);
    guest.map(IPA, PA, 64 * PAGE);
    guest.active().unwrap();
    assert_eq!(rig.model.dma(0xfff0, IPA, true), Dma::Reached(PA));
    let (_, before) = rig.smmu.stats().commands;
    guest.unmap(IPA, 64 * PAGE).unwrap();
    let (_, after) = rig.smmu.stats().commands;
    assert_eq!(after - before, 2);
    assert_eq!(
        rig.smmu.link(&[StreamId(0x1_0000)], None),
        Err(Error::StreamRange(StreamId(0x1_0000)))
    );
    rig.check();
}

#[test]
fn no_more_is_invalidated_than_asked() {
    for (ranges, pages, expected) in [
        (true, 1, 2),
        (true, 2, 2),
        (true, 16, 2),
        (true, 33, 3),
        (true, 512, 2),
        (false, 16, 17),
        (false, 64, 65),
        (false, 65, 2),
    ] {
        let mut setup = setup(None);
        setup.nature.ranges = ranges;
        let rig = Rig::<Three>::new(setup);
        let guest = rig.guest(&[7], 0);
        guest.active().unwrap();
        // Not aligned for a block.
        guest.map(IPA + PAGE, PA + 2 * PAGE, pages * PAGE);
        let (before, _) = rig.smmu.stats().commands;
        guest.unmap(IPA + PAGE, pages * PAGE).unwrap();
        let (after, _) = rig.smmu.stats().commands;
        assert_eq!(after - before, expected, "{pages} pages, ranges: {ranges}");
    }
}

#[test]
fn tables_that_do_not_suit_are_refused() {
    let rig = Rig::<Three>::new(setup(None));
    let good = Stage2 {
        root: pgtable::Pa(0x4000_0000),
        ipa_bits: 40,
        pa_bits: 44,
        granule_shift: 12,
        start_level: 1,
        coherent: true,
        fwb: false,
    };
    let refused = |tables: Stage2| rig.smmu.create_domain(&tables, None).unwrap_err();
    assert_eq!(
        refused(Stage2 {
            ipa_bits: 49,
            ..good
        }),
        Error::InputSize(49)
    );
    assert_eq!(
        refused(Stage2 {
            granule_shift: 13,
            ..good
        }),
        Error::Granule(13)
    );
    let root = pgtable::Pa(1 << 50);
    assert_eq!(refused(Stage2 { root, ..good }), Error::Root(1 << 50));
    assert!(matches!(
        refused(Stage2 { fwb: true, ..good }),
        Error::Unsupported(_)
    ));
    let vmid = Some(smmu::Vmid(9));
    rig.smmu.create_domain(&good, vmid).unwrap();
    assert_eq!(
        rig.smmu.create_domain(&good, vmid),
        Err(Error::VmidBusy(smmu::Vmid(9)))
    );
}

#[test]
fn memory_that_runs_out_changes_nothing() {
    let rig = Rig::<Three>::new(setup(None));
    let guest = rig.bare_guest(&[0x700], 0);
    rig.ram.limit(Some(0));
    assert!(matches!(
        rig.smmu.attach(guest.link, guest.domain),
        Err(Error::NoMemory(_))
    ));
    assert_eq!(rig.smmu.destroy_domain(guest.domain), Ok(Done::Completed));
    rig.check();
}

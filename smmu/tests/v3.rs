//! The SMMUv3 driver against the hostile model.

mod common;

use common::scenarios as s;
use common::{Backend, IDLE, PAGE, RETRY, Rig, Setup};
use smmu::model::v3::ModelV3;
use smmu::model::{Device, Dma, Nature, Ram, SimTime, Step, Unit};
use smmu::power::State;
use smmu::v3::{Config, V3};
use smmu::{Done, Error, Hardware, Powered, Stage2, StreamAction, StreamId};
use std::sync::Arc;

struct Three;

impl Backend for Three {
    type Model = ModelV3;
    type Driver = V3<'static, ModelV3>;

    fn model(nature: Nature, ram: &Arc<Ram>) -> ModelV3 {
        ModelV3::new(nature, ram.clone())
    }

    fn probe(
        power: &Powered,
        model: ModelV3,
        ram: &'static Ram,
        time: &'static SimTime,
        leave_out: Option<Step>,
    ) -> Result<Self::Driver, Error> {
        let config = Config {
            bound_ns: 1_000_000,
            leave_out,
            ..Config::default()
        };
        V3::probe(power, model, ram, time, config)
    }
}

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { s::$name::<Three>(None); })*
    };
}

scenarios!(
    default_deny,
    attach_and_detach,
    unmap_while_dma,
    deferred_gating,
    operation_holds,
    gate_and_wake,
    tbu_sleeps,
    tbu_meets_strangers,
    stuck_sync,
    suspend_fails,
    resume_fails,
    clock_does_not_stop,
    nothing_to_switch,
    faults_are_attributed,
    late_interrupt,
    two_smmus,
    timeline_tells,
    domains_come_and_go,
    links_outlive_drivers,
);

#[test]
fn the_model_bites() {
    s::model_bites::<Three>();
}

type Needed = (Step, &'static str, fn(Option<Step>));

/// Each step of the driver and of the power code is needed: without it, the
/// scenario named here fails.
const NEEDED: &[Needed] = &[
    (
        Step::TbuForgetsStrangers,
        "tbu_meets_strangers",
        s::tbu_meets_strangers::<Three>,
    ),
    (
        Step::CountCheck,
        "operation_holds",
        s::operation_holds::<Three>,
    ),
    (
        Step::DeadlineCheck,
        "deferred_gating",
        s::deferred_gating::<Three>,
    ),
    (
        Step::HoldCheck,
        "late_interrupt",
        s::late_interrupt::<Three>,
    ),
    (Step::DenyFirst, "probe_denies", probe_denies),
    (
        Step::ForgetBeforeValid,
        "attach_and_detach",
        s::attach_and_detach::<Three>,
    ),
    (
        Step::ForgetAfterChange,
        "attach_and_detach",
        s::attach_and_detach::<Three>,
    ),
    (
        Step::WaitForEntry,
        "attach_and_detach",
        s::attach_and_detach::<Three>,
    ),
    (Step::TerminateFirst, "replace_in_place", replace_in_place),
    (
        Step::SendInvalidation,
        "unmap_while_dma",
        s::unmap_while_dma::<Three>,
    ),
    (
        Step::WaitForSync,
        "unmap_while_dma",
        s::unmap_while_dma::<Three>,
    ),
    (
        Step::ForgetTables,
        "unmap_while_dma",
        s::unmap_while_dma::<Three>,
    ),
    (
        Step::CoverRange,
        "unmap_while_dma",
        s::unmap_while_dma::<Three>,
    ),
    (
        Step::CleanCommand,
        "unmap_while_dma",
        s::unmap_while_dma::<Three>,
    ),
    (
        Step::CleanEntry,
        "unmap_while_dma",
        s::unmap_while_dma::<Three>,
    ),
    (
        Step::ResumeForgetsConfiguration,
        "gate_and_wake",
        s::gate_and_wake::<Three>,
    ),
    (
        Step::ResumeForgetsTranslations,
        "gate_and_wake",
        s::gate_and_wake::<Three>,
    ),
    (
        Step::SuspendTerminates,
        "gate_and_wake",
        s::gate_and_wake::<Three>,
    ),
    (
        Step::SuspendSyncs,
        "gate_and_wake",
        s::gate_and_wake::<Three>,
    ),
    (
        Step::SuspendDisables,
        "gate_and_wake",
        s::gate_and_wake::<Three>,
    ),
    (Step::FailLost, "lost_commands", lost_commands),
    (Step::BlockTbu, "tbu_sleeps", s::tbu_sleeps::<Three>),
    (Step::RefreshTbu, "tbu_sleeps", s::tbu_sleeps::<Three>),
    (Step::AcknowledgeOverflow, "event_storm", event_storm),
    (Step::FenceTerminates, "stuck_sync", s::stuck_sync::<Three>),
];

#[test]
fn every_step_is_needed() {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let missed: Vec<_> = NEEDED
        .iter()
        .filter(|(step, _, run)| std::panic::catch_unwind(|| run(Some(*step))).is_ok())
        .map(|(step, name, _)| (step, name))
        .collect();
    std::panic::set_hook(quiet);
    assert!(missed.is_empty(), "nobody noticed: {missed:?}");
}

fn setup(step: Option<Step>) -> Setup {
    Setup {
        leave_out: step,
        ..Setup::default()
    }
}

const IPA: u64 = 0x4000_0000;
const PA: u64 = 0x8000_0000;

/// Firmware may have left the SMMU in any state, enabled and bypassing too;
/// a probe that fails half way must leave it denying.
fn probe_denies(step: Option<Step>) {
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
fn lost_commands(step: Option<Step>) {
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
fn event_storm(step: Option<Step>) {
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
fn replace_in_place(step: Option<Step>) {
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
    // Other threads move the clock, too.
    let rig = Rig::<Three>::new(setup);
    let guests: Vec<_> = (0..4).map(|n| rig.guest(&[n], 0)).collect();
    guests[0].active().unwrap();
    std::thread::scope(|scope| {
        for (n, guest) in guests.iter().enumerate() {
            let (smmu, model, table, domain) =
                (&rig.smmu, &rig.model, guest.table.clone(), guest.domain);
            let pa = PA + n as u64 * 0x10_0000;
            scope.spawn(move || {
                for turn in 0..40u64 {
                    let ipa = IPA + (turn % 5) * PAGE;
                    model.permit(pa);
                    let attrs = pgtable::Attrs::DMA;
                    table
                        .map(pgtable::Ipa(ipa), pgtable::Pa(pa), PAGE, attrs)
                        .unwrap();
                    assert_eq!(model.dma(n as u32, ipa, true), Dma::Reached(pa));
                    let detached = table.unmap(pgtable::Ipa(ipa), PAGE).unwrap();
                    table
                        .release(detached, |stale| {
                            smmu.invalidate(domain, &[stale.into()]).map(drop)
                        })
                        .unwrap();
                    model.forbid(pa);
                    assert_eq!(model.dma(n as u32, ipa, true), Dma::Terminated);
                }
            });
        }
    });
    rig.check();
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

/// A hundred times as many where there is time: `SMMU_TURNS=100000`.
#[test]
fn many_turns_leak_nothing() {
    let turns = std::env::var("SMMU_TURNS")
        .ok()
        .and_then(|n| n.parse().ok());
    s::many_turns::<Three>(turns.unwrap_or(2_000));
}

fn cases(default: u32) -> proptest::test_runner::Config {
    let many = std::env::var("SMMU_CASES")
        .ok()
        .and_then(|n| n.parse().ok());
    proptest::test_runner::Config {
        cases: many.unwrap_or(default),
        failure_persistence: None,
        ..Default::default()
    }
}

proptest::proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn calm_schedules((variant, ops) in common::schedules::schedule(false)) {
        common::schedules::run::<Three>(variant, &ops);
    }

    #[test]
    fn rough_schedules((variant, ops) in common::schedules::schedule(true)) {
        common::schedules::run::<Three>(variant, &ops);
    }
}

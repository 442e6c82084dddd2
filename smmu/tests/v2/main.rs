//! The SMMUv1 and SMMUv2 driver against the hostile model.

#[path = "../common/mod.rs"]
mod common;
mod firmware;
mod rig;
mod streams;
mod units;
mod work_arounds;

use firmware::probe_denies;
use proptest::prelude::*;
use rig::*;
use units::steps_are_forgotten;

common::test_scenarios!(Two);

#[test]
fn an_smmu_that_cannot_walk_the_cpus_tables_gets_a_mirror() {
    // Tables of AArch32 have one granule.
    for (model, granules) in [
        (Implementation::Mmu500, true),
        (Implementation::QcomV2, true),
        (Implementation::Mmu400, false),
        (Implementation::MarvellAp806, false),
    ] {
        with(Part::of(model), || {
            s::mirrors_follow::<Two>(None, granules);
            s::mirrors_refuse::<Two>();
            s::sizes_end::<Two>();
        });
    }
}

#[test]
fn the_model_bites() {
    s::model_bites::<Two>();
}

#[test]
fn every_implementation_does_all_of_it() {
    for model in ALL {
        with(Part::of(model), || ESSENCE.iter().for_each(|run| run(None)));
    }
}

#[test]
fn shapes_of_the_window_and_of_streams() {
    let base = Part::of(Implementation::GenericV2);
    for (page_shift, extended, matching) in [
        (16, false, true),
        (12, true, true),
        (16, true, true),
        (12, false, false),
    ] {
        let mut part = base;
        part.kind.page_shift = page_shift;
        part.kind.extended = extended && matching;
        part.kind.matching = matching;
        part.kind.vmid16 = extended;
        if !matching {
            part.kind.entries = 64;
        }
        with(part, || ESSENCE.iter().for_each(|run| run(None)));
    }
}

type Needed = (Step, Scenario);

/// Each step of the driver and of the power code is needed: without it, the
/// scenario named here fails.
const NEEDED: &[Needed] = &[
    (Step::CountCheck, s::operation_holds::<Two>),
    (Step::DeadlineCheck, s::deferred_gating::<Two>),
    (Step::HoldCheck, s::late_interrupt::<Two>),
    (Step::DenyFirst, probe_denies),
    (Step::ForgetAfterChange, s::attach_and_detach::<Two>),
    (Step::SendInvalidation, s::unmap_while_dma::<Two>),
    (Step::WaitForSync, s::unmap_while_dma::<Two>),
    (Step::ForgetTables, steps_are_forgotten),
    (Step::CoverRange, s::unmap_while_dma::<Two>),
    (Step::ResumeForgetsTranslations, s::gate_and_wake::<Two>),
    (Step::SuspendTerminates, s::gate_and_wake::<Two>),
    (Step::SuspendSyncs, s::gate_and_wake::<Two>),
    (Step::SuspendDisables, s::gate_and_wake::<Two>),
    (Step::BlockTbu, s::tbu_sleeps::<Two>),
    (Step::RefreshTbu, s::tbu_sleeps::<Two>),
    (Step::FenceTerminates, s::stuck_sync::<Two>),
];

#[test]
fn every_step_is_needed() {
    let missed = unnoticed(NEEDED, |(step, run)| run(Some(step)));
    assert!(missed.is_empty(), "nobody noticed: {missed:?}");
}

/// Ten times as many where there is time: `SMMU_TURNS=100000`.
#[test]
fn many_turns_leak_nothing() {
    let turns = std::env::var("SMMU_TURNS")
        .ok()
        .and_then(|t| t.parse().ok());
    s::many_turns::<Two>(turns.unwrap_or(10_000));
}

fn cases() -> u32 {
    let cases = std::env::var("SMMU_CASES")
        .ok()
        .and_then(|t| t.parse().ok());
    cases.unwrap_or(100)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn calm_schedules((variant, ops) in common::schedules::schedule(false), which in 0..ALL.len()) {
        with(Part::of(ALL[which]), || common::schedules::run::<Two>(variant, &ops));
    }

    #[test]
    fn rough_schedules((variant, ops) in common::schedules::schedule(true), which in 0..ALL.len()) {
        with(Part::of(ALL[which]), || common::schedules::run::<Two>(variant, &ops));
    }
}

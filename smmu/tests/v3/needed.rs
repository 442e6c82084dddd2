//! Nothing in the driver is there for nothing.

use crate::Three;
use crate::common::scenarios as s;
use crate::own::{
    event_storm, events_are_read_afresh, lost_commands, probe_denies, replace_in_place,
    streams_far_apart,
};
use smmu::model::Step;

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
    (
        Step::KeepLink,
        "links_outlive_drivers",
        s::links_outlive_drivers::<Three>,
    ),
    (
        Step::PayNothing,
        "nothing_to_switch",
        s::nothing_to_switch::<Three>,
    ),
    (Step::FailClosed, "resume_fails", s::resume_fails::<Three>),
    (Step::StayOn, "suspend_fails", s::suspend_fails::<Three>),
    (Step::Retry, "suspend_fails", s::suspend_fails::<Three>),
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
    (
        Step::DiscardEvent,
        "events_are_read_afresh",
        events_are_read_afresh,
    ),
    (Step::ForgetLevelOne, "streams_far_apart", streams_far_apart),
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

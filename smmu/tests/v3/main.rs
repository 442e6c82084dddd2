//! The SMMUv3 driver against the hostile model.

#[path = "../common/mod.rs"]
mod common;
mod interrupts;
mod needed;
mod own;

use common::scenarios as s;
use common::{Backend, Setup};
use smmu::model::v3::ModelV3;
use smmu::model::{Nature, Ram, SimTime, Step};
use smmu::v3::{Config, V3};
use smmu::{Error, Powered};
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
            interrupts: interrupts::wanted(),
            ..Config::default()
        };
        V3::probe(power, model, ram, time, config)
    }
}

common::test_scenarios!(Three);

#[test]
fn tbu_meets_strangers() {
    s::tbu_meets_strangers::<Three>(None);
}

#[test]
fn an_smmu_that_cannot_walk_the_cpus_tables_gets_a_mirror() {
    s::mirrors_follow::<Three>(None, true);
    s::mirrors_refuse::<Three>();
    s::sizes_end::<Three>();
}

#[test]
fn the_model_bites() {
    s::model_bites::<Three>();
}

fn setup(step: Option<Step>) -> Setup {
    Setup {
        leave_out: step,
        ..Setup::default()
    }
}

const IPA: u64 = 0x4000_0000;
const PA: u64 = 0x8000_0000;

/// Ten times as many where there is time: `SMMU_TURNS=100000`.
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

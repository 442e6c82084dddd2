//! The SMMUv3 driver against the hostile model.

mod common;

use common::scenarios as s;
use common::{Backend, Rig, Setup};
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
    gate_and_wake,
    tbu_sleeps,
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

//! Rigs of this family, and what the tests share.
#![allow(dead_code)]

pub use crate::common::scenarios as s;
pub use crate::common::{Backend, IDLE, PAGE, Rig, Setup};
pub use smmu::model::v2::{Kind, ModelV2, Window};
pub use smmu::model::{Device, Dma, Loss, Nature, Ram, SimTime, Step, Unit};
pub use smmu::power::State;
pub use smmu::v2::spec::{cr0, gr0, stream};
pub use smmu::v2::{Config, FirmwareStreams, Implementation, V2, WorkAround, masked};
pub use smmu::{Done, Error, FaultKind, Hardware, Powered, Stage2, StreamId, Vmid};
use std::cell::Cell;
pub use std::sync::Arc;

/// What this thread's rigs are made of.
#[derive(Clone, Copy)]
pub struct Part {
    pub kind: Kind,
    pub config: Config,
}

impl Part {
    pub fn of(model: Implementation) -> Self {
        Self {
            kind: Kind::of(model),
            config: Config {
                model,
                bound_ns: 1_000_000,
                ..Config::default()
            },
        }
    }
}

thread_local! {
    static PART: Cell<Option<Part>> = const { Cell::new(None) };
}

pub fn part() -> Part {
    PART.get().unwrap_or(Part::of(Implementation::Mmu500))
}

/// Runs `f` with rigs of this part.
pub fn with<T>(part: Part, f: impl FnOnce() -> T) -> T {
    struct Restore(Option<Part>);
    impl Drop for Restore {
        fn drop(&mut self) {
            PART.set(self.0);
        }
    }
    let _restore = Restore(PART.replace(Some(part)));
    f()
}

pub struct Two;

impl Backend for Two {
    type Model = ModelV2;
    type Driver = V2<'static, Window>;

    fn model(nature: Nature, _: &Arc<Ram>) -> ModelV2 {
        ModelV2::new(nature, part().kind)
    }

    fn probe(
        power: &Powered,
        model: ModelV2,
        _: &'static Ram,
        time: &'static SimTime,
        leave_out: Option<Step>,
    ) -> Result<Self::Driver, Error> {
        let config = Config {
            leave_out,
            ..part().config
        };
        V2::probe(power, model.windows(), time, config)
    }
}

pub type Scenario = fn(Option<Step>);

pub const ALL: [Implementation; 10] = [
    Implementation::GenericV1,
    Implementation::GenericV2,
    Implementation::Mmu400,
    Implementation::Mmu401,
    Implementation::Mmu500,
    Implementation::MarvellAp806,
    Implementation::NvidiaMmu500,
    Implementation::Cavium,
    Implementation::QcomV2,
    Implementation::QcomMmu500,
];

/// The scenarios that touch what implementations do differently.
pub const ESSENCE: [Scenario; 6] = [
    s::default_deny::<Two>,
    s::unmap_while_dma::<Two>,
    s::gate_and_wake::<Two>,
    s::tbu_sleeps::<Two>,
    s::stuck_sync::<Two>,
    s::faults_are_attributed::<Two>,
];

/// Runs what must fail, without its noise; names what did not.
pub fn unnoticed<T: Copy + std::panic::RefUnwindSafe>(all: &[T], run: impl Fn(T)) -> Vec<T> {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let run = std::panic::AssertUnwindSafe(run);
    let passes = |one: &&T| std::panic::catch_unwind(|| (*run)(**one)).is_ok();
    let missed = all.iter().filter(passes).copied().collect();
    std::panic::set_hook(quiet);
    missed
}

pub const IPA: u64 = 0x4000_0000;
pub const PA: u64 = 0x8000_0000;
pub const BLOCK: u64 = 512 * PAGE;

pub fn setup(step: Option<Step>) -> Setup {
    Setup {
        leave_out: step,
        ..Setup::default()
    }
}

/// A rig around a model that firmware has prepared.
pub fn after_firmware(
    step: Option<Step>,
    prepare: impl FnOnce(&ModelV2),
) -> (ModelV2, Result<Rig<Two>, Error>) {
    let setup = Setup {
        switched: false,
        ..setup(step)
    };
    let ram = Arc::new(Ram::new(true));
    let model = Two::model(setup.nature, &ram);
    model.power(true);
    model.clock(Unit::Smmu, true);
    prepare(&model);
    let rig = Rig::<Two>::around(setup, ram, model.clone());
    (model, rig)
}

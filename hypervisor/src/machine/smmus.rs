//! The board's SMMUs: found, probed and kept, with what ticks them.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use pgtable::Stale;
use platform::config::{Plan, SmmuConfig as Wish};
use platform::facts::{self, Board, SmmuKind, SmmuModel};
use platform::supply::Suppliers;
use platform::tree::{NodeId, Tree};
use smmu::power::{Delays, Powered};
use smmu::v2::{self, Implementation, V2};
use smmu::v3::{Config, V3};
use smmu::{DomainId, Error, Fault, Hardware, IpaRange, Smmu, SmmuConfig, Stage2};
use spin::Once;

use super::supplies::{self, Machine};
use super::vm::Vm;
use crate::arch::{dma, timer};

/// An SMMU of whichever architecture.
pub type AnyHardware = Box<dyn Hardware + Send>;

/// An SMMU of the board.
pub struct Unit {
    /// Driver and power.
    pub smmu: Smmu<'static, AnyHardware>,
    /// Its node.
    pub node: NodeId,
    /// Its path.
    pub path: String,
}

impl Unit {
    /// Whether its walks snoop the CPUs' caches.
    #[must_use]
    pub fn coherent(&self) -> bool {
        self.smmu.hardware().limits().coherent
    }
}

/// The clock of all drivers.
static TIME: dma::Clock = dma::Clock;

static UNITS: Once<Vec<Unit>> = Once::new();

/// All SMMUs that work.
pub fn units() -> &'static [Unit] {
    UNITS.get().map_or(&[], Vec::as_slice)
}

/// Index of the SMMU at `node`.
pub fn at(node: NodeId) -> Option<usize> {
    units().iter().position(|unit| unit.node == node)
}

/// Probes every enabled SMMU. One that does not answer is reported; its masters
/// then have no SMMU and are refused.
pub fn probe(tree: &Tree<'_>, board: &Board, plan: &Plan) {
    let memory: &'static _ = Box::leak(Box::new(dma::memory()));
    let mut suppliers = Suppliers::new(Machine);
    let mut units = Vec::new();
    for wish in &plan.smmus {
        let Some(facts) = board.smmus.get(wish.smmu) else {
            continue;
        };
        match one(tree, facts, wish, &mut suppliers, memory) {
            Ok(smmu) => {
                let mut text = String::new();
                let _ = smmu.describe(&mut text);
                text.lines().for_each(|line| log::info!("{line}"));
                units.push(Unit {
                    smmu,
                    node: facts.node,
                    path: facts.path.clone(),
                });
            }
            Err(why) => log::error!("{}: {why}: its masters are given to nobody", facts.path),
        }
    }
    UNITS.call_once(|| units);
}

fn one(
    tree: &Tree<'_>,
    facts: &facts::Smmu,
    wish: &Wish,
    suppliers: &mut Suppliers<Machine>,
    memory: &'static dyn smmu::DmaMemory,
) -> Result<Smmu<'static, AnyHardware>, String> {
    let say = |error: &dyn fmt::Display| alloc::format!("{error}");
    let (clocks, domains) = if wish.always_on {
        (Vec::new(), Vec::new())
    } else {
        let clocks = supplies::clocks(suppliers, tree, &facts.clocks).map_err(|e| say(&e))?;
        (
            clocks,
            supplies::domains(suppliers, tree, &facts.power_domains).map_err(|e| say(&e))?,
        )
    };
    let config = SmmuConfig {
        name: &wish.name,
        clocks: &clocks,
        power_domains: &domains,
        delays: Delays {
            idle_ns: wish.idle_delay_us.saturating_mul(1000),
            off_ns: wish.off_delay_us.map(|us| us.saturating_mul(1000)),
            ..Delays::default()
        },
        ..SmmuConfig::default()
    };
    let made = Smmu::probe(&config, &TIME, |power| hardware(power, facts, memory));
    made.map_err(|error| say(&error))
}

/// An SMMUv1 or SMMUv2. Instances that are programmed alike are one.
fn v2(
    power: &Powered,
    facts: &facts::Smmu,
    time: &'static dyn smmu::Time,
) -> Result<AnyHardware, Error> {
    let windows = facts.registers.iter();
    let windows: Option<Vec<_>> = windows
        .map(|r| dma::smmu_registers(r.base, r.size))
        .collect();
    let windows = windows.ok_or(Error::Unsupported("registers at an aligned address"))?;
    let per_context = facts.irqs.len().saturating_sub(facts.global_interrupts);
    let config = v2::Config {
        model: model(facts),
        stream_match_mask: facts.stream_match_mask,
        window: facts.registers.first().map(|r| r.size),
        coherent: Some(facts.coherent),
        context_interrupts: u8::try_from(per_context).unwrap_or(u8::MAX),
        ..v2::Config::default()
    };
    Ok(Box::new(V2::probe(power, windows, time, config)?))
}

const fn model(facts: &facts::Smmu) -> Implementation {
    match (facts.model, facts.kind) {
        (SmmuModel::Generic, SmmuKind::V1) => Implementation::GenericV1,
        (SmmuModel::Generic, _) => Implementation::GenericV2,
        (SmmuModel::Mmu400, _) => Implementation::Mmu400,
        (SmmuModel::Mmu401, _) => Implementation::Mmu401,
        (SmmuModel::Mmu500, _) => Implementation::Mmu500,
        (SmmuModel::MarvellAp806, _) => Implementation::MarvellAp806,
        (SmmuModel::NvidiaMmu500, _) => Implementation::NvidiaMmu500,
        (SmmuModel::Cavium, _) => Implementation::Cavium,
        (SmmuModel::QcomV2, _) => Implementation::QcomV2,
        (SmmuModel::QcomMmu500, _) => Implementation::QcomMmu500,
    }
}

/// How the drivers name a stream whose id bits in `mask` do not matter.
#[must_use]
pub fn stream_id(id: u32, mask: u16) -> u32 {
    match u16::try_from(id) {
        Ok(id) if mask != 0 => v2::masked(id, mask).0,
        _ => id,
    }
}

fn hardware(
    power: &Powered,
    facts: &facts::Smmu,
    memory: &'static dyn smmu::DmaMemory,
) -> Result<AnyHardware, Error> {
    let registers = facts
        .registers
        .first()
        .and_then(|r| dma::smmu_registers(r.base, r.size));
    let registers = registers.ok_or(Error::Unsupported("no registers in the device tree"))?;
    match facts.kind {
        SmmuKind::V3 => {
            let config = Config::default();
            Ok(Box::new(V3::probe(
                power, registers, memory, &TIME, config,
            )?))
        }
        SmmuKind::V1 | SmmuKind::V2 => v2(power, facts, &TIME),
    }
}

/// The tables of a VM as an SMMU walks them.
#[must_use]
pub fn tables(vm: &Vm) -> Stage2 {
    Stage2::of(vm.stage2.root(), vm.stage2.config())
}

/// What an SMMU has to forget of what was unmapped.
#[must_use]
pub fn range(stale: &Stale) -> IpaRange {
    IpaRange {
        ipa: stale.ipa(),
        size: stale.len(),
        stride: stale.stride(),
        leaf_only: !stale.tables(),
    }
}

/// Does what is due on every SMMU, then sets this CPU's alarm for the next.
pub fn tick() {
    let now = timer::now_ns();
    for unit in units() {
        unit.smmu.tick(now);
    }
    arm();
}

/// Sets this CPU's alarm for whatever is due next on any SMMU.
pub fn arm() {
    timer::set_alarm(
        units()
            .iter()
            .filter_map(|unit| unit.smmu.next_deadline())
            .min(),
    );
}

/// An interrupt of SMMU `index`: takes its faults and looks at its errors, if
/// it is on.
pub fn interrupt(index: usize, sink: &mut dyn FnMut(&Unit, Fault)) {
    if let Some(unit) = units().get(index) {
        unit.smmu.handle_event_irq(&mut |fault| sink(unit, fault));
        unit.smmu.handle_error_irq();
        arm();
    }
}

/// A domain of an SMMU, by both.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Index of the SMMU.
    pub unit: usize,
    /// Domain there.
    pub domain: DomainId,
}

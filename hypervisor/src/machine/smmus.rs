//! The board's SMMUs: found, probed and kept, with what ticks them.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use pgtable::Stale;
use platform::config::{Plan, SmmuConfig as Wish};
use platform::facts::{self, Board, SmmuKind, SmmuModel, StreamId};
use platform::supply::Suppliers;
use platform::tree::{NodeId, Tree};
use smmu::power::{Delays, Powered};
use smmu::v2::{self, Implementation, V2};
use smmu::v3::{Config, V3};
use smmu::{DomainId, Error, Fault, Hardware, IpaRange, Smmu, SmmuConfig, Stage2, TbuConfig};
use spin::Once;

use super::supplies::{self, Machine, Supplied};
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
    /// Its TBUs with a power of their own.
    pub tbus: Vec<Tbu>,
    facts: facts::Smmu,
}

/// A TBU of an SMMU.
pub struct Tbu {
    /// As people know it.
    pub name: String,
    /// Its supplies could be opened. If not, nothing behind it is given away.
    works: bool,
}

/// A stream of a master, where it meets the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stream {
    /// Index of the SMMU.
    pub unit: usize,
    /// The TBU in front of it, if that has a power of its own.
    pub tbu: Option<usize>,
    /// As the driver names it.
    pub id: u32,
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

/// Where a stream meets the board.
///
/// # Errors
/// What does not work there: nothing would confine the master, or nothing would
/// power its way.
pub fn stream(stream: &StreamId) -> Result<Stream, &'static str> {
    let unit = at(stream.smmu).ok_or("its SMMU does not work")?;
    let found = units().get(unit).ok_or("its SMMU does not work")?;
    let tbu = found.facts.tbu_before(stream);
    let tbu = tbu.map_err(|_| "its stream is behind more than one TBU")?;
    if tbu.is_some_and(|index| !found.tbus.get(index).is_some_and(|tbu| tbu.works)) {
        return Err("its TBU does not work");
    }
    Ok(Stream {
        unit,
        tbu,
        id: stream_id(stream.id, stream.mask),
    })
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
            Ok(unit) => {
                let mut text = String::new();
                let _ = unit.smmu.describe(&mut text);
                text.lines().for_each(|line| log::info!("{line}"));
                units.push(unit);
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
) -> Result<Unit, String> {
    let say = |error: &dyn fmt::Display| alloc::format!("{error}");
    let own = match wish.always_on {
        true => Supplied::default(),
        false => supplies::open(suppliers, tree, (&facts.clocks, &facts.power_domains))
            .map_err(|error| say(&error))?,
    };
    let (tbus, supplied) = tbus(tree, facts, wish, suppliers);
    let behind: Vec<TbuConfig<'_, '_>> = supplied
        .iter()
        .map(|(supplied, delays)| TbuConfig {
            clocks: &supplied.clocks,
            power_domains: &supplied.domains,
            delays: *delays,
        })
        .collect();
    let config = SmmuConfig {
        name: &wish.name,
        clocks: &own.clocks,
        power_domains: &own.domains,
        delays: delays(wish.idle_delay_us, wish.off_delay_us),
        tbus: &behind,
        ..SmmuConfig::default()
    };
    let made = Smmu::probe(&config, &TIME, |power| hardware(power, facts, memory));
    Ok(Unit {
        smmu: made.map_err(|error| say(&error))?,
        node: facts.node,
        path: facts.path.clone(),
        tbus,
        facts: facts.clone(),
    })
}

fn delays(idle_us: u64, off_us: Option<u64>) -> Delays {
    Delays {
        idle_ns: idle_us.saturating_mul(1000),
        off_ns: off_us.map(|us| us.saturating_mul(1000)),
        ..Delays::default()
    }
}

/// The SMMU's TBUs and what powers them, in the order of the facts.
fn tbus(
    tree: &Tree<'_>,
    facts: &facts::Smmu,
    wish: &Wish,
    suppliers: &mut Suppliers<Machine>,
) -> (Vec<Tbu>, Vec<(Supplied, Delays)>) {
    let each = facts.tbus.iter().zip(&wish.tbus).map(|(tbu, wish)| {
        let opened = match wish.always_on {
            true => Ok(Supplied::default()),
            false => supplies::open(suppliers, tree, (&tbu.clocks, &tbu.power_domains)),
        };
        if let Err(error) = &opened {
            let path = &tbu.path;
            log::error!("{path}: {error}: masters behind it are given to nobody");
        }
        let tbu = Tbu {
            name: wish.name.clone(),
            works: opened.is_ok(),
        };
        let supplied = opened.unwrap_or_default();
        (tbu, (supplied, delays(wish.idle_delay_us, None)))
    });
    each.unzip()
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
fn stream_id(id: u32, mask: u16) -> u32 {
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

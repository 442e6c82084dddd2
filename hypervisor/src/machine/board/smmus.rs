//! The board's SMMUs: found, probed and kept, with what ticks them.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use pgtable::Stale;
use platform::config::{Plan, SmmuConfig as Wish};
use platform::facts::{self, Board, SmmuModel, StreamId};
use platform::probe::Probed;
use platform::supply::{NO_ANSWER, OpenError, Suppliers};
use platform::tree::{NodeId, Tree};
use smmu::power::{Delays, State};
use smmu::{DmaMemory, Fault, IpaRange, Limits, Smmu, SmmuConfig, TbuConfig};
use spin::Once;

use super::later;
use super::supplies::{self, Machine, Supplied};
use crate::arch::{dma, timer};
use crate::drivers::{self, AnyHardware, Ask};

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
    /// Bytes of the pages that the operator chose for its tables.
    pub granule: Option<u32>,
    /// It has no wire to tell of faults by: when it was last looked at, on the
    /// system's clock in nanoseconds.
    looked: Option<AtomicU64>,
    facts: facts::Smmu,
}

/// Time between looks at an SMMU without an interrupt, while it is on.
const LOOK_NS: u64 = 100_000_000;

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
    /// When an SMMU without an interrupt is to be looked at next; never while
    /// it is off.
    fn next_look(&self) -> Option<u64> {
        let looked = self.looked.as_ref()?;
        let on = matches!(self.smmu.state(), State::On | State::Idle);
        on.then(|| looked.load(Ordering::Relaxed).saturating_add(LOOK_NS))
    }

    /// Looks, if it is time.
    fn look(&self, now: u64) {
        if self.next_look().is_some_and(|at| at <= now) {
            self.looked
                .iter()
                .for_each(|looked| looked.store(now, Ordering::Relaxed));
            self.smmu.handle_error_irq();
            self.smmu.collect();
        }
    }

    /// Whether nothing but looking tells of its faults.
    #[must_use]
    pub fn is_mute(&self) -> bool {
        self.looked.is_some()
    }

    /// What its driver can do, with the pages that the operator chose.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let limits = self.smmu.hardware().limits();
        Limits {
            granules: limits.granules & self.granule.unwrap_or(u32::MAX),
            ..limits
        }
    }

    /// Whether its walks snoop the CPUs' caches.
    #[must_use]
    pub fn coherent(&self) -> bool {
        self.limits().coherent
    }
}

/// The clock of all drivers.
pub static TIME: dma::Clock = dma::Clock;

/// The reason of what has been told in more words already.
pub const SAID: &str = "its driver gave it up";

/// Where an SMMU is kept: one that works, or may come while guests run.
pub struct Slot {
    unit: Once<&'static Unit>,
    node: NodeId,
}

impl Slot {
    /// The SMMU, if it works.
    #[inline(always)]
    pub fn get(&self) -> Option<&'static Unit> {
        self.unit.get().copied()
    }
}

static SLOTS: Once<Vec<Slot>> = Once::new();

/// Every SMMU that works or may come, in the order of their indices.
#[inline]
pub fn slots() -> &'static [Slot] {
    SLOTS.get().map_or(&[], Vec::as_slice)
}

/// All SMMUs that work, with their indices.
pub fn units() -> impl Iterator<Item = (usize, &'static Unit)> {
    let each = slots().iter().enumerate();
    each.filter_map(|(index, slot)| Some((index, slot.get()?)))
}

/// The SMMU of this index, if it works.
#[inline]
pub fn unit(index: usize) -> Option<&'static Unit> {
    slots().get(index)?.get()
}

/// The nodes of SMMUs that work or may come, with their indices.
pub fn nodes() -> impl Iterator<Item = (usize, NodeId)> {
    slots().iter().map(|slot| slot.node).enumerate()
}

/// Where a stream meets the board.
///
/// # Errors
/// What does not work there: nothing would confine the master, or nothing would
/// power its way.
pub fn stream(stream: &StreamId) -> Result<Stream, &'static str> {
    let unit = at(stream.smmu).ok_or("its SMMU does not work")?;
    let found = self::unit(unit).ok_or("its SMMU does not work")?;
    let tbu = found.facts.tbu_before(stream);
    let tbu = tbu.map_err(|_| "its stream is behind more than one TBU")?;
    if tbu.is_some_and(|index| !found.tbus.get(index).is_some_and(|tbu| tbu.works)) {
        return Err("its TBU does not work");
    }
    Ok(Stream {
        unit,
        tbu,
        id: drivers::stream(stream).0,
    })
}

/// Index of the SMMU at `node`.
pub fn at(node: NodeId) -> Option<usize> {
    slots().iter().position(|slot| slot.node == node)
}

/// SMMUs on their way up.
pub struct Start<'a> {
    board: &'a Board,
    plan: &'a Plan,
    memory: &'static dyn DmaMemory,
    units: Vec<Unit>,
    first_vmid: u16,
}

impl<'a> Start<'a> {
    /// None is up yet.
    #[must_use]
    pub fn new(board: &'a Board, plan: &'a Plan) -> Self {
        Self {
            board,
            plan,
            memory: Box::leak(Box::new(dma::memory())),
            units: Vec::new(),
            first_vmid: 1,
        }
    }

    /// Probes the SMMU at `index` of the board's. One that does not answer is
    /// reported; its masters then have no SMMU and are refused.
    pub fn smmu(
        &mut self,
        tree: &Tree<'_>,
        index: usize,
        suppliers: &mut Suppliers<Machine>,
    ) -> Probed {
        let wish = self.plan.smmus.iter().find(|wish| wish.smmu == index);
        let (Some(facts), Some(wish)) = (self.board.smmus.get(index), wish) else {
            return Probed::Failed("the plan has no place for it");
        };
        let ask = Ask {
            facts,
            driving: &wish.driving,
            memory: self.memory,
            time: &TIME,
            first_vmid: self.first_vmid,
        };
        match one(tree, wish, suppliers, &ask) {
            Ok(unit) => {
                if facts.model == SmmuModel::Cavium {
                    self.first_vmid = unit.limits().vmids as u16;
                }
                let mut text = String::new();
                let _ = unit.smmu.describe(&mut text);
                text.lines().for_each(|line| log::info!("{line}"));
                self.keep(unit);
                Probed::Ready
            }
            Err(Unready::Later) => Probed::NotYet(NO_ANSWER),
            Err(Unready::Never(why)) => {
                log::error!("{}: {why}: its masters are given to nobody", facts.path);
                Probed::Failed(SAID)
            }
        }
    }

    /// Whether TBU `index` of SMMU `smmu` came up with it.
    #[must_use]
    pub fn tbu(&self, smmu: usize, index: usize) -> Probed {
        let node = self.board.smmus.get(smmu).map(|facts| facts.node);
        let mut all = self.units.iter().chain(units().map(|(_, unit)| unit));
        let unit = all.find(|unit| Some(unit.node) == node);
        match unit.and_then(|unit| unit.tbus.get(index)) {
            Some(tbu) if tbu.works => Probed::Ready,
            _ => Probed::Failed(SAID),
        }
    }

    /// Guests start: of further SMMUs only those of the board's with the indices
    /// `late` may come.
    pub fn settle(&mut self, late: impl Iterator<Item = usize>) {
        let late = late.filter_map(|index| self.board.smmus.get(index));
        let late = late.map(|facts| Slot {
            node: facts.node,
            unit: Once::new(),
        });
        let ready = core::mem::take(&mut self.units).into_iter();
        let ready = ready.map(|unit| Slot {
            node: unit.node,
            unit: Once::initialized(&*Box::leak(Box::new(unit))),
        });
        SLOTS.call_once(|| ready.chain(late).collect());
    }

    /// Keeps an SMMU that has come up, where the rest of the hypervisor finds it
    /// once guests run.
    fn keep(&mut self, unit: Unit) {
        match slots().iter().find(|slot| slot.node == unit.node) {
            Some(slot) => {
                slot.unit.call_once(|| Box::leak(Box::new(unit)));
            }
            None => self.units.push(unit),
        }
    }
}

/// Why an SMMU is not up.
enum Unready {
    /// It may be asked again.
    Later,
    /// What the operator is told.
    Never(String),
}

impl From<OpenError> for Unready {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Firmware(error) if error.may_pass() => Self::Later,
            error => Self::Never(alloc::format!("{error}")),
        }
    }
}

impl From<smmu::Error> for Unready {
    fn from(error: smmu::Error) -> Self {
        Self::Never(alloc::format!("{error}"))
    }
}

fn one(
    tree: &Tree<'_>,
    wish: &Wish,
    suppliers: &mut Suppliers<Machine>,
    ask: &Ask<'_>,
) -> Result<Unit, Unready> {
    let facts = ask.facts;
    let own = match wish.always_on {
        true => Supplied::default(),
        false => supplies::open(suppliers, tree, (&facts.clocks, &facts.power_domains))?,
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
    let made = Smmu::probe(&config, &TIME, |power| {
        drivers::make(power, ask, &|r| dma::smmu_registers(r.base, r.size))
    });
    Ok(Unit {
        smmu: made?,
        node: facts.node,
        path: facts.path.clone(),
        tbus,
        facts: facts.clone(),
        granule: wish.driving.granule,
        looked: mute(facts).then(|| AtomicU64::new(0)),
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

/// Whether it has no wire to interrupt by.
fn mute(facts: &facts::Smmu) -> bool {
    let mute = facts.irqs.iter().all(Option::is_none);
    if mute {
        log::warn!("{}: no interrupt: it is looked at now and then", facts.path);
    }
    mute
}

/// Does what is due on every SMMU; the caller then sets the alarm for the next.
/// Faults that come to light go to `sink`.
pub fn tick(sink: &mut dyn FnMut(&'static Unit, Fault)) {
    let now = timer::now_ns();
    for (_, unit) in units() {
        unit.look(now);
        unit.smmu.tick(now);
        // A suspend, too, brings the last ones along.
        unit.smmu.take_faults(&mut |fault| sink(unit, fault));
    }
}

/// Sets this CPU's alarm for whatever is due next on any SMMU, and for what is
/// asked again while guests run.
pub fn arm() {
    let mut next = later::next().unwrap_or(u64::MAX);
    for unit in slots().iter().filter_map(Slot::get) {
        next = next.min(unit.smmu.next_deadline().unwrap_or(u64::MAX));
        next = next.min(unit.next_look().unwrap_or(u64::MAX));
    }
    timer::set_alarm((next != u64::MAX).then_some(next));
}

/// An interrupt of SMMU `index`: takes its faults and looks at its errors, if
/// it is on.
pub fn interrupt(index: usize, sink: &mut dyn FnMut(&'static Unit, Fault)) {
    if let Some(unit) = unit(index) {
        unit.smmu.handle_event_irq(&mut |fault| sink(unit, fault));
        unit.smmu.handle_error_irq();
        arm();
    }
}

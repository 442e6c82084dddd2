//! A model of the SMMU that a node describes, and the driver on it.

use crate::oracle;
use hypervisor::drivers::{self, AnyHardware, Ask};
use pgtable::{Attrs, Config, Granule, Ipa, Pa, Walks};
use platform::config::Driving;
use platform::facts::Smmu as Facts;
use smmu::model::v2::{Kind, ModelV2};
use smmu::model::v3::ModelV3;
use smmu::model::{
    Cleaner, Device, Dma, Nature, Ram, SimTime, Switch, TableMemory, Unit, new_table,
};
use smmu::power::{Delays, State};
use smmu::v2::Implementation;
use smmu::{Clock, Error, PowerDomain, Smmu, SmmuConfig, Stage2, StreamId, Time};
use std::sync::{Arc, Mutex};

const IPA: u64 = 0x4000_0000;
const PA: u64 = 0x8000_0000;
const IDLE_NS: u64 = 20_000_000;

/// The shape of the register window that the tree leaves room for: log2 of a
/// page, and pages before the banks (as many follow).
pub fn shape(window: u64) -> (u32, u16) {
    // More than 128 pages for banks there cannot be.
    let page_shift = if window / 2 > 128 << 12 { 16 } else { 12 };
    (page_shift, ((window / 2) >> page_shift) as u16)
}

/// A part with the window and as many banks as the node has interrupts for.
fn kind(part: Implementation, facts: &Facts) -> Kind {
    let (page_shift, global_pages) = shape(facts.registers[0].size);
    let per_context = (facts.irqs.len() - facts.global_interrupts) as u16;
    let kind = Kind::of(part);
    Kind {
        page_shift,
        pages_log: global_pages.ilog2(),
        entries: 127,
        banks: match part {
            // These share the interrupts among their banks.
            Implementation::Mmu400 | Implementation::Mmu401 => 8,
            _ => per_context,
        },
        ..kind
    }
}

/// A model under the driver, with a switch for each clock and domain.
pub struct Rig {
    model: Arc<dyn Device>,
    smmu: Smmu<'static, AnyHardware>,
    time: &'static SimTime,
    switches: Vec<&'static Switch>,
    table: Arc<pgtable::Table<pgtable::Arena<Cleaner>>>,
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

impl Rig {
    /// Probes what the node describes, given that `part` is what is there.
    pub fn new(facts: &Facts, part: Option<Implementation>) -> Result<Self, Error> {
        let nature = Nature {
            coherent: facts.coherent,
            ..Nature::default()
        };
        let time = leak(SimTime::default());
        let ram: &'static Arc<Ram> = leak(Arc::new(Ram::new(nature.coherent)));
        let two = part.map(|part| ModelV2::new(nature, kind(part, facts)));
        let three = two.is_none().then(|| ModelV3::new(nature, ram.clone()));
        let model: Arc<dyn Device> = match (&two, &three) {
            (Some(model), _) => Arc::new(model.clone()),
            (None, model) => Arc::new(model.clone().expect("one of the two")),
        };
        let journal = Arc::new(Mutex::new(Vec::new()));
        let switch = |unit| {
            let model = model.clone();
            leak(Switch::clock("supply", model, unit, journal.clone()))
        };
        // The last clock of the list is the one that the registers need.
        let last = facts.clocks.len().checked_sub(1);
        let clocks: Vec<&'static Switch> = (0..facts.clocks.len())
            .map(|n| switch((Some(n) == last).then_some(Unit::Smmu)))
            .collect();
        let domains: Vec<&'static Switch> =
            facts.power_domains.iter().map(|_| switch(None)).collect();
        if domains.is_empty() {
            model.power(true);
        }
        if clocks.is_empty() {
            model.clock(Unit::Smmu, true);
        }
        let config = SmmuConfig {
            name: "under test",
            clocks: &clocks.iter().map(|c| *c as &dyn Clock).collect::<Vec<_>>(),
            power_domains: &domains
                .iter()
                .map(|d| *d as &dyn PowerDomain)
                .collect::<Vec<_>>(),
            delays: Delays {
                idle_ns: IDLE_NS,
                off_ns: Some(0),
                ..Delays::default()
            },
            ..SmmuConfig::default()
        };
        let ask = Ask {
            facts,
            driving: &Driving::default(),
            memory: &**ram,
            time,
            first_vmid: 1,
        };
        let smmu = Smmu::probe(&config, time, |power| match (two, three) {
            (Some(model), _) => {
                let windows = model.windows();
                drivers::make(power, &ask, &|region| {
                    let at = facts.registers.iter().position(|r| *r == region)?;
                    windows.get(at).cloned()
                })
            }
            (None, model) => drivers::make(power, &ask, &|_| model.clone()),
        })?;
        let walks = match nature.coherent {
            true => Walks::Coherent,
            false => Walks::NonCoherent,
        };
        let config = Config::new(Granule::K4, 40, 44).expect("a shape that all walk");
        let config = config.with_contiguous(false).with_walks(walks);
        let table = new_table(config, Pa(0x1_0000_0000), 0x10_0000);
        table
            .map(Ipa(IPA), Pa(PA), 0x1000, Attrs::DMA)
            .expect("room");
        model.add_tables(table.clone() as Arc<dyn TableMemory>);
        Ok(Self {
            model,
            smmu,
            time,
            switches: clocks.into_iter().chain(domains).collect(),
            table,
        })
    }

    /// What the driver says it found.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        let _ = self.smmu.describe(&mut text);
        text
    }

    fn reaches(&self, id: u32) -> bool {
        self.model.dma(id, IPA, true) == Dma::Reached(PA)
    }

    /// Gives a master's streams to a VM and takes them back.
    pub fn master(&self, ids: &[StreamId], meant: &[(u32, u32)]) -> Result<(), String> {
        let say = |error: Error| format!("{error}");
        let tables = Stage2::of(self.table.root(), self.table.config());
        let domain = self.smmu.create_domain(&tables, None).map_err(say)?;
        let link = self.smmu.link(ids, None).map_err(say)?;
        self.smmu.attach(link, domain).map_err(say)?;
        self.smmu.master_active(link).map_err(say)?;
        let all_on = self.switches.iter().all(|switch| switch.is_on());
        let wrong = meant
            .iter()
            .find_map(|&(id, mask)| self.wrong(id, mask, meant));
        self.smmu.master_idle(link).map_err(say)?;
        self.smmu.detach(link).map_err(say)?;
        self.smmu.unlink(link).map_err(say)?;
        self.smmu.destroy_domain(domain).map_err(say)?;
        match (all_on, wrong) {
            (false, _) => Err("a clock or a domain is off while a master is active".into()),
            (true, Some(wrong)) => Err(wrong),
            (true, None) => Ok(()),
        }
    }

    /// Every id that is meant reaches its page; one beside it does not.
    fn wrong(&self, id: u32, mask: u32, meant: &[(u32, u32)]) -> Option<String> {
        let bits = (0..16).map(|n| 1 << n);
        let free = bits.clone().filter(|bit| mask & bit != 0);
        let same = free.map(|bit| id ^ bit).chain([id, id | mask, id & !mask]);
        if let Some(id) = same.into_iter().find(|id| !self.reaches(*id)) {
            return Some(format!("stream {id:#x} does not pass"));
        }
        let ours = |id: u32| meant.iter().any(|(of, mask)| (of ^ id) & !mask == 0);
        let beside = bits
            .map(|bit| id ^ bit)
            .find(|id| !ours(*id) && *id < 0x8000)?;
        self.reaches(beside)
            .then(|| format!("stream {beside:#x}, beside {id:#x}, passes, too"))
    }

    /// Nobody is active: after its delay everything that can be is off, and
    /// nothing that must never happen has.
    pub fn sleeps(&self) -> Result<(), String> {
        while let Some(deadline) = self.smmu.next_deadline() {
            let now = self.time.now_ns();
            self.time.advance(deadline.saturating_sub(now));
            self.smmu.tick(self.time.now_ns());
        }
        let state = self.smmu.state();
        if self.switches.iter().any(|switch| switch.is_on()) {
            return Err(format!("{state:?}: a supply stays on"));
        }
        if !self.switches.is_empty() && !matches!(state, State::Gated | State::Off) {
            return Err(format!("{state:?} without supplies"));
        }
        let violations = self.model.violations();
        if violations.is_empty() {
            Ok(())
        } else {
            Err(format!("{violations:?}"))
        }
    }
}

/// Whether what `platform` read is what the node says.
pub fn same_part(facts: &Facts, part: Option<Implementation>) -> bool {
    use platform::facts::SmmuKind;
    match part {
        None => facts.kind == SmmuKind::V3,
        part => facts.kind != SmmuKind::V3 && part == Some(drivers::model(facts)),
    }
}

/// Supplies as provider and cells.
pub fn plain(supplies: &[platform::facts::Supply]) -> Vec<oracle::Reference> {
    let plain = |s: &platform::facts::Supply| (s.provider, s.args.clone());
    supplies.iter().map(plain).collect()
}

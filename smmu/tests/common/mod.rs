//! A driver, its model, tables and supplies, put together for a test.
//!
//! [`Backend`] is all that differs between SMMU architectures; scenarios and
//! schedules are written once, for any of them.
#![allow(dead_code)]

pub mod scenarios;
pub mod schedules;

use pgtable::{Attrs, Config, Granule, Ipa, Pa, Walks};
use smmu::model::{Device, Nature, Ram, SimTime, Step, Switch, TableMemory, Unit, new_table};
use smmu::power::Delays;
use smmu::{
    DomainId, Done, Error, Hardware, LinkId, Powered, Smmu, SmmuConfig, Stage2, StreamId, TbuConfig,
};
use std::sync::{Arc, Mutex};

pub type ModelTable = pgtable::Table<pgtable::Arena<smmu::model::Cleaner>>;

/// A test of each scenario that every architecture must pass.
macro_rules! test_scenarios {
    ($backend:ty) => {
        $crate::common::test_scenarios!(
            $backend: default_deny, devices_only, attach_and_detach, bypass_ends,
            unmap_while_dma, deferred_gating, operation_holds, gate_and_wake, tbu_sleeps,
            tbu_wakes_to_a_new_owner, stuck_sync, suspend_fails, resume_fails,
            clock_does_not_stop, nothing_to_switch, faults_are_attributed, late_interrupt,
            two_smmus, timeline_tells, domains_come_and_go, links_outlive_drivers,
        );
    };
    ($backend:ty: $($name:ident),* $(,)?) => {
        $(#[test] fn $name() { $crate::common::scenarios::$name::<$backend>(None); })*
    };
}
pub(crate) use test_scenarios;

/// An SMMU architecture under test: a model and the driver for it.
pub trait Backend: 'static {
    type Model: Device + Clone + 'static;
    type Driver: Hardware + 'static;
    fn model(nature: Nature, ram: &Arc<Ram>) -> Self::Model;
    fn probe(
        power: &Powered,
        model: Self::Model,
        ram: &'static Ram,
        time: &'static SimTime,
        leave_out: Option<Step>,
    ) -> Result<Self::Driver, Error>;
}

/// What a test may want different.
#[derive(Clone, Copy)]
pub struct Setup {
    pub nature: Nature,
    pub delays: Delays,
    /// The SMMU has a clock and a power domain.
    pub switched: bool,
    /// TBUs 1.. have clocks of their own.
    pub tbu_clocks: bool,
    pub leave_out: Option<Step>,
    pub base: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            nature: Nature::default(),
            delays: Delays {
                idle_ns: IDLE,
                off_ns: None,
                retry_ns: RETRY,
            },
            switched: true,
            tbu_clocks: false,
            leave_out: None,
            base: 0x1_0000_0000,
        }
    }
}

pub const IDLE: u64 = 20_000_000;
pub const RETRY: u64 = 100_000_000;
pub const PAGE: u64 = 0x1000;

pub struct Rig<B: Backend> {
    pub time: &'static SimTime,
    pub ram: Arc<Ram>,
    pub model: B::Model,
    pub smmu: Smmu<'static, B::Driver>,
    pub clock: &'static Switch,
    pub domain_switch: &'static Switch,
    pub tbu_clocks: Vec<&'static Switch>,
    pub journal: Arc<Mutex<Vec<String>>>,
    base: u64,
    coherent: bool,
    tables: std::cell::Cell<u64>,
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

impl<B: Backend> Rig<B> {
    pub fn new(setup: Setup) -> Self {
        Self::try_new(setup).unwrap_or_else(|e| panic!("probe: {e}"))
    }

    pub fn try_new(setup: Setup) -> Result<Self, Error> {
        let ram = Arc::new(Ram::new(setup.nature.coherent));
        let model = B::model(setup.nature, &ram);
        Self::around(setup, ram, model)
    }

    /// Around a model that the test has prepared.
    pub fn around(setup: Setup, ram: Arc<Ram>, model: B::Model) -> Result<Self, Error> {
        let time: &'static SimTime = leak(SimTime::default());
        let journal = Arc::new(Mutex::new(Vec::new()));
        let device: Arc<dyn Device> = Arc::new(model.clone());
        let switch = |name, unit| leak(Switch::clock(name, device.clone(), unit, journal.clone()));
        let clock = switch("core", Some(Unit::Smmu));
        let bus = switch("bus", None);
        let domain_switch = switch("domain", None);
        let tbu_clocks: Vec<&'static Switch> = (1..setup.nature.tbus)
            .map(|n| switch("tbu", Some(Unit::Tbu(n))))
            .collect();
        if !setup.switched {
            device.power(true);
            device.clock(Unit::Smmu, true);
        }
        let tbu_supplies: Vec<[&'static dyn smmu::Clock; 1]> = tbu_clocks
            .iter()
            .map(|c| [*c as &dyn smmu::Clock])
            .collect();
        let mut tbus = vec![TbuConfig {
            clocks: &[],
            power_domains: &[],
            delays: setup.delays,
        }];
        for clocks in &tbu_supplies {
            tbus.push(TbuConfig {
                clocks: if setup.tbu_clocks { clocks } else { &[] },
                power_domains: &[],
                delays: setup.delays,
            });
        }
        let clocks: [&dyn smmu::Clock; 2] = [bus, clock];
        let domains: [&dyn smmu::PowerDomain; 1] = [domain_switch];
        let config = SmmuConfig {
            name: "under test",
            clocks: if setup.switched { &clocks } else { &[] },
            power_domains: if setup.switched { &domains } else { &[] },
            delays: setup.delays,
            tbus: &tbus,
            leave_out: setup.leave_out,
            ..SmmuConfig::default()
        };
        let shared: &Arc<Ram> = leak(ram.clone());
        let smmu = Smmu::probe(&config, time, |power| {
            B::probe(power, model.clone(), shared, time, setup.leave_out)
        })?;
        Ok(Self {
            time,
            ram,
            model,
            smmu,
            clock,
            domain_switch,
            tbu_clocks,
            journal,
            base: setup.base,
            coherent: setup.nature.coherent,
            tables: std::cell::Cell::new(0),
        })
    }

    /// A guest with one master of these streams, attached to its domain.
    pub fn guest(&self, streams: &[u32], tbu: usize) -> Guest<'_, B> {
        let guest = self.bare_guest(streams, tbu);
        self.smmu.attach(guest.link, guest.domain).unwrap();
        guest
    }

    pub fn bare_guest(&self, streams: &[u32], tbu: usize) -> Guest<'_, B> {
        let number = self.tables.replace(self.tables.get() + 1);
        let walks = if self.coherent {
            Walks::Coherent
        } else {
            Walks::NonCoherent
        };
        let config = Config::new(Granule::K4, 40, 44)
            .unwrap()
            .with_contiguous(false)
            .with_walks(walks);
        let base = Pa(self.base + number * 0x100_0000);
        let table = new_table(config, base, 0x10_0000);
        self.model.add_tables(table.clone() as Arc<dyn TableMemory>);
        for stream in streams {
            self.model.place(*stream, tbu);
        }
        let tables = Stage2::of(table.root(), table.config());
        let domain = self.smmu.create_domain(&tables, None).unwrap();
        let streams: Vec<_> = streams.iter().map(|s| StreamId(*s)).collect();
        let link = self.smmu.link(&streams, Some(tbu)).unwrap();
        Guest {
            rig: self,
            table,
            domain,
            link,
        }
    }

    /// Lets time pass, with ticks as a timer would give them.
    pub fn pass(&self, ns: u64) {
        use smmu::Time;
        let end = self.time.now_ns() + ns;
        while let Some(deadline) = self.smmu.next_deadline().filter(|d| *d <= end) {
            let now = self.time.now_ns();
            self.time.advance(deadline.saturating_sub(now));
            self.smmu.tick(self.time.now_ns());
        }
        let now = self.time.now_ns();
        self.time.advance(end.saturating_sub(now));
    }

    pub fn check(&self) {
        assert_eq!(self.model.violations(), []);
    }
}

pub struct Guest<'r, B: Backend> {
    pub rig: &'r Rig<B>,
    pub table: Arc<ModelTable>,
    pub domain: DomainId,
    pub link: LinkId,
}

impl<B: Backend> Guest<'_, B> {
    pub fn map(&self, ipa: u64, pa: u64, len: u64) {
        for page in (pa..pa + len).step_by(PAGE as usize) {
            self.rig.model.permit(page);
        }
        self.table.map(Ipa(ipa), Pa(pa), len, Attrs::DMA).unwrap();
    }

    /// Unmaps; when that has succeeded the pages are somebody else's.
    pub fn unmap(&self, ipa: u64, len: u64) -> Result<Done, Error> {
        let pages: Vec<u64> = (ipa..ipa + len)
            .step_by(PAGE as usize)
            .map(|at| self.table.translate(Ipa(at)).unwrap().0.0)
            .collect();
        let detached = self.table.unmap(Ipa(ipa), len).unwrap();
        let mut done = Done::Completed;
        self.table.release(detached, |stale| {
            done = self.rig.smmu.invalidate(self.domain, &[stale.into()])?;
            Ok::<(), Error>(())
        })?;
        for page in pages {
            self.rig.model.forbid(page);
        }
        Ok(done)
    }

    pub fn active(&self) -> Result<(), Error> {
        self.rig.smmu.master_active(self.link)
    }

    pub fn idle(&self) {
        self.rig.smmu.master_idle(self.link).unwrap();
    }
}

//! Random schedules of power, DMA, map, unmap, faults and failures, checked
//! step by step against a plain account of what must be so.

use super::*;
use proptest::prelude::*;
use smmu::model::{Dma, Loss};
use smmu::power::State;
use std::collections::{BTreeMap, BTreeSet};

const IPA: u64 = 0x4000_0000;
const STREAM: u32 = 16;

#[derive(Clone, Debug)]
pub enum Op {
    Map(usize, u64, u64),
    Unmap(usize, u64),
    Dma(usize, u64),
    Launch(usize, u64),
    Active(usize),
    Idle(usize),
    Pass(u64),
    Attach(usize),
    Detach(usize),
    Interrupts,
    Syncs(bool),
    Clock(bool),
    Renew(usize),
}

fn op(guests: usize, failures: bool) -> impl Strategy<Value = Op> {
    let g = 0..guests;
    let page = 0u64..6;
    let calm = prop_oneof![
        4 => (g.clone(), page.clone(), 1u64..4).prop_map(|(g, p, n)| Op::Map(g, p, n)),
        4 => (g.clone(), page.clone()).prop_map(|(g, p)| Op::Unmap(g, p)),
        6 => (g.clone(), page.clone()).prop_map(|(g, p)| Op::Dma(g, p)),
        2 => (g.clone(), page).prop_map(|(g, p)| Op::Launch(g, p)),
        3 => g.clone().prop_map(Op::Active),
        3 => g.clone().prop_map(Op::Idle),
        4 => (0..3 * IDLE).prop_map(Op::Pass),
        1 => g.clone().prop_map(Op::Attach),
        1 => g.clone().prop_map(Op::Detach),
        1 => Just(Op::Interrupts),
    ];
    let weight = u32::from(failures);
    let rough = prop_oneof![
        2 => any::<bool>().prop_map(Op::Syncs),
        2 => any::<bool>().prop_map(Op::Clock),
        1 => g.prop_map(Op::Renew),
        2 => (RETRY..2 * RETRY).prop_map(Op::Pass),
    ];
    prop_oneof![8 => calm.boxed(), weight => rough.boxed()]
}

#[derive(Clone, Copy, Debug)]
pub struct Variant {
    pub loss: Loss,
    pub coherent: bool,
    pub ranges: bool,
    pub sync_delay: u32,
    pub slow_tbu: bool,
    pub off: bool,
    pub restless: bool,
    pub seed: u64,
}

fn variant() -> impl Strategy<Value = Variant> {
    let loss = prop_oneof![Just(Loss::Retain), Just(Loss::Reset), Just(Loss::Scramble)];
    let flags = any::<(bool, bool, bool, bool, bool)>();
    (loss, flags, 0u32..6, any::<u64>()).prop_map(
        |(loss, (coherent, ranges, off, restless, slow_tbu), sync_delay, seed)| Variant {
            loss,
            coherent,
            ranges,
            sync_delay,
            slow_tbu,
            off,
            restless,
            seed,
        },
    )
}

pub fn schedule(failures: bool) -> impl Strategy<Value = (Variant, Vec<Op>)> {
    (variant(), prop::collection::vec(op(3, failures), 1..60))
}

/// What one guest must see.
#[derive(Default)]
struct Shadow {
    pages: BTreeMap<u64, u64>,
    /// Out of use for as long as the tables live: their invalidation failed.
    lost: BTreeSet<u64>,
    active: bool,
    attached: bool,
}

struct Run<'r, B: Backend> {
    rig: &'r Rig<B>,
    guests: Vec<Guest<'r, B>>,
    shadows: Vec<Shadow>,
    next_pa: u64,
    /// Pages whose invalidation failed, and the epoch of that.
    quarantine: Vec<(u64, u64)>,
    failing: bool,
}

/// Runs a schedule; panics at the first thing that is not as it must be.
pub fn run<B: Backend>(variant: Variant, ops: &[Op]) {
    let mut setup = Setup {
        tbu_clocks: true,
        ..Setup::default()
    };
    setup.nature = Nature {
        coherent: variant.coherent,
        ranges: variant.ranges,
        sync_delay: variant.sync_delay,
        tbu_delay: if variant.slow_tbu { 9 } else { 0 },
        loss: variant.loss,
        tbus: 3,
        seed: variant.seed,
        ..setup.nature
    };
    setup.delays.off_ns = variant.off.then_some(2 * IDLE);
    let rig = Rig::<B>::new(setup);
    // One alone behind the SMMU's own TBU, one each behind sleepy ones.
    let guests: Vec<_> = (0..3).map(|n| rig.guest(&[STREAM + n as u32], n)).collect();
    let mut run = Run {
        rig: &rig,
        shadows: guests.iter().map(|_| Shadow::attached()).collect(),
        guests,
        next_pa: 0x8000_0000,
        quarantine: Vec::new(),
        failing: false,
    };
    if variant.restless {
        rig.model.set_restless(STREAM, IPA);
        rig.model.set_restless(STREAM + 1, IPA + PAGE);
    }
    for op in ops {
        run.step(op);
        run.release_quarantine();
        assert_eq!(rig.model.violations(), [], "after {op:?}");
    }
    run.end();
}

impl Shadow {
    fn attached() -> Self {
        Self {
            attached: true,
            ..Self::default()
        }
    }
}

impl<B: Backend> Run<'_, B> {
    fn step(&mut self, op: &Op) {
        match *op {
            Op::Map(g, page, count) => self.map(g, page, count),
            Op::Unmap(g, page) => self.unmap(g, page),
            Op::Dma(g, page) => self.dma(g, page),
            Op::Launch(g, page) => self.rig.model.launch(STREAM + g as u32, IPA + page * PAGE),
            Op::Active(g) => self.activate(g),
            Op::Idle(g) => {
                self.guests[g].idle();
                self.shadows[g].active = false;
            }
            Op::Pass(ns) => self.rig.pass(ns),
            Op::Attach(g) => self.attach(g),
            Op::Detach(g) => {
                let outcome = self.rig.smmu.detach(self.guests[g].link);
                assert!(outcome.is_ok() || self.failing, "{outcome:?}");
                self.shadows[g].attached = false;
            }
            Op::Interrupts => {
                self.rig.smmu.handle_event_irq(&mut |_| ());
                self.rig.smmu.handle_error_irq();
            }
            Op::Syncs(on) => {
                self.rig.model.set_syncs(on);
                self.failing = true;
            }
            Op::Clock(works) => {
                self.rig.clock.fail_after((!works).then_some(0));
                self.failing = true;
            }
            Op::Renew(g) => self.renew(g),
        }
    }

    fn map(&mut self, g: usize, page: u64, count: u64) {
        let shadow = &self.shadows[g];
        let taken = |p| shadow.pages.contains_key(&p) || shadow.lost.contains(&p);
        let free = !(page..page + count).any(taken);
        if !free {
            return;
        }
        for p in page..page + count {
            let pa = self.next_pa;
            self.next_pa += PAGE;
            self.guests[g].map(IPA + p * PAGE, pa, PAGE);
            self.shadows[g].pages.insert(p, pa);
        }
    }

    fn unmap(&mut self, g: usize, page: u64) {
        let Some(pa) = self.shadows[g].pages.remove(&page) else {
            return;
        };
        let accesses = self.rig.model.accesses();
        let asleep = matches!(self.rig.smmu.state(), State::Gated | State::Off);
        match self.guests[g].unmap(IPA + page * PAGE, PAGE) {
            Ok(done) => assert_eq!(done == Done::Elided, asleep),
            Err(error) => {
                assert!(self.failing, "{error}");
                self.quarantine.push((pa, self.rig.smmu.epoch()));
                self.shadows[g].lost.insert(page);
            }
        }
        if asleep {
            assert_eq!(self.rig.model.accesses(), accesses);
        }
    }

    fn dma(&mut self, g: usize, page: u64) {
        let shadow = &self.shadows[g];
        let wanted = shadow.pages.get(&page).copied();
        match self
            .rig
            .model
            .dma(STREAM + g as u32, IPA + page * PAGE, true)
        {
            Dma::Reached(pa) => {
                let own = wanted == Some(pa) && shadow.attached;
                let late = self.quarantine.iter().any(|(p, _)| *p == pa);
                assert!(own || late || self.failing, "reached {pa:#x}");
            }
            Dma::Terminated => {
                let must = shadow.active && shadow.attached && wanted.is_some();
                assert!(!must || self.failing, "an active master was denied");
            }
        }
    }

    fn activate(&mut self, g: usize) {
        match self.guests[g].active() {
            Ok(()) => {
                assert!(self.rig.clock.is_on());
                assert_eq!(self.rig.smmu.state(), State::On);
                self.shadows[g].active = true;
            }
            Err(error) => {
                assert!(self.failing, "{error}");
                self.shadows[g].active = false;
            }
        }
    }

    fn attach(&mut self, g: usize) {
        let outcome = self
            .rig
            .smmu
            .attach(self.guests[g].link, self.guests[g].domain);
        assert!(outcome.is_ok() || self.failing, "{outcome:?}");
        self.shadows[g].attached = outcome.is_ok();
    }

    /// A new domain for the same tables, as after a fence.
    fn renew(&mut self, g: usize) {
        let smmu = &self.rig.smmu;
        if smmu.detach(self.guests[g].link).is_err() {
            assert!(self.failing);
        }
        self.shadows[g].attached = false;
        let gone = smmu.destroy_domain(self.guests[g].domain);
        assert!(gone.is_ok() || self.failing, "{gone:?}");
        let table = &self.guests[g].table;
        let tables = Stage2::of(table.root(), table.config());
        self.guests[g].domain = smmu.create_domain(&tables, None).unwrap();
    }

    /// What the epoch says is clean belongs to somebody else from now on.
    fn release_quarantine(&mut self) {
        let now = self.rig.smmu.clean_epoch();
        let model = &self.rig.model;
        self.quarantine.retain(|(pa, since)| {
            if now > *since {
                model.forbid(*pa);
            }
            now <= *since
        });
    }

    /// Everything works again: it must come to rest, asleep, and wake.
    fn end(&mut self) {
        self.rig.model.set_syncs(true);
        self.rig.clock.fail_after(None);
        for guest in &self.guests {
            guest.idle();
        }
        self.rig.pass(20 * RETRY);
        assert!(matches!(self.rig.smmu.state(), State::Gated | State::Off));
        assert_eq!(self.rig.smmu.machine().counts(), (0, 0));
        assert!(!self.rig.clock.is_on());
        self.release_quarantine();
        assert!(self.quarantine.is_empty(), "{:?}", self.quarantine);
        self.failing = false;
        for g in 0..self.guests.len() {
            self.renew(g);
            self.attach(g);
            self.activate(g);
            for page in 0..8 {
                self.dma(g, page);
            }
        }
        self.rig.check();
    }
}

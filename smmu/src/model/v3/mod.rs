//! SMMUv3, hostile.

mod commands;
mod interrupts;
mod registers;
mod translate;

use super::body::{Body, Common, shared};
use super::device::{Dma, Loss, Nature, Unit, Violation};
use super::ram::Ram;
use super::tlb::Tlb;
use crate::v3::spec::regs::{cr0, gbpa, gerror};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Registers that hold state.
#[derive(Clone, Debug, Default)]
struct State {
    cr0: u32,
    cr0ack: u32,
    cr1: u32,
    cr2: u32,
    gbpa: u32,
    irq_ctrl: u32,
    gerror: u32,
    gerrorn: u32,
    strtab_base: u64,
    strtab_cfg: u32,
    cmdq_base: u64,
    cmdq_prod: u32,
    cmdq_cons: u32,
    evtq_base: u64,
    evtq_prod: u32,
    evtq_cons: u32,
    event_message: Message,
    error_message: Message,
}

/// Where an interrupt goes: address (0: the wire), data, attributes.
#[derive(Clone, Copy, Debug, Default)]
struct Message {
    address: u64,
    data: u32,
    attributes: u32,
}

/// What one unit has cached.
#[derive(Clone, Debug, Default)]
struct Cache {
    tlb: Tlb,
    /// First words of entries, and the others: fetched at different times.
    first: BTreeMap<u32, u64>,
    /// Of the others, the one with VMID and shape, and the one with the root.
    second: BTreeMap<u32, u64>,
    third: BTreeMap<u32, u64>,
    l1: BTreeMap<u32, u64>,
}

impl Cache {
    fn forget_configuration(&mut self, stream: Option<u32>, leaf: bool) {
        match stream {
            Some(stream) => {
                self.first.remove(&stream);
                self.second.remove(&stream);
                self.third.remove(&stream);
                if !leaf {
                    self.l1.remove(&(stream >> 8));
                }
            }
            None => {
                self.first.clear();
                self.second.clear();
                self.third.clear();
                self.l1.clear();
            }
        }
    }
}

pub(super) struct Inner {
    common: Common,
    ram: Arc<Ram>,
    state: State,
    tcu: Cache,
    tbus: Vec<Cache>,
    /// Everything that was ever cached: what the arrays may hold after power
    /// came back.
    ghost: Cache,
    /// The root that a VMID was used with since it was last invalidated.
    bindings: BTreeMap<u16, u64>,
    /// Consumed, but not in force before a sync.
    pending: Vec<[u64; 2]>,
    sync_wait: Option<u32>,
    /// The next command fails with this reason.
    fail_command: Option<u8>,
    service_failure: bool,
    flying: Vec<(usize, u64)>,
    event_irqs: u64,
    error_irqs: u64,
    /// Messages written: address and data.
    messages: Vec<(u64, u32)>,
    /// The next message is not accepted.
    refuse_message: bool,
}

/// The model. Clone it to give the driver its register window.
#[derive(Clone)]
pub struct ModelV3 {
    inner: Arc<Mutex<Inner>>,
}

impl ModelV3 {
    /// Unpowered and unclocked, as after cold reset.
    pub fn new(nature: Nature, ram: Arc<Ram>) -> Self {
        let inner = Inner {
            common: Common::new(nature),
            ram,
            state: State::default(),
            tcu: Cache::default(),
            tbus: vec![Cache::default(); nature.tbus],
            ghost: Cache::default(),
            bindings: BTreeMap::new(),
            pending: Vec::new(),
            sync_wait: None,
            fail_command: None,
            service_failure: false,
            flying: Vec::new(),
            event_irqs: 0,
            error_irqs: 0,
            messages: Vec::new(),
            refuse_message: false,
        };
        let inner = Arc::new(Mutex::new(inner));
        let ram = inner.lock().unwrap().ram.clone();
        let watching = Arc::downgrade(&inner);
        ram.watch(Box::new(move || {
            if let Some(inner) = watching.upgrade() {
                inner.lock().unwrap().prefetch();
            }
        }));
        Self { inner }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.lock().unwrap())
    }

    /// The next command stops the queue with this reason (CERROR_*).
    pub fn fail_next_command(&self, reason: u8) {
        self.with(|m| m.fail_command = Some(reason));
    }

    /// The SMMU enters service failure mode until it is disabled.
    pub fn fail_service(&self) {
        self.with(|m| {
            m.service_failure = true;
            m.global_error(gerror::SFM);
        });
    }

    /// The next event cannot be written (GERROR.EVENTQ_ABT_ERR).
    pub fn fail_event(&self) {
        self.with(|m| m.global_error(gerror::EVENTQ_ABT));
    }

    /// The next message is not accepted where it goes to.
    pub fn refuse_message(&self) {
        self.with(|m| m.refuse_message = true);
    }

    /// Global errors that nobody has acknowledged.
    pub fn errors(&self) -> u32 {
        self.with(|m| m.state.gerror ^ m.state.gerrorn)
    }

    /// Wires raised so far: events, global errors.
    pub fn interrupts(&self) -> (u64, u64) {
        self.with(|m| (m.event_irqs, m.error_irqs))
    }

    /// Messages written so far, as address and data.
    pub fn messages(&self) -> Vec<(u64, u32)> {
        self.with(|m| m.messages.clone())
    }

    /// The event queue's overflow flag is raised and not acknowledged.
    pub fn overflowed(&self) -> bool {
        self.with(|m| (m.state.evtq_prod ^ m.state.evtq_cons) >> 31 != 0)
    }
}

impl Message {
    fn noise(roll: &mut impl FnMut() -> u64) -> Self {
        Self {
            address: roll(),
            data: roll() as u32,
            attributes: roll() as u32,
        }
    }
}

impl Inner {
    fn enabled(&self) -> bool {
        self.state.cr0 & cr0::SMMUEN != 0
    }

    fn land(&mut self) {
        for (_, pa) in std::mem::take(&mut self.flying) {
            self.reach(pa);
        }
    }
}

shared!(ModelV3, Inner);

impl Body for Inner {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }

    fn issue(&mut self, stream: u32, address: u64, write: bool) -> Dma {
        self.transact(stream, address, write)
    }

    fn launch(&mut self, stream: u32, address: u64) {
        if let Dma::Reached(pa) = self.transact(stream, address, true) {
            let tbu = self.tbu_of(stream);
            self.flying.push((tbu, pa));
        }
    }

    fn land_all(&mut self) {
        self.land();
    }

    fn stop_smmu(&mut self) {
        let aborts = self.state.gbpa & gbpa::ABORT != 0;
        if self.enabled() || !aborts {
            self.violate(Violation::StoppedLive(Unit::Smmu));
        }
        let queue_on = self.state.cr0 & cr0::CMDQEN != 0;
        let events_on = self.state.cr0 & cr0::EVENTQEN != 0;
        if queue_on || events_on || !self.pending.is_empty() || !self.flying.is_empty() {
            self.violate(Violation::StoppedBusy);
        }
    }

    fn stop_tbu(&mut self, tbu: usize) {
        let behind: Vec<u32> = self
            .place
            .iter()
            .filter(|(_, t)| **t == tbu)
            .map(|(s, _)| *s)
            .collect();
        if self.flying.iter().any(|(t, _)| *t == tbu) {
            self.violate(Violation::StoppedBusy);
        }
        if !self.reachable() || !self.enabled() {
            return;
        }
        for stream in behind {
            let cached = self.tbus[tbu].first.get(&stream).copied();
            let entry = self.fetch_first(stream);
            let live = |word: Option<u64>| word.is_some_and(|w| w & 1 != 0 && w >> 1 & 7 != 0);
            if live(cached) || live(entry) {
                self.violate(Violation::StoppedLive(Unit::Tbu(tbu)));
            }
        }
    }

    fn lose(&mut self) {
        self.pending.clear();
        self.sync_wait = None;
        match self.nature.loss {
            Loss::Retain => {}
            Loss::Reset => {
                self.state = State::default();
                self.tcu = Cache::default();
                self.tbus.fill(Cache::default());
            }
            Loss::Scramble => {
                let mut noise = || self.dice.roll();
                self.state = State {
                    cr1: noise() as u32,
                    strtab_base: noise(),
                    strtab_cfg: noise() as u32,
                    cmdq_base: noise(),
                    cmdq_prod: noise() as u32 & 0xf_ffff,
                    cmdq_cons: noise() as u32 & 0xf_ffff,
                    evtq_base: noise(),
                    evtq_prod: noise() as u32 & 0xf_ffff,
                    evtq_cons: noise() as u32 & 0xf_ffff,
                    event_message: Message::noise(&mut noise),
                    error_message: Message::noise(&mut noise),
                    ..State::default()
                };
                self.tcu = self.ghost.clone();
                for (tbu, clocked) in self.tbus.iter_mut().zip(&self.common.tbu_clocked) {
                    *tbu = self.ghost.clone();
                    if !clocked {
                        // Its configuration comes from a TCU that it has to
                        // find anew; no software could help it otherwise.
                        tbu.forget_configuration(None, false);
                    }
                }
            }
        }
    }
}

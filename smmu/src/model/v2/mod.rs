//! SMMUv1 and SMMUv2, hostile.
//!
//! Beyond what every model here does: CLIENTPD is set by reset, S2CRs and
//! banks hold garbage after power was lost, a bank that is not enabled lets
//! through, banks that are enabled walk ahead though no stream uses them,
//! a global sync completes global invalidations and a bank's its own, and
//! each maker's part has its maker's flaws.

mod instance;
mod registers;
mod translate;

use super::body::{Body, Common, shared};
use super::device::{Dma, Loss, Nature, Unit, Violation};
use crate::v2::Implementation;
use crate::v2::spec::cr0;
use instance::Instance;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, Weak};

/// What kind of SMMU it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Whose flaws it has.
    pub model: Implementation,
    /// Entries match by id and mask; otherwise the id is the index.
    pub matching: bool,
    /// 16-bit StreamIDs.
    pub extended: bool,
    /// 16-bit VMIDs.
    pub vmid16: bool,
    /// log2 of a register page.
    pub page_shift: u32,
    /// log2 of the pages before the banks.
    pub pages_log: u32,
    /// Stream entries that ID0 promises.
    pub entries: u16,
    /// Banks that ID1 promises.
    pub banks: u16,
    /// Instances that share the traffic.
    pub instances: usize,
    /// Firmware ignores S2CR.TYPE = fault and makes a fault of a bypass.
    pub rewrites_s2cr: bool,
}

impl Kind {
    /// A part of this maker.
    pub fn of(model: Implementation) -> Self {
        let nvidia = model == Implementation::NvidiaMmu500;
        Self {
            model,
            matching: true,
            extended: false,
            vmid16: model != Implementation::GenericV2,
            page_shift: if nvidia { 16 } else { 12 },
            pages_log: 4,
            entries: 48,
            banks: 16,
            instances: if nvidia { 2 } else { 1 },
            rewrites_s2cr: false,
        }
    }

    pub(super) fn v1(&self) -> bool {
        use Implementation::{GenericV1, Mmu400, Mmu401};
        matches!(self.model, GenericV1 | Mmu400 | Mmu401)
    }

    pub(super) fn mmu500(&self) -> bool {
        use Implementation::{MarvellAp806, Mmu500, NvidiaMmu500, QcomMmu500};
        matches!(
            self.model,
            Mmu500 | MarvellAp806 | NvidiaMmu500 | QcomMmu500
        )
    }

    pub(super) fn qualcomm(&self) -> bool {
        use Implementation::{QcomMmu500, QcomV2};
        matches!(self.model, QcomV2 | QcomMmu500)
    }
}

/// A transaction that was translated and has not landed.
#[derive(Clone, Copy, Debug)]
struct Flying {
    tbu: usize,
    instance: usize,
    bank: Option<u16>,
    pa: u64,
}

pub(super) struct Inner {
    common: Common,
    kind: Kind,
    instances: Vec<Instance>,
    /// Power was lost: masters wait until a sync has completed since.
    quiet: bool,
    /// Addresses lately used, for walks ahead of time.
    recent: BTreeSet<u64>,
    flying: Vec<Flying>,
    /// An SMMU whose TLB answers, too (Cavium).
    sibling: Weak<Mutex<Inner>>,
}

/// The model. [`window`](Self::window) gives the driver its registers.
#[derive(Clone)]
pub struct ModelV2 {
    inner: Arc<Mutex<Inner>>,
}

/// The register window of one instance.
#[derive(Clone)]
pub struct Window {
    model: ModelV2,
    instance: usize,
}

impl ModelV2 {
    /// Unpowered and unclocked, as after cold reset.
    pub fn new(nature: Nature, kind: Kind) -> Self {
        let instance = Instance::new(&kind, nature.tbus);
        Self {
            inner: Arc::new(Mutex::new(Inner {
                common: Common::new(nature),
                kind,
                instances: vec![instance; kind.instances],
                quiet: true,
                recent: BTreeSet::new(),
                flying: Vec::new(),
                sibling: Weak::new(),
            })),
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.lock().unwrap())
    }

    /// The registers of every instance.
    pub fn windows(&self) -> Vec<Window> {
        let count = self.with(|m| m.instances.len());
        let window = |instance| Window {
            model: self.clone(),
            instance,
        };
        (0..count).map(window).collect()
    }

    /// From now on this one's transactions hit the other's TLB (Cavium).
    pub fn share_tlb_of(&self, other: &ModelV2) {
        self.with(|m| m.sibling = Arc::downgrade(&other.inner));
    }

    /// Writes a register of every instance as firmware would, with power.
    pub fn firmware_writes(&self, offset: usize, value: u32) {
        self.with(|m| {
            for instance in 0..m.instances.len() {
                m.write(instance, offset, value.into(), 4);
            }
            m.accesses = 0;
        });
    }

    /// What a register of the first instance holds, without touching it.
    pub fn peek(&self, offset: usize) -> u64 {
        self.with(|m| m.peek(0, offset))
    }
}

impl Inner {
    fn land(&mut self, which: impl Fn(&Flying) -> bool) {
        let (landing, others) = std::mem::take(&mut self.flying)
            .into_iter()
            .partition(|f| which(f));
        self.flying = others;
        let landing: Vec<Flying> = landing;
        for flying in landing {
            self.reach(flying.pa);
        }
    }
}

shared!(ModelV2, Inner);

impl Body for Inner {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }

    fn issue(&mut self, stream: u32, address: u64, write: bool) -> Dma {
        self.transact(stream, address, write).0
    }

    fn launch(&mut self, stream: u32, address: u64) {
        let (end, instance, bank) = self.transact(stream, address, true);
        if let Dma::Reached(pa) = end {
            self.flying.push(Flying {
                tbu: self.tbu_of(stream),
                instance,
                bank,
                pa,
            });
        }
    }

    fn land_all(&mut self) {
        self.land(|_| true);
    }

    fn stop_smmu(&mut self) {
        let kind = self.kind;
        let used = cr0::CLIENTPD | cr0::USFCFG | cr0::GFIE;
        let live = |i: &Instance| i.cr0 & used != cr0::USFCFG || i.any_live(&kind);
        if self.instances.iter().any(live) {
            self.violate(Violation::StoppedLive(Unit::Smmu));
        }
        if !self.flying.is_empty() || self.instances.iter().any(Instance::busy) {
            self.violate(Violation::StoppedBusy);
        }
    }

    fn stop_tbu(&mut self, tbu: usize) {
        if self.flying.iter().any(|f| f.tbu == tbu) {
            self.violate(Violation::StoppedBusy);
        }
        if !self.reachable() {
            return;
        }
        let kind = self.kind;
        let behind = self.place.iter().filter(|(_, t)| **t == tbu);
        let mut behind = behind.map(|(s, _)| *s);
        let live = |s: u32| self.instances.iter().any(|i| i.live(&kind, s));
        if behind.any(live) {
            self.violate(Violation::StoppedLive(Unit::Tbu(tbu)));
        }
    }

    fn lose(&mut self) {
        let (kind, tbus) = (self.kind, self.nature.tbus);
        for instance in &mut self.instances {
            instance.stop_work();
            match self.common.nature.loss {
                Loss::Retain => {}
                Loss::Reset => *instance = Instance::new(&kind, tbus),
                Loss::Scramble => instance.scramble(&kind, &mut self.common.dice),
            }
        }
        if self.nature.loss != Loss::Retain {
            self.quiet = true;
        }
    }
}

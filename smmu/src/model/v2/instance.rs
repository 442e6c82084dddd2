//! Registers and caches of one instance.

use super::Kind;
use crate::model::Dice;
use crate::model::tlb::Tlb;
use crate::v2::spec::{bank, cr0, stream};
use std::collections::{BTreeMap, BTreeSet};

/// sACR.CACHE_LOCK, set by reset.
pub(super) const CACHE_LOCK: u32 = 1 << 26;
/// sACR.S2CRB_TLBEN.
pub(super) const S2CRB_TLBEN: u32 = 1 << 10;
/// ACTLR.CPRE, set by reset.
pub(super) const CPRE: u32 = 1 << 1;

/// An invalidation that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Forget {
    All,
    Vmid(u16),
    Address { vmid: u16, ipa: u64, leaf: bool },
}

#[derive(Clone, Debug, Default)]
pub(super) struct Bank {
    pub sctlr: u32,
    pub actlr: u32,
    pub tcr: u32,
    pub ttbr0: u64,
    /// The high half waits for the low one.
    pub ttbr0_high: u32,
    pub fsr: u32,
    pub far: u64,
    pub fsynr0: u32,
    pub cbar: u32,
    pub cba2r: u32,
    pub frsynra: u32,
    pub pending: Vec<Forget>,
    pub sync_wait: Option<u32>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Instance {
    pub cr0: u32,
    pub acr: u32,
    pub gfsr: u32,
    pub gfar: u64,
    pub gfsynr: [u32; 2],
    pub smr: Vec<u32>,
    pub s2cr: Vec<u32>,
    pub banks: Vec<Bank>,
    pub pending: Vec<Forget>,
    pub sync_wait: Option<u32>,
    pub tcu: Tlb,
    pub tbus: Vec<Tlb>,
    /// Streams whose bypass a TBU remembers.
    pub passing: Vec<BTreeSet<u32>>,
    /// All that was ever cached.
    pub ghost: Tlb,
    /// The root that a VMID was used with since it was last forgotten.
    pub bindings: BTreeMap<u16, u64>,
}

impl Instance {
    pub fn new(kind: &Kind, tbus: usize) -> Self {
        let bank = Bank {
            actlr: if kind.mmu500() { CPRE } else { 0 },
            ..Bank::default()
        };
        Self {
            cr0: cr0::CLIENTPD,
            acr: if kind.mmu500() { CACHE_LOCK } else { 0 },
            smr: vec![0; kind.entries.into()],
            s2cr: vec![0; kind.entries.into()],
            banks: vec![bank; kind.banks.into()],
            tbus: vec![Tlb::default(); tbus],
            passing: vec![BTreeSet::new(); tbus],
            ..Self::default()
        }
    }

    pub fn stop_work(&mut self) {
        self.pending.clear();
        self.sync_wait = None;
        for bank in &mut self.banks {
            bank.pending.clear();
            bank.sync_wait = None;
        }
    }

    /// What has a reset value has it; all else is noise.
    pub fn scramble(&mut self, kind: &Kind, dice: &mut Dice) {
        let reset = Self::new(kind, self.tbus.len());
        (self.cr0, self.acr) = (reset.cr0, reset.acr);
        let mut noise = || dice.roll() as u32;
        (self.gfsr, self.smr, self.s2cr) = (noise(), reset.smr, reset.s2cr);
        self.smr.iter_mut().for_each(|r| *r = noise());
        self.s2cr.iter_mut().for_each(|r| *r = noise());
        for (bank, fresh) in self.banks.iter_mut().zip(reset.banks) {
            *bank = Bank {
                tcr: noise(),
                ttbr0: noise().into(),
                fsr: noise(),
                cbar: noise(),
                cba2r: noise(),
                ..fresh
            };
        }
        self.bindings.clear();
        self.tcu = self.ghost.clone();
        self.tbus.fill(self.ghost.clone());
    }

    /// Entries that match a stream.
    pub fn entries(&self, kind: &Kind, id: u32) -> Vec<usize> {
        let extended = self.cr0 & cr0::EXIDENABLE != 0;
        if !kind.matching {
            let index = id as usize;
            return (index < self.s2cr.len())
                .then_some(index)
                .into_iter()
                .collect();
        }
        let usable = if kind.qualcomm() { 128 } else { usize::MAX };
        let matches = |n: &usize| {
            let smr = self.smr[*n];
            let (valid, width) = if extended {
                (self.s2cr[*n] & stream::EXIDVALID != 0, 0xffff)
            } else {
                (smr & stream::VALID != 0, 0x7fff)
            };
            let differs = (smr ^ id) & !(smr >> 16) & width;
            valid && id <= width && differs == 0
        };
        (0..self.smr.len().min(usable)).filter(matches).collect()
    }

    /// The stream may go somewhere.
    pub fn live(&self, kind: &Kind, id: u32) -> bool {
        let entries = self.entries(kind, id);
        let live = |n: &usize| self.s2cr[*n] & stream::TYPE != stream::FAULT;
        entries.iter().any(live)
    }

    pub fn any_live(&self, kind: &Kind) -> bool {
        if !kind.matching {
            return (0..self.s2cr.len()).any(|n| self.live(kind, n as u32));
        }
        let extended = self.cr0 & cr0::EXIDENABLE != 0;
        self.smr.iter().zip(&self.s2cr).any(|(smr, s2cr)| {
            let valid = if extended {
                s2cr & stream::EXIDVALID != 0
            } else {
                smr & stream::VALID != 0
            };
            valid && s2cr & stream::TYPE != stream::FAULT
        })
    }

    pub fn busy(&self) -> bool {
        let working = |b: &Bank| !b.pending.is_empty() || b.sctlr & bank::M != 0;
        !self.pending.is_empty() || self.banks.iter().any(working)
    }

    /// An invalidation takes effect in the TCU and in TBUs that can hear it.
    pub fn forget(&mut self, what: Forget, hear: &[bool]) {
        let listening = self.tbus.iter_mut().zip(hear).filter(|(_, h)| **h);
        let tlbs = listening.map(|(t, _)| t).chain([&mut self.tcu]);
        for tlb in tlbs {
            match what {
                Forget::All => tlb.forget_all(),
                Forget::Vmid(vmid) => tlb.forget_tag(vmid),
                Forget::Address { vmid, ipa, leaf } => tlb.forget_range(vmid, ipa, 1, leaf),
            }
        }
        match what {
            Forget::All => {
                self.bindings.clear();
                let heard = self.passing.iter_mut().zip(hear).filter(|(_, h)| **h);
                heard.for_each(|(passing, _)| passing.clear());
            }
            Forget::Vmid(vmid) => drop(self.bindings.remove(&vmid)),
            Forget::Address { .. } => {}
        }
    }
}

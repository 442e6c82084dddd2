//! What becomes of a transaction.

use super::Inner;
use super::instance::{CPRE, Forget, S2CRB_TLBEN};
use crate::model::body::Body;
use crate::model::device::{Dma, Violation};
use crate::model::tables::{Missing, Walker};
use crate::model::tlb::TlbEntry;
use crate::v2::Implementation;
use crate::v2::spec::{bank, bits, cr0, gfsr, gr1, stream};
use pgtable::decode_size;

type End = (Dma, usize, Option<u16>);

impl Inner {
    /// How it ends, in which instance, and by which bank.
    pub(super) fn transact(&mut self, id: u32, address: u64, write: bool) -> End {
        let tbu = self.tbu_of(id);
        // Instances take turns by page.
        let i = (address >> 12) as usize % self.instances.len();
        let end = |dma| (dma, i, None);
        if !self.reachable() || !self.tbu_clocked[tbu] {
            return end(Dma::Terminated);
        }
        let control = self.instances[i].cr0;
        if control & cr0::CLIENTPD != 0 || self.instances[i].passing[tbu].contains(&id) {
            return end(self.pass(id, address));
        }
        let entry = match *self.instances[i].entries(&self.kind, id) {
            [] if control & cr0::USFCFG != 0 => {
                return end(self.global_fault(i, gfsr::USF, id, address, write));
            }
            [] => return end(self.pass(id, address)),
            [one] => self.instances[i].s2cr[one],
            [..] => {
                self.violate(Violation::Structure(id.into()));
                return end(self.global_fault(i, gfsr::SMCF, id, address, write));
            }
        };
        match entry & stream::TYPE {
            stream::TRANSLATE => {
                let n = (entry & 0xff) as usize;
                (self.by_bank(i, n, (id, address, write)), i, Some(n as u16))
            }
            stream::BYPASS => {
                if self.instances[i].acr & S2CRB_TLBEN != 0 {
                    self.instances[i].passing[tbu].insert(id);
                }
                end(self.pass(id, address))
            }
            _ => end(self.global_fault(i, gfsr::ICF, id, address, write)),
        }
    }

    fn pass(&mut self, id: u32, address: u64) -> Dma {
        if !self.bypass_allowed.contains(&id) {
            self.violate(Violation::Bypassed(id));
        }
        Dma::Reached(address)
    }

    pub(super) fn vmid(&self, i: usize, n: usize) -> u16 {
        let b = &self.instances[i].banks[n];
        if self.instances[i].cr0 & cr0::VMID16EN != 0 {
            (b.cba2r >> 16) as u16
        } else {
            (b.cbar & 0xff) as u16
        }
    }

    fn by_bank(&mut self, i: usize, n: usize, what: (u32, u64, bool)) -> Dma {
        let (id, address, write) = what;
        let tbu = self.tbu_of(id);
        let Some(b) = self.instances[i].banks.get(n) else {
            return self.global_fault(i, gfsr::ICF, id, address, write);
        };
        // A bank that is not enabled lets through.
        if b.sctlr & bank::M == 0 {
            return self.pass(id, address);
        }
        if b.fsr & bank::FAULTS != 0 && b.sctlr & bank::HUPCF == 0 {
            return Dma::Terminated;
        }
        let Some((walker, vmid)) = self.shape(i, n) else {
            return Dma::Terminated;
        };
        self.recent.insert(address & !0xfff);
        let found = self.instances[i].tbus[tbu].find(vmid, address);
        let found = found.or_else(|| self.instances[i].tcu.find(vmid, address));
        let found = found.or_else(|| self.ask_sibling(vmid, address));
        let entry = match found {
            Some(entry) => entry,
            None => match self.walk(i, &walker, vmid, address) {
                Ok(entry) => entry,
                Err(status) => return self.fault(i, n, status, what),
            },
        };
        self.instances[i].tbus[tbu].keep(vmid, address, entry);
        self.instances[i].ghost.keep(vmid, address, entry);
        if (write && !entry.write) || (!write && !entry.read) {
            return self.fault(i, n, bank::PF, what);
        }
        Dma::Reached(entry.pa + (address & ((1 << entry.shift) - 1)))
    }

    /// Erratum 27704: the TLB does not know whose VMID it is.
    fn ask_sibling(&self, vmid: u16, address: u64) -> Option<TlbEntry> {
        let sibling = self.sibling.upgrade()?;
        let sibling = sibling.lock().unwrap();
        sibling.instances[0].tcu.find(vmid, address)
    }

    /// What the bank says of its tables.
    fn shape(&mut self, i: usize, n: usize) -> Option<(Walker, u16)> {
        let b = self.instances[i].banks[n].clone();
        let vmid = self.vmid(i, n);
        let wide = b.cba2r & gr1::CBA2R_VA64 != 0 && !self.kind.v1();
        let broken = self.kind.model == Implementation::MarvellAp806 && wide;
        if broken || vmid == 0 || b.ttbr0 == 0 || bits(b.cbar, 17, 16) != 0 {
            self.violate(Violation::Structure(b.ttbr0));
            return None;
        }
        let size = bits(b.tcr, 5, 0);
        let (ipa_bits, granule) = if wide {
            (64 - size, [12u32, 16, 14, 12][bits(b.tcr, 15, 14) as usize])
        } else {
            // Five bits with a sign.
            let low = size & 0x1f;
            (if low >= 16 { 64 - low } else { 32 - low }, 12)
        };
        if self.nature.granules & 1 << granule == 0 {
            self.violate(Violation::Structure(b.tcr.into()));
            return None;
        }
        let most = u32::from(self.nature.pa_bits);
        let pa_bits = if wide {
            u32::from(decode_size(bits(b.tcr, 18, 16))).min(most)
        } else {
            most.min(40)
        };
        let lowest = if granule == 12 { 2 } else { 3 };
        let walker = Walker {
            root: b.ttbr0,
            ipa_bits,
            granule,
            start: lowest - bits(b.tcr, 7, 6).min(2),
            pa_bits,
            // SCTLR.AFFD.
            access_flag: bits(b.sctlr, 3, 3) == 0,
        };
        let root = *self.instances[i].bindings.entry(vmid).or_insert(b.ttbr0);
        if root != b.ttbr0 {
            self.violate(Violation::Structure(b.ttbr0));
        }
        Some((walker, vmid))
    }

    fn walk(
        &mut self,
        i: usize,
        walker: &Walker,
        vmid: u16,
        address: u64,
    ) -> Result<TlbEntry, u32> {
        walker
            .fetch(
                &self.common.tables,
                &mut self.instances[i].tcu,
                vmid,
                address,
            )
            .map_err(|missing| match missing {
                Missing::Fault => bank::TF,
                Missing::Size => bank::ASF,
                Missing::Bus => bank::EF,
            })
    }

    fn fault(&mut self, i: usize, n: usize, status: u32, what: (u32, u64, bool)) -> Dma {
        let (id, address, write) = what;
        let b = &mut self.instances[i].banks[n];
        if b.fsr & bank::FAULTS != 0 {
            b.fsr |= bank::MULTI;
        } else {
            b.fsr = status;
            b.far = address;
            b.frsynra = id;
            b.fsynr0 = if write { bank::WNR } else { 0 };
        }
        Dma::Terminated
    }

    fn global_fault(&mut self, i: usize, status: u32, id: u32, address: u64, write: bool) -> Dma {
        let s = &mut self.instances[i];
        if s.gfsr & gfsr::ALL != 0 {
            s.gfsr |= gfsr::MULTI;
        } else {
            s.gfsr = status;
            s.gfar = address;
            s.gfsynr = [u32::from(write) << 1, id];
        }
        Dma::Terminated
    }

    /// An invalidation is complete.
    pub(super) fn take_effect(&mut self, i: usize, what: Forget) {
        if let Forget::Address { vmid, .. } = what {
            let prefetches = |n: usize| {
                let actlr = self.instances[i].banks[n].actlr;
                self.kind.mmu500() && actlr & CPRE != 0 && self.vmid(i, n) == vmid
            };
            // Errata 826419, 841119: the prefetcher has brought it back.
            if (0..self.instances[i].banks.len()).any(prefetches) {
                return;
            }
        }
        let hear = self.tbu_clocked.clone();
        self.instances[i].forget(what, &hear);
    }

    /// Masters and walkers do things while the driver does something else.
    pub(super) fn look_ahead(&mut self) {
        if !self.reachable() || self.quiet || !self.dice.one_in(3) {
            return;
        }
        for (id, address) in self.restless.clone() {
            if self.tbu_clocked[self.tbu_of(id)] {
                self.launch(id, address);
            }
        }
        while self.recent.len() > 8 {
            self.recent.pop_first();
        }
        for i in 0..self.instances.len() {
            for n in 0..self.instances[i].banks.len() {
                let b = &self.instances[i].banks[n];
                if b.sctlr & bank::M == 0 || bits(b.cbar, 17, 16) != 0 {
                    continue;
                }
                let Some((walker, vmid)) = self.shape(i, n) else {
                    continue;
                };
                for address in self.recent.clone() {
                    if self.instances[i].tcu.find(vmid, address).is_none() {
                        let _ = self.walk(i, &walker, vmid, address);
                    }
                }
            }
        }
    }
}

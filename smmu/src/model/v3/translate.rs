//! What becomes of a transaction.

use super::{Cache, Inner};
use crate::model::device::{Dma, Violation};
use crate::model::tables::{Missing, Walker};
use crate::model::tlb::TlbEntry;
use crate::v3::spec::regs::{cr0, gbpa};
use crate::v3::spec::{bits, event::id, ste};
use pgtable::decode_size;
use std::collections::BTreeMap;

/// A word of every cached entry.
type Part = fn(&mut Cache) -> &mut BTreeMap<u32, u64>;

impl Inner {
    pub(super) fn transact(&mut self, stream: u32, address: u64, write: bool) -> Dma {
        let tbu = self.tbu_of(stream);
        if !self.reachable() || !self.tbu_clocked[tbu] || self.service_failure {
            return Dma::Terminated;
        }
        if !self.enabled() {
            if self.state.gbpa & gbpa::ABORT == 0 {
                self.violate(Violation::Bypassed(stream));
                return Dma::Reached(address);
            }
            return Dma::Terminated;
        }
        let Some(first) = self.first(stream, tbu) else {
            return self.fault(id::C_BAD_STREAMID, stream, 0, write);
        };
        if first & ste::V == 0 {
            return self.fault(id::C_BAD_STE, stream, 0, write);
        }
        match bits(first, 3, 1) {
            ste::CONFIG_ABORT => Dma::Terminated,
            ste::CONFIG_BYPASS => {
                if !self.bypass_allowed.contains(&stream) {
                    self.violate(Violation::Bypassed(stream));
                }
                Dma::Reached(address)
            }
            ste::CONFIG_S2 => self.translate(stream, tbu, address, write),
            _ => {
                self.violate(Violation::Structure(first));
                self.fault(id::C_BAD_STE, stream, 0, write)
            }
        }
    }

    fn translate(&mut self, stream: u32, tbu: usize, address: u64, write: bool) -> Dma {
        let (w2, w3) = (self.second(stream, tbu), self.third(stream, tbu));
        let root = w3 & 0x000f_ffff_ffff_fff0;
        let vmid = bits(w2, 15, 0) as u16;
        let granule = [12u32, 16, 14, 12][bits(w2, 47, 46) as usize];
        let lowest = if granule == 12 { 2 } else { 3 };
        let walker = Walker {
            root,
            ipa_bits: 64 - bits(w2, 37, 32) as u32,
            granule,
            start: lowest - bits(w2, 39, 38).min(2) as u32,
            pa_bits: decode_size(bits(w2, 50, 48) as u32).min(self.nature.pa_bits) as u32,
            // S2AFFD.
            access_flag: bits(w2, 53, 53) == 0,
        };
        let walked = self.nature.granules & 1 << granule != 0;
        if !walked || bits(w2, 51, 51) != 1 || vmid == 0 || root == 0 || bits(w2, 57, 57) != 0 {
            self.violate(Violation::Structure(w2));
            return self.fault(id::C_BAD_STE, stream, 0, write);
        }
        // A VMID stands for one root until it is invalidated; another one is
        // a mixture of two entries, or a VMID used again too early.
        if *self.bindings.entry(vmid).or_insert(root) != root {
            self.violate(Violation::Structure(w3));
        }
        let cached = self.tbus[tbu].tlb.find(vmid, address);
        let cached = cached.or_else(|| self.tcu.tlb.find(vmid, address));
        let entry = match cached {
            Some(entry) => entry,
            None => match self.walk(&walker, vmid, address) {
                Ok(entry) => entry,
                Err(number) => return self.fault(number, stream, address, write),
            },
        };
        self.tbus[tbu].tlb.keep(vmid, address, entry);
        self.ghost.tlb.keep(vmid, address, entry);
        if (write && !entry.write) || (!write && !entry.read) {
            return self.fault(id::F_PERMISSION, stream, address, write);
        }
        Dma::Reached(entry.pa + (address & ((1 << entry.shift) - 1)))
    }

    fn walk(&mut self, walker: &Walker, vmid: u16, address: u64) -> Result<TlbEntry, u8> {
        walker
            .fetch(&self.common.tables, &mut self.tcu.tlb, vmid, address)
            .map_err(|missing| match missing {
                Missing::Fault => id::F_TRANSLATION,
                Missing::Size => id::F_ADDR_SIZE,
                Missing::Bus => id::F_WALK_EABT,
            })
    }

    fn fault(&mut self, number: u8, stream: u32, address: u64, write: bool) -> Dma {
        if self.state.cr0 & cr0::EVENTQEN == 0 {
            return Dma::Terminated;
        }
        let log2 = self.state.evtq_base as u32 & 31;
        let lap = (2u32 << log2) - 1;
        let (prod, cons) = (self.state.evtq_prod, self.state.evtq_cons);
        if prod.wrapping_sub(cons) & lap == 1 << log2 {
            if (prod ^ cons) >> 31 == 0 {
                self.state.evtq_prod ^= 1 << 31;
            }
            return Dma::Terminated;
        }
        let index = u64::from(prod & ((1 << log2) - 1));
        let at = (self.state.evtq_base & 0x000f_ffff_ffff_ffe0) + index * 32;
        let words = [
            u64::from(number) | u64::from(stream) << 32,
            u64::from(!write) << 35,
            address,
            address,
        ];
        for (offset, word) in (0u64..).step_by(8).zip(words) {
            self.ram.device_store(at + offset, word);
        }
        self.state.evtq_prod = prod & 1 << 31 | (prod + 1) & lap;
        self.event_interrupt();
        Dma::Terminated
    }

    /// Looks ahead, at moments of its own choosing.
    pub(super) fn prefetch(&mut self) {
        if !self.reachable() || !self.enabled() || !self.dice.one_in(3) {
            return;
        }
        for (stream, tbu) in self.place.clone() {
            if !self.tbu_clocked[tbu] {
                continue;
            }
            self.evict(stream, tbu);
            if self.dice.one_in(2) {
                self.second(stream, tbu);
            }
            if self.dice.one_in(3) {
                self.third(stream, tbu);
            }
            if self.dice.one_in(2) {
                self.first(stream, tbu);
            }
        }
        for (stream, address) in self.restless.clone() {
            if let Dma::Reached(pa) = self.transact(stream, address, true) {
                let tbu = self.tbu_of(stream);
                self.flying.push((tbu, pa));
            }
        }
    }

    /// Parts of an entry may go at any time, one by one.
    fn evict(&mut self, stream: u32, tbu: usize) {
        let parts: [Part; 3] = [
            |cache| &mut cache.first,
            |cache| &mut cache.second,
            |cache| &mut cache.third,
        ];
        for part in parts {
            if self.dice.one_in(4) {
                part(&mut self.tbus[tbu]).remove(&stream);
                part(&mut self.tcu).remove(&stream);
            }
        }
    }

    fn first(&mut self, stream: u32, tbu: usize) -> Option<u64> {
        if self.entry(stream).is_none() && !self.tbus[tbu].first.contains_key(&stream) {
            return None;
        }
        Some(self.word(stream, tbu, 0, |cache| &mut cache.first))
    }

    fn second(&mut self, stream: u32, tbu: usize) -> u64 {
        self.word(stream, tbu, 2, |cache| &mut cache.second)
    }

    fn third(&mut self, stream: u32, tbu: usize) -> u64 {
        self.word(stream, tbu, 3, |cache| &mut cache.third)
    }

    /// A word of an entry: from the TBU's cache, the TCU's, or memory.
    fn word(&mut self, stream: u32, tbu: usize, number: u64, part: Part) -> u64 {
        let cached = part(&mut self.tbus[tbu]).get(&stream).copied();
        let word = match cached.or_else(|| part(&mut self.tcu).get(&stream).copied()) {
            Some(word) => word,
            None => self.fetch(stream, number).unwrap_or(0),
        };
        for cache in [&mut self.tbus[tbu], &mut self.tcu, &mut self.ghost] {
            part(cache).insert(stream, word);
        }
        word
    }

    fn fetch(&mut self, stream: u32, number: u64) -> Option<u64> {
        let at = self.entry(stream)?;
        Some(self.ram.device_load(at + number * 8))
    }

    pub(super) fn fetch_first(&mut self, stream: u32) -> Option<u64> {
        self.fetch(stream, 0)
    }

    /// Address of the stream's entry.
    fn entry(&mut self, stream: u32) -> Option<u64> {
        let cfg = u64::from(self.state.strtab_cfg);
        let base = self.state.strtab_base & 0x000f_ffff_ffff_ffc0;
        if u64::from(stream) >> bits(cfg, 5, 0) != 0 {
            return None;
        }
        if bits(cfg, 17, 16) == 0 {
            return Some(base + u64::from(stream) * 64);
        }
        let split = bits(cfg, 10, 6);
        let top = stream >> split;
        let l1 = match self.tcu.l1.get(&top) {
            Some(l1) => *l1,
            None => {
                let l1 = self.ram.device_load(base + u64::from(top) * 8);
                self.tcu.l1.insert(top, l1);
                l1
            }
        };
        let span = bits(l1, 4, 0);
        let low = u64::from(stream) & ((1 << split) - 1);
        if span == 0 || low >> (span - 1) != 0 {
            return None;
        }
        Some((l1 & 0x000f_ffff_ffff_ffc0) + low * 64)
    }
}

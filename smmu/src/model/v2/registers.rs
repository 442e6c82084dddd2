//! The register window.

use super::instance::{CACHE_LOCK, Forget};
use super::{Inner, Window};
use crate::model::device::Violation;
use crate::outside::Registers;
use crate::v2::spec::{bank, gr0, gr1, stream};

/// The last of Qualcomm's 13 banks is not ours.
const FOREIGN: (u16, usize) = (13, 12);

#[derive(Clone, Copy)]
enum At {
    Global(usize),
    Shape(usize),
    Bank(usize, usize),
    Nowhere,
}

impl Registers for Window {
    fn read32(&self, offset: usize) -> u32 {
        self.model.with(|m| m.read(self.instance, offset) as u32)
    }
    fn write32(&self, offset: usize, value: u32) {
        let (i, value) = (self.instance, value.into());
        self.model.with(|m| m.write(i, offset, value, 4));
    }
    fn read64(&self, offset: usize) -> u64 {
        self.model.with(|m| {
            m.wide(offset);
            m.read(self.instance, offset)
        })
    }
    fn write64(&self, offset: usize, value: u64) {
        self.model.with(|m| {
            m.wide(offset);
            m.write(self.instance, offset, value, 8);
        });
    }
}

impl Inner {
    fn locate(&self, offset: usize) -> At {
        let shift = self.kind.page_shift;
        let (page, register) = (offset >> shift, offset & ((1 << shift) - 1));
        let global = 1 << self.kind.pages_log;
        match page {
            0 => At::Global(register),
            1 => At::Shape(register),
            n if n < global => At::Nowhere,
            n if n - global < self.kind.banks.into() => At::Bank(n - global, register),
            _ => At::Nowhere,
        }
    }

    /// Marvell's interconnect does not split 64-bit accesses.
    fn wide(&mut self, offset: usize) {
        if self.kind.model == crate::v2::Implementation::MarvellAp806 {
            self.violate(Violation::Structure(offset as u64));
        }
    }

    fn touch(&mut self, offset: usize) -> bool {
        self.accesses += 1;
        if !self.reachable() {
            self.violate(Violation::Unclocked(offset));
            return false;
        }
        let foreign = |n| self.kind.qualcomm() && (self.kind.banks, n) == FOREIGN;
        if let At::Bank(n, _) = self.locate(offset)
            && foreign(n)
        {
            self.violate(Violation::Structure(offset as u64));
        }
        !self.dead
    }

    pub(super) fn read(&mut self, i: usize, offset: usize) -> u64 {
        if !self.touch(offset) {
            return 0;
        }
        self.look_ahead();
        match self.locate(offset) {
            At::Global(gr0::TLBGSTATUS) => self.status(i, None).into(),
            At::Bank(n, bank::TLBSTATUS) => self.status(i, Some(n)).into(),
            _ => self.peek(i, offset),
        }
    }

    pub(super) fn peek(&self, i: usize, offset: usize) -> u64 {
        // TBU_PWR_STATUS: two are on; STATS_SYNC_INV_TBU_ACK: one answered.
        match offset {
            0x2204 if self.kind.qualcomm() => return 0b11,
            0x25dc if self.kind.qualcomm() => return 0b01,
            _ => {}
        }
        let s = &self.instances[i];
        let value = match self.locate(offset) {
            At::Global(register) => match register {
                gr0::CR0 => s.cr0,
                gr0::ACR => s.acr,
                gr0::GFSR => s.gfsr,
                gr0::GFAR => return s.gfar,
                gr0::GFSYNR0 => s.gfsynr[0],
                gr0::GFSYNR1 => s.gfsynr[1],
                0x800..0xc00 => *s.smr.get((register - 0x800) / 4).unwrap_or(&0),
                0xc00..0x1000 => *s.s2cr.get((register - 0xc00) / 4).unwrap_or(&0),
                _ => self.identity(register),
            },
            At::Shape(register) => match s.banks.get(register % 0x400 / 4) {
                Some(bank) => [bank.cbar, bank.frsynra, bank.cba2r, 0][(register / 0x400) & 3],
                None => 0,
            },
            At::Bank(n, register) => {
                let b = &s.banks[n];
                match register {
                    bank::SCTLR => b.sctlr,
                    bank::ACTLR => b.actlr,
                    bank::TCR => b.tcr,
                    bank::TTBR0 => return b.ttbr0,
                    bank::FSR => b.fsr,
                    bank::FAR => return b.far,
                    0x64 => (b.far >> 32) as u32,
                    bank::FSYNR0 => b.fsynr0,
                    _ => 0,
                }
            }
            At::Nowhere => 0,
        };
        value.into()
    }

    fn identity(&self, register: usize) -> u32 {
        let k = &self.kind;
        match register {
            gr0::ID0 => {
                let indices = if k.matching { 0 } else { k.entries.ilog2() };
                let id_bits = if k.matching { 15 } else { indices };
                let entries = if k.matching { u32::from(k.entries) } else { 0 };
                1 << 29
                    | u32::from(k.matching) << 27
                    | 1 << 16
                    | u32::from(self.nature.coherent) << 14
                    | id_bits << 9
                    | u32::from(k.extended) << 8
                    | entries
            }
            gr0::ID1 => {
                let wide_pages = u32::from(k.page_shift == 16) << 31;
                wide_pages | (k.pages_log - 1) << 28 | u32::from(k.banks)
            }
            gr0::ID2 => {
                let (granules, size) = (self.nature.granule_bits(), self.nature.size_code());
                u32::from(k.vmid16) << 15 | granules << 12 | size << 4 | size
            }
            gr0::ID7 => 0x21,
            _ => 0,
        }
    }

    pub(super) fn write(&mut self, i: usize, offset: usize, value: u64, bytes: u32) {
        if !self.touch(offset) {
            return;
        }
        match self.locate(offset) {
            At::Global(register) => self.write_global(i, register, value as u32),
            At::Shape(register) => self.write_shape(i, register, value as u32),
            At::Bank(n, register) => self.write_bank(i, n, register, value, bytes),
            At::Nowhere => {}
        }
        self.look_ahead();
    }

    fn write_global(&mut self, i: usize, register: usize, value: u32) {
        let zero_is_nothing = self.kind.qualcomm() && value == 0;
        let delay = self.nature.sync_looks(&self.tbu_clocked) + 5 * i as u32;
        let vmid = if self.kind.vmid16 {
            value as u16
        } else {
            value as u8 as u16
        };
        let s = &mut self.instances[i];
        match register {
            gr0::CR0 => s.cr0 = value,
            gr0::ACR => s.acr = value,
            gr0::GFSR => s.gfsr &= !value,
            gr0::TLBIVMID => s.pending.push(Forget::Vmid(vmid)),
            gr0::TLBIALLNSNH if !zero_is_nothing => s.pending.push(Forget::All),
            gr0::TLBGSYNC if !zero_is_nothing => s.sync_wait = Some(delay),
            0x800..0xc00 => self.write_smr(i, (register - 0x800) / 4, value),
            0xc00..0x1000 => self.write_s2cr(i, (register - 0xc00) / 4, value),
            _ => {}
        }
    }

    fn write_smr(&mut self, i: usize, n: usize, value: u32) {
        let Some(old) = self.instances[i].smr.get(n).copied() else {
            return;
        };
        let live = self.instances[i].live_entry(&self.kind, n);
        if live && old != value && !self.quiet {
            self.violate(Violation::WrittenInUse(gr0::smr(n as u16)));
        }
        self.instances[i].smr[n] = value;
    }

    fn write_s2cr(&mut self, i: usize, n: usize, value: u32) {
        // Qualcomm's surplus entries are not what they seem.
        if n >= self.instances[i].s2cr.len() || self.kind.qualcomm() && n >= 128 {
            return;
        }
        let mut value = value;
        if self.kind.rewrites_s2cr {
            match value & stream::TYPE {
                stream::FAULT => return,
                stream::BYPASS => value = value & !stream::TYPE | stream::FAULT,
                _ => {}
            }
        }
        self.instances[i].s2cr[n] = value;
    }

    fn write_shape(&mut self, i: usize, register: usize, value: u32) {
        let n = register % 0x400 / 4;
        if n >= self.instances[i].banks.len() {
            return;
        }
        if self.instances[i].banks[n].sctlr & bank::M != 0 {
            self.violate(Violation::WrittenInUse(register));
        }
        if register >= gr1::cba2r(0) && self.kind.v1() {
            self.violate(Violation::Structure(register as u64));
        }
        let b = &mut self.instances[i].banks[n];
        match register / 0x400 {
            0 => b.cbar = value,
            2 => b.cba2r = value,
            _ => {}
        }
    }

    fn write_bank(&mut self, i: usize, n: usize, register: usize, value: u64, bytes: u32) {
        let low = value as u32;
        let in_use = matches!(register, bank::TCR | bank::TTBR0 | 0x24);
        let by_address = matches!(register, bank::TLBIIPAS2 | bank::TLBIIPAS2L);
        if in_use && self.instances[i].banks[n].sctlr & bank::M != 0 {
            self.violate(Violation::WrittenInUse(register));
        }
        if by_address && self.kind.v1() {
            self.violate(Violation::Structure(register as u64));
        }
        let zero_is_nothing = self.kind.qualcomm() && value == 0;
        let delay = self.nature.sync_looks(&self.tbu_clocked) + 5 * i as u32;
        let (locked, vmid) = {
            let s = &self.instances[i];
            let locked = self.kind.mmu500() && s.acr & CACHE_LOCK != 0;
            (locked, self.vmid(i, n))
        };
        let b = &mut self.instances[i].banks[n];
        match register {
            bank::SCTLR => b.sctlr = low,
            bank::ACTLR if !locked => b.actlr = low,
            bank::TCR => b.tcr = low,
            bank::TTBR0 if bytes == 8 => b.ttbr0 = value,
            bank::TTBR0 => b.ttbr0 = u64::from(b.ttbr0_high) << 32 | value,
            0x24 => b.ttbr0_high = low,
            bank::FSR => b.fsr &= !low,
            bank::TLBIIPAS2 | bank::TLBIIPAS2L => b.pending.push(Forget::Address {
                vmid,
                ipa: value << 12,
                leaf: register == bank::TLBIIPAS2L,
            }),
            bank::TLBSYNC if !zero_is_nothing => b.sync_wait = Some(delay),
            _ => {}
        }
    }

    /// SACTIVE; a sync moves on when somebody looks.
    fn status(&mut self, i: usize, n: Option<usize>) -> u32 {
        let complete = self.syncs;
        let s = &mut self.instances[i];
        let wait = match n {
            Some(n) => &mut s.banks[n].sync_wait,
            None => &mut s.sync_wait,
        };
        match *wait {
            None => return 0,
            Some(0) if complete => *wait = None,
            Some(left) => {
                *wait = Some(left.saturating_sub(1));
                return 1;
            }
        }
        let pending = match n {
            Some(n) => std::mem::take(&mut s.banks[n].pending),
            None => std::mem::take(&mut s.pending),
        };
        for what in pending {
            self.take_effect(i, what);
        }
        match n {
            Some(n) => self.land(|f| f.instance == i && f.bank == Some(n as u16)),
            None => {
                self.land(|f| f.instance == i);
                self.quiet = false;
            }
        }
        0
    }
}

impl super::Instance {
    /// The entry matches something and leads somewhere.
    pub(super) fn live_entry(&self, kind: &super::Kind, n: usize) -> bool {
        let id = self.smr[n] & 0xffff & !(self.smr[n] >> 16);
        let leads = self.s2cr[n] & stream::TYPE != stream::FAULT;
        leads && self.entries(kind, id).contains(&n)
    }
}

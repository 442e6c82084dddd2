//! A fake PCI hierarchy for tests: routes by the bridges' own bus numbers,
//! has read-only bits, loses its context on reset, and writes down what
//! happened in which order.

use super::config::{ConfigSpace, Delay, Width};
use super::effects::{BarMapping, Effects, MapDenied, PowerDenied};
use super::regs::{self, bridge, cap, command, pcie, pm};
use super::rid::Rid;
use std::cell::RefCell;
use std::rc::Rc;

/// Something that happened, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    Write(Rid, u16, u32),
    Active(Rid),
    Idle(Rid),
    Map(BarMapping),
    Unmap(BarMapping),
    Wait(u32),
}

pub type Log = Rc<RefCell<Vec<Happened>>>;

/// One fake function; build with the methods, give to [`FakePci::add`].
#[derive(Clone)]
pub struct FakeFn {
    parent: Option<usize>,
    slot: u8,
    number: u8,
    regs: Vec<u8>,
    /// Bits that software can write.
    mask: Vec<u8>,
    reset: Vec<u8>,
    last_cap: u16,
    flr: Option<u16>,
    pmcsr: Option<u16>,
    devsta: Option<usize>,
    /// Ignores attempts to clear bus mastering.
    pub stubborn: bool,
}

impl FakeFn {
    pub fn new(id: u32, layout: u8) -> Self {
        let mut f = Self {
            parent: None,
            slot: 0,
            number: 0,
            regs: vec![0; 4096],
            mask: vec![0; 4096],
            reset: Vec::new(),
            last_cap: 0,
            flr: None,
            pmcsr: None,
            devsta: None,
            stubborn: false,
        };
        f.put32(0, id);
        f.put32(
            regs::REVISION,
            if layout == 1 {
                0x0604_0000
            } else {
                0x0200_0003
            },
        );
        f.regs[usize::from(regs::HEADER_TYPE)] = layout;
        f.put32(regs::SUBSYSTEM, 0x1100_1af4);
        f.mask16(regs::COMMAND, 0x0547);
        f.mask16(regs::CACHE_LINE, 0xff);
        f.mask16(regs::INTERRUPT_LINE, 0xff);
        if layout == 1 {
            f.put32(regs::SUBSYSTEM, 0);
            f.mask32(bridge::BUSES, 0x00ff_ffff);
            f.mask32(bridge::MEMORY, 0xfff0_fff0);
            f.mask32(bridge::PREFETCH, 0xfff0_fff0);
            f.mask32(bridge::PREFETCH_BASE_HIGH, !0);
            f.mask32(bridge::PREFETCH_LIMIT_HIGH, !0);
            f.mask16(bridge::CONTROL, 0x40);
            f.put32(bridge::PREFETCH, 0x0001_0001);
        }
        f
    }
    pub fn endpoint(id: u32) -> Self {
        Self::new(id, 0)
    }
    pub fn root_port() -> Self {
        Self::new(0x000c_1b36, 1).pcie(pcie::ROOT_PORT, false)
    }
    fn put16(&mut self, at: u16, v: u16) {
        self.regs[usize::from(at)..][..2].copy_from_slice(&v.to_le_bytes());
    }
    fn put32(&mut self, at: u16, v: u32) {
        self.regs[usize::from(at)..][..4].copy_from_slice(&v.to_le_bytes());
    }
    fn mask16(&mut self, at: u16, v: u16) {
        self.mask[usize::from(at)..][..2].copy_from_slice(&v.to_le_bytes());
    }
    fn mask32(&mut self, at: u16, v: u32) {
        self.mask[usize::from(at)..][..4].copy_from_slice(&v.to_le_bytes());
    }
    pub fn get16(&self, at: u16) -> u16 {
        u16::from_le_bytes(self.regs[usize::from(at)..][..2].try_into().unwrap())
    }
    pub fn get32(&self, at: u16) -> u32 {
        u32::from_le_bytes(self.regs[usize::from(at)..][..4].try_into().unwrap())
    }
    pub fn bar32(mut self, n: u16, size: u32) -> Self {
        self.mask32(regs::BAR0 + 4 * n, !(size - 1) & !0xf);
        self
    }
    pub fn io(mut self, n: u16, size: u32) -> Self {
        self.put32(regs::BAR0 + 4 * n, 1);
        self.mask32(regs::BAR0 + 4 * n, !(size - 1) & !3);
        self
    }
    pub fn bar64(mut self, n: u16, size: u64, prefetch: bool) -> Self {
        let mask = !(size - 1) & !0xf;
        self.put32(regs::BAR0 + 4 * n, if prefetch { 0xc } else { 4 });
        self.mask32(regs::BAR0 + 4 * n, mask as u32);
        self.mask32(regs::BAR0 + 4 * n + 4, (mask >> 32) as u32);
        self
    }
    pub fn pin(mut self, pin: u8) -> Self {
        self.regs[usize::from(regs::INTERRUPT_PIN)] = pin;
        self
    }
    /// A bridge whose prefetchable window has 32 bits.
    pub fn narrow(mut self) -> Self {
        self.put32(bridge::PREFETCH, 0);
        self
    }
    pub fn multi(mut self) -> Self {
        self.regs[usize::from(regs::HEADER_TYPE)] |= 0x80;
        self
    }
    pub fn stubborn(mut self) -> Self {
        self.stubborn = true;
        self
    }
    /// Links a capability of `body.len() + 2` bytes at `at`.
    pub fn cap(mut self, at: u16, id: u8, body: &[u8]) -> Self {
        let status = self.get16(regs::STATUS) | regs::status::CAPABILITIES;
        self.put16(regs::STATUS, status);
        let link = if self.last_cap == 0 {
            regs::CAPABILITIES
        } else {
            self.last_cap + 1
        };
        self.regs[usize::from(link)] = at as u8;
        self.regs[usize::from(at)] = id;
        self.regs[usize::from(at) + 2..][..body.len()].copy_from_slice(body);
        self.last_cap = at;
        self
    }
    pub fn pm(mut self, at: u16, no_soft_reset: bool) -> Self {
        let pmcsr = if no_soft_reset { 8 } else { 0 };
        self = self.cap(at, cap::PM, &[0x23, 0xfe, pmcsr, 0, 0, 0]);
        self.mask16(at + pm::PMCSR, 0x0103);
        self.pmcsr = Some(at + pm::PMCSR);
        self
    }
    pub fn pcie(mut self, kind: u8, flr: bool) -> Self {
        let at = 0x80;
        let flags = (u16::from(kind) << 4) | 2;
        self = self.cap(at, cap::PCIE, &flags.to_le_bytes());
        self.put32(at + pcie::DEVCAP, 0x8018 | (u32::from(flr) << 28));
        self.put32(at + 0xc, 0x0011_0022);
        self.mask16(at + pcie::DEVCTL, 0x7fff);
        self.mask16(at + pcie::DEVCTL2, 0xffff);
        self.flr = flr.then_some(at + pcie::DEVCTL);
        // Errors have been seen.
        self.put16(at + pcie::DEVSTA, 0xf);
        self.devsta = Some(usize::from(at + pcie::DEVSTA));
        self
    }
    pub fn msi64(mut self, at: u16) -> Self {
        self = self.cap(at, cap::MSI, &[0x84, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        self.mask16(at + 2, 0x71);
        self.mask32(at + 4, !3);
        self.mask32(at + 8, !0);
        self.mask16(at + 12, !0);
        self
    }
    pub fn msix(mut self, at: u16, vectors: u16) -> Self {
        let [lo, hi] = (vectors - 1).to_le_bytes();
        self = self.cap(at, cap::MSIX, &[lo, hi, 3, 0, 0, 0, 3, 8, 0, 0]);
        self.mask16(at + 2, 0xc000);
        self
    }
    pub fn acs(mut self) -> Self {
        self.put32(0x100, 0x0001_000d);
        self.put16(0x104, 0x1f);
        self.mask16(0x106, 0x1f);
        self
    }
    pub fn buses(mut self, primary: u8, secondary: u8, subordinate: u8) -> Self {
        self.put32(
            bridge::BUSES,
            u32::from_le_bytes([primary, secondary, subordinate, 0]),
        );
        self
    }
    pub fn state(&self) -> u16 {
        self.pmcsr.map_or(0, |at| self.get16(at) & 3)
    }

    fn write(&mut self, at: u16, bytes: &[u8]) {
        let before = self.state();
        for (at, &byte) in (usize::from(at)..).zip(bytes) {
            let w1c = match at {
                7 => 0xf9,
                _ if Some(at) == self.devsta => 0xf,
                _ => 0,
            };
            let mask = self.mask[at];
            self.regs[at] = (self.regs[at] & !mask) | (byte & mask);
            self.regs[at] &= !(byte & w1c);
        }
        if self.stubborn {
            self.regs[4] |= command::BUS_MASTER as u8;
        }
        let flr = self.flr.is_some_and(|devctl| {
            let last = usize::from(at) + bytes.len() - 1;
            let top = usize::from(devctl) + 1;
            (usize::from(at)..=last).contains(&top) && bytes[top - usize::from(at)] & 0x80 != 0
        });
        let soft = self
            .pmcsr
            .is_some_and(|at| self.get16(at) & pm::NO_SOFT_RESET == 0);
        if flr || (before == 3 && self.state() == 0 && soft) {
            self.regs = self.reset.clone();
        }
    }
}

/// The hierarchy.
pub struct FakePci {
    pub functions: RefCell<Vec<FakeFn>>,
    pub log: Log,
    first: u8,
}

impl FakePci {
    pub fn new(first: u8) -> Self {
        Self {
            functions: RefCell::default(),
            log: Log::default(),
            first,
        }
    }
    pub fn add(&mut self, parent: Option<usize>, slot: u8, number: u8, mut f: FakeFn) -> usize {
        f.parent = parent;
        f.slot = slot;
        f.number = number;
        f.reset = f.regs.clone();
        self.functions.get_mut().push(f);
        self.functions.get_mut().len() - 1
    }
    /// Where a function answers now, if a configuration cycle reaches it.
    fn rid(all: &[FakeFn], first: u8, index: usize) -> Option<Rid> {
        let f = &all[index];
        let bus = match f.parent {
            None => first,
            Some(parent) => {
                let bus = all[parent].regs[usize::from(bridge::BUSES) + 1];
                let mut up = Some(parent);
                while let Some(i) = up {
                    let [_, sec, sub, _] = all[i].get32(bridge::BUSES).to_le_bytes();
                    if bus == 0 || !(sec..=sub).contains(&bus) {
                        return None;
                    }
                    up = all[i].parent;
                }
                bus
            }
        };
        Some(Rid::new(bus, f.slot, f.number))
    }
    fn find(&self, rid: Rid) -> Option<usize> {
        let all = self.functions.borrow();
        let hits: Vec<_> = (0..all.len())
            .filter(|&i| Self::rid(&all, self.first, i) == Some(rid))
            .collect();
        assert!(hits.len() <= 1, "two functions answer at {rid}");
        hits.first().copied()
    }
    pub fn with<R>(&self, rid: Rid, read: impl FnOnce(&FakeFn) -> R) -> R {
        read(&self.functions.borrow()[self.find(rid).unwrap()])
    }
    /// Which BARs claim the bus address `address`, bridges included.
    pub fn decoders(&self, address: u64) -> Vec<(Rid, u8)> {
        let all = self.functions.borrow();
        let mut hits = Vec::new();
        for (index, f) in all.iter().enumerate() {
            let Some(rid) = Self::rid(&all, self.first, index) else {
                continue;
            };
            let reached = core::iter::successors(f.parent, |&i| all[i].parent)
                .all(|i| forwards(&all[i], address));
            if f.get16(4) & command::MEMORY == 0 || f.state() != 0 || !reached {
                continue;
            }
            hits.extend(
                bars(f)
                    .filter(|(_, r)| r.contains(&address))
                    .map(|(n, _)| (rid, n)),
            );
        }
        hits
    }
    /// Which bridges pass `address` down, those nearest to the root first.
    pub fn forwarders(&self, address: u64) -> Vec<Rid> {
        let all = self.functions.borrow();
        let down = |&i: &usize| {
            core::iter::successors(Some(i), |&i| all[i].parent)
                .all(|i| all[i].regs[0xe] & 0x7f == 1 && forwards(&all[i], address))
        };
        let found = (0..all.len()).filter(down);
        found
            .filter_map(|i| Self::rid(&all, self.first, i))
            .collect()
    }
    pub fn take_log(&self) -> Vec<Happened> {
        self.log.take()
    }
}

fn forwards(b: &FakeFn, address: u64) -> bool {
    let window = |at: u16, base_high: u32, limit_high: u32| {
        let word = b.get32(at);
        let base = (u64::from(word & 0xfff0) << 16) | (u64::from(base_high) << 32);
        let limit = u64::from(word & 0xfff0_0000) | 0xf_ffff | (u64::from(limit_high) << 32);
        (base..=limit).contains(&address)
    };
    let high = |at| b.get32(at);
    b.get16(4) & command::MEMORY != 0
        && (window(bridge::MEMORY, 0, 0)
            || window(
                bridge::PREFETCH,
                high(bridge::PREFETCH_BASE_HIGH),
                high(bridge::PREFETCH_LIMIT_HIGH),
            ))
}

fn bars(f: &FakeFn) -> impl Iterator<Item = (u8, std::ops::Range<u64>)> + '_ {
    let mut skip = false;
    (0..6u8).filter_map(move |n| {
        let at = regs::BAR0 + 4 * u16::from(n);
        let mask = u32::from_le_bytes(f.mask[usize::from(at)..][..4].try_into().unwrap());
        if std::mem::take(&mut skip) || f.regs[0xe] & 0x7f != 0 {
            return None;
        }
        let value = f.get32(at);
        let wide = value & 7 == 4;
        skip = wide;
        if value & 1 != 0 || (mask == 0 && !wide) {
            return None;
        }
        let high = |v: &[u8]| {
            u64::from(u32::from_le_bytes(
                v[usize::from(at) + 4..][..4].try_into().unwrap(),
            )) << 32
        };
        let (base, mask) = match wide {
            true => (
                u64::from(value & !15) | high(&f.regs),
                u64::from(mask) | high(&f.mask),
            ),
            false => (u64::from(value & !15), u64::from(mask) | !0 << 32),
        };
        Some((n, base..base + mask.wrapping_neg()))
    })
}

impl ConfigSpace for FakePci {
    fn read(&self, rid: Rid, offset: u16, width: Width) -> u32 {
        let Some(index) = self.find(rid) else {
            return width.ones();
        };
        let all = self.functions.borrow();
        let mut bytes = [0; 4];
        let n = usize::from(width.bytes());
        bytes[..n].copy_from_slice(&all[index].regs[usize::from(offset)..][..n]);
        u32::from_le_bytes(bytes)
    }
    fn write(&self, rid: Rid, offset: u16, width: Width, value: u32) {
        self.log
            .borrow_mut()
            .push(Happened::Write(rid, offset, value));
        let Some(index) = self.find(rid) else { return };
        let bytes = value.to_le_bytes();
        self.functions.borrow_mut()[index].write(offset, &bytes[..usize::from(width.bytes())]);
    }
}

/// Records effects; refuses power or maps on demand; checks that no two
/// mappings share guest addresses.
#[derive(Default)]
pub struct FakeEffects {
    pub log: Log,
    pub no_power: bool,
    pub no_map: bool,
    pub mapped: Vec<BarMapping>,
}

impl FakeEffects {
    pub fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            ..Self::default()
        }
    }
    fn did(&self, what: Happened) {
        self.log.borrow_mut().push(what);
    }
}

impl Delay for FakeEffects {
    fn delay_us(&self, micros: u32) {
        self.did(Happened::Wait(micros));
    }
}

impl Effects for FakeEffects {
    fn become_active(&mut self, rid: Rid) -> Result<(), PowerDenied> {
        if self.no_power {
            return Err(PowerDenied);
        }
        self.did(Happened::Active(rid));
        Ok(())
    }
    fn become_idle(&mut self, rid: Rid) {
        self.did(Happened::Idle(rid));
    }
    fn map_bar(&mut self, bar: BarMapping) -> Result<(), MapDenied> {
        if self.no_map {
            return Err(MapDenied);
        }
        for other in &self.mapped {
            let apart = bar.ipa >= other.ipa + other.size || other.ipa >= bar.ipa + bar.size;
            assert!(apart, "{bar:x?} overlaps {other:x?}");
        }
        self.mapped.push(bar);
        self.did(Happened::Map(bar));
        Ok(())
    }
    fn unmap_bar(&mut self, bar: BarMapping) {
        let at = self
            .mapped
            .iter()
            .position(|m| *m == bar)
            .expect("unmap of what was never mapped");
        self.mapped.remove(at);
        self.did(Happened::Unmap(bar));
    }
}

//! SMMUs that cost next to nothing, so that what is counted is the driver:
//! each answers at once, and a write is a store. They can keep a tally of what
//! they were told.

use smmu::v2::spec::{bank, gr0};
use smmu::v3::spec::command::opcode;
use smmu::v3::spec::regs;
use smmu::{DmaMemory, Registers};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Commands by kind, as the manuals call them.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<&'static str, u64>>);

impl Tally {
    fn add(&self, kind: &'static str) {
        *self.0.lock().unwrap().entry(kind).or_default() += 1;
    }

    /// What was counted since the last call.
    pub fn take(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Plain memory for queues and stream tables.
pub struct Words {
    words: Vec<AtomicU64>,
    next: AtomicU64,
}

/// Where [`Words`] begins; aligned for every structure.
const BASE: u64 = 1 << 24;

impl Words {
    /// `bytes` of it.
    pub fn new(bytes: usize) -> Self {
        Self {
            words: (0..bytes / 8).map(|_| AtomicU64::new(0)).collect(),
            next: AtomicU64::new(BASE),
        }
    }

    fn word(&self, at: u64) -> &AtomicU64 {
        &self.words[((at - BASE) / 8) as usize]
    }
}

impl DmaMemory for Words {
    fn alloc(&self, bytes: usize, align: usize) -> Option<pgtable::Pa> {
        let at = self.next.load(Relaxed).next_multiple_of(align as u64);
        self.next.store(at + bytes as u64, Relaxed);
        (at + bytes as u64 <= BASE + self.words.len() as u64 * 8).then_some(pgtable::Pa(at))
    }
    fn free(&self, _: pgtable::Pa, _: usize) {}
    fn load(&self, at: pgtable::Pa) -> u64 {
        self.word(at.0).load(Relaxed)
    }
    fn store(&self, at: pgtable::Pa, value: u64) {
        self.word(at.0).store(value, Relaxed);
    }
    fn clean(&self, _: pgtable::Pa, _: usize) {}
    fn discard(&self, _: pgtable::Pa, _: usize) {}
    fn barrier(&self) {
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    }
}

/// An SMMUv3.2 that consumes a command when it is told of it.
pub struct SmmuV3 {
    /// Invalidation by range.
    pub ranges: bool,
    /// Where its queue is.
    pub memory: &'static Words,
    /// Whom it tells, if anybody.
    pub tally: Option<&'static Tally>,
    queue: AtomicU64,
    produced: AtomicU32,
    control: AtomicU32,
    interrupts: AtomicU32,
}

impl SmmuV3 {
    /// Off, and empty.
    pub fn new(ranges: bool, memory: &'static Words, tally: Option<&'static Tally>) -> Self {
        Self {
            ranges,
            memory,
            tally,
            queue: AtomicU64::new(0),
            produced: AtomicU32::new(0),
            control: AtomicU32::new(0),
            interrupts: AtomicU32::new(0),
        }
    }

    #[cold]
    fn count(&self, tally: &Tally, from: u32, to: u32) {
        let base = self.queue.load(Relaxed);
        let entries = 1u64 << (base & 31);
        let mut at = u64::from(from);
        while at != u64::from(to) {
            let slot = (base & !0x1f & !regs::BASE_ALLOCATE) + (at & (entries - 1)) * 16;
            let low = self.memory.word(slot).load(Relaxed);
            let by_range = self.memory.word(slot + 8).load(Relaxed) >> 10 & 3 != 0;
            tally.add(match low as u8 {
                opcode::TLBI_S2_IPA if by_range => "TLBI_S2_IPA by range",
                opcode::TLBI_S2_IPA => "TLBI_S2_IPA",
                opcode::TLBI_S12_VMALL => "TLBI_S12_VMALL",
                opcode::SYNC => "CMD_SYNC",
                opcode::TLBI_NSNH_ALL => "TLBI_NSNH_ALL",
                opcode::CFGI_STE_RANGE => "CFGI_ALL",
                _ => "other commands",
            });
            at = (at + 1) & (2 * entries - 1);
        }
    }
}

impl Registers for SmmuV3 {
    #[inline]
    fn read32(&self, offset: usize) -> u32 {
        match offset {
            regs::CMDQ_CONS => self.produced.load(Relaxed),
            // As QEMU's, with 48-bit addresses.
            regs::IDR0 => 0x0d44_101b,
            regs::IDR1 => 0x0273_0010,
            regs::IDR3 => u32::from(self.ranges) << 10 | 4,
            regs::IDR5 => 0x75,
            regs::AIDR => 2,
            regs::CR0ACK => self.control.load(Relaxed),
            regs::GBPA => regs::gbpa::ABORT,
            regs::IRQ_CTRLACK => self.interrupts.load(Relaxed),
            _ => 0,
        }
    }
    #[inline]
    fn write32(&self, offset: usize, value: u32) {
        match offset {
            regs::CMDQ_PROD => {
                let from = self.produced.swap(value, Relaxed);
                if let Some(tally) = self.tally
                    && self.control.load(Relaxed) & regs::cr0::CMDQEN != 0
                {
                    self.count(tally, from, value);
                }
            }
            regs::CMDQ_CONS => self.produced.store(value, Relaxed),
            regs::CR0 => self.control.store(value, Relaxed),
            regs::IRQ_CTRL => self.interrupts.store(value, Relaxed),
            _ => {}
        }
    }
    fn read64(&self, offset: usize) -> u64 {
        self.read32(offset).into()
    }
    fn write64(&self, offset: usize, value: u64) {
        if offset == regs::CMDQ_BASE {
            self.queue.store(value, Relaxed);
        }
    }
}

/// An MMU-500 with 16 banks and 48 stream entries that keeps what is written.
pub struct SmmuV2 {
    registers: Vec<AtomicU32>,
    /// Whom it tells, if anybody.
    tally: Option<&'static Tally>,
}

/// Bytes of a register page, and pages before the banks.
const PAGE: usize = 0x1000;
const BANKS: usize = 16 * PAGE;

impl SmmuV2 {
    /// As after reset.
    pub fn new(tally: Option<&'static Tally>) -> Self {
        let mut registers: Vec<_> = (0..2 * BANKS / 4).map(|_| AtomicU32::new(0)).collect();
        // As the ZynqMP's.
        for (at, value) in [
            (gr0::ID0, 0xfc01_7e30),
            (gr0::ID1, 0x3000_0f10),
            (gr0::ID2, 0x0000_f555),
            (gr0::ID7, 0x21),
        ] {
            registers[at / 4] = AtomicU32::new(value);
        }
        Self { registers, tally }
    }

    #[cold]
    fn count(&self, tally: &Tally, offset: usize) {
        let kind = match (offset / BANKS, offset % PAGE) {
            (0, gr0::TLBIVMID) => "TLBIVMID",
            (0, gr0::TLBIALLNSNH | gr0::TLBIALLH) => "TLBIALL",
            (0, gr0::TLBGSYNC) => "sTLBGSYNC",
            (1, bank::TLBIIPAS2) => "TLBIIPAS2",
            (1, bank::TLBIIPAS2L) => "TLBIIPAS2L",
            (1, bank::TLBSYNC) => "TLBSYNC",
            _ => return,
        };
        tally.add(kind);
    }
}

impl Registers for SmmuV2 {
    #[inline]
    fn read32(&self, offset: usize) -> u32 {
        self.registers[offset / 4].load(Relaxed)
    }
    #[inline]
    fn write32(&self, offset: usize, value: u32) {
        if let Some(tally) = self.tally {
            self.count(tally, offset);
        }
        self.registers[offset / 4].store(value, Relaxed);
    }
    fn read64(&self, offset: usize) -> u64 {
        u64::from(self.read32(offset + 4)) << 32 | u64::from(self.read32(offset))
    }
    #[inline]
    fn write64(&self, offset: usize, value: u64) {
        self.write32(offset, value as u32);
        self.registers[offset / 4 + 1].store((value >> 32) as u32, Relaxed);
    }
}

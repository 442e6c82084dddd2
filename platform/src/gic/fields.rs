//! Registers that hold a field per interrupt, alike in the distributor and in
//! a redistributor's SGI frame.

use crate::mmio::Mmio;

pub(super) const IGROUPR: usize = 0x080;
pub(super) const ISENABLER: usize = 0x100;
pub(super) const ICENABLER: usize = 0x180;
pub(super) const ISPENDR: usize = 0x200;
pub(super) const ICPENDR: usize = 0x280;
pub(super) const ISACTIVER: usize = 0x300;
pub(super) const ICACTIVER: usize = 0x380;
pub(super) const IPRIORITYR: usize = 0x400;
pub(super) const ICFGR: usize = 0xc00;
pub(super) const IGRPMODR: usize = 0xd00;

/// Writes a one for `intid` to a set or clear register that starts at `base`.
pub(super) fn write_bit<M: Mmio>(regs: &M, base: usize, intid: u32) {
    regs.write32(base + (intid as usize >> 5) * 4, 1 << (intid & 31));
}

/// The bit of `intid` in a register that starts at `base`.
pub(super) fn read_bit<M: Mmio>(regs: &M, base: usize, intid: u32) -> bool {
    regs.read32(base + (intid as usize >> 5) * 4) >> (intid & 31) & 1 != 0
}

/// `regs` as seen from `base`: a frame within a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a, M> {
    pub regs: &'a M,
    pub base: usize,
}

impl<M: Mmio> Frame<'_, M> {
    pub fn set(&self, on: bool, set: usize, clear: usize, intid: u32) {
        write_bit(self.regs, self.base + if on { set } else { clear }, intid);
    }

    pub fn get(&self, register: usize, intid: u32) -> bool {
        read_bit(self.regs, self.base + register, intid)
    }

    pub fn set_priority(&self, intid: u32, priority: u8) {
        self.regs
            .write8(self.base + IPRIORITYR + intid as usize, priority);
    }

    /// `ICFGR`: bit 2n + 1 of sixteen two-bit fields per word.
    pub fn set_edge(&self, intid: u32, edge: bool) {
        let offset = self.base + ICFGR + (intid as usize >> 4) * 4;
        let bit = 2 << ((intid & 15) * 2);
        let word = self.regs.read32(offset);
        self.regs
            .write32(offset, if edge { word | bit } else { word & !bit });
    }

    /// Everything of 32 interrupts from `intid` on to: off, inactive, default
    /// priority. Pending state stays, it may be a device's line.
    pub fn quiet(&self, intid: u32) {
        let word = self.base + (intid as usize >> 5) * 4;
        self.regs.write32(word + ICENABLER, u32::MAX);
        self.regs.write32(word + ICACTIVER, u32::MAX);
        let priority = u32::from_ne_bytes([super::DEFAULT_PRIORITY; 4]);
        for offset in (0..32).step_by(4) {
            self.regs
                .write32(self.base + IPRIORITYR + intid as usize + offset, priority);
        }
    }
}

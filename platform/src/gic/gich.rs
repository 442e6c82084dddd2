//! GICv2 virtual interface control, `GICH_*` (IHI 0048, 5.3).

use crate::mmio::Mmio;

const HCR: usize = 0x000;
const VTR: usize = 0x004;
const VMCR: usize = 0x008;
const MISR: usize = 0x010;
const ELRSR0: usize = 0x030;
const APR: usize = 0x0f0;
const LR: usize = 0x100;

/// Virtual interface on.
pub const HCR_EN: u32 = 1;
/// Maintenance when a deactivation finds no list register.
pub const HCR_LRENPIE: u32 = 1 << 2;
/// Maintenance when no list register is pending.
pub const HCR_NPIE: u32 = 1 << 3;
/// `EOIcount` stands in bits 31:27.
pub const HCR_EOI_COUNT_SHIFT: u32 = 27;

/// The calling CPU's list registers and what goes with them.
#[derive(Debug, Clone, Copy)]
pub struct Gich<M> {
    regs: M,
    count: usize,
}

impl<M: Mmio> Gich<M> {
    /// The interface behind `regs` (4 KiB).
    pub fn new(regs: M) -> Self {
        // ListRegs 5:0 is one less than their number.
        let count = (regs.read32(VTR) & 0x3f) as usize + 1;
        Self { regs, count }
    }

    /// Turns the interface on, empty and as after reset: for a vCPU's start.
    pub fn reset(&self) {
        for index in 0..self.count {
            self.write_lr(index, 0);
        }
        self.regs.write32(APR, 0);
        self.regs.write32(VMCR, 0);
        self.regs.write32(HCR, HCR_EN);
    }

    /// Number of list registers, 1 to 64.
    pub fn count(&self) -> usize {
        self.count
    }

    /// `GICH_LR<index>`.
    pub fn read_lr(&self, index: usize) -> u32 {
        self.regs.read32(LR + index * 4)
    }

    /// Sets `GICH_LR<index>`.
    pub fn write_lr(&self, index: usize, word: u32) {
        self.regs.write32(LR + index * 4, word);
    }

    /// Bit n: list register n (below 32) is free, `GICH_ELRSR0`.
    pub fn empty(&self) -> u32 {
        self.regs.read32(ELRSR0)
    }

    /// `GICH_HCR`.
    pub fn hcr(&self) -> u32 {
        self.regs.read32(HCR)
    }

    /// Sets `GICH_HCR`.
    pub fn set_hcr(&self, word: u32) {
        self.regs.write32(HCR, word);
    }

    /// `GICH_MISR`: why the maintenance interrupt is raised; 0: it is not.
    pub fn maintenance(&self) -> u32 {
        self.regs.read32(MISR)
    }

    /// Sets `GICH_VMCR`.
    pub fn set_vmcr(&self, word: u32) {
        self.regs.write32(VMCR, word);
    }
}

//! GICv2 CPU interface, `GICC_*`.

use crate::mmio::Mmio;

const CTLR: usize = 0x000;
const PMR: usize = 0x004;
const BPR: usize = 0x008;
const IAR: usize = 0x00c;
const EOIR: usize = 0x010;
const IIDR: usize = 0x0fc;

/// Enable 0 (this view's group), EOImode 9 (IHI 0048, 4.4.1, non-secure copy
/// and implementations without security).
const CTLR_ON: u32 = 1 | 1 << 9;
/// Bypass disables 8:5 are firmware's choice.
const CTLR_BYPASS: u32 = 0xf << 5;

/// Where the second page (`GICC_DIR`, `GICV_DIR`) stands, as the architecture
/// says.
pub const SECOND_PAGE: usize = 0x1000;
/// Where it stands when each 4 KiB page fills 64 KiB with copies of itself.
pub const SECOND_PAGE_STRIDED: usize = 0x1_0000;
/// A GICC (or GICV) region this long may be laid out in 64 KiB steps.
pub const GICC_STRIDED_LEN: usize = 0x2_0000;

/// Whether the CPU interface behind `regs`, `len` bytes long, is laid out in
/// 64 KiB steps: then the last copy of its first page answers too. The device
/// tree does not say (`arm,gic-400` on ZynqMP, X-Gene, …).
pub fn is_strided<M: Mmio>(regs: &M, len: usize) -> bool {
    // Arm GICv2: implementer 0x43b, architecture 2.
    let is_gicv2 = |iidr: u32| iidr & 0xf_0fff == 0x2_043b;
    let copy = SECOND_PAGE_STRIDED - SECOND_PAGE;
    len >= GICC_STRIDED_LEN && is_gicv2(regs.read32(IIDR)) && is_gicv2(regs.read32(copy + IIDR))
}

/// The CPU interface of the calling CPU.
#[derive(Debug, Clone, Copy)]
pub struct CpuInterface<M> {
    regs: M,
    dir: usize,
}

impl<M: Mmio> CpuInterface<M> {
    /// The interface behind `regs`, a region `len` bytes long. It must hold
    /// two pages: without `GICC_DIR` no interrupt can be given to a guest.
    pub fn new(regs: M, len: usize) -> Self {
        let dir = if is_strided(&regs, len) {
            SECOND_PAGE_STRIDED
        } else {
            SECOND_PAGE
        };
        Self { regs, dir }
    }

    /// Takes interrupts of all priorities; ending one drops its priority only
    /// (EOImode), [`CpuInterface::deactivate`] is a step of its own.
    pub fn init(&self) {
        self.regs.write32(PMR, 0xff);
        self.regs.write32(BPR, 0);
        let bypass = self.regs.read32(CTLR) & CTLR_BYPASS;
        self.regs.write32(CTLR, CTLR_ON | bypass);
    }

    /// Acknowledges the most urgent pending interrupt: interrupt id 9:0, for
    /// an SGI the sender in 12:10. The id is 1020 or above if there is none.
    pub fn acknowledge(&self) -> u32 {
        self.regs.read32(IAR)
    }

    /// Drops the running priority; `iar` as [`CpuInterface::acknowledge`]
    /// returned it.
    pub fn end(&self, iar: u32) {
        self.regs.write32(EOIR, iar);
    }

    /// Deactivates an interrupt, after [`CpuInterface::end`]; `iar` as
    /// acknowledged (for other interrupts than SGIs: its id).
    pub fn deactivate(&self, iar: u32) {
        self.regs.write32(self.dir, iar);
    }
}

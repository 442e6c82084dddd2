//! GICv3 (IHI 0069).

use super::{GICD, reg};
use crate::cpu::{read32, read64, write32};
use crate::{cpu, mrs, msr};

const GICR: u64 = 0x080a_0000;
const FRAME: u64 = 0x2_0000;
const SGI_PAGE: u64 = 0x1_0000;
const GICR_TYPER: u64 = 0x8;
const GICR_WAKER: u64 = 0x14;
const RWP: u32 = 1 << 31;
/// ARE_NS and EnableGrp1NS as the single security state has them.
const CTLR_ON: u32 = 1 << 4 | 1 << 1;

/// This CPU's redistributor, found by affinity.
pub fn redistributor() -> u64 {
    let mut base = GICR;
    loop {
        let typer = read64(base + GICR_TYPER);
        let affinity = typer >> 32;
        let own = cpu::mpidr();
        if affinity == (own & 0xff_ffff) | (own >> 32 & 0xff) << 24 || typer & 1 << 4 != 0 {
            return base;
        }
        base += FRAME;
    }
}

/// Its page for SGIs and PPIs.
pub fn sgi_base() -> u64 {
    redistributor() + SGI_PAGE
}

pub fn init_distributor() {
    write32(GICD + reg::CTLR, CTLR_ON);
    wait_for_writes(32);
    for word in 1..4 {
        write32(GICD + reg::IGROUPR + word * 4, !0);
    }
}

pub fn init_cpu() {
    let waker = redistributor() + GICR_WAKER;
    write32(waker, read32(waker) & !2);
    cpu::eventually(|| read32(waker) & 4 == 0);
    write32(sgi_base() + reg::IGROUPR, !0);
    msr!("S3_0_C12_C12_5", mrs!("S3_0_C12_C12_5") | 1); // ICC_SRE_EL1
    set_mask(0xf0);
    split_end(false);
    msr!("S3_0_C12_C12_7", 1); // ICC_IGRPEN1_EL1
}

/// Waits until writes to enable bits have taken effect.
pub fn wait_for_writes(intid: u32) {
    let (address, mask) = if intid < 32 {
        (redistributor(), 1 << 3)
    } else {
        (GICD + reg::CTLR, RWP)
    };
    cpu::eventually(|| read32(address) & mask == 0);
}

pub fn send_sgi(intid: u32, cpus: u32) {
    msr!("S3_0_C12_C11_5", u64::from(intid) << 24 | u64::from(cpus)); // ICC_SGI1R_EL1
}

pub fn send_sgi_others(intid: u32) {
    msr!("S3_0_C12_C11_5", u64::from(intid) << 24 | 1 << 40);
}

pub fn acknowledge() -> u32 {
    mrs!("S3_0_C12_C12_0") as u32 & 0xff_ffff // ICC_IAR1_EL1
}

pub fn end(intid: u32) {
    msr!("S3_0_C12_C12_1", u64::from(intid)); // ICC_EOIR1_EL1
}

pub fn deactivate(intid: u32) {
    msr!("S3_0_C12_C11_1", u64::from(intid)); // ICC_DIR_EL1
}

pub fn split_end(split: bool) {
    msr!("S3_0_C12_C12_4", if split { 2 } else { 0 }); // ICC_CTLR_EL1.EOImode
}

pub fn set_mask(priority: u8) {
    msr!("S3_0_C4_C6_0", u64::from(priority)); // ICC_PMR_EL1
}

pub fn running_priority() -> u8 {
    mrs!("S3_0_C12_C11_3") as u8 // ICC_RPR_EL1
}

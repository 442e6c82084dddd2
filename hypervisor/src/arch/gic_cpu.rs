//! GICv3's CPU interface: physical (`ICC_*`) and virtual (`ICH_*`), which are
//! system registers (IHI 0069, chapter 12).

use core::arch::asm;

macro_rules! read {
    ($reg:literal) => {{
        let value: u64;
        // SAFETY: an interrupt controller register; EL2 enabled access to it.
        unsafe { asm!(concat!("mrs {}, ", $reg), out(reg) value, options(nostack, preserves_flags)) };
        value
    }};
}
macro_rules! write {
    ($reg:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: as for reads; it decides about interrupts, not about memory.
        unsafe { asm!(concat!("msr ", $reg, ", {}"), in(reg) value, options(nostack, preserves_flags)) };
    }};
}

const ICC_SRE_EL2_SRE: u64 = 1;
const ICC_SRE_EL2_DFB_DIB: u64 = 3 << 1;
const ICC_SRE_EL2_ENABLE: u64 = 1 << 3;
const ICC_CTLR_EOIMODE: u64 = 1 << 1;
const ICH_HCR_EN: u64 = 1;
const ICH_VMCR_DEFAULT: u64 = 0;

/// Switches this CPU's interface on: every priority, group 1, and end of
/// interrupt split from deactivation, so that a guest can do the latter.
pub fn init() {
    write!(
        "s3_4_c12_c9_5",
        ICC_SRE_EL2_SRE | ICC_SRE_EL2_DFB_DIB | ICC_SRE_EL2_ENABLE
    ); // ICC_SRE_EL2
    super::cache::isb();
    write!("s3_0_c12_c12_4", ICC_CTLR_EOIMODE); // ICC_CTLR_EL1
    write!("s3_0_c4_c6_0", 0xff); // ICC_PMR_EL1
    write!("s3_0_c12_c12_3", 0); // ICC_BPR1_EL1
    write!("s3_0_c12_c12_7", 1); // ICC_IGRPEN1_EL1
    super::cache::isb();
}

/// Prepares the virtual interface for a vCPU that comes out of reset.
pub fn reset_virtual() {
    for index in 0..list_registers() {
        write_lr(index, 0);
    }
    write!("s3_4_c12_c8_0", 0); // ICH_AP0R0_EL2
    write!("s3_4_c12_c9_0", 0); // ICH_AP1R0_EL2
    set_vmcr(ICH_VMCR_DEFAULT);
    set_hcr(ICH_HCR_EN);
    super::cache::isb();
}

/// Sets `ICH_VMCR_EL2`: the guest's masks and groups.
pub fn set_vmcr(value: u64) {
    write!("s3_4_c12_c11_7", value);
}

/// Sets `ICH_HCR_EL2`: maintenance interrupts and traps.
pub fn set_hcr(value: u64) {
    write!("s3_4_c12_c11_0", value);
}

/// Reads `ICH_HCR_EL2`.
#[must_use]
pub fn hcr() -> u64 {
    read!("s3_4_c12_c11_0")
}

/// Reads `ICH_ELRSR_EL2`: list registers that are free.
#[must_use]
pub fn elrsr() -> u64 {
    read!("s3_4_c12_c11_5")
}

/// How many list registers this CPU has, 1 to 16.
#[must_use]
pub fn list_registers() -> usize {
    (read!("s3_4_c12_c11_1") & 0x1f) as usize + 1 // ICH_VTR_EL2
}

/// Takes the most urgent interrupt: its INTID, or 1020 and above for none.
#[must_use]
pub fn acknowledge() -> u32 {
    let intid = read!("s3_0_c12_c12_0") as u32 & 0xff_ffff; // ICC_IAR1_EL1
    super::cache::dsb_sy();
    intid
}

/// Drops the running priority; the interrupt stays active.
pub fn end(intid: u32) {
    write!("s3_0_c12_c12_1", u64::from(intid)); // ICC_EOIR1_EL1
    super::cache::isb();
}

/// Deactivates an interrupt that no guest will deactivate.
pub fn deactivate(intid: u32) {
    write!("s3_0_c12_c11_1", u64::from(intid)); // ICC_DIR_EL1
    super::cache::isb();
}

/// Sends software-generated interrupt `intid` to the CPU with `mpidr`.
pub fn send_sgi(intid: u32, mpidr: u64) {
    let aff0 = mpidr & 0xff;
    let value = ((mpidr >> 32) & 0xff) << 48
        | ((mpidr >> 16) & 0xff) << 32
        | ((mpidr >> 8) & 0xff) << 16
        | (aff0 >> 4) << 44
        | u64::from(intid & 0xf) << 24
        | 1 << (aff0 & 0xf);
    super::cache::dsb_ish();
    write!("s3_0_c12_c11_5", value); // ICC_SGI1R_EL1
    super::cache::isb();
}

macro_rules! list_register {
    ($($index:literal => $reg:literal),*) => {
        /// Reads list register `index`; 0 for one that does not exist.
        #[must_use]
        pub fn read_lr(index: usize) -> u64 {
            match index { $($index => read!($reg),)* _ => 0 }
        }
        /// Writes list register `index`, if it exists.
        pub fn write_lr(index: usize, value: u64) {
            match index { $($index => write!($reg, value),)* _ => {} }
        }
    };
}
list_register! {
    0 => "s3_4_c12_c12_0", 1 => "s3_4_c12_c12_1", 2 => "s3_4_c12_c12_2", 3 => "s3_4_c12_c12_3",
    4 => "s3_4_c12_c12_4", 5 => "s3_4_c12_c12_5", 6 => "s3_4_c12_c12_6", 7 => "s3_4_c12_c12_7",
    8 => "s3_4_c12_c13_0", 9 => "s3_4_c12_c13_1", 10 => "s3_4_c12_c13_2", 11 => "s3_4_c12_c13_3",
    12 => "s3_4_c12_c13_4", 13 => "s3_4_c12_c13_5", 14 => "s3_4_c12_c13_6", 15 => "s3_4_c12_c13_7"
}

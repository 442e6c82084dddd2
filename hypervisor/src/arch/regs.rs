//! System registers that decide what a guest may do and see.

use core::arch::asm;

/// Defines safe accessors for system registers that EL2 may always touch.
macro_rules! registers {
    ($($(#[$doc:meta])* $name:ident = $reg:literal;)*) => {$(
        $(#[$doc])*
        pub mod $name {
            /// Reads the register.
            #[must_use]
            #[inline]
            pub fn read() -> u64 {
                let value: u64;
                // SAFETY: reading it has no side effect and EL2 may read it.
                unsafe { core::arch::asm!(concat!("mrs {}, ", $reg), out(reg) value, options(nomem, nostack, preserves_flags)) };
                value
            }
            /// Writes the register.
            #[inline]
            pub fn write(value: u64) {
                // SAFETY: it governs the guest on this CPU only; EL2's own
                // memory and control flow do not depend on it.
                unsafe { core::arch::asm!(concat!("msr ", $reg, ", {}"), in(reg) value, options(nostack, preserves_flags)) };
            }
        }
    )*};
}

/// Defines safe readers for constant registers.
macro_rules! constants {
    ($($name:ident = $reg:literal;)*) => {$(
        #[doc = concat!("Reads `", $reg, "`.")]
        #[must_use]
        #[inline]
        pub fn $name() -> u64 {
            let value: u64;
            // SAFETY: reads a constant register.
            unsafe { asm!(concat!("mrs {}, ", $reg), out(reg) value, options(nomem, nostack, preserves_flags)) };
            value
        }
    )*};
}

registers! {
    /// Where the guest goes on.
    elr_el2 = "elr_el2";
    /// The guest's processor state.
    spsr_el2 = "spsr_el2";
    /// Why the guest stopped.
    esr_el2 = "esr_el2";
    /// Virtual address of a fault.
    far_el2 = "far_el2";
    /// Intermediate physical page of a stage-2 fault.
    hpfar_el2 = "hpfar_el2";
    /// What traps to EL2.
    hcr_el2 = "hcr_el2";
    /// Traps of SIMD, SVE and SME.
    cptr_el2 = "cptr_el2";
    /// Traps of debug and performance monitors.
    mdcr_el2 = "mdcr_el2";
    /// Traps of AArch32 coprocessor registers.
    hstr_el2 = "hstr_el2";
    /// Guest access to counters and timers.
    cnthctl_el2 = "cnthctl_el2";
    /// Virtual counter offset.
    cntvoff_el2 = "cntvoff_el2";
    /// Stage-2 translation control.
    vtcr_el2 = "vtcr_el2";
    /// Stage-2 root and VMID.
    vttbr_el2 = "vttbr_el2";
    /// `MPIDR_EL1` as the guest reads it.
    vmpidr_el2 = "vmpidr_el2";
    /// `MIDR_EL1` as the guest reads it.
    vpidr_el2 = "vpidr_el2";
    /// Guest's MMU control.
    sctlr_el1 = "sctlr_el1";
    /// Guest's translation control.
    tcr_el1 = "tcr_el1";
    /// Guest's lower root.
    ttbr0_el1 = "ttbr0_el1";
    /// Guest's upper root.
    ttbr1_el1 = "ttbr1_el1";
    /// Guest's memory attributes.
    mair_el1 = "mair_el1";
    /// Guest's vectors.
    vbar_el1 = "vbar_el1";
    /// Guest's exception syndrome.
    esr_el1 = "esr_el1";
    /// Guest's fault address.
    far_el1 = "far_el1";
    /// Guest's exception return address.
    elr_el1 = "elr_el1";
    /// Guest's saved processor state.
    spsr_el1 = "spsr_el1";
    /// Guest's SIMD and SVE access.
    cpacr_el1 = "cpacr_el1";
    /// Guest's kernel thread pointer.
    tpidr_el1 = "tpidr_el1";
    /// Guest's user thread pointer.
    tpidr_el0 = "tpidr_el0";
    /// Guest's read-only user thread pointer.
    tpidrro_el0 = "tpidrro_el0";
    /// Guest's user access to timers.
    cntkctl_el1 = "cntkctl_el1";
    /// Guest's virtual timer control.
    cntv_ctl_el0 = "cntv_ctl_el0";
    /// Guest's physical timer control.
    cntp_ctl_el0 = "cntp_ctl_el0";
    /// Guest's debug control.
    mdscr_el1 = "mdscr_el1";
    /// Guest's context id.
    contextidr_el1 = "contextidr_el1";
    /// Guest's stack pointer of user space.
    sp_el0 = "sp_el0";
    /// Guest's stack pointer of its kernel.
    sp_el1 = "sp_el1";
}

constants! {
    midr_el1 = "midr_el1";
    mpidr_el1 = "mpidr_el1";
    pmcr_el0 = "pmcr_el0";
}

/// Whether an interrupt or a system error waits for this CPU, which EL2 masks
/// (`ISR_EL1`, DDI 0487, D24.2.86).
#[must_use]
#[inline]
pub fn interrupt_waits() -> bool {
    let pending: u64;
    // SAFETY: reading it has no side effect.
    unsafe { asm!("mrs {}, isr_el1", out(reg) pending, options(nomem, nostack, preserves_flags)) };
    pending != 0
}

/// Reads `S3_0_C0_C<crm>_<op2>`, an ID register of this CPU; 0 outside CRm 1 to
/// 7. Encodings without a register read as zero (DDI 0487, D22.3.1).
#[must_use]
pub fn id_register(crm: u8, op2: u8) -> u64 {
    macro_rules! table {
        ($($crm:literal: $($op2:literal)*;)*) => {
            match (crm, op2) {
                $($(($crm, $op2) => {
                    let value: u64;
                    // SAFETY: reads a constant register.
                    unsafe {
                        asm!(concat!("mrs {}, s3_0_c0_c", stringify!($crm), "_", stringify!($op2)),
                             out(reg) value, options(nomem, nostack, preserves_flags));
                    }
                    value
                })*)*
                _ => 0,
            }
        };
    }
    table! {
        1: 0 1 2 3 4 5 6 7;
        2: 0 1 2 3 4 5 6 7;
        3: 0 1 2 3 4 5 6 7;
        4: 0 1 2 3 4 5 6 7;
        5: 0 1 2 3 4 5 6 7;
        6: 0 1 2 3 4 5 6 7;
        7: 0 1 2 3 4 5 6 7;
    }
}

/// Puts the guest's own registers into the state a CPU has when it comes out of
/// PSCI `CPU_ON`: MMU and caches off, timers off (DEN0022, 6.4).
pub fn reset_el1() {
    sctlr_el1::write(crate::trap::config::SCTLR_EL1_RESET);
    tcr_el1::write(0);
    ttbr0_el1::write(0);
    ttbr1_el1::write(0);
    mair_el1::write(0);
    vbar_el1::write(0);
    cpacr_el1::write(0);
    cntkctl_el1::write(0);
    cntv_ctl_el0::write(0);
    cntp_ctl_el0::write(0);
    mdscr_el1::write(0);
    unlock_debug();
    contextidr_el1::write(0);
    // What the last owner left must not be read by the next.
    tpidr_el1::write(0);
    tpidr_el0::write(0);
    tpidrro_el0::write(0);
    sp_el0::write(0);
    sp_el1::write(0);
    elr_el1::write(0);
    esr_el1::write(0);
    far_el1::write(0);
}

/// Opens the OS lock and double lock, which come out of reset closed and whose
/// registers trap: a guest may debug its own programs.
fn unlock_debug() {
    // SAFETY: debug exceptions of a guest go to its own EL1.
    unsafe {
        asm!("msr oslar_el1, {z}", "msr osdlr_el1, {z}", z = in(reg) 0u64, options(nostack, preserves_flags))
    };
}

/// Clears the SIMD registers, which hold what the last owner computed.
pub fn clear_simd() {
    macro_rules! clear {
        ($($v:literal),*) => {
            // SAFETY: EL2 is compiled without SIMD, so the registers are the
            // guest's alone; CPTR_EL2 does not trap EL2's own accesses here.
            unsafe {
                asm!(".arch_extension fp", ".arch_extension simd",
                     $(concat!("movi v", $v, ".2d, #0"),)*
                     "msr fpcr, xzr", "msr fpsr, xzr", options(nostack, preserves_flags));
            }
        };
    }
    clear!(
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
        "17", "18", "19", "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31"
    );
}

/// A random number of the CPU's, if it has a source (FEAT_RNG) that delivers.
#[must_use]
pub fn random() -> Option<u64> {
    if (id_register(6, 0) >> 60) & 0xf == 0 {
        return None;
    }
    let (value, failed): (u64, u64);
    // SAFETY: the register exists (FEAT_RNG); it reports failure in Z.
    unsafe {
        asm!("mrs {v}, s3_3_c2_c4_0", "cset {f}, eq", v = out(reg) value, f = out(reg) failed, options(nomem, nostack))
    };
    (failed == 0).then_some(value)
}

/// Clears the registers of extensions that guests are not given, where this CPU
/// has them: fine-grained traps (`ID_AA64MMFR0_EL1.FGT`) and `HCRX_EL2`
/// (`ID_AA64MMFR1_EL1.HCX`), whose reset values are unknown.
pub fn fine_grained_traps_off() {
    let mmfr0 = id_register(7, 0);
    let mmfr1 = id_register(7, 1);
    let fgt = crate::trap::config::FGT;
    if (mmfr0 >> 56) & 0xf != 0 {
        // SAFETY: the registers exist (FGT) and govern the guest only.
        unsafe {
            asm!("msr s3_4_c1_c1_4, {v}", // HFGRTR_EL2
                 "msr s3_4_c1_c1_5, {v}", // HFGWTR_EL2
                 "msr s3_4_c1_c1_6, {v}", // HFGITR_EL2
                 "msr s3_4_c3_c1_4, {v}", // HDFGRTR_EL2
                 "msr s3_4_c3_c1_5, {v}", // HDFGWTR_EL2
                 v = in(reg) fgt, options(nostack, preserves_flags));
        }
    }
    if (mmfr1 >> 40) & 0xf != 0 {
        let value = crate::trap::config::HCRX_EL2;
        // SAFETY: the register exists (HCX) and governs the guest only.
        unsafe { asm!("msr s3_4_c1_c2_2, {}", in(reg) value, options(nostack, preserves_flags)) };
    }
    if (id_register(4, 0) >> 40) & 0xf != 0 || (id_register(4, 1) >> 16) & 0xf != 0 {
        let value = crate::trap::config::MPAM2_EL2;
        // SAFETY: the register exists (MPAM) and governs the guest only.
        unsafe { asm!("msr s3_4_c10_c5_0, {}", in(reg) value, options(nostack, preserves_flags)) };
    }
}

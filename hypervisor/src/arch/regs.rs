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
    current_el = "CurrentEL";
    id_aa64pfr0_el1 = "id_aa64pfr0_el1";
    id_aa64pfr1_el1 = "id_aa64pfr1_el1";
    id_aa64zfr0_el1 = "s3_0_c0_c4_4";
    id_aa64smfr0_el1 = "s3_0_c0_c4_5";
    id_aa64dfr0_el1 = "id_aa64dfr0_el1";
    id_aa64dfr1_el1 = "id_aa64dfr1_el1";
    id_aa64isar0_el1 = "id_aa64isar0_el1";
    id_aa64isar1_el1 = "id_aa64isar1_el1";
    id_aa64isar2_el1 = "s3_0_c0_c6_2";
    id_aa64isar3_el1 = "s3_0_c0_c6_3";
    id_aa64mmfr0_el1 = "id_aa64mmfr0_el1";
    id_aa64mmfr1_el1 = "id_aa64mmfr1_el1";
    id_aa64mmfr2_el1 = "s3_0_c0_c7_2";
    id_aa64mmfr3_el1 = "s3_0_c0_c7_3";
    id_aa64mmfr4_el1 = "s3_0_c0_c7_4";
    id_pfr0_el1 = "id_pfr0_el1";
    id_pfr1_el1 = "id_pfr1_el1";
    id_pfr2_el1 = "id_pfr2_el1";
    id_dfr0_el1 = "id_dfr0_el1";
    id_afr0_el1 = "id_afr0_el1";
    id_mmfr0_el1 = "id_mmfr0_el1";
    id_mmfr1_el1 = "id_mmfr1_el1";
    id_mmfr2_el1 = "id_mmfr2_el1";
    id_mmfr3_el1 = "id_mmfr3_el1";
    id_mmfr4_el1 = "id_mmfr4_el1";
    id_mmfr5_el1 = "s3_0_c0_c3_6";
    id_isar0_el1 = "id_isar0_el1";
    id_isar1_el1 = "id_isar1_el1";
    id_isar2_el1 = "id_isar2_el1";
    id_isar3_el1 = "id_isar3_el1";
    id_isar4_el1 = "id_isar4_el1";
    id_isar5_el1 = "id_isar5_el1";
    id_isar6_el1 = "s3_0_c0_c2_7";
    mvfr0_el1 = "mvfr0_el1";
    mvfr1_el1 = "mvfr1_el1";
    mvfr2_el1 = "mvfr2_el1";
}

/// Puts the guest's own registers into the state a CPU has when it comes out of
/// PSCI `CPU_ON`: MMU and caches off, timers off (DEN0022, 6.4).
pub fn reset_el1() {
    // RES1 bits of an EL1 without any extension in use (DDI 0487, D24.2.150).
    sctlr_el1::write(0x30d0_0800);
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
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19",
        "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31"
    );
}

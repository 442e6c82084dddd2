//! Values of the registers that decide what traps, and a vCPU's reset state.
//!
//! Every vCPU owns its physical CPU, so a register that only the guest uses
//! is simply the guest's: nothing is saved, restored or trapped for it. What
//! traps is what could reach beyond the VM (other CPUs' state, firmware,
//! physical interrupts) or what the feature registers hide.
//!
//! EL2 runs with HCR_EL2.E2H = 0. On CPUs whose ID_AA64MMFR4_EL1.E2H0 says that
//! it is fixed to 1 some of these registers have other layouts.

use super::esr;

/// Bits of HCR_EL2, DDI 0487 D24.2.49.
pub mod hcr {
    /// Stage 2 translation.
    pub const VM: u64 = 1 << 0;
    /// DC ISW becomes DC CISW: a guest cannot discard another's dirty lines.
    pub const SWIO: u64 = 1 << 1;
    /// A stage 1 table in Device memory faults.
    pub const PTW: u64 = 1 << 2;
    /// Physical FIQ to EL2.
    pub const FMO: u64 = 1 << 3;
    /// Physical IRQ to EL2.
    pub const IMO: u64 = 1 << 4;
    /// Physical SError to EL2.
    pub const AMO: u64 = 1 << 5;
    /// Trap reads of ID group 3.
    pub const TID3: u64 = 1 << 18;
    /// Trap SMC.
    pub const TSC: u64 = 1 << 19;
    /// Trap IMPLEMENTATION DEFINED registers and instructions.
    pub const TIDCP: u64 = 1 << 20;
    /// Trap ACTLR_EL1.
    pub const TACR: u64 = 1 << 21;
    /// EL1 is AArch64.
    pub const RW: u64 = 1 << 31;
    /// Trap LORegion registers.
    pub const TLOR: u64 = 1 << 35;
    /// Trap RAS error records.
    pub const TERR: u64 = 1 << 36;
    /// Synchronous external aborts to EL2.
    pub const TEA: u64 = 1 << 37;
    /// Do not trap pointer authentication keys.
    pub const APK: u64 = 1 << 40;
    /// Do not trap pointer authentication instructions.
    pub const API: u64 = 1 << 41;
    /// Trap GMID_EL1 (MTE).
    pub const TID5: u64 = 1 << 58;
}

/// HCR_EL2 while a guest runs.
///
/// Not set, and why: TWI and TWE, because an idle vCPU may idle its CPU (any
/// physical interrupt still wakes it, into EL2); FB and BSU, because a vCPU
/// never moves, so its local TLB maintenance concerns its own CPU; TSW,
/// because a vCPU that never moves cleans the right caches by itself and SWIO
/// keeps it from discarding a neighbour's lines; TVM and TTLB, because the guest owns its
/// stage 1; ATA, because memory tagging is hidden.
pub const HCR_EL2: u64 = hcr::VM
    | hcr::SWIO
    | hcr::PTW
    | hcr::FMO
    | hcr::IMO
    | hcr::AMO
    | hcr::TID3
    | hcr::TSC
    | hcr::TIDCP
    | hcr::TACR
    | hcr::RW
    | hcr::TLOR
    | hcr::TERR
    | hcr::TEA
    | hcr::APK
    | hcr::API
    | hcr::TID5;

/// HCRX_EL2, where ID_AA64MMFR1_EL1.HCX says it exists: everything it enables
/// (LD64B, MOPS, TCR2, SCTLR2, GCS, …) is hidden, so all zero.
pub const HCRX_EL2: u64 = 0;

/// HFGRTR_EL2, HFGWTR_EL2, HFGITR_EL2, HDFGRTR_EL2, HDFGWTR_EL2 and
/// HAFGRTR_EL2, where ID_AA64MMFR0_EL1.FGT says they exist. Zero traps just
/// what has inverted ("n") bits: SME, permission indirection and overlays,
/// guarded control stacks and branch records, all hidden from guests.
pub const FGT: u64 = 0;

/// MPAM2_EL2, where ID_AA64PFR0_EL1.MPAM or ID_AA64PFR1_EL1.MPAM_frac says it
/// exists: MPAM1_EL1 and MPAM0_EL1 trap, partition 0 for everything.
pub const MPAM2_EL2: u64 = 1 << 49 | 1 << 48;

/// HSTR_EL2: no AArch32 coprocessor traps; EL0 reaches no system state there
/// that CNTHCTL_EL2 and CPTR_EL2 do not already govern.
pub const HSTR_EL2: u64 = 0;

/// CPTR_EL2 while a guest runs: floating point and SIMD belong to the guest
/// (EL2 is built without); SVE, SME, activity monitors and trace trap.
pub const CPTR_EL2: u64 = {
    const TTA: u64 = 1 << 20;
    const TAM: u64 = 1 << 30;
    // RES1 bits 13, 9 and 7:0; TSM (12) and TZ (8) trap where SME and SVE exist
    // and are RES1 where they do not; TFP (10) clear.
    const RES1_TZ_TSM: u64 = 0x33ff;
    RES1_TZ_TSM | TTA | TAM
};

/// CNTHCTL_EL2 while a guest runs: counter and both EL1 timers untrapped;
/// event stream, ECV offset and timer traps off.
pub const CNTHCTL_EL2: u64 = 0b11;

/// MDCR_EL2 while a guest runs. `counters` is PMCR_EL0.N of this CPU.
///
/// Self-hosted debug is the guest's own (debug exceptions target EL1, so a
/// guest's breakpoint cannot fire at EL2). Trapped: OS lock and power-down
/// registers, debug ROM, the debug communication channel, PMU, statistical
/// profiling, trace filter and trace buffer.
#[must_use]
pub const fn mdcr_el2(counters: u8) -> u64 {
    const TPMCR: u64 = 1 << 5;
    const TPM: u64 = 1 << 6;
    const TDOSA: u64 = 1 << 10;
    const TDRA: u64 = 1 << 11;
    const TPMS: u64 = 1 << 14;
    const HPMD: u64 = 1 << 17;
    const TTRF: u64 = 1 << 19;
    const HCCD: u64 = 1 << 23;
    const TDCC: u64 = 1 << 27;
    // HPMN above PMCR_EL0.N is CONSTRAINED UNPREDICTABLE.
    let hpmn = (counters & 0x1f) as u64;
    hpmn | TPMCR | TPM | TDOSA | TDRA | TPMS | HPMD | TTRF | HCCD | TDCC
}

/// SCTLR_EL1 of a vCPU that starts: MMU and caches off, little endian; the
/// RES1 bits of Armv8.0 and SPAN, which is RES1 without PAN and merely "do
/// not set PAN" with it.
pub const SCTLR_EL1_RESET: u64 =
    1 << 29 | 1 << 28 | 1 << 23 | 1 << 22 | 1 << 20 | 1 << 11 | 1 << 8 | 1 << 7;

/// SPSR_EL2 of a vCPU that starts: EL1h, all exceptions masked
/// (PSCI, DEN 0022, 6.4; Linux `booting.rst`).
pub const SPSR_RESET: u64 = 0x3c5;

/// Where a trapped instruction is followed by the next one.
#[inline]
#[must_use]
pub const fn next_pc(pc: u64, esr: u64) -> u64 {
    pc.wrapping_add(esr::instruction_length(esr))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words assembled by hand from the manual's field tables.
    #[test]
    fn values_are_the_manuals() {
        assert_eq!(HCR_EL2, 0x0400_0338_803c_003f);
        assert_eq!(CPTR_EL2, 0x4010_33ff);
        assert_eq!(CNTHCTL_EL2, 3);
        assert_eq!(mdcr_el2(6), 0x088a_4c66);
        assert_eq!(SCTLR_EL1_RESET, 0x30d0_0980);
        assert_eq!(SPSR_RESET, 0x3c5);
        assert_eq!(MPAM2_EL2, 0x0003_0000_0000_0000);
        assert_eq!((HCRX_EL2, FGT, HSTR_EL2), (0, 0, 0));
    }

    #[test]
    fn the_pc_advances_by_the_instruction() {
        assert_eq!(next_pc(0x1000, 0x0200_0000), 0x1004);
        assert_eq!(next_pc(0x1000, 0), 0x1002);
        assert_eq!(next_pc(u64::MAX, 0x0200_0000), 3);
    }
}

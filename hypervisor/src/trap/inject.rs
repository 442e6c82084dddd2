//! Exceptions for the guest: the state AArch64.TakeException leaves behind.
//!
//! DDI 0487, J1.1.2 `AArch64.TakeException` and D1.3.3 (vector offsets). The
//! caller loads [`Taken`] into SPSR_EL2, ELR_EL2 and the EL1 registers.

/// What the guest was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted {
    /// ELR_EL2: address of the instruction to blame (and to return to).
    pub pc: u64,
    /// SPSR_EL2.
    pub pstate: u64,
    /// VBAR_EL1.
    pub vbar_el1: u64,
    /// SCTLR_EL1.
    pub sctlr_el1: u64,
}

/// The state after the exception was taken to EL1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// New ELR_EL2.
    pub pc: u64,
    /// New SPSR_EL2.
    pub pstate: u64,
    /// New ELR_EL1.
    pub elr_el1: u64,
    /// New SPSR_EL1.
    pub spsr_el1: u64,
    /// New ESR_EL1.
    pub esr_el1: u64,
    /// New FAR_EL1; `None` leaves it alone.
    pub far_el1: Option<u64>,
}

/// Exceptions EL2 gives to a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// Undefined instruction (EC 0).
    Undefined,
    /// Synchronous external abort on a data access.
    DataAbort {
        /// Faulting virtual address (FAR_EL2).
        va: u64,
        /// The access was a write.
        write: bool,
    },
    /// Synchronous external abort on an instruction fetch.
    InstructionAbort {
        /// Faulting virtual address (FAR_EL2).
        va: u64,
    },
}

/// PSTATE and SPSR bits, DDI 0487 C5.2.19 (SPSR_EL1).
pub mod pstate {
    /// M\[4:0\], the mode.
    pub const MODE: u64 = 0x1f;
    /// M\[4\]: AArch32.
    pub const NRW: u64 = 1 << 4;
    /// EL0 with SP_EL0.
    pub const EL0T: u64 = 0;
    /// EL1 with SP_EL0.
    pub const EL1T: u64 = 4;
    /// EL1 with SP_EL1.
    pub const EL1H: u64 = 5;
    /// D, A, I and F masks.
    pub const DAIF: u64 = 0xf << 6;
    /// SSBS (AArch64).
    pub const SSBS: u64 = 1 << 12;
    /// PAN.
    pub const PAN: u64 = 1 << 22;
    /// BTYPE (AArch64): the next instruction must be a landing pad.
    pub const BTYPE: u64 = 3 << 10;
    /// SS: one more instruction before the step exception.
    pub const SS: u64 = 1 << 21;
    /// DIT (same place in both states of SPSR_ELx).
    pub const DIT: u64 = 1 << 24;
    /// N, Z, C and V.
    pub const NZCV: u64 = 0xf << 28;
}

/// SCTLR_EL1.SPAN: clear means PAN is set on every exception to EL1.
const SCTLR_SPAN: u64 = 1 << 23;
/// SCTLR_EL1.DSSBS: value of SSBS on an exception to EL1.
const SCTLR_DSSBS: u64 = 1 << 44;

/// Offset of a synchronous exception's vector from VBAR_EL1, by where it came
/// from (DDI 0487 table D1-5). Add 0x80, 0x100 or 0x180 for IRQ, FIQ, SError.
#[must_use]
pub const fn vector_offset(pstate: u64) -> u64 {
    if pstate & self::pstate::NRW != 0 {
        return 0x600;
    }
    match pstate & self::pstate::MODE {
        self::pstate::EL0T => 0x400,
        self::pstate::EL1T => 0x000,
        _ => 0x200,
    }
}

/// PSTATE after an instruction was done for the guest: as if it had executed,
/// a single step is now due and an indirect branch has landed. The IT state
/// of a T32 application at EL0 does not advance: no trap that is emulated
/// can come from there unless a guest maps devices into AArch32 processes.
#[inline]
#[must_use]
pub const fn executed(pstate: u64) -> u64 {
    // In AArch32 the bits of BTYPE belong to IT.
    let landed = if pstate & pstate::NRW == 0 {
        pstate::BTYPE
    } else {
        0
    };
    pstate & !(landed | pstate::SS)
}

/// Computes the guest state after `exception` was taken to EL1.
///
/// Works for EL1 and for EL0 in either state: the saved PSTATE of an AArch32
/// EL0 already has the format SPSR_EL1 wants. ESR_EL1.IL is set: the caller
/// passes T32 aborts through [`Exception`] only for 32-bit instructions or
/// accepts that a 2-byte one is reported as 4.
#[must_use]
pub const fn take(guest: Interrupted, exception: Exception) -> Taken {
    let from_el0 = guest.pstate & (pstate::NRW | pstate::MODE) == pstate::EL0T
        || guest.pstate & pstate::NRW != 0;
    let (esr_el1, far_el1) = syndrome(exception, from_el0);
    Taken {
        pc: guest.vbar_el1.wrapping_add(vector_offset(guest.pstate)),
        pstate: new_pstate(guest),
        elr_el1: guest.pc,
        spsr_el1: guest.pstate,
        esr_el1,
        far_el1,
    }
}

/// PSTATE on exception entry. Kept: NZCV, DIT, PAN. Set: DAIF, the mode, PAN
/// if SPAN asks, SSBS as DSSBS says. Everything else becomes zero, which is
/// right for UAO, BTYPE, IL, SS and ALLINT; and for TCO because guests have
/// no MTE.
const fn new_pstate(guest: Interrupted) -> u64 {
    let kept = guest.pstate & (pstate::NZCV | pstate::DIT | pstate::PAN);
    let pan = if guest.sctlr_el1 & SCTLR_SPAN == 0 {
        pstate::PAN
    } else {
        0
    };
    let ssbs = if guest.sctlr_el1 & SCTLR_DSSBS != 0 {
        pstate::SSBS
    } else {
        0
    };
    kept | pan | ssbs | pstate::DAIF | pstate::EL1H
}

/// ESR_ELx.IL.
const IL: u64 = 1 << 25;
/// DFSC and IFSC of a synchronous external abort, not on a table walk.
const FSC_EXTERNAL: u64 = 0x10;
/// ISS.WnR of a data abort.
const WNR: u64 = 1 << 6;

/// ESR_EL1 and FAR_EL1. No ISV: the guest could not use one here.
const fn syndrome(exception: Exception, from_el0: bool) -> (u64, Option<u64>) {
    // Classes come in pairs: even from a lower level, odd from the same.
    let same_el = if from_el0 { 0 } else { 1 };
    match exception {
        Exception::Undefined => (IL, None),
        Exception::DataAbort { va, write } => {
            let wnr = if write { WNR } else { 0 };
            ((0x24 | same_el) << 26 | IL | FSC_EXTERNAL | wnr, Some(va))
        }
        Exception::InstructionAbort { va } => {
            ((0x20 | same_el) << 26 | IL | FSC_EXTERNAL, Some(va))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: u64 = SCTLR_SPAN;

    fn guest(pstate: u64, sctlr_el1: u64) -> Interrupted {
        Interrupted {
            pc: 0x4008_1234,
            pstate,
            vbar_el1: 0xffff_8000_0001_0800,
            sctlr_el1,
        }
    }

    #[test]
    fn the_vector_depends_on_where_the_guest_was() {
        for (pstate, offset) in [(0, 0x400), (4, 0), (5, 0x200), (0x10, 0x600), (0x30, 0x600)] {
            let taken = take(guest(pstate, SPAN), Exception::Undefined);
            assert_eq!(taken.pc, 0xffff_8000_0001_0800 + offset, "{pstate:#x}");
            assert_eq!(taken.elr_el1, 0x4008_1234);
            assert_eq!(taken.spsr_el1, pstate);
        }
    }

    #[test]
    fn undefined_has_the_unknown_syndrome_and_leaves_far_alone() {
        let taken = take(guest(5, SPAN), Exception::Undefined);
        assert_eq!(taken.esr_el1, 0x0200_0000);
        assert_eq!(taken.far_el1, None);
    }

    #[test]
    fn aborts_tell_lower_from_same_level() {
        let abort = Exception::DataAbort {
            va: 0x1000,
            write: true,
        };
        assert_eq!(take(guest(0, SPAN), abort).esr_el1, 0x9200_0050);
        assert_eq!(take(guest(0x10, SPAN), abort).esr_el1, 0x9200_0050);
        assert_eq!(take(guest(5, SPAN), abort).esr_el1, 0x9600_0050);
        assert_eq!(take(guest(5, SPAN), abort).far_el1, Some(0x1000));
        let fetch = Exception::InstructionAbort { va: 0x2000 };
        assert_eq!(take(guest(0, SPAN), fetch).esr_el1, 0x8200_0010);
        assert_eq!(take(guest(4, SPAN), fetch).esr_el1, 0x8600_0010);
    }

    #[test]
    fn an_instruction_done_for_the_guest_counts_as_executed() {
        let flags = 0xf << 28 | 1 << 22 | 5;
        assert_eq!(executed(flags | 3 << 10 | 1 << 21), flags);
        let it = 0x10 | 3 << 10;
        assert_eq!(executed(it | 1 << 21), it, "AArch32 keeps its IT bits");
    }

    #[test]
    fn masks_are_set_and_step_btype_uao_il_cleared() {
        let busy = 5 | 1 << 10 | 1 << 11 | 1 << 20 | 1 << 21 | 1 << 23 | 1 << 25;
        assert_eq!(take(guest(busy, SPAN), Exception::Undefined).pstate, 0x3c5);
    }

    #[test]
    fn flags_dit_and_pan_survive() {
        let kept = 0xf << 28 | 1 << 24 | 1 << 22;
        let taken = take(guest(kept, SPAN), Exception::Undefined);
        assert_eq!(taken.pstate, 0x3c5 | kept);
    }

    #[test]
    fn span_and_dssbs_decide_pan_and_ssbs() {
        let taken = take(guest(0, 0), Exception::Undefined);
        assert_eq!(taken.pstate, 0x3c5 | 1 << 22);
        let taken = take(guest(1 << 12, SPAN), Exception::Undefined);
        assert_eq!(taken.pstate & 1 << 12, 0, "SSBS comes from DSSBS alone");
        let taken = take(guest(0, SPAN | 1 << 44), Exception::Undefined);
        assert_eq!(taken.pstate, 0x3c5 | 1 << 12);
    }
}

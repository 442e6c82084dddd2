//! Syndrome decoding: ESR_EL2, FAR_EL2 and HPFAR_EL2 into one [`Exit`].
//!
//! DDI 0487 D24.2.40 (ESR_EL2), D24.2.68 (HPFAR_EL2). The decoder cannot fail:
//! a class nobody knows becomes [`Exit::Other`] and the caller treats it as an
//! undefined instruction or stops the VM.

use super::register::SysReg;
pub use super::words::{Description, describe};

/// Why a guest left EL1 or EL0, decoded once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// `hvc #imm`. The saved PC already points behind the instruction.
    Hvc {
        /// The immediate; the SMC calling convention uses 0.
        imm: u16,
    },
    /// `smc #imm` trapped by HCR_EL2.TSC. The saved PC points **at** the
    /// instruction: advance it before returning.
    Smc {
        /// The immediate; the SMC calling convention uses 0.
        imm: u16,
    },
    /// A data access that stage 2 (or the interconnect) refused.
    DataAbort(DataAbort),
    /// An instruction fetch that stage 2 (or the interconnect) refused.
    InstructionAbort(InstructionAbort),
    /// `mrs`, `msr` or a system instruction on a trapped register.
    SysReg(SysRegAccess),
    /// WFI, WFE and their time-out forms.
    Wfx {
        /// Which of the four.
        kind: WfxKind,
        /// Register with the time-out, for WFET and WFIT.
        timeout_reg: Option<u8>,
    },
    /// An instruction of an extension the guest was not given, or one that
    /// does not exist: inject an Undefined exception.
    Undefined(Missing),
    /// A trapped AArch32 coprocessor access from EL0; the architecture's
    /// answer for everything hidden is Undefined too.
    Aarch32Cp {
        /// The exception class that said so.
        ec: u8,
    },
    /// Execution with PSTATE.IL set: the guest returned to an illegal state.
    IllegalState,
    /// PC or SP misaligned, routed to EL2.
    Alignment,
    /// SError: an asynchronous external abort.
    SError {
        /// ISS as it stands; IMPLEMENTATION DEFINED when bit 24 is set.
        iss: u32,
    },
    /// A debug exception routed to EL2 (breakpoint, step, watchpoint, BRK).
    Debug {
        /// The exception class.
        ec: u8,
    },
    /// A pointer authentication, branch target or control flow check failed
    /// and was routed to EL2.
    ControlFlow {
        /// The exception class.
        ec: u8,
    },
    /// A class this table does not know.
    Other {
        /// The exception class.
        ec: u8,
    },
}

/// The extension an [`Exit::Undefined`] instruction belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Not an instruction at all, or not at this exception level.
    Unknown,
    /// Floating point or Advanced SIMD, trapped by CPTR_EL2.
    Fp,
    /// SVE.
    Sve,
    /// SME.
    Sme,
    /// Pointer authentication with HCR_EL2.API or APK clear.
    PointerAuth,
    /// LD64B and ST64B.
    Ls64,
    /// ERET, ERETAA, ERETAB under nested virtualisation.
    Eret,
    /// TSTART.
    Tme,
    /// Memory copy and set.
    Mops,
    /// SVC or HVC/SMC from AArch32, routed to EL2.
    Aarch32Call,
}

/// Which wait instruction trapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WfxKind {
    /// WFI.
    Wfi,
    /// WFE.
    Wfe,
    /// WFI with time-out.
    Wfit,
    /// WFE with time-out.
    Wfet,
}

/// A trapped MRS, MSR or SYS instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SysRegAccess {
    /// The register.
    pub reg: SysReg,
    /// General-purpose register, 0–31; 31 is XZR.
    pub rt: u8,
    /// True for MSR (the guest writes), false for MRS.
    pub write: bool,
}

/// Why an access was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing mapped at this address.
    Translation,
    /// Mapped, but not for this kind of access.
    Permission,
    /// Access flag clear.
    AccessFlag,
    /// The address does not fit the configured size.
    AddressSize,
    /// The interconnect or device answered with an error.
    External,
    /// Memory error found by parity or ECC.
    Parity,
    /// Misaligned for the memory type.
    Alignment,
    /// MTE tag mismatch.
    TagCheck,
    /// Granule protection (RME).
    GranuleProtection,
    /// Two TLB entries for one address.
    TlbConflict,
    /// Atomic or exclusive access the memory does not support.
    UnsupportedAtomic,
    /// Any other status code.
    Other(u8),
}

/// Decoded syndrome of a data abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataAbort {
    /// Reason.
    pub fault: Fault,
    /// Intermediate physical address with the byte offset, where hardware
    /// reports one. `None` for permission faults of the access itself and
    /// for external aborts: translate `va` by `AT S1E1R`/`S1E1W`.
    pub ipa: Option<u64>,
    /// Virtual address; `None` if FAR_EL2 is not valid.
    pub va: Option<u64>,
    /// True for stores, atomics and cache maintenance.
    pub write: bool,
    /// What the instruction was to move, where the syndrome says so. Without
    /// it (LDP, LDM, SIMD, exclusives, write-back) the access cannot be
    /// emulated.
    pub access: Option<Access>,
    /// The fault hit stage 1's table walk, not the access itself.
    pub stage1_walk: bool,
    /// Cache maintenance or address translation, not a load or store.
    pub cache_maintenance: bool,
}

/// Size and register of a load or store with a valid syndrome (ISV = 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// General-purpose register, 0–31; 31 is WZR/XZR.
    pub reg: u8,
    /// A load extends its sign.
    pub sign_extend: bool,
    /// The register is 64 bits wide (else the upper half becomes zero).
    pub sixty_four: bool,
}

impl Access {
    /// What a load puts into its register when the device answers `value`.
    #[inline]
    #[must_use]
    pub const fn load(self, value: u64) -> u64 {
        let extended = match (self.size, self.sign_extend) {
            (1, false) => value as u8 as u64,
            (1, true) => value as u8 as i8 as u64,
            (2, false) => value as u16 as u64,
            (2, true) => value as u16 as i16 as u64,
            (4, false) => value as u32 as u64,
            (4, true) => value as u32 as i32 as u64,
            _ => value,
        };
        if self.sixty_four {
            extended
        } else {
            extended as u32 as u64
        }
    }

    /// What a store of register value `value` sends to the device.
    #[inline]
    #[must_use]
    pub const fn store(self, value: u64) -> u64 {
        match self.size {
            1 => value as u8 as u64,
            2 => value as u16 as u64,
            4 => value as u32 as u64,
            _ => value,
        }
    }
}

/// Decoded syndrome of an instruction abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstructionAbort {
    /// Reason.
    pub fault: Fault,
    /// As in [`DataAbort::ipa`].
    pub ipa: Option<u64>,
    /// Virtual address; `None` if FAR_EL2 is not valid.
    pub va: Option<u64>,
    /// The fault hit stage 1's table walk, not the fetch itself.
    pub stage1_walk: bool,
}

const ISS_ISV: u64 = 1 << 24;
const ISS_SSE: u64 = 1 << 21;
const ISS_SF: u64 = 1 << 15;
const ISS_FNV: u64 = 1 << 10;
const ISS_CM: u64 = 1 << 8;
pub(super) const ISS_S1PTW: u64 = 1 << 7;
pub(super) const ISS_WNR: u64 = 1 << 6;
/// ESR_ELx.IL: the trapped instruction is 32 bits long.
const ESR_IL: u64 = 1 << 25;

/// `ESR_EL2` of `hvc #0` from AArch64, bits 31:0: class 0x16, an instruction of
/// 32 bits. The bits above are RES0 for this class.
pub const HVC_0: u64 = 0x16 << 26 | ESR_IL;

/// Length of the trapped instruction in bytes, for advancing the PC: 4, or 2
/// for a T32 instruction of an AArch32 EL0.
#[inline]
#[must_use]
pub const fn instruction_length(esr: u64) -> u64 {
    if esr & ESR_IL != 0 { 4 } else { 2 }
}

/// Decodes a synchronous exception (or SError) from a lower exception level.
///
/// `far` and `hpfar` matter for aborts only; pass anything otherwise.
#[inline]
#[must_use]
pub const fn decode(esr: u64, far: u64, hpfar: u64) -> Exit {
    let ec = class(esr);
    match ec {
        0x16 => Exit::Hvc { imm: esr as u16 },
        0x24 => Exit::DataAbort(data_abort(esr, far, hpfar)),
        0x18 => Exit::SysReg(sysreg(esr)),
        0x20 => Exit::InstructionAbort(instruction_abort(esr, far, hpfar)),
        0x17 => Exit::Smc { imm: esr as u16 },
        0x01 => wfx(esr),
        _ => rare(ec, esr),
    }
}

/// Whether EL2's own load or store ended with a synchronous external abort that
/// was not one of a table walk: what a device or the bus answers with an error.
#[must_use]
pub const fn is_own_external_abort(esr: u64) -> bool {
    class(esr) == 0x25 && esr & 0x3f == 0x10
}

/// Exception class, ESR_ELx.EC.
#[inline]
pub(super) const fn class(esr: u64) -> u8 {
    ((esr >> 26) & 0x3f) as u8
}

#[cold]
const fn rare(ec: u8, esr: u64) -> Exit {
    match ec {
        0x00 => Exit::Undefined(Missing::Unknown),
        0x03..=0x06 | 0x08 | 0x0c => Exit::Aarch32Cp { ec },
        0x07 | 0x28 | 0x2c => Exit::Undefined(Missing::Fp),
        0x09 => Exit::Undefined(Missing::PointerAuth),
        0x0a => Exit::Undefined(Missing::Ls64),
        0x0d | 0x1c | 0x2d => Exit::ControlFlow { ec },
        0x0e => Exit::IllegalState,
        0x11..=0x13 | 0x15 => Exit::Undefined(Missing::Aarch32Call),
        0x19 => Exit::Undefined(Missing::Sve),
        0x1a => Exit::Undefined(Missing::Eret),
        0x1b => Exit::Undefined(Missing::Tme),
        0x1d => Exit::Undefined(Missing::Sme),
        0x22 | 0x26 => Exit::Alignment,
        0x27 => Exit::Undefined(Missing::Mops),
        0x2f => Exit::SError {
            iss: (esr & 0x1ff_ffff) as u32,
        },
        0x30..=0x35 | 0x38 | 0x3a | 0x3c => Exit::Debug { ec },
        _ => Exit::Other { ec },
    }
}

#[inline]
const fn wfx(esr: u64) -> Exit {
    let kind = match esr & 3 {
        0 => WfxKind::Wfi,
        1 => WfxKind::Wfe,
        2 => WfxKind::Wfit,
        _ => WfxKind::Wfet,
    };
    // RV (bit 2) tells whether RN holds the time-out register (FEAT_WFxT).
    let timeout_reg = if esr & 0b110 == 0b110 {
        Some(((esr >> 5) & 0x1f) as u8)
    } else {
        None
    };
    Exit::Wfx { kind, timeout_reg }
}

#[inline]
pub(super) const fn sysreg(esr: u64) -> SysRegAccess {
    SysRegAccess {
        reg: SysReg::from_iss(esr as u32),
        rt: ((esr >> 5) & 0x1f) as u8,
        write: esr & 1 == 0,
    }
}

#[inline]
const fn data_abort(esr: u64, far: u64, hpfar: u64) -> DataAbort {
    let fault = fault(esr);
    let access = if esr & ISS_ISV != 0 {
        Some(Access {
            size: 1 << ((esr >> 22) & 3),
            reg: ((esr >> 16) & 0x1f) as u8,
            sign_extend: esr & ISS_SSE != 0,
            sixty_four: esr & ISS_SF != 0,
        })
    } else {
        None
    };
    DataAbort {
        fault,
        ipa: ipa(esr, far, hpfar, fault),
        va: va(esr, far),
        write: esr & ISS_WNR != 0,
        access,
        stage1_walk: esr & ISS_S1PTW != 0,
        cache_maintenance: esr & ISS_CM != 0,
    }
}

#[inline]
const fn instruction_abort(esr: u64, far: u64, hpfar: u64) -> InstructionAbort {
    let fault = fault(esr);
    InstructionAbort {
        fault,
        ipa: ipa(esr, far, hpfar, fault),
        va: va(esr, far),
        stage1_walk: esr & ISS_S1PTW != 0,
    }
}

#[inline]
const fn va(esr: u64, far: u64) -> Option<u64> {
    // FnV has a meaning for synchronous external aborts only.
    if esr & 0x3f == 0x10 && esr & ISS_FNV != 0 {
        None
    } else {
        Some(far)
    }
}

/// HPFAR_EL2 is valid for stage 2 translation, access flag and address size
/// faults and for any stage 2 fault on a stage 1 table walk; UNKNOWN for a
/// permission fault of the access itself and for external aborts.
#[inline]
const fn ipa(esr: u64, far: u64, hpfar: u64, fault: Fault) -> Option<u64> {
    let walk = esr & ISS_S1PTW != 0;
    let valid = match fault {
        Fault::Translation | Fault::AccessFlag | Fault::AddressSize => true,
        Fault::Permission => walk,
        _ => false,
    };
    if !valid {
        return None;
    }
    // FIPA, bits [43:4], is IPA[51:12]. On a table walk FAR is the address
    // being translated, so its offset says nothing about the descriptor.
    let page = (hpfar & 0x0fff_ffff_fff0) << 8;
    let offset = if walk { 0 } else { far & 0xfff };
    Some(page | offset)
}

#[inline]
pub(super) const fn fault(esr: u64) -> Fault {
    match (esr & 0x3f) as u8 {
        0x04..=0x07 | 0x2b => Fault::Translation,
        0x0c..=0x0f => Fault::Permission,
        0x08..=0x0b => Fault::AccessFlag,
        0x00..=0x03 | 0x29 => Fault::AddressSize,
        0x10 | 0x13..=0x17 => Fault::External,
        0x18 | 0x1b..=0x1f => Fault::Parity,
        0x11 => Fault::TagCheck,
        0x21 => Fault::Alignment,
        0x23..=0x28 => Fault::GranuleProtection,
        0x30 => Fault::TlbConflict,
        0x31 | 0x35 => Fault::UnsupportedAtomic,
        other => Fault::Other(other),
    }
}

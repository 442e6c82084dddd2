//! Syndromes in words, for reports.

use super::esr::{Fault, ISS_S1PTW, ISS_WNR, class, fault, sysreg};
use core::fmt;

/// The syndrome in words, for a report.
#[must_use]
pub const fn describe(esr: u64) -> Description {
    Description(esr)
}

/// Displays a syndrome register in words; made by [`describe`].
#[derive(Clone, Copy)]
pub struct Description(u64);

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ec = class(self.0);
        f.write_str(class_name(ec))?;
        match ec {
            0x12 | 0x13 | 0x15..=0x17 => write!(f, " #{}", self.0 as u16)?,
            0x18 => {
                let a = sysreg(self.0);
                write!(f, " {} {}", if a.write { "msr" } else { "mrs" }, a.reg)?;
            }
            0x20 | 0x21 | 0x24 | 0x25 => write_abort(f, self.0, ec)?,
            _ => {}
        }
        write!(f, " (ESR {:#x}, EC {ec:#x})", self.0)
    }
}

fn write_abort(f: &mut fmt::Formatter<'_>, esr: u64, ec: u8) -> fmt::Result {
    if ec & 0x4 != 0 {
        f.write_str(if esr & ISS_WNR != 0 {
            ", write"
        } else {
            ", read"
        })?;
    }
    match fault(esr) {
        Fault::Other(code) => write!(f, ", status {code:#x}")?,
        known => write!(f, ", {}", known.name())?,
    }
    if esr & 0x3f < 0x10 {
        write!(f, " at level {}", esr & 3)?;
    }
    if esr & ISS_S1PTW != 0 {
        f.write_str(", on a stage 1 table walk")?;
    }
    Ok(())
}

impl Fault {
    /// The reason in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Translation => "translation fault",
            Self::Permission => "permission fault",
            Self::AccessFlag => "access flag fault",
            Self::AddressSize => "address size fault",
            Self::External => "external abort",
            Self::Parity => "parity or ECC error",
            Self::Alignment => "alignment fault",
            Self::TagCheck => "tag check fault",
            Self::GranuleProtection => "granule protection fault",
            Self::TlbConflict => "TLB conflict",
            Self::UnsupportedAtomic => "unsupported atomic access",
            Self::Other(_) => "unknown fault",
        }
    }
}

/// Name of an exception class, DDI 0487 table D24-"ESR_ELx.EC".
const fn class_name(ec: u8) -> &'static str {
    match ec {
        0x00 => "undefined instruction",
        0x01 => "WFI or WFE",
        0x03..=0x06 | 0x08 | 0x0c => "AArch32 coprocessor access",
        0x07 => "floating point or SIMD access",
        0x09 => "pointer authentication instruction",
        0x0a => "LD64B or ST64B",
        0x0d => "branch target exception",
        0x0e => "illegal execution state",
        0x11 => "AArch32 SVC",
        0x12 => "AArch32 HVC",
        0x13 => "AArch32 SMC",
        0x15 => "SVC",
        0x16 => "HVC",
        0x17 => "SMC",
        0x18 => "system register access",
        0x19 => "SVE access",
        0x1a => "ERET",
        0x1b => "TSTART",
        0x1c => "pointer authentication failure",
        0x1d => "SME access",
        0x20 => "instruction abort from a guest",
        0x21 => "instruction abort at EL2",
        0x22 => "misaligned PC",
        0x24 => "data abort from a guest",
        0x25 => "data abort at EL2",
        0x26 => "misaligned SP",
        0x27 => "memory copy or set exception",
        0x28 | 0x2c => "floating point exception",
        0x2d => "guarded control stack exception",
        0x2f => "SError",
        0x30 | 0x31 => "hardware breakpoint",
        0x32 | 0x33 => "software step",
        0x34 | 0x35 => "watchpoint",
        0x38 => "AArch32 BKPT",
        0x3a => "AArch32 vector catch",
        0x3c => "BRK",
        _ => "unknown exception class",
    }
}

//! Trapped system registers and what a guest reads from them.
//!
//! Everything is decided here by register number; the only state is the
//! guest's [`Features`]. What a guest may not have behaves exactly as on a
//! CPU without it: accesses are UNDEFINED (DDI 0487 D24.1).

use super::features::Features;
use core::fmt;

/// A system register or instruction, keyed as ESR_EL2.ISS encodes it:
/// Op0 \[21:20\], Op2 \[19:17\], Op1 \[16:14\], CRn \[13:10\], CRm \[4:1\].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SysReg(u32);

/// The ISS bits that name the register; the rest is Rt and the direction.
const NAME_BITS: u32 = 0x003f_fc1e;

impl SysReg {
    /// The register `S<op0>_<op1>_C<crn>_C<crm>_<op2>`; surplus bits are cut.
    #[must_use]
    pub const fn new(op0: u8, op1: u8, crn: u8, crm: u8, op2: u8) -> Self {
        Self(
            (op0 as u32 & 3) << 20
                | (op2 as u32 & 7) << 17
                | (op1 as u32 & 7) << 14
                | (crn as u32 & 15) << 10
                | (crm as u32 & 15) << 1,
        )
    }

    /// The register named by the ISS of an EC 0x18 exception.
    #[inline]
    #[must_use]
    pub const fn from_iss(iss: u32) -> Self {
        Self(iss & NAME_BITS)
    }

    /// Op0, 0–3.
    #[must_use]
    pub const fn op0(self) -> u8 {
        ((self.0 >> 20) & 3) as u8
    }

    /// Op1, 0–7.
    #[must_use]
    pub const fn op1(self) -> u8 {
        ((self.0 >> 14) & 7) as u8
    }

    /// CRn, 0–15.
    #[must_use]
    pub const fn crn(self) -> u8 {
        ((self.0 >> 10) & 15) as u8
    }

    /// CRm, 0–15.
    #[must_use]
    pub const fn crm(self) -> u8 {
        ((self.0 >> 1) & 15) as u8
    }

    /// Op2, 0–7.
    #[must_use]
    pub const fn op2(self) -> u8 {
        ((self.0 >> 17) & 7) as u8
    }
}

impl fmt::Display for SysReg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "S{}_{}_C{}_C{}_{}",
            self.op0(),
            self.op1(),
            self.crn(),
            self.crm(),
            self.op2()
        )
    }
}

impl fmt::Debug for SysReg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// ICC_SGI1R_EL1: group 1 software interrupts.
pub const ICC_SGI1R_EL1: SysReg = SysReg::new(3, 0, 12, 11, 5);
/// ICC_ASGI1R_EL1: group 1 of the other security state.
pub const ICC_ASGI1R_EL1: SysReg = SysReg::new(3, 0, 12, 11, 6);
/// ICC_SGI0R_EL1: group 0 software interrupts.
pub const ICC_SGI0R_EL1: SysReg = SysReg::new(3, 0, 12, 11, 7);
/// ICC_SRE_EL1: system register interface enable.
pub const ICC_SRE_EL1: SysReg = SysReg::new(3, 0, 12, 12, 5);
/// ACTLR_EL1: auxiliary control.
pub const ACTLR_EL1: SysReg = SysReg::new(3, 0, 1, 0, 1);
/// OSLAR_EL1: OS lock access.
pub const OSLAR_EL1: SysReg = SysReg::new(2, 0, 1, 0, 4);
/// OSLSR_EL1: OS lock status.
pub const OSLSR_EL1: SysReg = SysReg::new(2, 0, 1, 1, 4);
/// OSDLR_EL1: OS double lock.
pub const OSDLR_EL1: SysReg = SysReg::new(2, 0, 1, 3, 4);
/// DBGPRCR_EL1: debug power control.
pub const DBGPRCR_EL1: SysReg = SysReg::new(2, 0, 1, 4, 4);
/// MDRAR_EL1: debug ROM address.
pub const MDRAR_EL1: SysReg = SysReg::new(2, 0, 1, 0, 0);
/// DBGAUTHSTATUS_EL1: debug authentication status.
pub const DBGAUTHSTATUS_EL1: SysReg = SysReg::new(2, 0, 7, 14, 6);
/// Which software-interrupt register a guest wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SgiGroup {
    /// ICC_SGI1R_EL1.
    Group1,
    /// ICC_ASGI1R_EL1; a guest with one security state has no such group.
    Group1Other,
    /// ICC_SGI0R_EL1.
    Group0,
}

/// What to do about a trapped access. Advance the guest's PC by 4 for all
/// but [`Action::InjectUndef`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A read: put this into the register.
    Value(u64),
    /// A write without effect.
    Ignored,
    /// The register does not exist for this guest.
    InjectUndef,
    /// A write to a software-interrupt register, for the virtual GIC.
    Sgi {
        /// Register written.
        group: SgiGroup,
        /// Value written, laid out as ICC_SGI1R_EL1.
        value: u64,
    },
}

/// Answers a trapped MSR of `value` (`Some`) or MRS (`None`).
#[inline]
#[must_use]
pub fn handle(reg: SysReg, write: Option<u64>, features: &Features) -> Action {
    match write {
        // The one register that traps in the middle of a guest's work.
        Some(value) if reg == ICC_SGI1R_EL1 && features.gicv3() => Action::Sgi {
            group: SgiGroup::Group1,
            value,
        },
        _ => slow(reg, write, features),
    }
}

fn slow(reg: SysReg, write: Option<u64>, features: &Features) -> Action {
    match (reg.op0(), reg.op1(), reg.crn()) {
        (3, 0, 0) => id_group(reg, write, features),
        (3, 0, 12) => gic(reg, write, features),
        (2, _, _) => debug(reg, write),
        _ if reg == ACTLR_EL1 => raz_wi(write),
        // Everything else that traps is hidden by the feature registers: PMU,
        // AMU, statistical profiling, trace, branch records, SVE and SME
        // controls, LORegions, RAS error records, MPAM, and IMPLEMENTATION
        // DEFINED space (HCR_EL2.TIDCP).
        _ => Action::InjectUndef,
    }
}

const fn raz_wi(write: Option<u64>) -> Action {
    read_only(write, 0)
}

const fn read_only(write: Option<u64>, value: u64) -> Action {
    match write {
        None => Action::Value(value),
        Some(_) => Action::Ignored,
    }
}

/// ID space, CRn 0: writes are UNDEFINED; unallocated encodings of CRm 1–7
/// read as zero (DDI 0487 D24.1, "reserved for ID registers").
fn id_group(reg: SysReg, write: Option<u64>, features: &Features) -> Action {
    if write.is_some() {
        return Action::InjectUndef;
    }
    match features.id(reg) {
        Some(value) => Action::Value(value),
        None => Action::InjectUndef,
    }
}

fn gic(reg: SysReg, write: Option<u64>, features: &Features) -> Action {
    if !features.gicv3() {
        return Action::InjectUndef;
    }
    match (reg, write) {
        (ICC_SGI1R_EL1, Some(value)) => Action::Sgi {
            group: SgiGroup::Group1,
            value,
        },
        (ICC_ASGI1R_EL1, Some(value)) => Action::Sgi {
            group: SgiGroup::Group1Other,
            value,
        },
        (ICC_SGI0R_EL1, Some(value)) => Action::Sgi {
            group: SgiGroup::Group0,
            value,
        },
        // SRE, DFB and DIB read as one and ignore writes: the memory-mapped
        // CPU interface does not exist for this guest.
        (ICC_SRE_EL1, _) => read_only(write, 7),
        _ => Action::InjectUndef,
    }
}

/// Debug space, op0 2. With the configuration of [`super::config`] only the
/// OS lock group and the ROM address trap; the rest answers in case more does.
fn debug(reg: SysReg, write: Option<u64>) -> Action {
    match reg {
        OSLAR_EL1 => match write {
            Some(_) => Action::Ignored,
            None => Action::InjectUndef,
        },
        // OSLM = 0b10 (lock implemented), OSLK = 0: the lock is open and a
        // guest that locks it finds no one locked out.
        OSLSR_EL1 => match write {
            Some(_) => Action::InjectUndef,
            None => Action::Value(0b1000),
        },
        OSDLR_EL1 | DBGPRCR_EL1 => raz_wi(write),
        MDRAR_EL1 | DBGAUTHSTATUS_EL1 => match write {
            Some(_) => Action::InjectUndef,
            None => Action::Value(0),
        },
        // Self-hosted debug: MDCCINT, MDSCR, OSDTR*, OSECCR, breakpoints,
        // watchpoints, claim tags; and the EL0 communication channel.
        _ if reg.op1() == 0 || reg.op1() == 3 => raz_wi(write),
        // op1 1: trace and branch records. Not offered.
        _ => Action::InjectUndef,
    }
}

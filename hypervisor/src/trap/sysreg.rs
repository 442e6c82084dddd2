//! Trapped system registers and what a guest reads from them.
//!
//! Everything is decided here by register number; the only state is the
//! guest's [`Features`]. What a guest may not have behaves exactly as on a
//! CPU without it: accesses are UNDEFINED (DDI 0487 D24.1).

use super::features::Features;
pub use super::register::*;

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

//! Names of system registers.

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

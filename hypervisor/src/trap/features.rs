//! The CPU features a guest sees: host ID registers, sanitised field by field.
//!
//! The rule is an allow list. A field nobody decided about reads as zero,
//! which the ID scheme (DDI 0487 D24.1.3) defines as "not implemented" for
//! unsigned fields; the few signed ones are listed with their own "none".

use super::features_table::{Field, TABLE};
use super::register::SysReg;

/// Number of register slots: CRm 1–7, op2 0–7.
const SLOTS: usize = 56;

/// Where a register of the group lives: (CRm - 1) * 8 + op2.
const fn slot(crm: u8, op2: u8) -> usize {
    (crm as usize)
        .saturating_sub(1)
        .saturating_mul(8)
        .saturating_add(op2 as usize)
}

/// Properties of a VM that ID registers must agree with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The guest has a GICv3 system register interface (else GICv2).
    pub gicv3: bool,
    /// Bits of intermediate physical address the VM's stage 2 accepts, 32–52.
    pub ipa_bits: u8,
}

/// A guest's ID registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    ids: [u64; SLOTS],
    gicv3: bool,
}

impl Features {
    /// Builds the guest's view. `host` reads `S3_0_C0_C<crm>_<op2>` of the
    /// CPU; it is asked only for the registers of [`host_registers`].
    #[must_use]
    pub fn new(offer: Offer, host: impl Fn(SysReg) -> u64) -> Self {
        let mut ids = [0; SLOTS];
        let pfr0 = host(ID_AA64PFR0_EL1);
        let aarch32 = pfr0 & 0xf == 2;
        for row in TABLE {
            // Without AArch32 at EL0 its ID registers are UNKNOWN.
            if row.crm < 4 && !aarch32 {
                continue;
            }
            let value = host(SysReg::new(3, 0, 0, row.crm, row.op2));
            if let Some(id) = ids.get_mut(slot(row.crm, row.op2)) {
                *id = sanitise(value, row.fields);
            }
        }
        let mut features = Self {
            ids,
            gicv3: offer.gicv3,
        };
        features.fit(offer);
        features
    }

    /// What both CPUs of a VM can do, field by field: boards mix core types,
    /// and a guest sees one set of features on all its vCPUs.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let mut ids = self.ids;
        for ((id, theirs), at) in ids.iter_mut().zip(&other.ids).zip(0..) {
            *id = lesser(*id, *theirs, signed_fields(at));
        }
        Self {
            ids,
            gicv3: self.gicv3 && other.gicv3,
        }
    }

    /// Fields that depend on the VM rather than on the CPU.
    fn fit(&mut self, offer: Offer) {
        if !offer.gicv3 {
            self.limit(ID_AA64PFR0_EL1, 24, 0);
            self.limit(ID_PFR1_EL1, 28, 0);
        }
        self.limit(ID_AA64MMFR0_EL1, 0, pa_range(offer.ipa_bits));
    }

    fn limit(&mut self, reg: SysReg, shift: u8, most: u64) {
        if let Some(id) = self.ids.get_mut(slot(reg.crm(), reg.op2())) {
            let value = (*id >> shift) & 0xf;
            *id = *id & !(0xf << shift) | value.min(most) << shift;
        }
    }

    /// The guest's value of an ID register in `S3_0_C0_C1_0`–`S3_0_C0_C7_7`;
    /// `None` outside that range.
    #[inline]
    #[must_use]
    pub fn id(&self, reg: SysReg) -> Option<u64> {
        let in_group = reg.op0() == 3 && reg.op1() == 0 && reg.crn() == 0;
        if !in_group || !(1..=7).contains(&reg.crm()) {
            return None;
        }
        self.ids.get(slot(reg.crm(), reg.op2())).copied()
    }

    /// The CPU says branch predictors are safe from other contexts
    /// (ID_AA64PFR0_EL1.CSV2), for [`crate::psci::Mitigations`].
    #[must_use]
    pub fn csv2(&self) -> bool {
        self.id(ID_AA64PFR0_EL1)
            .is_some_and(|id| id >> 56 & 0xf != 0)
    }

    /// AArch32 code can run at EL0.
    #[must_use]
    pub fn aarch32_el0(&self) -> bool {
        self.id(ID_AA64PFR0_EL1).is_some_and(|id| id & 0xf == 2)
    }

    /// The guest has GICv3's CPU interface in system registers.
    #[inline]
    #[must_use]
    pub const fn gicv3(&self) -> bool {
        self.gicv3
    }
}

/// The fields of the register in this slot in which 15 means "none" and is
/// less than 0; a bit each.
const fn signed_fields(at: usize) -> u16 {
    const PFR0: usize = slot(4, 0);
    const DFR0: usize = slot(5, 0);
    const MMFR0: usize = slot(7, 0);
    match at {
        // FP and AdvSIMD.
        PFR0 => 1 << 4 | 1 << 5,
        // DoubleLock.
        DFR0 => 1 << 9,
        // TGran64 and TGran4.
        MMFR0 => 1 << 6 | 1 << 7,
        _ => 0,
    }
}

/// The lesser value of every 4-bit field.
fn lesser(a: u64, b: u64, signed: u16) -> u64 {
    (0..16_u32).fold(0, |id, field| {
        let shift = field.saturating_mul(4);
        let flip = if signed >> field & 1 != 0 { 8 } else { 0 };
        // Flipping the top bit orders signed values as unsigned ones.
        let value = |id: u64| (id >> shift & 0xf) ^ flip;
        id | (value(a).min(value(b)) ^ flip) << shift
    })
}

/// ID_AA64MMFR0_EL1.PARange for an address size in bits.
const fn pa_range(bits: u8) -> u64 {
    match bits {
        0..=35 => 0,
        36..=39 => 1,
        40..=41 => 2,
        42..=43 => 3,
        44..=47 => 4,
        48..=51 => 5,
        _ => 6,
    }
}

fn sanitise(host: u64, fields: &[Field]) -> u64 {
    fields.iter().fold(0, |guest, field| {
        let (shift, value) = match *field {
            Field::Pass(shift) => (shift, host >> shift & 0xf),
            Field::AtMost(shift, most) => (shift, (host >> shift & 0xf).min(u64::from(most))),
            Field::Fixed(shift, value) => (shift, u64::from(value)),
        };
        guest | value << shift
    })
}

/// The host registers [`Features::new`] asks for, in table order.
pub fn host_registers() -> impl Iterator<Item = SysReg> {
    TABLE
        .iter()
        .map(|row| SysReg::new(3, 0, 0, row.crm, row.op2))
}

/// ID_AA64PFR0_EL1.
pub const ID_AA64PFR0_EL1: SysReg = SysReg::new(3, 0, 0, 4, 0);
/// ID_PFR1_EL1.
pub const ID_PFR1_EL1: SysReg = SysReg::new(3, 0, 0, 1, 1);
/// ID_AA64MMFR0_EL1.
pub const ID_AA64MMFR0_EL1: SysReg = SysReg::new(3, 0, 0, 7, 0);

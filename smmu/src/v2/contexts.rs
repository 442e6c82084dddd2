//! Contexts of this family: a bank, its VMID and the tables it walks.

use super::features::Features;
use super::spec::{Page, bank, gr1};
use super::window::Window;
use crate::error::Error;
use crate::outside::Registers;
use crate::power::Powered;
use crate::types::{ContextId, Stage2, Vmid};
use alloc::vec::Vec;
use pgtable::encode_size;

#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    pub vmid: Vmid,
    pub tables: Stage2,
    /// The bank's registers hold this and it translates.
    pub programmed: bool,
}

/// The banks; a bank's number is its [`ContextId`].
pub(super) struct Contexts {
    slots: Vec<Option<Context>>,
    /// VMIDs that may be given out.
    vmids: core::ops::RangeInclusive<u16>,
}

impl Contexts {
    /// `first` is the first VMID; `unique`: only as many as there are banks.
    pub fn new(banks: u16, features: &Features, first: u16, unique: bool) -> Self {
        let most = if features.vmid16 { u16::MAX } else { 0xff };
        let first = first.max(1);
        let last = if unique {
            first.saturating_add(banks).saturating_sub(1).min(most)
        } else {
            most
        };
        Self {
            slots: (0..banks).map(|_| None).collect(),
            vmids: first..=last,
        }
    }

    /// The last VMID that may be given out.
    pub fn last_vmid(&self) -> u16 {
        *self.vmids.end()
    }

    pub fn open(
        &mut self,
        tables: &Stage2,
        wanted: Option<Vmid>,
    ) -> Result<(ContextId, Vmid), Error> {
        let free = self.slots.iter().position(Option::is_none);
        let index = free.ok_or(Error::NoContext)?;
        let vmid = match wanted {
            Some(vmid) if !self.vmids.contains(&vmid.0) || self.used(vmid) => {
                return Err(Error::VmidBusy(vmid));
            }
            Some(vmid) => vmid,
            None => {
                let mut all = self.vmids.clone().map(Vmid);
                all.find(|v| !self.used(*v)).ok_or(Error::NoContext)?
            }
        };
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Some(Context {
                vmid,
                tables: *tables,
                programmed: false,
            });
        }
        Ok((ContextId(index as u16), vmid))
    }

    pub fn close(&mut self, context: ContextId) {
        if let Some(slot) = self.slots.get_mut(usize::from(context.0)) {
            *slot = None;
        }
    }

    pub fn get(&self, context: ContextId) -> Result<Context, Error> {
        let slot = self.slots.get(usize::from(context.0));
        slot.copied()
            .flatten()
            .ok_or(Error::DomainUnknown(context.0.into()))
    }

    /// Each open context.
    pub fn open_ones(&mut self) -> impl Iterator<Item = (u16, &mut Context)> {
        let slots = (0u16..).zip(self.slots.iter_mut());
        slots.filter_map(|(number, slot)| Some((number, slot.as_mut()?)))
    }

    fn used(&self, vmid: Vmid) -> bool {
        self.slots.iter().flatten().any(|c| c.vmid == vmid)
    }

    /// Makes the bank translate by its context, if it does not already.
    pub fn program<R: Registers>(
        &mut self,
        power: &Powered,
        window: &Window<R>,
        features: &Features,
        interrupts: u8,
        context: ContextId,
    ) -> Result<(), Error> {
        let unknown = Error::DomainUnknown(context.0.into());
        let slot = self.slots.get_mut(usize::from(context.0));
        let slot = slot.and_then(Option::as_mut).ok_or(unknown)?;
        if slot.programmed {
            return Ok(());
        }
        let (number, page) = (context.0, Page::Bank(context.0));
        window.write(power, page, bank::SCTLR, 0);
        if features.v2 {
            // The width of the other registers depends on it: first.
            window.write(power, Page::Gr1, gr1::cba2r(number), cba2r(features, slot));
        }
        let value = cbar(features, interrupts, number, slot);
        window.write(power, Page::Gr1, gr1::cbar(number), value);
        // The format before the base. TCR2 is of stage 1 alone.
        window.write(power, page, bank::TCR, tcr(features, &slot.tables));
        window.write64(power, page, bank::TTBR0, slot.tables.root.0);
        window.write(power, page, bank::SCTLR, SCTLR);
        slot.programmed = true;
        Ok(())
    }
}

/// A fault terminates and interrupts; transactions without one go on. A clear
/// access flag keeps CPUs out, not devices.
const SCTLR: u32 = bank::M | bank::TRE_AFE | bank::AFFD | bank::CFRE | bank::CFIE | bank::HUPCF;

fn cba2r(features: &Features, context: &Context) -> u32 {
    let format = if features.wide { gr1::CBA2R_VA64 } else { 0 };
    let vmid = if features.vmid16 {
        u32::from(context.vmid.0) << 16
    } else {
        0
    };
    format | vmid
}

fn cbar(features: &Features, interrupts: u8, number: u16, context: &Context) -> u32 {
    let vmid = if features.vmid16 {
        0
    } else {
        u32::from(context.vmid.0)
    };
    let interrupt = if features.v2 {
        // A wire for each bank.
        0
    } else {
        u32::from(number.checked_rem(interrupts.into()).unwrap_or(0)) << 24
    };
    gr1::CBAR_STAGE2 | vmid | interrupt
}

/// TCR of a stage-2 bank (IHI 0062, 16.5.47): VTCR_EL2's layout, or the long
/// descriptor VTCR's where tables are AArch32's.
pub(super) fn tcr(features: &Features, tables: &Stage2) -> u32 {
    let size = 64u32.wrapping_sub(tables.ipa_bits.into());
    let (deepest, granule) = match tables.granule_shift {
        14 => (3u32, 2u32),
        16 => (3, 1),
        _ => (2, 0),
    };
    let start = deepest.saturating_sub(tables.start_level.into()) << 6;
    let (share, cache) = if tables.coherent {
        (0b11 << 12, 0b0101 << 8)
    } else {
        (0b10 << 12, 0)
    };
    if features.wide {
        let out = encode_size(tables.pa_bits.min(features.pa_bits)) << 16;
        size & 0x3f | start | cache | share | granule << 14 | out | 1 << 31
    } else {
        // T0SZ has four bits and a sign.
        size & 0x1f | start | cache | share | 1 << 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v2::features::IdRegisters;
    use crate::v2::{Implementation, spec::bits};
    use pgtable::Pa;

    fn features(model: Implementation) -> Features {
        let id = IdRegisters {
            id: [0xfc01_3e30, 0x3000_0f10, 0x0000_f544],
            id7: 0x21,
        };
        Features::decode(id, &model.quirks(), None).unwrap()
    }

    fn tables() -> Stage2 {
        Stage2 {
            root: Pa(0x4000_0000),
            ipa_bits: 40,
            pa_bits: 44,
            granule_shift: 12,
            start_level: 1,
            coherent: true,
            fwb: false,
        }
    }

    /// By hand from IHI 0062, 16.5.47: T0SZ 24, SL0 1, write-back twice,
    /// inner shareable, 4 KiB, 44 bits.
    #[test]
    fn tcr_of_wide_tables() {
        let f = features(Implementation::Mmu500);
        assert_eq!(tcr(&f, &tables()), 0x8004_3558);
        let private = Stage2 {
            coherent: false,
            granule_shift: 16,
            start_level: 2,
            ..tables()
        };
        assert_eq!(tcr(&f, &private), 0x8004_6058);
    }

    /// T0SZ -8: S and 0b1000.
    #[test]
    fn tcr_of_narrow_tables() {
        let f = features(Implementation::Mmu400);
        assert_eq!(tcr(&f, &tables()), 0x8000_3558);
        let small = Stage2 {
            ipa_bits: 32,
            ..tables()
        };
        assert_eq!(bits(tcr(&f, &small), 5, 0), 0);
    }

    #[test]
    fn vmids_are_shared_out_and_unique_where_they_must_be() {
        let f = features(Implementation::Cavium);
        let mut contexts = Contexts::new(2, &f, 17, true);
        assert_eq!(contexts.last_vmid(), 18);
        let (first, vmid) = contexts.open(&tables(), None).unwrap();
        assert_eq!((first, vmid), (ContextId(0), Vmid(17)));
        let refused = contexts.open(&tables(), Some(Vmid(1)));
        assert_eq!(refused, Err(Error::VmidBusy(Vmid(1))));
        contexts.open(&tables(), Some(Vmid(18))).unwrap();
        assert_eq!(contexts.open(&tables(), None), Err(Error::NoContext));
        contexts.close(first);
        assert!(contexts.open(&tables(), None).is_ok());
    }

    #[test]
    fn sixteen_bit_vmids_have_their_own_field() {
        let context = Context {
            vmid: Vmid(0x1234),
            tables: tables(),
            programmed: false,
        };
        let f = features(Implementation::Mmu500);
        assert_eq!(cba2r(&f, &context), 0x1234_0001);
        assert_eq!(cbar(&f, 1, 3, &context), 0);
        let context = Context {
            vmid: Vmid(0x34),
            ..context
        };
        let v1 = features(Implementation::Mmu400);
        // Bank 3 of two interrupts: the second.
        assert_eq!(cbar(&v1, 2, 3, &context), 0x0100_0034);
    }
}

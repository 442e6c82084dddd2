//! Arm MMU-500 (TRM, DDI 0517; Software Developer Errata Notice, errata
//! 841119, 826419 and others: the prefetcher of a context bank must be off).

use super::{Prefetch, Quirks, generic};
use crate::error::Error;
use crate::outside::Registers;
use crate::power::Powered;
use crate::v2::spec::{Page, bank, bits, gr0};
use crate::v2::window::Window;

pub(super) const QUIRKS: Quirks = Quirks {
    cache_lock: true,
    tlb_enables: true,
    prefetch: Prefetch::MustBeOff,
    ..generic::V2
};

/// sACR.CACHE_LOCK: writes to ACTLR are ignored. From r2p0 on.
pub(in crate::v2) const CACHE_LOCK: u32 = 1 << 26;
/// sACR.S2CRB_TLBEN: the TLB holds entries of bypassing streams.
pub(in crate::v2) const S2CRB_TLBEN: u32 = 1 << 10;
/// sACR.SMTNMB_TLBEN: the TLB holds entries of unmatched streams.
pub(in crate::v2) const SMTNMB_TLBEN: u32 = 1 << 8;
/// ACTLR.CPRE: the bank prefetches.
pub(in crate::v2) const CPRE: u32 = 1 << 1;

/// Sets up what reset undid. `banks` is how many to set up.
///
/// # Errors
/// [`Error::Stuck`] with the offset of an ACTLR whose prefetcher stays on.
pub(in crate::v2) fn reset<R: Registers>(
    power: &Powered,
    window: &Window<R>,
    quirks: &Quirks,
    id7: u32,
    banks: u16,
) -> Result<(), Error> {
    if quirks.cache_lock || quirks.tlb_enables {
        let mut value = window.read(power, Page::Gr0, gr0::ACR);
        if quirks.cache_lock && bits(id7, 7, 4) >= 2 {
            value &= !CACHE_LOCK;
        }
        if quirks.tlb_enables {
            value |= S2CRB_TLBEN | SMTNMB_TLBEN;
        }
        window.write(power, Page::Gr0, gr0::ACR, value);
    }
    if quirks.prefetch == Prefetch::None {
        return Ok(());
    }
    for number in 0..banks {
        let page = Page::Bank(number);
        let value = window.read(power, page, bank::ACTLR) & !CPRE;
        window.write(power, page, bank::ACTLR, value);
        let still = window.read_any(power, page, bank::ACTLR) & CPRE != 0;
        if still && quirks.prefetch == Prefetch::MustBeOff {
            return Err(Error::Stuck(window.at(page, bank::ACTLR)));
        }
    }
    Ok(())
}

//! Qualcomm's SMMUv2 and MMU-500, behind firmware with a will of its own
//! (behaviour as reported with Linux's arm-smmu-qcom driver):
//!
//! * Zero written to TLBIALL* or TLB*SYNC may do nothing; all ones does.
//! * Some firmware ignores S2CR.TYPE = fault, and makes a fault of a bypass.
//!   There, terminating is spelled "bypass", and passing is translating by a
//!   bank that does not translate.
//! * More than 128 stream entries may be promised; those above do not work.
//! * Of some counts of context banks the last are not ours: a touch of them
//!   resets the system.

use super::{Prefetch, Quirks, generic, mmu500};
use crate::outside::Registers;
use crate::power::Powered;
use crate::v2::spec::Page;
use crate::v2::window::Window;

pub(super) const V2: Quirks = Quirks {
    entries_max: 128,
    banks: |promised| match promised {
        // LPASS of MSM8998; LPASS and A2NOC of SDM630.
        13 => 12,
        14 => 13,
        21 => 7,
        other => other,
    },
    dummy: u32::MAX,
    firmware_s2cr: true,
    tbu_status: true,
    ..generic::V2
};

pub(super) const MMU_500: Quirks = Quirks {
    entries_max: V2.entries_max,
    dummy: V2.dummy,
    firmware_s2cr: true,
    tbu_status: true,
    // Firmware decides about ACTLR on some parts.
    prefetch: Prefetch::OffIfAllowed,
    ..mmu500::QUIRKS
};

/// Which TBUs have power.
const TBU_PWR_STATUS: usize = 0x2204;
/// Which TBUs have acknowledged syncs and invalidations.
const STATS_SYNC_INV_TBU_ACK: usize = 0x25dc;

/// What the TBUs were doing when a sync did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TbuStatus {
    /// TBU_PWR_STATUS.
    pub power: u32,
    /// STATS_SYNC_INV_TBU_ACK.
    pub acknowledged: u32,
}

impl TbuStatus {
    pub(in crate::v2) fn read<R: Registers>(power: &Powered, window: &Window<R>) -> Self {
        Self {
            power: window.read(power, Page::Gr0, TBU_PWR_STATUS),
            acknowledged: window.read(power, Page::Gr0, STATS_SYNC_INV_TBU_ACK),
        }
    }
}

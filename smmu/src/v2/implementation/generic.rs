//! The architecture and nothing else (IHI 0062).

use super::{Prefetch, Quirks};

pub(super) const V2: Quirks = Quirks {
    v2: true,
    narrow: false,
    halves: false,
    entries_max: u16::MAX,
    banks: |promised| promised,
    dummy: 0,
    firmware_s2cr: false,
    unique_vmids: false,
    cache_lock: false,
    tlb_enables: false,
    prefetch: Prefetch::None,
    several: false,
    status_of_all: true,
    tbu_status: false,
};

pub(super) const V1: Quirks = Quirks { v2: false, ..V2 };

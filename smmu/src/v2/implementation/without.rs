//! Work-arounds that a test can leave out to prove that something notices.

use super::{Prefetch, Quirks, generic};

/// A work-around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkAround {
    /// MMU-500: unlock ACTLR.
    CacheLock,
    /// MMU-500: prefetchers off.
    Prefetch,
    /// MMU-500: TLB answers for bypassing streams.
    TlbEnables,
    /// Cavium: VMIDs unique over all SMMUs.
    UniqueVmids,
    /// Marvell: 64-bit accesses by halves.
    Halves,
    /// Marvell: no AArch64 tables.
    Narrow,
    /// NVIDIA: program every instance.
    Several,
    /// NVIDIA: wait for every instance.
    StatusOfAll,
    /// Qualcomm: all ones to TLBIALL and SYNC.
    Dummy,
    /// Qualcomm: firmware changes S2CR.
    FirmwareS2cr,
    /// Qualcomm: entries above 128 do not work.
    Entries,
    /// Qualcomm: banks that are not ours.
    Banks,
}

impl Quirks {
    /// All but one.
    pub fn without(self, left_out: Option<WorkAround>) -> Self {
        let mut quirks = self;
        match left_out {
            None => {}
            Some(WorkAround::CacheLock) => quirks.cache_lock = false,
            Some(WorkAround::Prefetch) => quirks.prefetch = Prefetch::None,
            Some(WorkAround::TlbEnables) => quirks.tlb_enables = false,
            Some(WorkAround::UniqueVmids) => quirks.unique_vmids = false,
            Some(WorkAround::Halves) => quirks.halves = false,
            Some(WorkAround::Narrow) => quirks.narrow = false,
            Some(WorkAround::Several) => quirks.several = false,
            Some(WorkAround::StatusOfAll) => quirks.status_of_all = false,
            Some(WorkAround::Dummy) => quirks.dummy = 0,
            Some(WorkAround::FirmwareS2cr) => quirks.firmware_s2cr = false,
            Some(WorkAround::Entries) => quirks.entries_max = u16::MAX,
            Some(WorkAround::Banks) => quirks.banks = generic::V2.banks,
        }
        quirks
    }
}

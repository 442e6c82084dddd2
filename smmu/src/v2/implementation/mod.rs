//! What differs between implementations: data for the driver to act on, one
//! small file for each maker or product.

mod cavium;
mod generic;
mod marvell;
mod mmu400;
pub(super) mod mmu500;
mod nvidia;
pub(super) mod qualcomm;

#[cfg(feature = "model")]
mod without;
#[cfg(feature = "model")]
pub use without::WorkAround;

/// Who made the SMMU, as far as that matters. The board's device tree says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Implementation {
    /// SMMUv1, nothing more known.
    GenericV1,
    /// SMMUv2, nothing more known.
    GenericV2,
    /// Arm MMU-400.
    Mmu400,
    /// Arm MMU-401.
    Mmu401,
    /// Arm MMU-500.
    Mmu500,
    /// Marvell's MMU-500 in AP806.
    MarvellAp806,
    /// NVIDIA's MMU-500, two or three alike.
    NvidiaMmu500,
    /// Cavium CN88xx.
    Cavium,
    /// Qualcomm's own SMMUv2.
    QcomV2,
    /// Qualcomm's MMU-500.
    QcomMmu500,
}

impl Implementation {
    /// As people know it.
    pub fn name(self) -> &'static str {
        match self {
            Implementation::GenericV1 => "SMMUv1",
            Implementation::GenericV2 => "SMMUv2",
            Implementation::Mmu400 => "MMU-400",
            Implementation::Mmu401 => "MMU-401",
            Implementation::Mmu500 => "MMU-500",
            Implementation::MarvellAp806 => "Marvell AP806 MMU-500",
            Implementation::NvidiaMmu500 => "NVIDIA MMU-500",
            Implementation::Cavium => "Cavium SMMUv2",
            Implementation::QcomV2 => "Qualcomm SMMUv2",
            Implementation::QcomMmu500 => "Qualcomm MMU-500",
        }
    }

    /// What must be done differently.
    pub(super) fn quirks(self) -> Quirks {
        match self {
            Implementation::GenericV1 => generic::V1,
            Implementation::GenericV2 => generic::V2,
            Implementation::Mmu400 | Implementation::Mmu401 => mmu400::QUIRKS,
            Implementation::Mmu500 => mmu500::QUIRKS,
            Implementation::MarvellAp806 => marvell::QUIRKS,
            Implementation::NvidiaMmu500 => nvidia::QUIRKS,
            Implementation::Cavium => cavium::QUIRKS,
            Implementation::QcomV2 => qualcomm::V2,
            Implementation::QcomMmu500 => qualcomm::MMU_500,
        }
    }
}

/// What to do about the context banks' prefetcher (MMU-500).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefetch {
    /// There is none.
    None,
    /// Off, or the SMMU is not used.
    MustBeOff,
    /// Off if firmware lets us.
    OffIfAllowed,
}

/// What must be done differently, as data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quirks {
    /// SMMUv2: invalidation by address, CBA2R.
    pub v2: bool,
    /// AArch64 tables and registers must not be used.
    pub narrow: bool,
    /// 64-bit registers are accessed by halves, the high one first.
    pub halves: bool,
    /// Stream entries that work.
    pub entries_max: u16,
    /// Context banks that may be touched, of those that ID1 promises.
    pub banks: fn(u16) -> u16,
    /// What to write to TLBIALL* and TLB*SYNC registers.
    pub dummy: u32,
    /// Firmware may change what is written to S2CR.
    pub firmware_s2cr: bool,
    /// VMIDs must be unique over all SMMUs.
    pub unique_vmids: bool,
    /// sACR guards ACTLR of revision 2 and later.
    pub cache_lock: bool,
    /// sACR lets the TLB answer for unmatched and bypassed streams.
    pub tlb_enables: bool,
    /// ACTLR.CPRE.
    pub prefetch: Prefetch,
    /// Several instances programmed alike.
    pub several: bool,
    /// A sync is complete when it is in every instance.
    pub status_of_all: bool,
    /// TBU status registers worth a look after a time-out.
    pub tbu_status: bool,
}

impl Quirks {
    /// Context banks that may be touched.
    pub fn banks(&self, promised: u16) -> u16 {
        (self.banks)(promised).min(BANKS_MAX)
    }
}

/// Most context banks that the architecture has.
const BANKS_MAX: u16 = 128;

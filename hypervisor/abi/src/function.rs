//! Function identifiers (SMCCC, Arm DEN0028, section 2.5: owner 6, vendor-specific hypervisor).

/// Bit 16 of a function id: the caller holds no live SVE state. Masked before decoding (Linux 5.17
/// to 6.11 sets it).
pub const SVE_HINT: u32 = 1 << 16;

/// Every function of the interface. Fast calls; the sub-range 0x100 to 0x1ff of the vendor range is
/// ours, 0 to 127 (KVM) and 0x8000 upwards (Gunyah) stay free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Function {
    /// UUID of the interface.
    CallUid = 0x8600_ff01,
    /// Revision of the interface.
    Revision = 0x8600_ff03,
    /// What is offered.
    Features = 0xc600_0100,
    /// What is known of an endpoint.
    DeviceInfo = 0xc600_0101,
    /// Makes a domain.
    DomainAlloc = 0xc600_0102,
    /// Gives a domain back.
    DomainFree = 0xc600_0103,
    /// Puts an endpoint into a domain.
    Attach = 0xc600_0104,
    /// Takes an endpoint out of a domain.
    Detach = 0xc600_0105,
    /// Maps a range.
    Map = 0xc600_0106,
    /// Unmaps a range.
    Unmap = 0xc600_0107,
    /// Maps a list of pieces at consecutive IOVAs.
    MapSg = 0xc600_0108,
    /// Completes deferred invalidations of a domain.
    Sync = 0xc600_0109,
    /// Carries out a page of operations.
    Batch = 0xc600_010a,
    /// Says whether an endpoint may issue transactions.
    PowerSet = 0xc600_010b,
    /// Reads power states.
    PowerGet = 0xc600_010c,
    /// Takes one fault event.
    EventGet = 0xc600_010d,
    /// Reads statistics of an endpoint and its SMMU.
    Stats = 0xc600_010e,
    /// Unmaps a list of ranges.
    UnmapSg = 0xc600_010f,
}

/// Every function with its name in C.
pub const FUNCTIONS: [(Function, &str); 18] = [
    (Function::CallUid, "CALL_UID"),
    (Function::Revision, "REVISION"),
    (Function::Features, "FEATURES"),
    (Function::DeviceInfo, "DEVICE_INFO"),
    (Function::DomainAlloc, "DOMAIN_ALLOC"),
    (Function::DomainFree, "DOMAIN_FREE"),
    (Function::Attach, "ATTACH"),
    (Function::Detach, "DETACH"),
    (Function::Map, "MAP"),
    (Function::Unmap, "UNMAP"),
    (Function::MapSg, "MAP_SG"),
    (Function::Sync, "SYNC"),
    (Function::Batch, "BATCH"),
    (Function::PowerSet, "POWER_SET"),
    (Function::PowerGet, "POWER_GET"),
    (Function::EventGet, "EVENT_GET"),
    (Function::Stats, "STATS"),
    (Function::UnmapSg, "UNMAP_SG"),
];

impl Function {
    /// The function id.
    #[must_use]
    pub const fn id(self) -> u32 {
        self as u32
    }

    /// The function in x0 of a call: bits 63:32 are ignored as SMCCC has it (the id is w0), the SVE
    /// hint is masked. `None` for everything that is not ours.
    #[must_use]
    #[inline]
    pub const fn from_register(x0: u64) -> Option<Self> {
        Some(match (x0 as u32) & !SVE_HINT {
            0x8600_ff01 => Self::CallUid,
            0x8600_ff03 => Self::Revision,
            0xc600_0100 => Self::Features,
            0xc600_0101 => Self::DeviceInfo,
            0xc600_0102 => Self::DomainAlloc,
            0xc600_0103 => Self::DomainFree,
            0xc600_0104 => Self::Attach,
            0xc600_0105 => Self::Detach,
            0xc600_0106 => Self::Map,
            0xc600_0107 => Self::Unmap,
            0xc600_0108 => Self::MapSg,
            0xc600_0109 => Self::Sync,
            0xc600_010a => Self::Batch,
            0xc600_010b => Self::PowerSet,
            0xc600_010c => Self::PowerGet,
            0xc600_010d => Self::EventGet,
            0xc600_010e => Self::Stats,
            0xc600_010f => Self::UnmapSg,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_decodes_with_and_without_the_sve_hint() {
        for (function, _) in FUNCTIONS {
            let id = u64::from(function.id());
            assert_eq!(Function::from_register(id), Some(function));
            assert_eq!(
                Function::from_register(id | u64::from(SVE_HINT)),
                Some(function)
            );
        }
    }

    #[test]
    fn others_are_not_ours() {
        // PSCI, KVM features, KVM's pKVM IOMMU, Gunyah, SCMI doorbell, just past the end.
        for id in [
            0x8400_0000,
            0x8600_0000,
            0xc600_003e,
            0xc600_8000,
            0xc600_0010,
            0xc600_0110,
            0x8600_0100,
        ] {
            assert_eq!(Function::from_register(id), None, "{id:#x}");
        }
    }

    #[test]
    fn ids_follow_smccc() {
        for (function, _) in FUNCTIONS {
            let id = function.id();
            assert_eq!(id >> 31, 1, "fast call");
            assert_eq!(id >> 24 & 0x3f, 6, "owner");
            assert_eq!(id >> 16 & 0xff, 0, "reserved bits");
        }
    }
}

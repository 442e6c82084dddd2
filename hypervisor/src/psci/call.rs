//! Function identifiers and arguments.

/// Function identifiers, 32-bit convention. Bit 30 selects the 64-bit form.
pub mod id {
    /// SMCCC_VERSION.
    pub const SMCCC_VERSION: u32 = 0x8000_0000;
    /// SMCCC_ARCH_FEATURES.
    pub const SMCCC_ARCH_FEATURES: u32 = 0x8000_0001;
    /// SMCCC_ARCH_WORKAROUND_1 (CVE-2017-5715).
    pub const SMCCC_ARCH_WORKAROUND_1: u32 = 0x8000_8000;
    /// SMCCC_ARCH_WORKAROUND_2 (CVE-2018-3639).
    pub const SMCCC_ARCH_WORKAROUND_2: u32 = 0x8000_7fff;
    /// SMCCC_ARCH_WORKAROUND_3 (CVE-2017-5715, CVE-2022-23960).
    pub const SMCCC_ARCH_WORKAROUND_3: u32 = 0x8000_3fff;
    /// PSCI_VERSION.
    pub const PSCI_VERSION: u32 = 0x8400_0000;
    /// CPU_SUSPEND.
    pub const CPU_SUSPEND: u32 = 0x8400_0001;
    /// CPU_OFF.
    pub const CPU_OFF: u32 = 0x8400_0002;
    /// CPU_ON.
    pub const CPU_ON: u32 = 0x8400_0003;
    /// AFFINITY_INFO.
    pub const AFFINITY_INFO: u32 = 0x8400_0004;
    /// MIGRATE_INFO_TYPE.
    pub const MIGRATE_INFO_TYPE: u32 = 0x8400_0006;
    /// SYSTEM_OFF.
    pub const SYSTEM_OFF: u32 = 0x8400_0008;
    /// SYSTEM_RESET.
    pub const SYSTEM_RESET: u32 = 0x8400_0009;
    /// PSCI_FEATURES.
    pub const PSCI_FEATURES: u32 = 0x8400_000a;
    /// SYSTEM_RESET2.
    pub const SYSTEM_RESET2: u32 = 0x8400_0012;
    /// Bit 30: 64-bit convention.
    pub const SMC64: u32 = 1 << 30;
}

/// A decoded call. Addresses are claims of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// PSCI_VERSION.
    PsciVersion,
    /// CPU_SUSPEND; entry and context matter for power-down states only.
    CpuSuspend {
        /// Power state in the original format.
        power_state: u32,
    },
    /// CPU_OFF.
    CpuOff,
    /// CPU_ON.
    CpuOn {
        /// MPIDR affinity fields of the vCPU to start.
        target: u64,
        /// Where it starts: a guest physical address.
        entry: u64,
        /// What it finds in x0.
        context: u64,
    },
    /// AFFINITY_INFO.
    AffinityInfo {
        /// MPIDR affinity fields.
        target: u64,
        /// Lowest affinity level that counts, 0–3.
        level: u64,
    },
    /// MIGRATE_INFO_TYPE.
    MigrateInfoType,
    /// SYSTEM_OFF.
    SystemOff,
    /// SYSTEM_RESET.
    SystemReset,
    /// SYSTEM_RESET2.
    SystemReset2 {
        /// 0 is a warm reset; bit 31 marks vendor types.
        kind: u32,
        /// Meaning depends on `kind`.
        cookie: u64,
    },
    /// PSCI_FEATURES.
    PsciFeatures {
        /// Function asked about.
        function: u32,
    },
    /// SMCCC_VERSION.
    SmcccVersion,
    /// SMCCC_ARCH_FEATURES.
    SmcccArchFeatures {
        /// Function asked about.
        function: u32,
    },
    /// A firmware mitigation call made although nothing offers it: a no-op.
    Workaround,
    /// A call of the Arm architecture or standard secure services that does
    /// not exist here: NOT_SUPPORTED.
    Absent,
    /// Not PSCI's business: another service of the hypervisor may know it,
    /// and if none does the answer is NOT_SUPPORTED.
    Foreign {
        /// Function identifier.
        function: u32,
    },
}

/// Decodes x0–x3 of an HVC or SMC with immediate 0.
#[inline]
#[must_use]
pub const fn decode(x0: u64, x1: u64, x2: u64, x3: u64) -> Call {
    let function = x0 as u32;
    // Bits 29:24 name the owner: 0 Arm architecture, 4 standard services.
    // A clear bit 31 marks a yielding call; none exists here.
    match (function >> 31, (function >> 24) & 0x3f) {
        (1, 0) => arch(function, x1),
        (1, 4) => standard(function, x1, x2, x3),
        _ => Call::Foreign { function },
    }
}

const fn arch(function: u32, x1: u64) -> Call {
    match function {
        id::SMCCC_VERSION => Call::SmcccVersion,
        id::SMCCC_ARCH_FEATURES => Call::SmcccArchFeatures {
            function: x1 as u32,
        },
        id::SMCCC_ARCH_WORKAROUND_1 | id::SMCCC_ARCH_WORKAROUND_2 | id::SMCCC_ARCH_WORKAROUND_3 => {
            Call::Workaround
        }
        _ => Call::Absent,
    }
}

const fn standard(function: u32, x1: u64, x2: u64, x3: u64) -> Call {
    if function & id::SMC64 != 0 {
        // Only calls that carry addresses have a 64-bit form.
        return addressed(function & !id::SMC64, x1, x2, x3);
    }
    // The 32-bit convention ignores the upper halves.
    let (w1, w2, w3) = (x1 as u32, x2 as u32, x3 as u32);
    match function {
        id::PSCI_VERSION => Call::PsciVersion,
        id::CPU_OFF => Call::CpuOff,
        id::MIGRATE_INFO_TYPE => Call::MigrateInfoType,
        id::SYSTEM_OFF => Call::SystemOff,
        id::SYSTEM_RESET => Call::SystemReset,
        id::PSCI_FEATURES => Call::PsciFeatures { function: w1 },
        _ => addressed(function, w1 as u64, w2 as u64, w3 as u64),
    }
}

const fn addressed(function: u32, x1: u64, x2: u64, x3: u64) -> Call {
    match function {
        id::CPU_SUSPEND => Call::CpuSuspend {
            power_state: x1 as u32,
        },
        id::CPU_ON => Call::CpuOn {
            target: x1,
            entry: x2,
            context: x3,
        },
        id::AFFINITY_INFO => Call::AffinityInfo {
            target: x1,
            level: x2,
        },
        id::SYSTEM_RESET2 => Call::SystemReset2 {
            kind: x1 as u32,
            cookie: x2,
        },
        _ => Call::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_conventions_reach_the_same_call() {
        let wide = 0xffff_ffff_0000_0001;
        assert_eq!(
            decode(0xc400_0003, wide, 0x1_4000_0000, 7),
            Call::CpuOn {
                target: wide,
                entry: 0x1_4000_0000,
                context: 7
            }
        );
        assert_eq!(
            decode(0x8400_0003, wide, 0x1_4000_0000, 7),
            Call::CpuOn {
                target: 1,
                entry: 0x4000_0000,
                context: 7
            },
            "the 32-bit form drops the upper halves"
        );
    }

    #[test]
    fn calls_without_addresses_have_no_64_bit_form() {
        for function in [0x8400_0000_u64, 0x8400_0002, 0x8400_0006, 0x8400_0008] {
            assert_ne!(decode(function, 0, 0, 0), Call::Absent);
            assert_eq!(decode(function | 1 << 30, 0, 0, 0), Call::Absent);
        }
    }

    #[test]
    fn upper_half_of_x0_is_ignored() {
        assert_eq!(decode(0xdead_beef_8400_0000, 0, 0, 0), Call::PsciVersion);
    }

    #[test]
    fn services_of_others_are_handed_on() {
        for function in [
            0xc600_0010_u32,
            0x8600_ff01,
            0x8200_0010,
            0xc300_0001,
            0x0400_0003,
            0x9400_0003,
            0xa400_0003,
        ] {
            assert_eq!(decode(function.into(), 0, 0, 0), Call::Foreign { function });
        }
    }

    #[test]
    fn random_numbers_soc_ids_and_suspend_to_ram_are_absent() {
        for function in [
            0x8400_0050_u64,
            0xc400_0053,
            0x8000_0002,
            0x8400_000e,
            0xc400_000e,
        ] {
            assert_eq!(decode(function, 0, 0, 0), Call::Absent);
        }
    }
}

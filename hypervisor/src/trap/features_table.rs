//! Which ID register fields a guest sees: one row per register, one entry per
//! field, with Arm's field names. What is not listed reads as zero.
//!
//! Hidden, and why:
//! * SVE, SME: their state would be the guest's to keep across CPU_OFF and
//!   reset, and EL2 does not clear it; both trap (CPTR_EL2).
//! * MTE: tag storage is memory that is neither assigned nor scrubbed.
//! * RAS, AMU, MPAM, PMU, SPE, TRBE, BRBE, trace: they observe or steer
//!   hardware that VMs share.
//! * EL2, EL3, nested virtualisation, VHE, stage 2 features: not virtualised.
//! * LS64, TME, MOPS, GCS, S1PIE, S1POE, TCR2, SCTLR2, 128-bit descriptors,
//!   NMI: need an enable in HCRX_EL2 or support that does not exist here.

/// What a guest gets of one 4-bit field; the first number is its shift.
#[derive(Clone, Copy)]
pub(super) enum Field {
    /// As the host has it.
    Pass(u8),
    /// Unsigned: the host's value, but at most this.
    AtMost(u8, u8),
    /// This value, whatever the host has.
    Fixed(u8, u8),
}
use Field::{AtMost, Fixed, Pass};

/// One register, `S3_0_C0_C<crm>_<op2>`.
pub(super) struct Row {
    pub(super) crm: u8,
    pub(super) op2: u8,
    pub(super) fields: &'static [Field],
}

const fn row(crm: u8, op2: u8, fields: &'static [Field]) -> Row {
    Row { crm, op2, fields }
}

/// Every field as the host has it: instruction set descriptions of AArch32.
const ALL: &[Field] = &[
    Pass(0),
    Pass(4),
    Pass(8),
    Pass(12),
    Pass(16),
    Pass(20),
    Pass(24),
    Pass(28),
];

/// Rows with CRm below 4 describe AArch32 and are shown only where EL0 has it.
pub(super) static TABLE: &[Row] = &[
    // ID_PFR0_EL1: State0–3, CSV2, DIT; AMU and RAS hidden.
    row(
        1,
        0,
        &[
            Pass(0),
            Pass(4),
            Pass(8),
            Pass(12),
            AtMost(16, 1),
            AtMost(24, 1),
        ],
    ),
    // ID_PFR1_EL1: GenTimer, GIC; EL1 and above have no AArch32.
    row(1, 1, &[AtMost(16, 1), AtMost(28, 1)]),
    // ID_MMFR0_EL1 to ID_MMFR3_EL1.
    row(1, 4, ALL),
    row(1, 5, ALL),
    row(1, 6, ALL),
    row(1, 7, ALL),
    // ID_ISAR0_EL1 to ID_ISAR5_EL1.
    row(2, 0, ALL),
    row(2, 1, ALL),
    row(2, 2, ALL),
    row(2, 3, ALL),
    row(2, 4, ALL),
    row(2, 5, ALL),
    // ID_MMFR4_EL1: SpecSEI (RAS) and EVT (virtualisation) hidden.
    row(
        2,
        6,
        &[Pass(4), Pass(8), Pass(12), Pass(16), Pass(20), Pass(24)],
    ),
    // ID_ISAR6_EL1.
    row(2, 7, ALL),
    // MVFR0_EL1 to MVFR2_EL1.
    row(3, 0, ALL),
    row(3, 1, ALL),
    row(3, 2, ALL),
    // ID_PFR2_EL1: CSV3, SSBS; RAS_frac hidden.
    row(3, 4, &[AtMost(0, 1), AtMost(4, 1)]),
    // ID_MMFR5_EL1: ETS, nTLBPA.
    row(3, 6, &[Pass(0), Pass(4)]),
    // ID_AA64PFR0_EL1.
    row(
        4,
        0,
        &[
            AtMost(0, 2),  // EL0
            Fixed(4, 1),   // EL1: AArch64 only (HCR_EL2.RW)
            Pass(16),      // FP, signed
            Pass(20),      // AdvSIMD, signed
            AtMost(24, 1), // GIC
            AtMost(48, 1), // DIT
            AtMost(56, 1), // CSV2; 2 adds SCXTNUM_ELx, which traps
            AtMost(60, 1), // CSV3
        ],
    ),
    // ID_AA64PFR1_EL1.
    row(
        4,
        1,
        &[
            AtMost(0, 1),  // BT
            AtMost(4, 2),  // SSBS
            AtMost(32, 1), // CSV2_frac; 2 adds SCXTNUM_ELx
        ],
    ),
    // ID_AA64DFR0_EL1: self-hosted debug belongs to the guest.
    row(
        5,
        0,
        &[
            AtMost(0, 8),   // DebugVer
            Pass(12),       // BRPs
            Pass(20),       // WRPs
            Pass(28),       // CTX_CMPs
            Fixed(36, 0xf), // DoubleLock: not implemented
        ],
    ),
    // ID_AA64ISAR0_EL1.
    row(
        6,
        0,
        &[
            AtMost(4, 2),  // AES
            AtMost(8, 1),  // SHA1
            AtMost(12, 2), // SHA2
            AtMost(16, 1), // CRC32
            AtMost(20, 2), // Atomic; 3 is 128-bit
            AtMost(28, 1), // RDM
            AtMost(32, 1), // SHA3
            AtMost(36, 1), // SM3
            AtMost(40, 1), // SM4
            AtMost(44, 1), // DP
            AtMost(48, 1), // FHM
            AtMost(52, 2), // TS
            AtMost(56, 2), // TLB
            AtMost(60, 1), // RNDR
        ],
    ),
    // ID_AA64ISAR1_EL1.
    row(
        6,
        1,
        &[
            AtMost(0, 2),  // DPB
            Pass(4),       // APA
            Pass(8),       // API
            AtMost(12, 1), // JSCVT
            AtMost(16, 1), // FCMA
            AtMost(20, 3), // LRCPC
            AtMost(24, 1), // GPA
            AtMost(28, 1), // GPI
            AtMost(32, 1), // FRINTTS
            AtMost(36, 1), // SB
            AtMost(40, 2), // SPECRES
            AtMost(44, 2), // BF16
            AtMost(48, 1), // DGH
            AtMost(52, 1), // I8MM
        ],
    ),
    // ID_AA64ISAR2_EL1.
    row(
        6,
        2,
        &[
            AtMost(0, 2),  // WFxT
            AtMost(4, 1),  // RPRES
            AtMost(8, 1),  // GPA3
            Pass(12),      // APA3
            AtMost(20, 1), // BC
            AtMost(24, 1), // PAC_frac
            AtMost(28, 1), // CLRBHB
            AtMost(48, 1), // RPRFM
            AtMost(52, 1), // CSSC
        ],
    ),
    // ID_AA64MMFR0_EL1.
    row(
        7,
        0,
        &[
            AtMost(0, 6),  // PARange, fitted to the VM afterwards
            Pass(4),       // ASIDBits
            Pass(8),       // BigEnd
            Pass(12),      // SNSMem
            Pass(16),      // BigEndEL0
            Pass(20),      // TGran16
            Pass(24),      // TGran64, signed
            Pass(28),      // TGran4, signed
            Fixed(32, 1),  // TGran16_2: none at stage 2
            Fixed(36, 1),  // TGran64_2
            Fixed(40, 1),  // TGran4_2
            AtMost(60, 1), // ECV; 2 adds CNTPOFF_EL2
        ],
    ),
    // ID_AA64MMFR1_EL1.
    row(
        7,
        1,
        &[
            AtMost(0, 2),  // HAFDBS
            AtMost(12, 2), // HPDS
            AtMost(20, 3), // PAN
            Pass(36),      // ETS
            AtMost(44, 1), // AFP
            AtMost(48, 1), // nTLBPA
            AtMost(52, 1), // TIDCP1
            AtMost(60, 1), // ECBHB
        ],
    ),
    // ID_AA64MMFR2_EL1.
    row(
        7,
        2,
        &[
            AtMost(0, 1),  // CnP
            AtMost(4, 1),  // UAO
            AtMost(8, 1),  // LSM
            AtMost(16, 1), // VARange
            AtMost(20, 1), // CCIDX
            AtMost(28, 1), // ST
            AtMost(32, 1), // AT
            AtMost(36, 1), // IDS
            AtMost(48, 1), // TTL
            AtMost(52, 2), // BBM
            AtMost(60, 1), // E0PD
        ],
    ),
];

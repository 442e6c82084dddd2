//! What guests read, write and may not touch.

use crate::trap::features::*;
use crate::trap::sysreg::*;

/// A host with every field of every ID register at `value`.
fn uniform(value: u64, gicv3: bool) -> Features {
    let all = value * 0x1111_1111_1111_1111;
    Features::new(
        Offer {
            gicv3,
            ipa_bits: 40,
        },
        |_| all,
    )
}

fn id(features: &Features, crm: u8, op2: u8) -> u64 {
    match handle(SysReg::new(3, 0, 0, crm, op2), None, features) {
        Action::Value(value) => value,
        other => panic!("{other:?}"),
    }
}

/// An invented host: the registers of a CPU of 2023 with everything on.
fn modern(reg: SysReg) -> u64 {
    match (reg.crm(), reg.op2()) {
        (4, 0) => 0x1201_1111_2112_1112, // CSV3 CSV2_2 RME DIT AMU MPAM SEL2 SVE RAS_2 GIC …
        (4, 1) => 0x0000_0010_0101_0321, // NMI, SME, MTE3, SSBS2, BTI
        (5, 0) => 0x0000_1111_3030_5609, // SPE, TRF, TRBE …
        (6, 0) => 0x1221_1111_1021_2120,
        (6, 1) => 0x1111_1111_1120_1052,
        (7, 0) => 0x2100_0322_0010_1126,
        (7, 1) => 0x1001_1111_1021_2122,
        (7, 2) => 0x1221_0111_2110_1011,
        _ => 0x1111_1111_1111_1111,
    }
}

#[test]
fn what_the_vm_must_not_see_is_gone() {
    let features = Features::new(
        Offer {
            gicv3: true,
            ipa_bits: 40,
        },
        modern,
    );
    // SVE, RAS, MPAM, AMU, SEL2, RME, EL2, EL3 gone; CSV2 not 2.
    assert_eq!(id(&features, 4, 0), 0x1101_0000_0112_0012);
    // BTI and SSBS stay; MTE, SME, NMI gone.
    assert_eq!(id(&features, 4, 1), 0x21);
    // Debug v8.2 at most; PMU, SPE, trace gone; DoubleLock says "none".
    assert_eq!(id(&features, 5, 0), 0x0000_00f0_3030_5008);
    // PAuth (API 5, GPA) stays, LS64 and XS gone.
    assert_eq!(id(&features, 6, 1), 0x0011_1111_1120_1052);
    // PARange is the VM's 40 bits, no stage 2 granules, FGT gone, ECV 1.
    assert_eq!(id(&features, 7, 0), 0x1000_0111_0010_1122);
    // VH, VMIDBits, LO, XNX, HCX gone.
    assert_eq!(id(&features, 7, 1), 0x1001_1010_0020_2002);
    // NV, FWB, EVT, IESB gone; VARange stays.
    assert_eq!(id(&features, 7, 2), 0x1021_0011_1010_0011);
    for (crm, op2) in [
        (4, 4),
        (4, 5),
        (4, 7),
        (5, 1),
        (5, 2),
        (6, 3),
        (7, 3),
        (7, 4),
        (7, 7),
    ] {
        assert_eq!(id(&features, crm, op2), 0, "S3_0_C0_C{crm}_{op2}");
    }
}

/// What a host with the highest value in every field becomes: the caps of
/// the whole table, word for word.
#[test]
fn the_table_as_words() {
    let features = Features::new(
        Offer {
            gicv3: true,
            ipa_bits: 40,
        },
        // EL0 = 2: AArch32 too.
        |reg| match (reg.crm(), reg.op2()) {
            (4, 0) => 0xffff_ffff_ffff_fff2,
            _ => u64::MAX,
        },
    );
    let word = |crm, op2| match (crm, op2) {
        (1, 0) => 0x0101_ffff,           // ID_PFR0_EL1
        (1, 1) => 0x1001_0000,           // ID_PFR1_EL1
        (1, 4..=7) => 0xffff_ffff,       // ID_MMFR0_EL1 to ID_MMFR3_EL1
        (2, 6) => 0x0fff_fff0,           // ID_MMFR4_EL1
        (2, _) => 0xffff_ffff,           // ID_ISAR0_EL1 to ID_ISAR6_EL1
        (3, 0..=2) => 0xffff_ffff,       // MVFR0_EL1 to MVFR2_EL1
        (3, 4) => 0x11,                  // ID_PFR2_EL1
        (3, 6) => 0xff,                  // ID_MMFR5_EL1
        (4, 0) => 0x1101_0000_01ff_0012, // ID_AA64PFR0_EL1
        (4, 1) => 0x0000_0001_0000_0021, // ID_AA64PFR1_EL1
        (5, 0) => 0x0000_00f0_f0f0_f008, // ID_AA64DFR0_EL1
        (6, 0) => 0x1221_1111_1021_2120, // ID_AA64ISAR0_EL1
        (6, 1) => 0x0011_2211_1131_1ff2, // ID_AA64ISAR1_EL1
        (6, 2) => 0x0011_0000_1110_f112, // ID_AA64ISAR2_EL1
        (7, 0) => 0x1000_0111_ffff_fff2, // ID_AA64MMFR0_EL1
        (7, 1) => 0x1011_10f0_0030_2002, // ID_AA64MMFR1_EL1
        (7, 2) => 0x1021_0011_1011_0111, // ID_AA64MMFR2_EL1
        _ => 0,
    };
    for crm in 1..8 {
        for op2 in 0..8 {
            let guest = id(&features, crm, op2);
            assert_eq!(guest, word(crm, op2), "S3_0_C0_C{crm}_{op2} {guest:#018x}");
        }
    }
    assert!(features.csv2());
}

/// A field of the host changes the same field of the guest and no other.
#[test]
fn fields_stay_in_their_places() {
    let offer = Offer {
        gicv3: true,
        ipa_bits: 52,
    };
    let el0 = |reg| u64::from(reg == ID_AA64PFR0_EL1) * 2;
    let nothing = Features::new(offer, el0);
    for reg in host_registers() {
        for shift in (0..64).step_by(4) {
            for value in 1..16_u64 {
                let host = |asked| el0(asked) | (u64::from(asked == reg) * (value << shift));
                let guest = Features::new(offer, host);
                let change = guest.id(reg).unwrap() ^ nothing.id(reg).unwrap();
                let both = 0xf << shift;
                assert_eq!(change & !both, 0, "{reg} {shift}");
            }
        }
    }
}

#[test]
fn unequal_cpus_have_what_both_have() {
    let offer = Offer {
        gicv3: true,
        ipa_bits: 48,
    };
    let cpu = |pfr0, dfr0, isar0, mmfr0| {
        Features::new(offer, move |reg| match (reg.crm(), reg.op2()) {
            (4, 0) => pfr0,
            (5, 0) => dfr0,
            (6, 0) => isar0,
            (7, 0) => mmfr0,
            _ => 0,
        })
    };
    // CSV3, AArch32, FP16; 6 and 4 breakpoints; no 4 KiB granule on one.
    let big = cpu(0x1000_0000_0111_1112, 0x5006, 0x0000_1000_1021_1120, 0x2122);
    let little = cpu(
        0x0100_0000_0100_1111,
        0x3008,
        0x1000_0000_0011_1110,
        0xff00_1124,
    );
    let both = big.common(&little);
    assert_eq!(id(&both, 4, 0), 0x0000_0000_0100_0011);
    assert_eq!(id(&both, 5, 0), 0xf0_0000_3006);
    assert_eq!(id(&both, 6, 0), 0x0000_0000_0011_1110);
    assert_eq!(id(&both, 7, 0), 0x0000_0111_ff00_1122);
    assert_eq!(little.common(&big), both, "order does not matter");
    assert_eq!(big.common(&big), big);
    let no_fp = cpu(0x00ff_0011, 0, 0, 0);
    assert_eq!(id(&no_fp.common(&big), 4, 0) >> 16 & 0xff, 0xff);
}

#[test]
fn only_the_group_is_looked_up() {
    let features = uniform(2, true);
    for (op0, op1, crn) in [(2, 0, 0), (3, 1, 0), (3, 3, 0), (3, 0, 1), (0, 0, 0)] {
        assert_eq!(features.id(SysReg::new(op0, op1, crn, 4, 0)), None);
    }
    assert_eq!(features.id(SysReg::new(3, 0, 0, 0, 0)), None);
    assert_eq!(features.id(SysReg::new(3, 0, 0, 8, 0)), None);
    assert!(!uniform(0, true).csv2());
}

#[test]
fn no_field_promises_more_than_the_host_has() {
    let features = uniform(0, true);
    for reg in host_registers() {
        let guest = features.id(reg).unwrap();
        let fixed = match (reg.crm(), reg.op2()) {
            (4, 0) => 0x10,
            (5, 0) => 0xf0_0000_0000,
            (7, 0) => 0x111_0000_0000,
            _ => 0,
        };
        assert_eq!(guest, fixed, "{reg}");
    }
}

#[test]
fn floating_point_stays_absent_where_it_is() {
    let pfr0 = id(&uniform(15, true), 4, 0);
    assert_eq!(pfr0 >> 16 & 0xff, 0xff);
}

#[test]
fn the_gic_field_follows_the_vm() {
    assert_eq!(id(&uniform(3, true), 4, 0) >> 24 & 0xf, 1);
    assert_eq!(id(&uniform(3, false), 4, 0) >> 24 & 0xf, 0);
    assert_eq!(id(&uniform(2, true), 1, 1) >> 28 & 0xf, 1);
    assert_eq!(id(&uniform(2, false), 1, 1) >> 28 & 0xf, 0);
}

#[test]
fn the_address_size_is_the_smaller_of_host_and_vm() {
    let range = |host, ipa_bits| {
        let features = Features::new(
            Offer {
                gicv3: true,
                ipa_bits,
            },
            |_| host,
        );
        id(&features, 7, 0) & 0xf
    };
    let of_vm = [
        (32, 0),
        (35, 0),
        (36, 1),
        (39, 1),
        (40, 2),
        (42, 3),
        (44, 4),
        (48, 5),
        (52, 6),
    ];
    for (bits, expected) in of_vm {
        assert_eq!(range(6, bits), expected, "{bits}");
        assert_eq!(range(2, bits), expected.min(2), "{bits}");
    }
}

#[test]
fn aarch32_is_described_only_where_el0_has_it() {
    assert!(uniform(2, true).aarch32_el0());
    assert_ne!(id(&uniform(2, true), 2, 0), 0);
    let without = uniform(1, true);
    assert!(!without.aarch32_el0());
    for crm in 1..4 {
        for op2 in 0..8 {
            assert_eq!(id(&without, crm, op2), 0);
        }
    }
}

#[test]
fn the_group_is_complete_and_read_only() {
    let features = uniform(1, true);
    for crm in 1..8 {
        for op2 in 0..8 {
            let reg = SysReg::new(3, 0, 0, crm, op2);
            assert!(matches!(handle(reg, None, &features), Action::Value(_)));
            assert_eq!(handle(reg, Some(0), &features), Action::InjectUndef);
        }
    }
    for crm in [0, 8, 15] {
        let reg = SysReg::new(3, 0, 0, crm, 1);
        assert_eq!(handle(reg, None, &features), Action::InjectUndef);
    }
}

#[test]
fn sgis_reach_the_virtual_gic_of_a_gicv3_guest_only() {
    let (v3, v2) = (uniform(1, true), uniform(1, false));
    for (reg, group) in [
        (ICC_SGI1R_EL1, SgiGroup::Group1),
        (ICC_ASGI1R_EL1, SgiGroup::Group1Other),
        (ICC_SGI0R_EL1, SgiGroup::Group0),
    ] {
        let value = 0x0123_4567_89ab_cdef;
        assert_eq!(handle(reg, Some(value), &v3), Action::Sgi { group, value });
        assert_eq!(handle(reg, None, &v3), Action::InjectUndef, "write-only");
        assert_eq!(handle(reg, Some(value), &v2), Action::InjectUndef);
    }
    assert_eq!(handle(ICC_SRE_EL1, None, &v3), Action::Value(7));
    assert_eq!(handle(ICC_SRE_EL1, Some(0), &v3), Action::Ignored);
    assert_eq!(handle(ICC_SRE_EL1, None, &v2), Action::InjectUndef);
}

/// Encodings as an assembler writes them.
#[test]
fn registers_have_their_encodings() {
    for (reg, encoding) in [
        (ICC_SGI1R_EL1, "S3_0_C12_C11_5"),
        (ICC_ASGI1R_EL1, "S3_0_C12_C11_6"),
        (ICC_SGI0R_EL1, "S3_0_C12_C11_7"),
        (ICC_SRE_EL1, "S3_0_C12_C12_5"),
        (ACTLR_EL1, "S3_0_C1_C0_1"),
        (OSLAR_EL1, "S2_0_C1_C0_4"),
        (OSLSR_EL1, "S2_0_C1_C1_4"),
        (OSDLR_EL1, "S2_0_C1_C3_4"),
        (DBGPRCR_EL1, "S2_0_C1_C4_4"),
        (MDRAR_EL1, "S2_0_C1_C0_0"),
        (DBGAUTHSTATUS_EL1, "S2_0_C7_C14_6"),
        (ID_AA64PFR0_EL1, "S3_0_C0_C4_0"),
        (ID_AA64MMFR0_EL1, "S3_0_C0_C7_0"),
        (ID_PFR1_EL1, "S3_0_C0_C1_1"),
    ] {
        assert_eq!(reg.to_string(), encoding);
    }
}

#[test]
fn the_os_lock_is_open_and_harmless() {
    let features = uniform(1, true);
    assert_eq!(handle(OSLAR_EL1, Some(1), &features), Action::Ignored);
    assert_eq!(handle(OSLAR_EL1, None, &features), Action::InjectUndef);
    assert_eq!(handle(OSLSR_EL1, None, &features), Action::Value(8));
    assert_eq!(handle(OSLSR_EL1, Some(0), &features), Action::InjectUndef);
    for reg in [OSDLR_EL1, DBGPRCR_EL1] {
        assert_eq!(handle(reg, None, &features), Action::Value(0));
        assert_eq!(handle(reg, Some(1), &features), Action::Ignored);
    }
    assert_eq!(handle(MDRAR_EL1, None, &features), Action::Value(0));
    assert_eq!(handle(MDRAR_EL1, Some(0), &features), Action::InjectUndef);
    assert_eq!(handle(DBGAUTHSTATUS_EL1, None, &features), Action::Value(0));
    let write = handle(DBGAUTHSTATUS_EL1, Some(0), &features);
    assert_eq!(write, Action::InjectUndef);
    // MDSCR_EL1 and MDCCSR_EL0, should they ever trap.
    for reg in [SysReg::new(2, 0, 0, 2, 2), SysReg::new(2, 3, 0, 1, 0)] {
        assert_eq!(handle(reg, None, &features), Action::Value(0));
        assert_eq!(handle(reg, Some(1), &features), Action::Ignored);
    }
}

#[test]
fn hidden_units_do_not_exist() {
    let features = uniform(1, true);
    for (name, reg) in [
        ("PMCR_EL0", SysReg::new(3, 3, 9, 12, 0)),
        ("PMCCNTR_EL0", SysReg::new(3, 3, 9, 13, 0)),
        ("PMEVTYPER0_EL0", SysReg::new(3, 3, 14, 12, 0)),
        ("PMINTENSET_EL1", SysReg::new(3, 0, 9, 14, 1)),
        ("PMSCR_EL1", SysReg::new(3, 0, 9, 9, 0)),
        ("TRBLIMITR_EL1", SysReg::new(3, 0, 9, 11, 0)),
        ("TRFCR_EL1", SysReg::new(3, 0, 1, 2, 1)),
        ("TRCPRGCTLR", SysReg::new(2, 1, 0, 1, 0)),
        ("AMCR_EL0", SysReg::new(3, 3, 13, 2, 0)),
        ("ERRIDR_EL1", SysReg::new(3, 0, 5, 3, 0)),
        ("LORC_EL1", SysReg::new(3, 0, 10, 4, 3)),
        ("MPAM1_EL1", SysReg::new(3, 0, 10, 5, 0)),
        ("ZCR_EL1", SysReg::new(3, 0, 1, 2, 0)),
        ("SMCR_EL1", SysReg::new(3, 0, 1, 2, 6)),
        ("TCR2_EL1", SysReg::new(3, 0, 2, 0, 3)),
        ("GMID_EL1", SysReg::new(3, 1, 0, 0, 4)),
        ("SCXTNUM_EL1", SysReg::new(3, 0, 13, 0, 7)),
        ("S3_0_C15_C2_0", SysReg::new(3, 0, 15, 2, 0)),
        ("S1_0_C11_C0_0", SysReg::new(1, 0, 11, 0, 0)),
    ] {
        for write in [None, Some(0)] {
            assert_eq!(handle(reg, write, &features), Action::InjectUndef, "{name}");
        }
    }
    assert_eq!(handle(ACTLR_EL1, None, &features), Action::Value(0));
    assert_eq!(handle(ACTLR_EL1, Some(1), &features), Action::Ignored);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(512))]

    /// Whatever the host, an unsigned field never grows and a hidden one
    /// never shows.
    #[test]
    fn sanitising_only_takes_away(host: u64, iss: u32, write: Option<u64>) {
        let features = Features::new(Offer { gicv3: true, ipa_bits: 40 }, |_| host);
        for (crm, op2, shift) in [(4, 0, 32), (4, 0, 28), (4, 1, 8), (4, 1, 24), (5, 0, 8), (7, 1, 8)] {
            assert_eq!(id(&features, crm, op2) >> shift & 0xf, 0);
        }
        for shift in (0..64).step_by(4) {
            let isar0 = id(&features, 6, 0) >> shift & 0xf;
            assert!(isar0 <= host >> shift & 0xf);
        }
        let action = handle(SysReg::from_iss(iss), write, &features);
        let fits = match action {
            Action::Value(_) => write.is_none(),
            Action::Ignored | Action::Sgi { .. } => write.is_some(),
            Action::InjectUndef => true,
        };
        assert!(fits, "{action:?} answers the other direction");
    }
}

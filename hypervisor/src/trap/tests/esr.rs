//! Syndromes put together from the manual's tables, and every other one.

use crate::trap::esr::*;
use crate::trap::sysreg::{ICC_SGI1R_EL1, SysReg};

const IL: u64 = 1 << 25;

fn abort(ec: u64, iss: u64) -> u64 {
    ec << 26 | IL | iss
}

#[test]
fn calls_carry_their_immediate() {
    assert_eq!(decode(0x5a00_0000, 0, 0), Exit::Hvc { imm: 0 });
    assert_eq!(decode(0x5a00_ea11, 0, 0), Exit::Hvc { imm: 0xea11 });
    assert_eq!(decode(0x5e00_0001, 0, 0), Exit::Smc { imm: 1 });
}

#[test]
fn waits_tell_four_kinds_apart() {
    let wfx = |kind, timeout_reg| Exit::Wfx { kind, timeout_reg };
    assert_eq!(decode(0x07e0_0000, 0, 0), wfx(WfxKind::Wfi, None));
    assert_eq!(decode(0x07e0_0001, 0, 0), wfx(WfxKind::Wfe, None));
    // RN = 7, RV = 1.
    assert_eq!(decode(0x07e0_00e6, 0, 0), wfx(WfxKind::Wfit, Some(7)));
    assert_eq!(decode(0x07e0_00e7, 0, 0), wfx(WfxKind::Wfet, Some(7)));
    assert_eq!(decode(0x07e0_00e2, 0, 0), wfx(WfxKind::Wfit, None));
}

#[test]
fn system_registers_are_named_by_the_syndrome() {
    // msr ICC_SGI1R_EL1, x1
    let access = |reg, rt, write| Exit::SysReg(SysRegAccess { reg, rt, write });
    assert_eq!(decode(0x623a_3036, 0, 0), access(ICC_SGI1R_EL1, 1, true));
    // mrs x31, S3_7_C15_C14_6: every field differs.
    let odd = SysReg::new(3, 7, 15, 14, 6);
    let iss = 3 << 20 | 6 << 17 | 7 << 14 | 15 << 10 | 31 << 5 | 14 << 1 | 1;
    assert_eq!(decode(0x18 << 26 | IL | iss, 0, 0), access(odd, 31, false));
    assert_eq!(odd.to_string(), "S3_7_C15_C14_6");
    assert_eq!(
        (odd.op0(), odd.op1(), odd.crn(), odd.crm(), odd.op2()),
        (3, 7, 15, 14, 6)
    );
}

#[test]
fn a_store_to_a_device_has_all_it_takes_to_emulate() {
    // strh w3, [..]: ISV, SAS 1, SRT 3, WnR, translation fault level 3.
    let esr = abort(0x24, 1 << 24 | 1 << 22 | 3 << 16 | 1 << 6 | 0x07);
    let expected = DataAbort {
        fault: Fault::Translation,
        ipa: Some(0x0900_0018),
        va: Some(0xffff_8000_0000_1018),
        write: true,
        access: Some(Access {
            size: 2,
            reg: 3,
            sign_extend: false,
            sixty_four: false,
        }),
        stage1_walk: false,
        cache_maintenance: false,
    };
    let hpfar = 0x0900_0000 >> 8;
    assert_eq!(
        decode(esr, 0xffff_8000_0000_1018, hpfar),
        Exit::DataAbort(expected)
    );
}

#[test]
fn sizes_signs_and_widths_decode() {
    for sas in 0..4_u64 {
        for (sse, sf) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let esr = abort(
                0x24,
                1 << 24 | sas << 22 | sse << 21 | 31 << 16 | sf << 15 | 6,
            );
            let Exit::DataAbort(abort) = decode(esr, 0, 0) else {
                panic!("not a data abort");
            };
            let access = abort.access.expect("ISV is set");
            assert_eq!(access.size, 1 << sas);
            assert_eq!(access.sign_extend, sse == 1);
            assert_eq!(access.sixty_four, sf == 1);
            assert_eq!(access.reg, 31);
        }
    }
}

#[test]
fn loads_extend_as_the_instruction_says() {
    let access = |size, sign_extend, sixty_four| Access {
        size,
        reg: 0,
        sign_extend,
        sixty_four,
    };
    let value = 0x8181_8181_9292_9292;
    // ldrb, ldrsb w, ldrsb x, ldrh, ldrsh w, ldr w, ldrsw, ldr x.
    assert_eq!(access(1, false, false).load(value), 0x92);
    assert_eq!(access(1, true, false).load(value), 0xffff_ff92);
    assert_eq!(access(1, true, true).load(value), 0xffff_ffff_ffff_ff92);
    assert_eq!(access(2, false, false).load(value), 0x9292);
    assert_eq!(access(2, true, false).load(value), 0xffff_9292);
    assert_eq!(access(4, false, false).load(value), 0x9292_9292);
    assert_eq!(access(4, true, true).load(value), 0xffff_ffff_9292_9292);
    assert_eq!(access(8, false, true).load(value), value);
    assert_eq!(access(1, false, false).store(value), 0x92);
    assert_eq!(access(2, false, false).store(value), 0x9292);
    assert_eq!(access(4, false, false).store(value), 0x9292_9292);
    assert_eq!(access(8, false, true).store(value), value);
}

#[test]
fn an_address_is_given_only_where_hardware_has_one() {
    let (far, hpfar) = (0xabc, 0x1234_5670);
    let ipa = |iss| match decode(abort(0x24, iss), far, hpfar) {
        Exit::DataAbort(abort) => abort.ipa,
        other => panic!("{other:?}"),
    };
    let page = 0x12_3456_7000;
    assert_eq!(ipa(0x05), Some(page | 0xabc), "translation");
    assert_eq!(ipa(0x09), Some(page | 0xabc), "access flag");
    assert_eq!(ipa(0x01), Some(page | 0xabc), "address size");
    assert_eq!(ipa(0x2b), Some(page | 0xabc), "translation, level -1");
    assert_eq!(ipa(0x0f), None, "permission of the access itself");
    assert_eq!(ipa(0x0f | 1 << 7), Some(page), "permission on a table walk");
    assert_eq!(
        ipa(0x05 | 1 << 7),
        Some(page),
        "the offset is not the walk's"
    );
    assert_eq!(ipa(0x10), None, "external");
    assert_eq!(ipa(0x21), None, "alignment");
}

#[test]
fn the_whole_of_fipa_is_used_and_nothing_else() {
    let Exit::InstructionAbort(abort) = decode(abort(0x20, 6), 0xfff, u64::MAX) else {
        panic!("not an instruction abort");
    };
    assert_eq!(abort.ipa, Some(0x000f_ffff_ffff_ffff));
}

#[test]
fn far_is_dropped_when_invalid() {
    let va = |iss| match decode(abort(0x24, iss), 5, 0) {
        Exit::DataAbort(abort) => abort.va,
        other => panic!("{other:?}"),
    };
    assert_eq!(va(0x10), Some(5));
    assert_eq!(va(0x10 | 1 << 10), None);
    // Elsewhere the bit means something else.
    assert_eq!(va(0x07 | 1 << 10), Some(5));
}

#[test]
fn every_fault_status_has_its_kind() {
    let kind = |fsc| match decode(abort(0x20, fsc), 0, 0) {
        Exit::InstructionAbort(abort) => abort.fault,
        other => panic!("{other:?}"),
    };
    for level in 0..4 {
        assert_eq!(kind(level), Fault::AddressSize);
        assert_eq!(kind(4 + level), Fault::Translation);
        assert_eq!(kind(8 + level), Fault::AccessFlag);
        assert_eq!(kind(12 + level), Fault::Permission);
        assert_eq!(kind(0x14 + level), Fault::External);
        assert_eq!(kind(0x1c + level), Fault::Parity);
        assert_eq!(kind(0x24 + level), Fault::GranuleProtection);
    }
    assert_eq!(kind(0x10), Fault::External);
    assert_eq!(kind(0x13), Fault::External);
    assert_eq!(kind(0x11), Fault::TagCheck);
    assert_eq!(kind(0x18), Fault::Parity);
    assert_eq!(kind(0x21), Fault::Alignment);
    assert_eq!(kind(0x28), Fault::GranuleProtection);
    assert_eq!(kind(0x29), Fault::AddressSize);
    assert_eq!(kind(0x30), Fault::TlbConflict);
    assert_eq!(kind(0x31), Fault::UnsupportedAtomic);
    assert_eq!(kind(0x35), Fault::UnsupportedAtomic);
    assert_eq!(kind(0x3f), Fault::Other(0x3f));
}

#[test]
fn every_class_decodes_and_has_words() {
    let named = |ec: u64| !describe(ec << 26).to_string().starts_with("unknown");
    for ec in 0..64_u64 {
        let exit = decode(ec << 26 | IL, 0, 0);
        assert_eq!(
            matches!(exit, Exit::Other { .. }),
            // EL2's own aborts never come from a guest.
            !named(ec) || matches!(ec, 0x21 | 0x25),
            "{ec:#x} {exit:?}"
        );
    }
    assert_eq!(decode(0, 0, 0), Exit::Undefined(Missing::Unknown));
    assert_eq!(decode(0x19 << 26, 0, 0), Exit::Undefined(Missing::Sve));
    assert_eq!(decode(0x1d << 26, 0, 0), Exit::Undefined(Missing::Sme));
    assert_eq!(decode(0x0e << 26, 0, 0), Exit::IllegalState);
    assert_eq!(
        decode(0x2f << 26 | IL | 1 << 24 | 5, 0, 0),
        Exit::SError { iss: 1 << 24 | 5 }
    );
}

#[test]
fn reports_read_like_sentences() {
    for (esr, words) in [
        (0x5a00_0000, "HVC #0 (ESR 0x5a000000, EC 0x16)"),
        (
            abort(0x24, 1 << 6 | 7),
            "data abort from a guest, write, translation fault at level 3 (ESR 0x92000047, EC 0x24)",
        ),
        (
            abort(0x20, 1 << 7 | 0x0d),
            "instruction abort from a guest, permission fault at level 1, on a stage 1 table walk (ESR 0x8200008d, EC 0x20)",
        ),
        (
            abort(0x24, 0x3a),
            "data abort from a guest, read, status 0x3a (ESR 0x9200003a, EC 0x24)",
        ),
        (
            abort(0x21, 5),
            "instruction abort at EL2, translation fault at level 1 (ESR 0x86000005, EC 0x21)",
        ),
        (
            abort(0x25, 0x10 | 1 << 6),
            "data abort at EL2, write, external abort (ESR 0x96000050, EC 0x25)",
        ),
        (
            0x623a_3036,
            "system register access msr S3_0_C12_C11_5 (ESR 0x623a3036, EC 0x18)",
        ),
    ] {
        assert_eq!(describe(esr).to_string(), words);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(512))]

    #[test]
    fn no_syndrome_is_too_strange(esr: u64, far: u64, hpfar: u64) {
        if let Exit::DataAbort(abort) = decode(esr, far, hpfar) {
            if let Some(access) = abort.access {
                assert!(access.reg < 32 && [1, 2, 4, 8].contains(&access.size));
            }
            assert!(abort.ipa.is_none_or(|ipa| ipa < 1 << 52));
        }
        let _ = describe(esr).to_string();
    }
}

#[test]
fn only_an_answer_of_the_bus_is_an_external_abort_of_ours() {
    // As QEMU reports an access to nothing: a read, and a write.
    assert!(is_own_external_abort(0x9600_0010));
    assert!(is_own_external_abort(0x9600_0050));
    // A guest's; a fetch; a table walk's; ECC; a translation fault of ours.
    for other in [
        abort(0x24, 0x10),
        abort(0x21, 0x10),
        abort(0x25, 0x14),
        abort(0x25, 0x18),
        abort(0x25, 0x07),
    ] {
        assert!(!is_own_external_abort(other), "{other:#x}");
    }
}

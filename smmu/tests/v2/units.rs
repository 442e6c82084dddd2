//! Banks, tables and invalidations.

use crate::rig::*;

/// A table that was taken out is not walked any more, though one address is
/// enough to say so.
pub fn steps_are_forgotten(step: Option<Step>) {
    let rig = Rig::<Two>::new(setup(step));
    let guest = rig.guest(&[7], 0);
    // Not aligned for a block; only one page of it is used.
    guest.map(IPA, PA + PAGE, BLOCK);
    guest.active().unwrap();
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(PA + PAGE));
    let detached = guest.table.unmap(pgtable::Ipa(IPA), BLOCK).unwrap();
    let forget = |stale: pgtable::Stale| {
        assert!(stale.tables());
        let range = smmu::IpaRange {
            ipa: pgtable::Ipa(IPA),
            size: BLOCK,
            stride: BLOCK,
            leaf_only: false,
        };
        rig.smmu.invalidate(guest.domain, &[range]).map(drop)
    };
    guest.table.release(detached, forget).unwrap();
    guest.map(IPA, PA, BLOCK);
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(PA));
    rig.check();
}

#[test]
fn a_step_is_forgotten_by_one_address() {
    steps_are_forgotten(None);
}

#[test]
fn banks_run_out_and_come_back() {
    let rig = Rig::<Two>::new(setup(None));
    let guest = rig.bare_guest(&[7], 0);
    let tables = Stage2::of(guest.table.root(), guest.table.config());
    let domains: Vec<_> = (1..16)
        .map(|_| rig.smmu.create_domain(&tables, None).unwrap())
        .collect();
    assert_eq!(rig.smmu.create_domain(&tables, None), Err(Error::NoContext));
    rig.smmu.destroy_domain(domains[4]).unwrap();
    rig.smmu.create_domain(&tables, None).unwrap();
}

/// Invalidations and syncs of an unmap: (pages, those of SMMUv2, of SMMUv1).
#[test]
fn no_more_is_invalidated_than_asked() {
    for (pages, by_address, by_vmid) in [(1, 2, 2), (16, 17, 2), (64, 65, 2), (65, 2, 2)] {
        for (model, expected) in [
            (Implementation::GenericV2, by_address),
            (Implementation::Mmu401, by_vmid),
        ] {
            with(Part::of(model), || {
                let rig = Rig::<Two>::new(setup(None));
                let guest = rig.guest(&[7], 0);
                guest.active().unwrap();
                guest.map(IPA + PAGE, PA + 2 * PAGE, pages * PAGE);
                let (before, _) = rig.smmu.stats().commands;
                assert_eq!(guest.unmap(IPA + PAGE, pages * PAGE), Ok(Done::Completed));
                let (after, _) = rig.smmu.stats().commands;
                assert_eq!(after - before, expected, "{pages} pages, {model:?}");
            });
        }
    }
}

#[test]
fn tables_that_do_not_suit_are_refused() {
    let good = Stage2 {
        root: pgtable::Pa(0x4000_0000),
        ipa_bits: 40,
        pa_bits: 40,
        granule_shift: 12,
        start_level: 1,
        coherent: true,
        fwb: false,
    };
    with(Part::of(Implementation::Mmu400), || {
        let rig = Rig::<Two>::new(setup(None));
        let refused = |tables: Stage2| rig.smmu.create_domain(&tables, None).unwrap_err();
        let ipa_bits = 41;
        assert_eq!(refused(Stage2 { ipa_bits, ..good }), Error::InputSize(41));
        let granule_shift = 16;
        assert_eq!(
            refused(Stage2 {
                granule_shift,
                ..good
            }),
            Error::Granule(16)
        );
        let root = pgtable::Pa(1 << 41);
        assert_eq!(refused(Stage2 { root, ..good }), Error::Root(1 << 41));
        rig.smmu.create_domain(&good, Some(Vmid(9))).unwrap();
        assert_eq!(
            rig.smmu.create_domain(&good, Some(Vmid(9))),
            Err(Error::VmidBusy(Vmid(9)))
        );
    });
}

#[test]
fn several_cpus_sync_at_once() {
    s::several_cpus_at_once::<Two>(setup(None));
}

#[test]
fn a_gated_smmu_asks_for_nothing() {
    let rig = Rig::<Two>::new(setup(None));
    rig.pass(2 * IDLE);
    assert_eq!(rig.smmu.state(), State::Gated);
    let text = &mut String::new();
    let accesses = rig.model.accesses();
    rig.smmu.describe(text).unwrap();
    assert_eq!(rig.model.accesses(), accesses);
    assert!(text.starts_with("MMU-500: SMMUv2, ID0..2 0x2801"), "{text}");
}

/// What waking and gating cost in register accesses: ZynqMP's MMU-500, with
/// 48 entries and 16 banks, one master attached. Syncs that complete at once.
#[test]
fn waking_and_gating_cost_so_much() {
    let mut setup = setup(None);
    setup.nature.sync_delay = 0;
    let rig = Rig::<Two>::new(setup);
    let guest = rig.guest(&[7], 0);
    let count = |f: &dyn Fn()| {
        let before = rig.model.accesses();
        f();
        rig.model.accesses() - before
    };
    let down = count(&|| rig.pass(2 * IDLE));
    assert_eq!(rig.smmu.state(), State::Gated);
    let up = count(&|| guest.active().unwrap());
    assert_eq!((down, up), (91, 201));
}

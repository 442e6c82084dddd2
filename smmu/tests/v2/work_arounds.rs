//! What makers do differently, each on its part.

use crate::rig::*;

/// Each work-around is needed on the part that it is for.
const WORK_AROUNDS: &[(WorkAround, Implementation, fn())] = &[
    (WorkAround::CacheLock, Implementation::Mmu500, unmap),
    (WorkAround::Prefetch, Implementation::Mmu500, unmap),
    (WorkAround::Prefetch, Implementation::QcomMmu500, unmap),
    (WorkAround::TlbEnables, Implementation::Mmu500, tlb_enables),
    (WorkAround::UniqueVmids, Implementation::Cavium, shared_tlb),
    (WorkAround::Halves, Implementation::MarvellAp806, unmap),
    (WorkAround::Narrow, Implementation::MarvellAp806, unmap),
    (WorkAround::Several, Implementation::NvidiaMmu500, unmap),
    (WorkAround::StatusOfAll, Implementation::NvidiaMmu500, unmap),
    (WorkAround::Dummy, Implementation::QcomV2, unmap),
    (
        WorkAround::FirmwareS2cr,
        Implementation::QcomV2,
        rewritten_s2cr,
    ),
    (WorkAround::Entries, Implementation::QcomV2, many_entries),
    (WorkAround::Banks, Implementation::QcomV2, foreign_bank),
];

fn unmap() {
    s::unmap_while_dma::<Two>(None);
}

#[test]
fn work_arounds_work() {
    for (_, model, run) in WORK_AROUNDS {
        with(Part::of(*model), run);
    }
}

#[test]
fn every_work_around_is_needed() {
    let missed = unnoticed(WORK_AROUNDS, |(left_out, model, run)| {
        let mut part = Part::of(model);
        part.config.without = Some(left_out);
        with(part, run);
    });
    let missed: Vec<_> = missed.iter().map(|(w, m, _)| (w, m)).collect();
    assert!(missed.is_empty(), "nobody noticed: {missed:?}");
}

/// A prefetcher that firmware keeps on makes an MMU-500 unusable.
#[test]
fn a_prefetcher_that_stays_on_is_an_error() {
    let mut part = Part::of(Implementation::Mmu500);
    part.config.without = Some(WorkAround::CacheLock);
    let outcome = with(part, || Rig::<Two>::try_new(setup(None)).map(drop));
    assert_eq!(outcome, Err(Error::Stuck(0x1_0004)));
    // Unless the operator takes the errata for it.
    part.config.tolerate_prefetch = true;
    with(part, || Rig::<Two>::new(setup(None)).check());
}

fn tlb_enables() {
    let rig = Rig::<Two>::new(setup(None));
    assert_eq!(rig.model.peek(gr0::ACR) & 0x500, 0x500);
    // A bypass that a TBU remembers is forgotten with its end.
    let guest = rig.guest(&[7], 0);
    guest.active().unwrap();
    rig.model.let_pass(7, true);
    rig.smmu.bypass(guest.link).unwrap();
    assert_eq!(rig.model.dma(7, PA, true), Dma::Reached(PA));
    rig.smmu.detach(guest.link).unwrap();
    rig.smmu.attach(guest.link, guest.domain).unwrap();
    rig.model.let_pass(7, false);
    assert_eq!(rig.model.dma(7, PA, true), Dma::Terminated);
    rig.check();
}

/// Two SMMUs whose TLBs do not know whose VMID it is.
fn shared_tlb() {
    let one = Rig::<Two>::new(setup(None));
    let mut next = part();
    let limits = one.smmu.hardware().limits();
    next.config.first_vmid = limits.vmids as u16;
    assert_eq!(next.config.first_vmid, one.smmu.hardware().next_vmid());
    let mut other = setup(None);
    other.base = 0x2_0000_0000;
    let two = if part().config.without.is_some() {
        Rig::<Two>::new(other)
    } else {
        assert_eq!(next.config.first_vmid, 17);
        with(next, || Rig::<Two>::new(other))
    };
    two.model.share_tlb_of(&one.model);
    let (g1, g2) = (one.guest(&[7], 0), two.guest(&[7], 0));
    g1.map(IPA, PA, PAGE);
    g2.map(IPA, PA + PAGE, PAGE);
    g1.active().unwrap();
    g2.active().unwrap();
    assert_eq!(one.model.dma(7, IPA, true), Dma::Reached(PA));
    assert_eq!(two.model.dma(7, IPA, true), Dma::Reached(PA + PAGE));
    assert_eq!(
        two.smmu.create_domain(
            &Stage2::of(g2.table.root(), g2.table.config()),
            Some(Vmid(1))
        ),
        Err(Error::VmidBusy(Vmid(1)))
    );
}

/// Firmware ignores fault and makes a fault of bypass.
fn rewritten_s2cr() {
    let mut part = part();
    part.kind.rewrites_s2cr = true;
    with(part, || {
        for run in ESSENCE {
            run(None);
        }
        let rig = Rig::<Two>::new(setup(None));
        let guest = rig.guest(&[7], 0);
        guest.map(IPA, PA, PAGE);
        guest.active().unwrap();
        assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(PA));
        rig.model.let_pass(7, true);
        rig.smmu.bypass(guest.link).unwrap();
        assert_eq!(rig.model.dma(7, PA + 5, true), Dma::Reached(PA + 5));
        rig.smmu.attach(guest.link, guest.domain).unwrap();
        rig.smmu.detach(guest.link).unwrap();
        assert_eq!(rig.model.dma(7, PA, true), Dma::Terminated);
        let mut text = String::new();
        rig.smmu.describe(&mut text).unwrap();
        assert!(text.contains("bank 15 is for bypass"), "{text}");
        rig.check();
    });
}

/// More entries are promised than work.
fn many_entries() {
    let mut part = part();
    part.kind.entries = 160;
    with(part, || {
        let rig = Rig::<Two>::new(setup(None));
        let guests: Vec<_> = (0..13)
            .map(|n| {
                let streams: Vec<u32> = (n * 10..n * 10 + 10).collect();
                rig.bare_guest(&streams, 0)
            })
            .collect();
        guests[0].active().unwrap();
        for guest in &guests[..12] {
            rig.smmu.attach(guest.link, guest.domain).unwrap();
        }
        // Twelve times ten fit into 128, one more does not.
        let last = &guests[12];
        assert_eq!(
            rig.smmu.attach(last.link, last.domain),
            Err(Error::Full(128))
        );
        last.map(IPA, PA, PAGE);
        assert_eq!(rig.model.dma(120, IPA, true), Dma::Terminated);
        rig.check();
    });
}

/// A bank is promised that is not ours to touch.
fn foreign_bank() {
    let mut part = part();
    part.kind.banks = 13;
    with(part, || {
        let rig = Rig::<Two>::new(setup(None));
        rig.guest(&[7], 0).active().unwrap();
        rig.check();
    });
}

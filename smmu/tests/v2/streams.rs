//! Streams, and faults of streams.

use crate::rig::*;

#[test]
fn masks_match_and_must_not_overlap() {
    let rig = Rig::<Two>::new(setup(None));
    let wide = rig.guest(&[masked(0x100, 0xff).0], 0);
    wide.map(IPA, PA, PAGE);
    wide.active().unwrap();
    assert_eq!(rig.model.dma(0x17f, IPA, true), Dma::Reached(PA));
    assert_eq!(rig.model.dma(0x27f, IPA, true), Dma::Terminated);
    let inside = rig.bare_guest(&[0x155], 0);
    assert_eq!(
        rig.smmu.attach(inside.link, inside.domain),
        Err(Error::StreamBusy(StreamId(0x155)))
    );
    // A fault by one of many is the master's.
    assert_eq!(rig.model.dma(0x133, 0x5000, false), Dma::Terminated);
    let mut seen = Vec::new();
    rig.smmu.handle_event_irq(&mut |fault| seen.push(fault));
    let fault = seen
        .iter()
        .find(|f| f.record.kind == FaultKind::Translation);
    let fault = fault.unwrap();
    assert_eq!((fault.link, fault.record.write), (Some(wide.link), false));
    assert_eq!(fault.record.raw[3] as u32, 0x133);
    // One that nobody mapped is reported, too.
    assert!(
        seen.iter()
            .any(|f| f.record.kind == FaultKind::Stream && f.record.stream == StreamId(0x27f))
    );
    rig.check();
}

#[test]
fn a_match_mask_widens_every_stream() {
    let mut part = Part::of(Implementation::Mmu500);
    part.config.stream_match_mask = 0x7c00;
    with(part, || {
        let rig = Rig::<Two>::new(setup(None));
        let guest = rig.guest(&[0x74], 0);
        guest.map(IPA, PA, PAGE);
        guest.active().unwrap();
        assert_eq!(rig.model.dma(0x1474, IPA, true), Dma::Reached(PA));
        assert_eq!(rig.model.dma(0x1475, IPA, true), Dma::Terminated);
        rig.check();
    });
}

#[test]
fn streams_out_of_range_are_refused() {
    let rig = Rig::<Two>::new(setup(None));
    let guest = rig.bare_guest(&[0x8000], 0);
    assert_eq!(
        rig.smmu.attach(guest.link, guest.domain),
        Err(Error::StreamRange(StreamId(0x8000)))
    );
    let mut part = Part::of(Implementation::GenericV2);
    part.kind.matching = false;
    part.kind.entries = 64;
    with(part, || {
        let rig = Rig::<Two>::new(setup(None));
        assert_eq!(
            rig.smmu.link(&[StreamId(64)], None),
            Err(Error::StreamRange(StreamId(64)))
        );
    });
}

#[test]
fn a_fault_does_not_hold_up_others() {
    let rig = Rig::<Two>::new(setup(None));
    let guest = rig.guest(&[7, 8], 0);
    guest.map(IPA, PA, PAGE);
    guest.active().unwrap();
    for _ in 0..3 {
        assert_eq!(rig.model.dma(7, 0x5000, true), Dma::Terminated);
    }
    assert_eq!(rig.model.dma(8, IPA, true), Dma::Reached(PA));
    let mut seen = 0;
    rig.smmu.handle_event_irq(&mut |_| seen += 1);
    // One is held, the others are known to be lost.
    assert_eq!((seen, rig.smmu.stats().faults_lost), (1, 1));
    rig.smmu.handle_event_irq(&mut |_| seen += 1);
    assert_eq!(seen, 1);
}

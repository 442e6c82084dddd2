//! What firmware left, and parts that are not what they should be.

use crate::rig::*;

/// Firmware may have left the SMMU in any state; a probe or a resume that
/// fails half way must leave it denying.
pub fn probe_denies(step: Option<Step>) {
    let (model, rig) = after_firmware(step, |model| {
        // Stream 3 passes by an entry, all others by CLIENTPD.
        model.firmware_writes(gr0::smr(5), stream::VALID | 3);
        model.firmware_writes(gr0::s2cr(5), stream::BYPASS);
        model.set_syncs(false);
    });
    assert!(matches!(rig.map(drop), Err(Error::Timeout(_))));
    assert_eq!(model.dma(3, PA, true), Dma::Terminated);
    assert_eq!(model.dma(4, PA, true), Dma::Terminated);
    assert_eq!(model.violations(), []);
}

#[test]
fn a_failed_probe_denies() {
    probe_denies(None);
}

#[test]
fn clients_never_bypass() {
    let (model, rig) = after_firmware(None, |_| ());
    let rig = rig.unwrap();
    let value = model.peek(gr0::CR0) as u32;
    assert_eq!(value & cr0::CLIENTPD, 0);
    assert_ne!(value & cr0::USFCFG, 0);
    // Something made everybody pass: noticed, and put right.
    model.firmware_writes(gr0::CR0, cr0::CLIENTPD);
    rig.smmu.handle_error_irq();
    assert!(matches!(
        rig.smmu.stats().last_error,
        Some(Error::ServiceFailure(_))
    ));
    assert_eq!(model.peek(gr0::CR0) as u32 & cr0::CLIENTPD, 0);
    assert_eq!(model.dma(4, PA, true), Dma::Terminated);
    rig.check();
}

#[test]
fn a_window_that_reads_as_zero_is_refused() {
    let (_, rig) = after_firmware(None, |model| model.set_dead(true));
    let error = rig.map(drop).unwrap_err();
    assert_eq!(
        error,
        Error::Unsupported("an SMMU at this address (its ID0 reads as zero)")
    );
}

#[test]
fn a_window_that_is_too_small_is_refused() {
    let mut part = Part::of(Implementation::Mmu500);
    part.config.window = Some(0x1_0000);
    let error = with(part, || Rig::<Two>::try_new(setup(None)).map(drop));
    assert!(matches!(error, Err(Error::Unsupported(_))));
    part.config.window = Some(0x2_0000);
    with(part, || Rig::<Two>::new(setup(None)).check());
}

#[test]
fn power_that_does_not_come_up_is_noticed() {
    let rig = Rig::<Two>::new(setup(None));
    let guest = rig.guest(&[7], 0);
    rig.pass(IDLE);
    rig.model.set_dead(true);
    assert_eq!(guest.active(), Err(Error::Stuck(gr0::ID0)));
    rig.model.set_dead(false);
    guest.active().unwrap();
    rig.check();
}

#[test]
fn firmware_streams_are_denied_or_kept() {
    let firmware = |model: &ModelV2| {
        model.firmware_writes(gr0::smr(3), stream::VALID | 0xf << 16 | 0x20);
        model.firmware_writes(gr0::s2cr(3), stream::BYPASS);
        model.let_pass(0x24, true);
    };
    let mut part = Part::of(Implementation::QcomMmu500);
    with(part, || {
        let (model, rig) = after_firmware(None, firmware);
        assert_eq!(model.dma(0x24, PA, true), Dma::Terminated);
        rig.unwrap().check();
    });
    part.config.firmware_streams = FirmwareStreams::Keep;
    with(part, || {
        let (model, rig) = after_firmware(None, firmware);
        let rig = rig.unwrap();
        assert_eq!(rig.smmu.hardware().kept_streams(), 1);
        // The display goes on, nobody else does.
        assert_eq!(model.dma(0x24, PA, true), Dma::Reached(PA));
        assert_eq!(model.dma(0x30, PA, true), Dma::Terminated);
        // A part cannot be taken over; who asks for it ends the rest, too.
        let part = rig.bare_guest(&[0x24], 0);
        assert_eq!(
            rig.smmu.attach(part.link, part.domain),
            Err(Error::StreamBusy(StreamId(0x24)))
        );
        assert_eq!(model.dma(0x24, PA, true), Dma::Terminated);
        let whole = rig.bare_guest(&[masked(0x20, 0xf).0], 0);
        whole.map(IPA, PA, PAGE);
        rig.smmu.attach(whole.link, whole.domain).unwrap();
        model.let_pass(0x24, false);
        assert_eq!(model.dma(0x24, IPA, true), Dma::Reached(PA));
        assert_eq!(rig.smmu.hardware().kept_streams(), 0);
        rig.check();
    });
}

/// Kept streams go through power-off as all others, and pass again after it.
#[test]
fn kept_streams_outlive_power() {
    let mut part = Part::of(Implementation::QcomV2);
    part.config.firmware_streams = FirmwareStreams::Keep;
    with(part, || {
        let mut setup = setup(None);
        setup.switched = false;
        setup.nature.loss = Loss::Scramble;
        let ram = Arc::new(Ram::new(true));
        let model = Two::model(setup.nature, &ram);
        let turn = |on| {
            model.clock(Unit::Smmu, on);
            model.power(on);
        };
        turn(true);
        model.firmware_writes(gr0::smr(3), stream::VALID | 0x20);
        model.firmware_writes(gr0::s2cr(3), stream::BYPASS);
        model.let_pass(0x20, true);
        let rig = Rig::<Two>::around(setup, ram, model.clone()).unwrap();
        for _ in 0..3 {
            assert_eq!(model.dma(0x20, PA, true), Dma::Reached(PA));
            let hold = rig.smmu.machine().hold().unwrap();
            rig.smmu.hardware().suspend(hold.power()).unwrap();
            assert_eq!(model.dma(0x20, PA, true), Dma::Terminated);
            turn(false);
            turn(true);
            rig.smmu.hardware().resume(hold.power()).unwrap();
            for other in [0, 0x21, 0x7fff] {
                assert_eq!(model.dma(other, PA, true), Dma::Terminated);
            }
        }
        rig.check();
    });
}

#[test]
fn a_time_out_tells_what_the_tbus_did() {
    with(Part::of(Implementation::QcomV2), || {
        let rig = Rig::<Two>::new(setup(None));
        let guest = rig.guest(&[7], 0);
        guest.map(IPA, PA, PAGE);
        guest.active().unwrap();
        assert_eq!(rig.smmu.hardware().stuck_tbus(), None);
        rig.model.set_syncs(false);
        assert!(guest.unmap(IPA, PAGE).is_err());
        let tbus = rig.smmu.hardware().stuck_tbus().unwrap();
        assert_eq!((tbus.power, tbus.acknowledged), (3, 1));
        let mut text = String::new();
        rig.smmu.describe(&mut text).unwrap();
        let told = "TBU_PWR_STATUS 0x3, STATS_SYNC_INV_TBU_ACK 0x1";
        assert!(text.ends_with(told), "{text}");
    });
}

//! The SMMUv1 and SMMUv2 driver against the hostile model.

mod common;

use common::scenarios as s;
use common::{Backend, IDLE, PAGE, Rig, Setup};
use proptest::prelude::*;
use smmu::model::v2::{Kind, ModelV2, Window};
use smmu::model::{Device, Dma, Loss, Nature, Ram, SimTime, Step, Unit};
use smmu::power::State;
use smmu::v2::spec::{cr0, gr0, stream};
use smmu::v2::{Config, FirmwareStreams, Implementation, V2, WorkAround, masked};
use smmu::{Done, Error, FaultKind, Hardware, Powered, Stage2, StreamId, Vmid};
use std::cell::Cell;
use std::sync::Arc;

/// What this thread's rigs are made of.
#[derive(Clone, Copy)]
struct Part {
    kind: Kind,
    config: Config,
}

impl Part {
    fn of(model: Implementation) -> Self {
        Self {
            kind: Kind::of(model),
            config: Config {
                model,
                bound_ns: 1_000_000,
                ..Config::default()
            },
        }
    }
}

thread_local! {
    static PART: Cell<Option<Part>> = const { Cell::new(None) };
}

fn part() -> Part {
    PART.get().unwrap_or(Part::of(Implementation::Mmu500))
}

/// Runs `f` with rigs of this part.
fn with<T>(part: Part, f: impl FnOnce() -> T) -> T {
    struct Restore(Option<Part>);
    impl Drop for Restore {
        fn drop(&mut self) {
            PART.set(self.0);
        }
    }
    let _restore = Restore(PART.replace(Some(part)));
    f()
}

struct Two;

impl Backend for Two {
    type Model = ModelV2;
    type Driver = V2<'static, Window>;

    fn model(nature: Nature, _: &Arc<Ram>) -> ModelV2 {
        ModelV2::new(nature, part().kind)
    }

    fn probe(
        power: &Powered,
        model: ModelV2,
        _: &'static Ram,
        time: &'static SimTime,
        leave_out: Option<Step>,
    ) -> Result<Self::Driver, Error> {
        let config = Config {
            leave_out,
            ..part().config
        };
        V2::probe(power, model.windows(), time, config)
    }
}

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { s::$name::<Two>(None); })*
    };
}

scenarios!(
    default_deny,
    attach_and_detach,
    unmap_while_dma,
    deferred_gating,
    operation_holds,
    gate_and_wake,
    tbu_sleeps,
    stuck_sync,
    suspend_fails,
    resume_fails,
    clock_does_not_stop,
    nothing_to_switch,
    faults_are_attributed,
    late_interrupt,
    two_smmus,
    timeline_tells,
    domains_come_and_go,
    links_outlive_drivers,
);

#[test]
fn the_model_bites() {
    s::model_bites::<Two>();
}

const ALL: [Implementation; 10] = [
    Implementation::GenericV1,
    Implementation::GenericV2,
    Implementation::Mmu400,
    Implementation::Mmu401,
    Implementation::Mmu500,
    Implementation::MarvellAp806,
    Implementation::NvidiaMmu500,
    Implementation::Cavium,
    Implementation::QcomV2,
    Implementation::QcomMmu500,
];

type Scenario = fn(Option<Step>);

/// The scenarios that touch what implementations do differently.
const ESSENCE: [Scenario; 6] = [
    s::default_deny::<Two>,
    s::unmap_while_dma::<Two>,
    s::gate_and_wake::<Two>,
    s::tbu_sleeps::<Two>,
    s::stuck_sync::<Two>,
    s::faults_are_attributed::<Two>,
];

#[test]
fn every_implementation_does_all_of_it() {
    for model in ALL {
        with(Part::of(model), || ESSENCE.iter().for_each(|run| run(None)));
    }
}

#[test]
fn shapes_of_the_window_and_of_streams() {
    let base = Part::of(Implementation::GenericV2);
    for (page_shift, extended, matching) in [
        (16, false, true),
        (12, true, true),
        (16, true, true),
        (12, false, false),
    ] {
        let mut part = base;
        part.kind.page_shift = page_shift;
        part.kind.extended = extended && matching;
        part.kind.matching = matching;
        part.kind.vmid16 = extended;
        if !matching {
            part.kind.entries = 64;
        }
        with(part, || ESSENCE.iter().for_each(|run| run(None)));
    }
}

type Needed = (Step, Scenario);

/// Each step of the driver and of the power code is needed: without it, the
/// scenario named here fails.
const NEEDED: &[Needed] = &[
    (Step::CountCheck, s::operation_holds::<Two>),
    (Step::DeadlineCheck, s::deferred_gating::<Two>),
    (Step::HoldCheck, s::late_interrupt::<Two>),
    (Step::DenyFirst, probe_denies),
    (Step::ForgetAfterChange, s::attach_and_detach::<Two>),
    (Step::SendInvalidation, s::unmap_while_dma::<Two>),
    (Step::WaitForSync, s::unmap_while_dma::<Two>),
    (Step::ForgetTables, steps_are_forgotten),
    (Step::CoverRange, s::unmap_while_dma::<Two>),
    (Step::ResumeForgetsTranslations, s::gate_and_wake::<Two>),
    (Step::SuspendTerminates, s::gate_and_wake::<Two>),
    (Step::SuspendSyncs, s::gate_and_wake::<Two>),
    (Step::SuspendDisables, s::gate_and_wake::<Two>),
    (Step::BlockTbu, s::tbu_sleeps::<Two>),
    (Step::RefreshTbu, s::tbu_sleeps::<Two>),
    (Step::FenceTerminates, s::stuck_sync::<Two>),
];

/// Runs what must fail, without its noise; names what did not.
fn unnoticed<T: Copy + std::panic::RefUnwindSafe>(all: &[T], run: impl Fn(T)) -> Vec<T> {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let run = std::panic::AssertUnwindSafe(run);
    let passes = |one: &&T| std::panic::catch_unwind(|| (*run)(**one)).is_ok();
    let missed = all.iter().filter(passes).copied().collect();
    std::panic::set_hook(quiet);
    missed
}

#[test]
fn every_step_is_needed() {
    let missed = unnoticed(NEEDED, |(step, run)| run(Some(step)));
    assert!(missed.is_empty(), "nobody noticed: {missed:?}");
}

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

const IPA: u64 = 0x4000_0000;
const PA: u64 = 0x8000_0000;
const BLOCK: u64 = 512 * PAGE;

fn setup(step: Option<Step>) -> Setup {
    Setup {
        leave_out: step,
        ..Setup::default()
    }
}

/// A rig around a model that firmware has prepared.
fn after_firmware(
    step: Option<Step>,
    prepare: impl FnOnce(&ModelV2),
) -> (ModelV2, Result<Rig<Two>, Error>) {
    let setup = Setup {
        switched: false,
        ..setup(step)
    };
    let ram = Arc::new(Ram::new(true));
    let model = Two::model(setup.nature, &ram);
    model.power(true);
    model.clock(Unit::Smmu, true);
    prepare(&model);
    let rig = Rig::<Two>::around(setup, ram, model.clone());
    (model, rig)
}

/// Firmware may have left the SMMU in any state; a probe or a resume that
/// fails half way must leave it denying.
fn probe_denies(step: Option<Step>) {
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

/// A table that was taken out is not walked any more, though one address is
/// enough to say so.
fn steps_are_forgotten(step: Option<Step>) {
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

/// A prefetcher that firmware keeps on makes an MMU-500 unusable.
#[test]
fn a_prefetcher_that_stays_on_is_an_error() {
    let mut part = Part::of(Implementation::Mmu500);
    part.config.without = Some(WorkAround::CacheLock);
    let outcome = with(part, || Rig::<Two>::try_new(setup(None)).map(drop));
    assert_eq!(outcome, Err(Error::Stuck(0x1_0004)));
}

fn tlb_enables() {
    let rig = Rig::<Two>::new(setup(None));
    assert_eq!(rig.model.peek(gr0::ACR) & 0x500, 0x500);
    // A bypass that a TBU remembers is forgotten with its end.
    let guest = rig.guest(&[7], 0);
    guest.active().unwrap();
    rig.model.allow_bypass(7);
    rig.smmu.bypass(guest.link).unwrap();
    assert_eq!(rig.model.dma(7, PA, true), Dma::Reached(PA));
    rig.smmu.detach(guest.link).unwrap();
    rig.smmu.attach(guest.link, guest.domain).unwrap();
    rig.model.disallow_bypass(7);
    assert_eq!(rig.model.dma(7, PA, true), Dma::Terminated);
    rig.check();
}

/// Two SMMUs whose TLBs do not know whose VMID it is.
fn shared_tlb() {
    let one = Rig::<Two>::new(setup(None));
    let mut next = part();
    next.config.first_vmid = one.smmu.hardware().next_vmid();
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
        rig.model.allow_bypass(7);
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

#[test]
fn firmware_streams_are_denied_or_kept() {
    let firmware = |model: &ModelV2| {
        model.firmware_writes(gr0::smr(3), stream::VALID | 0xf << 16 | 0x20);
        model.firmware_writes(gr0::s2cr(3), stream::BYPASS);
        model.allow_bypass(0x24);
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
        model.disallow_bypass(0x24);
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
        model.allow_bypass(0x20);
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
    let rig = Rig::<Two>::new(setup(None));
    let guests: Vec<_> = (0..4).map(|n| rig.guest(&[n], 0)).collect();
    guests[0].active().unwrap();
    std::thread::scope(|scope| {
        for (n, guest) in guests.iter().enumerate() {
            let (smmu, model, table, domain) =
                (&rig.smmu, &rig.model, guest.table.clone(), guest.domain);
            let pa = PA + n as u64 * 0x10_0000;
            scope.spawn(move || {
                for turn in 0..40u64 {
                    let ipa = IPA + (turn % 5) * PAGE;
                    model.permit(pa);
                    let attrs = pgtable::Attrs::DMA;
                    table
                        .map(pgtable::Ipa(ipa), pgtable::Pa(pa), PAGE, attrs)
                        .unwrap();
                    assert_eq!(model.dma(n as u32, ipa, true), Dma::Reached(pa));
                    let detached = table.unmap(pgtable::Ipa(ipa), PAGE).unwrap();
                    table
                        .release(detached, |stale| {
                            smmu.invalidate(domain, &[stale.into()]).map(drop)
                        })
                        .unwrap();
                    model.forbid(pa);
                    assert_eq!(model.dma(n as u32, ipa, true), Dma::Terminated);
                }
            });
        }
    });
    rig.check();
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

/// A hundred times as many where there is time: `SMMU_TURNS=100000`.
#[test]
fn many_turns_leak_nothing() {
    let turns = std::env::var("SMMU_TURNS")
        .ok()
        .and_then(|t| t.parse().ok());
    s::many_turns::<Two>(turns.unwrap_or(200));
}

fn cases() -> u32 {
    let cases = std::env::var("SMMU_CASES")
        .ok()
        .and_then(|t| t.parse().ok());
    cases.unwrap_or(24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn calm_schedules((variant, ops) in common::schedules::schedule(false), which in 0..ALL.len()) {
        with(Part::of(ALL[which]), || common::schedules::run::<Two>(variant, &ops));
    }

    #[test]
    fn rough_schedules((variant, ops) in common::schedules::schedule(true), which in 0..ALL.len()) {
        with(Part::of(ALL[which]), || common::schedules::run::<Two>(variant, &ops));
    }
}

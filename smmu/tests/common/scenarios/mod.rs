//! What must hold for every SMMU. Each scenario runs as a test of its own,
//! and again with a step left out, when it must fail.

mod mirror;
mod power;

pub use mirror::*;
pub use power::*;

use super::*;
use pgtable::{Access, Execute, MemoryType};
use smmu::model::{Dma, Violation};
use smmu::power::State;

const IPA: u64 = 0x4000_0000;
const PA: u64 = 0x8000_0000;
const OTHER: u64 = 0x9000_0000;

fn setup(step: Option<Step>) -> Setup {
    Setup {
        leave_out: step,
        ..Setup::default()
    }
}

/// C4: nothing passes, from before the probe to after the end, for anyone
/// who was not attached.
pub fn default_deny<B: Backend>(step: Option<Step>) {
    let rig = Rig::<B>::new(setup(step));
    for stream in [0, 7, 0x123, 0xffff] {
        assert_eq!(rig.model.dma(stream, PA, true), Dma::Terminated);
    }
    let guest = rig.bare_guest(&[7], 0);
    guest.map(IPA, PA, PAGE);
    guest.active().unwrap();
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Terminated);
    rig.smmu.attach(guest.link, guest.domain).unwrap();
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(PA));
    assert_eq!(rig.model.dma(8, IPA, true), Dma::Terminated);
    rig.check();
}

/// What is for devices alone, in tables that CPUs walk too, is theirs, with the
/// rights it has: so is the doorbell of messages.
pub fn devices_only<B: Backend>(_: Option<Step>) {
    let rig = Rig::<B>::new(setup(None));
    let guest = rig.bare_guest(&[7], 0);
    rig.model.permit(PA);
    let doorbell = Attrs::new(MemoryType::Device, Access::Write, Execute::None).devices_only();
    guest.table.map(Ipa(IPA), Pa(PA), PAGE, doorbell).unwrap();
    guest.active().unwrap();
    rig.smmu.attach(guest.link, guest.domain).unwrap();
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(PA));
    assert_eq!(rig.model.dma(7, IPA, false), Dma::Terminated);
    rig.check();
}

/// An entry is old, new or terminating at every moment, and new on return.
pub fn attach_and_detach<B: Backend>(step: Option<Step>) {
    for seed in 1..20 {
        let mut setup = setup(step);
        setup.nature.seed = seed;
        let rig = Rig::<B>::new(setup);
        let one = rig.bare_guest(&[7, 8], 0);
        let two = rig.bare_guest(&[9], 0);
        rig.model.set_restless(7, IPA);
        one.map(IPA, PA, PAGE);
        two.map(IPA, OTHER, PAGE);
        one.active().unwrap();
        for turn in 0..4 {
            // The entry's absence may be cached as well.
            assert_eq!(rig.model.dma(7, IPA, true), Dma::Terminated);
            let domain = if turn % 2 == 0 {
                one.domain
            } else {
                two.domain
            };
            let target = if turn % 2 == 0 { PA } else { OTHER };
            rig.smmu.attach(one.link, domain).unwrap();
            assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(target));
            // Straight from one domain to the other.
            rig.smmu.attach(one.link, two.domain).unwrap();
            assert_eq!(rig.model.dma(8, IPA, false), Dma::Reached(OTHER));
            rig.model.launch(8, IPA);
            rig.smmu.detach(one.link).unwrap();
            rig.model.forbid(OTHER);
            rig.model.land();
            assert_eq!(rig.model.dma(8, IPA, true), Dma::Terminated);
            rig.model.permit(OTHER);
        }
        rig.check();
    }
}

/// C4: bypass begins when it is asked for, from whatever was before, and ends
/// with the next thing that is, on and gated.
pub fn bypass_ends<B: Backend>(step: Option<Step>) {
    for gated in [false, true] {
        let rig = Rig::<B>::new(setup(step));
        let guest = rig.bare_guest(&[7], 0);
        guest.map(IPA, PA, PAGE);
        let smmu = &rig.smmu;
        // What is asked for while the SMMU sleeps is in force when it wakes.
        let then = |change: &dyn Fn() -> Result<(), Error>, passes: bool, reached: Dma| {
            if gated {
                guest.idle();
                rig.pass(IDLE);
                assert_eq!(smmu.state(), State::Gated);
            }
            rig.model.let_pass(7, passes);
            change().unwrap();
            guest.active().unwrap();
            assert_eq!(rig.model.dma(7, IPA, true), reached);
            rig.check();
        };
        let (bypass, detach) = (|| smmu.bypass(guest.link), || smmu.detach(guest.link));
        let attach = || smmu.attach(guest.link, guest.domain);
        let (passed, translated) = (Dma::Reached(IPA), Dma::Reached(PA));
        guest.active().unwrap();
        then(&bypass, true, passed);
        then(&detach, false, Dma::Terminated);
        then(&attach, false, translated);
        then(&bypass, true, passed);
        then(&bypass, true, passed);
        then(&attach, false, translated);
        then(&detach, false, Dma::Terminated);
        then(&bypass, true, passed);
        // Nobody's: whoever is linked next does not inherit it.
        rig.model.let_pass(7, false);
        smmu.unlink(guest.link).unwrap();
        let next = smmu.link(&[StreamId(7)], None).unwrap();
        smmu.master_active(next).unwrap();
        assert_eq!(rig.model.dma(7, IPA, true), Dma::Terminated);
        assert_eq!(smmu.destroy_domain(guest.domain), Ok(Done::Completed));
        rig.check();
    }
}

/// B4: never an old page after unmap returned.
pub fn unmap_while_dma<B: Backend>(step: Option<Step>) {
    for (coherent, ranges) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut setup = setup(step);
        setup.nature.coherent = coherent;
        setup.nature.ranges = ranges;
        let rig = Rig::<B>::new(setup);
        let guest = rig.guest(&[7], 0);
        guest.active().unwrap();
        for (pages, at) in [
            (1, IPA),
            (3, IPA),
            (33, IPA + PAGE),
            (512, IPA),
            (1025, IPA + PAGE),
        ] {
            guest.map(at, PA, pages * PAGE);
            for page in 0..pages {
                let offset = page * PAGE;
                assert_eq!(
                    rig.model.dma(7, at + offset, true),
                    Dma::Reached(PA + offset)
                );
            }
            rig.model.launch(7, at);
            assert_eq!(guest.unmap(at, pages * PAGE), Ok(Done::Completed));
            rig.model.land();
            for page in 0..pages {
                assert_eq!(rig.model.dma(7, at + page * PAGE, false), Dma::Terminated);
            }
            // Blocks after pages, pages after blocks: cached steps must go.
            guest.map(at, OTHER, PAGE);
            assert_eq!(rig.model.dma(7, at, true), Dma::Reached(OTHER));
            guest.unmap(at, PAGE).unwrap();
        }
        rig.check();
    }
}

/// C5: a sync that never completes fences its domain and nothing else, and
/// the pages stay out of use until everything was forgotten.
pub fn stuck_sync<B: Backend>(step: Option<Step>) {
    let rig = Rig::<B>::new(setup(step));
    let (one, two) = (rig.guest(&[7], 0), rig.guest(&[9], 0));
    one.map(IPA, PA, 3 * PAGE);
    two.map(IPA, OTHER, PAGE);
    one.active().unwrap();
    two.active().unwrap();
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Reached(PA));
    assert_eq!(rig.model.dma(9, IPA, true), Dma::Reached(OTHER));
    rig.model.set_syncs(false);
    assert!(one.unmap(IPA, PAGE).is_err());
    let epoch = rig.smmu.epoch();
    assert_eq!(rig.smmu.is_fenced(one.domain), Ok(true));
    assert_eq!(rig.smmu.is_fenced(two.domain), Ok(false));
    assert!(rig.smmu.stats().account.sync_timeouts >= 1);
    assert!(rig.smmu.clean_epoch() <= epoch);
    assert_eq!(rig.model.dma(9, IPA, true), Dma::Reached(OTHER));
    // Refused at once from now on, not after another timeout.
    let accesses = rig.model.accesses();
    assert!(one.unmap(IPA + PAGE, PAGE).is_err());
    assert_eq!(rig.model.accesses(), accesses);
    // It goes again: retried by the tick, the pages come back.
    rig.model.set_syncs(true);
    rig.pass(3 * RETRY);
    assert!(!rig.smmu.is_stuck());
    assert!(rig.smmu.clean_epoch() > epoch);
    rig.model.forbid(PA);
    assert_eq!(rig.model.dma(7, IPA, true), Dma::Terminated);
    assert_eq!(rig.model.dma(7, IPA + PAGE, true), Dma::Terminated);
    assert_eq!(rig.model.dma(7, IPA + 2 * PAGE, true), Dma::Terminated);
    assert_eq!(rig.model.dma(9, IPA, true), Dma::Reached(OTHER));
    assert_eq!(two.unmap(IPA, PAGE), Ok(Done::Completed));
    // A fenced domain can only be left.
    rig.smmu.detach(one.link).unwrap();
    assert!(matches!(
        rig.smmu.attach(one.link, one.domain),
        Err(Error::Fenced(_))
    ));
    rig.smmu.destroy_domain(one.domain).unwrap();
    rig.check();
}

/// C6: faults come with stream, link, domain, address, kind and direction.
pub fn faults_are_attributed<B: Backend>(step: Option<Step>) {
    let rig = Rig::<B>::new(setup(step));
    let guest = rig.guest(&[7], 0);
    guest.active().unwrap();
    assert_eq!(rig.model.dma(7, 0x1234_5000, true), Dma::Terminated);
    let mut seen = Vec::new();
    rig.smmu.handle_event_irq(&mut |fault| seen.push(fault));
    assert_eq!(seen.len(), 1);
    let fault = seen[0];
    assert_eq!(fault.record.stream, StreamId(7));
    assert_eq!(fault.record.address, Some(Ipa(0x1234_5000)));
    assert_eq!(fault.record.kind, smmu::FaultKind::Translation);
    assert!(fault.record.write);
    assert_eq!(fault.link, Some(guest.link));
    assert_eq!(fault.domain, Some(guest.domain));
    assert_eq!(fault.vmid, rig.smmu.vmid(guest.domain).ok());
    assert_eq!(rig.smmu.link_stats(guest.link).unwrap().faults, 1);
    // What came just before the suspend is not lost with the queue.
    rig.model.dma(7, 0x2000, false);
    guest.idle();
    rig.pass(IDLE);
    assert_eq!(rig.smmu.state(), State::Gated);
    let accesses = rig.model.accesses();
    rig.smmu.handle_event_irq(&mut |fault| seen.push(fault));
    assert_eq!(rig.model.accesses(), accesses);
    assert_eq!(seen[1].record.address, Some(Ipa(0x2000)));
    rig.check();
}

/// Two SMMUs: independent, and their waits overlap.
pub fn two_smmus<B: Backend>(step: Option<Step>) {
    let mut setup = setup(step);
    let one = Rig::<B>::new(setup);
    setup.base = 0x2_0000_0000;
    let two = Rig::<B>::new(setup);
    let (g1, g2) = (one.guest(&[7], 0), two.guest(&[7], 0));
    g1.map(IPA, PA, PAGE);
    g2.map(IPA, OTHER, PAGE);
    g1.active().unwrap();
    assert_eq!(one.model.dma(7, IPA, true), Dma::Reached(PA));
    g2.active().unwrap();
    assert_eq!(two.model.dma(7, IPA, true), Dma::Reached(OTHER));
    let range = smmu::IpaRange {
        ipa: Ipa(IPA),
        size: PAGE,
        stride: PAGE,
        leaf_only: true,
    };
    let first = one.smmu.begin_invalidate(g1.domain, &[range]).unwrap();
    let second = two.smmu.begin_invalidate(g2.domain, &[range]).unwrap();
    assert_eq!(second.finish(), Ok(Done::Completed));
    assert_eq!(first.finish(), Ok(Done::Completed));
    // One stuck, the other not.
    one.model.set_syncs(false);
    assert!(g1.unmap(IPA, PAGE).is_err());
    assert_eq!(g2.unmap(IPA, PAGE), Ok(Done::Completed));
    g2.idle();
    two.pass(IDLE);
    assert_eq!(two.smmu.state(), State::Gated);
    assert_eq!(one.smmu.state(), State::On);
    one.check();
    two.check();
}

/// Domains come and go; contexts do not run out.
pub fn domains_come_and_go<B: Backend>(_: Option<Step>) {
    let rig = Rig::<B>::new(setup(None));
    let guest = rig.guest(&[7], 0);
    guest.active().unwrap();
    let tables = Stage2::of(guest.table.root(), guest.table.config());
    for _ in 0..300 {
        let domain = rig.smmu.create_domain(&tables, None).unwrap();
        rig.smmu.attach(guest.link, domain).unwrap();
        assert_eq!(
            rig.smmu.destroy_domain(domain),
            Err(Error::DomainBusy(domain.0))
        );
        rig.smmu.detach(guest.link).unwrap();
        assert_eq!(rig.smmu.destroy_domain(domain), Ok(Done::Completed));
        assert_eq!(
            rig.smmu.destroy_domain(domain),
            Err(Error::DomainUnknown(domain.0))
        );
    }
    rig.check();
}

/// The model's own promise: its violations can be seen.
pub fn model_bites<B: Backend>() {
    let rig = Rig::<B>::new(setup(None));
    rig.model.clock(Unit::Smmu, false);
    assert!(
        rig.model
            .violations()
            .contains(&Violation::StoppedLive(Unit::Smmu))
    );
}

/// Four CPUs map and unmap for a device of their own each, and nothing of one's
/// is seen by another. They move the clock, too.
pub fn several_cpus_at_once<B: Backend>(setup: Setup) {
    let rig = Rig::<B>::new(setup);
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
                    let attrs = Attrs::DMA;
                    table.map(Ipa(ipa), Pa(pa), PAGE, attrs).unwrap();
                    assert_eq!(model.dma(n as u32, ipa, true), Dma::Reached(pa));
                    let detached = table.unmap(Ipa(ipa), PAGE).unwrap();
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

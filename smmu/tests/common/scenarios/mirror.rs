//! Devices whose SMMU cannot walk the CPU's stage 2 use a mirror of it.

use super::*;
use smmu::mirror::{Mirror, shape};
use smmu::model::{Cleaner, new_mirror};

/// A VM's stage 2, the mirror of it, and a master that uses the mirror.
struct Mirrored<'r, B: Backend> {
    rig: &'r Rig<B>,
    cpu: Arc<ModelTable>,
    mirror: Arc<Mirror<pgtable::Arena<Cleaner>>>,
    domain: DomainId,
    link: LinkId,
}

const STREAM: u32 = 7;
const RAM: u64 = 4 << 20;

impl<'r, B: Backend> Mirrored<'r, B> {
    /// With 4 MiB of RAM. `why` is what the SMMU says of the CPU's tables.
    fn new(rig: &'r Rig<B>, why: Error) -> Self {
        let config = Config::new(Granule::K4, 40, 44).unwrap();
        let cpu = new_table(config, Pa(0x3_0000_0000), 0x10_0000);
        let own = Stage2::of(cpu.root(), cpu.config());
        assert_eq!(rig.smmu.create_domain(&own, None), Err(why));
        let shape = shape(&config, &rig.smmu.hardware().limits()).unwrap();
        let mirror = new_mirror(shape, Pa(0x4_0000_0000), 0x40_0000);
        rig.model.add_tables(mirror.clone());
        rig.model.place(STREAM, 0);
        let domain = rig.smmu.create_domain(&mirror.tables(), None).unwrap();
        let link = rig.smmu.link(&[StreamId(STREAM)], None).unwrap();
        rig.smmu.attach(link, domain).unwrap();
        let this = Self {
            rig,
            cpu,
            mirror,
            domain,
            link,
        };
        this.map(IPA, PA, RAM).unwrap();
        this
    }

    /// In the stage 2, and in the mirror if that can express it.
    fn map(&self, ipa: u64, pa: u64, len: u64) -> Result<(), pgtable::Error> {
        for page in (pa..pa + len).step_by(PAGE as usize) {
            self.rig.model.permit(page);
        }
        let (ipa, pa) = (Ipa(ipa), Pa(pa));
        self.cpu.map(ipa, pa, len, Attrs::DMA).unwrap();
        self.mirror.map(ipa, pa, len, Attrs::DMA)
    }

    /// From both; then the pages are somebody else's. What the SMMU did, if
    /// the mirror had it.
    fn unmap(&self, ipa: u64, pa: u64, len: u64) -> Option<Done> {
        let gone = self.cpu.unmap(Ipa(ipa), len).unwrap();
        self.cpu.release(gone, |_| Ok::<(), Error>(())).unwrap();
        let mut done = None;
        let forget = |stale: pgtable::Stale| {
            done = Some(self.rig.smmu.invalidate(self.domain, &[stale.into()])?);
            Ok::<(), Error>(())
        };
        self.mirror.unmap(Ipa(ipa), len, forget).unwrap();
        for page in (pa..pa + len).step_by(PAGE as usize) {
            self.rig.model.forbid(page);
        }
        done
    }

    fn dma(&self, ipa: u64) -> Dma {
        self.rig.model.dma(STREAM, ipa, true)
    }
}

/// What the model lacks, and what the driver says of tables that want it.
fn shortcomings(granules: bool) -> Vec<(Nature, Error)> {
    let base = Nature::default();
    let granule = |granules| Nature { granules, ..base };
    let mut all = vec![
        (
            Nature {
                pa_bits: 36,
                ..base
            },
            Error::InputSize(40),
        ),
        (
            Nature {
                coherent: false,
                ..base
            },
            Error::Unsupported("coherent walks"),
        ),
    ];
    if granules {
        all.push((granule(1 << 16), Error::Granule(12)));
        all.push((granule(1 << 14), Error::Granule(12)));
        let worst = Nature {
            granules: 1 << 16,
            pa_bits: 36,
            coherent: false,
            ..base
        };
        all.push((worst, Error::InputSize(40)));
    }
    all
}

/// Each architecture names the register in its own way.
fn named<B: Backend>(rig: &Rig<B>, error: Error) -> Error {
    let Error::Unsupported(_) = error else {
        return error;
    };
    let config = Config::new(Granule::K4, 36, 36).unwrap();
    let table = new_table(config, Pa(0x5_0000_0000), 0x10_0000);
    let tables = Stage2::of(table.root(), table.config());
    let said = rig.smmu.create_domain(&tables, None).unwrap_err();
    assert!(matches!(said, Error::Unsupported(what) if what.contains("coherent walks")));
    said
}

fn each<B: Backend>(step: Option<Step>, granules: bool, run: impl Fn(&Mirrored<B>, u64)) {
    for (nature, why) in shortcomings(granules) {
        for seed in 1..6 {
            let mut setup = setup(step);
            setup.nature = Nature { seed, ..nature };
            let rig = Rig::<B>::new(setup);
            let guest = Mirrored::new(&rig, named(&rig, why));
            rig.model.set_restless(STREAM, IPA + 5 * PAGE);
            run(&guest, 1 << nature.granules.trailing_zeros());
            rig.check();
        }
    }
}

/// RAM is all there; what is unmapped is gone when the unmap returns, on and
/// gated; what does not fit the granule is left out, and nothing else with it.
pub fn mirrors_follow<B: Backend>(step: Option<Step>, granules: bool) {
    each::<B>(step, granules, |guest, granule| {
        guest.rig.smmu.master_active(guest.link).unwrap();
        for offset in (0..RAM).step_by(PAGE as usize) {
            assert_eq!(guest.dma(IPA + offset), Dma::Reached(PA + offset));
        }
        let (big, small) = (IPA - 0x100_0000, IPA - 0x80_0000);
        for turn in 0..3 {
            guest.map(big, OTHER, 0x1_0000).unwrap();
            assert_eq!(guest.dma(big + 3 * PAGE), Dma::Reached(OTHER + 3 * PAGE));
            let fits = guest.map(small, OTHER + 0x10_1000, PAGE);
            assert_eq!(fits.is_ok(), granule == PAGE);
            let reached = matches!(guest.dma(small), Dma::Reached(_));
            assert_eq!(reached, granule == PAGE);
            guest.rig.model.launch(STREAM, big);
            let mut expected = Done::Completed;
            if turn == 1 {
                guest.rig.model.land();
                guest.rig.smmu.master_idle(guest.link).unwrap();
                guest.rig.pass(IDLE);
                assert_eq!(guest.rig.smmu.state(), State::Gated);
                expected = Done::Elided;
            }
            assert_eq!(guest.unmap(big, OTHER, 0x1_0000), Some(expected));
            let told = guest.unmap(small, OTHER + 0x10_1000, PAGE);
            assert_eq!(told.is_some(), granule == PAGE);
            guest.rig.model.land();
            guest.rig.smmu.master_active(guest.link).unwrap();
            assert_eq!(guest.dma(big + 3 * PAGE), Dma::Terminated);
            assert_eq!(guest.dma(small), Dma::Terminated);
        }
        assert_eq!(guest.dma(IPA + RAM - PAGE), Dma::Reached(PA + RAM - PAGE));
    });
}

/// What is beyond the SMMU's sizes is refused, whole: the caller can tell RAM
/// that devices would not reach.
pub fn mirrors_refuse<B: Backend>() {
    let mut setup = setup(None);
    setup.nature.pa_bits = 36;
    let rig = Rig::<B>::new(setup);
    let guest = Mirrored::new(&rig, Error::InputSize(40));
    guest.rig.smmu.master_active(guest.link).unwrap();
    let (high, low) = (1 << 38, IPA - 0x100_0000);
    let refused = guest.map(high, OTHER, PAGE);
    assert_eq!(refused, Err(pgtable::Error::IpaTooLarge(Ipa(high))));
    let refused = guest.map(low, high, PAGE);
    assert_eq!(refused, Err(pgtable::Error::PaTooLarge(Pa(high))));
    assert_eq!(guest.dma(low), Dma::Terminated);
    assert_eq!(guest.dma(high), Dma::Terminated);
    assert_eq!(guest.unmap(low, high, PAGE), None);
    rig.check();
}

/// The tables of the CPU where the SMMU could walk them, but memory is beyond
/// what it can put out: terminated, not wrapped around.
pub fn sizes_end<B: Backend>() {
    let mut setup = setup(None);
    setup.nature.pa_bits = 40;
    let rig = Rig::<B>::new(setup);
    let guest = rig.guest(&[STREAM], 0);
    guest.map(IPA, 1 << 41, PAGE);
    guest.map(IPA + PAGE, PA, PAGE);
    guest.active().unwrap();
    assert_eq!(rig.model.dma(STREAM, IPA, true), Dma::Terminated);
    assert_eq!(rig.model.dma(STREAM, IPA + PAGE, true), Dma::Reached(PA));
    let mut kinds = Vec::new();
    rig.smmu
        .handle_event_irq(&mut |fault| kinds.push(fault.record.kind));
    assert_eq!(kinds, [smmu::FaultKind::AddressSize]);
    rig.check();
}

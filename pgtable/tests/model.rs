//! Random operations against a map of plain intervals: every granule, input
//! size and mix of page sizes, with the frame source running dry at random.

mod common;

use common::intervals::Model;
use common::{SHAPES, bits, end, forget, hardware};
use pgtable::{
    Access, Arena, Attrs, Bbml, Config, Error, Execute, Failure, Ipa, MemoryType, Pa, Table,
};
use proptest::prelude::*;

const ATTRS: [Attrs; 3] = [
    Attrs::RAM,
    Attrs::DEVICE,
    Attrs::new(MemoryType::NonCacheable, Access::Read, Execute::None),
];

#[derive(Debug, Clone)]
enum Op {
    /// Slot, sizes up from a page, pages, output misaligned by pages,
    /// attributes, descriptors at once.
    Map {
        at: u64,
        len: u64,
        shift: u64,
        attrs: usize,
        budget: Option<usize>,
    },
    List {
        at: u64,
        lens: Vec<u64>,
        attrs: usize,
    },
    /// Pieces, each so many pages after the one before.
    Batch {
        at: u64,
        pieces: Vec<(u64, u64)>,
        attrs: usize,
    },
    Unmap {
        at: u64,
        len: u64,
        budget: Option<usize>,
    },
    UnmapWith {
        at: u64,
        len: u64,
        fail: bool,
    },
    Protect {
        at: u64,
        len: u64,
        write: bool,
    },
    Clear {
        at: u64,
        len: u64,
    },
    Prune {
        at: u64,
        len: u64,
    },
}

/// A length in pages: around one page, a group, a block, or a block and more.
fn len() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 1..4u64,
        3 => Just(1u64 << 32),
        1 => Just(1u64 << 33),
        2 => (1..3u64).prop_map(|n| n << 40),
        1 => (0..3u64).prop_map(|n| (1 << 40) + n),
        1 => Just(1u64 << 48),
    ]
}

/// An address: pages, groups, blocks, large blocks.
fn at() -> impl Strategy<Value = u64> {
    (0..3u64, 0..4u64, 0..2u64, 0..3u64)
        .prop_map(|(page, group, block, large)| page | group << 32 | block << 40 | large << 48)
}

fn op() -> impl Strategy<Value = Op> {
    let budget = || proptest::option::weighted(0.3, prop_oneof![1..20usize, 500..9000usize]);
    prop_oneof![
        6 => (at(), len(), prop_oneof![3 => Just(0u64), 1 => Just(1), 1 => Just(1 << 32)], 0..3usize, budget())
            .prop_map(|(at, len, shift, attrs, budget)| Op::Map { at, len, shift, attrs, budget }),
        1 => (at(), proptest::collection::vec(len(), 1..4), 0..3usize)
            .prop_map(|(at, lens, attrs)| Op::List { at, lens, attrs }),
        2 => (at(), proptest::collection::vec((0..3u64, prop_oneof![4 => Just(1u64), 1 => len()]), 1..8), 0..3usize)
            .prop_map(|(at, pieces, attrs)| Op::Batch { at, pieces, attrs }),
        3 => (at(), len(), budget()).prop_map(|(at, len, budget)| Op::Unmap { at, len, budget }),
        3 => (at(), len(), any::<bool>())
            .prop_map(|(at, len, fail)| Op::UnmapWith { at, len, fail }),
        1 => (at(), len(), any::<bool>()).prop_map(|(at, len, write)| Op::Protect { at, len, write }),
        1 => (at(), len()).prop_map(|(at, len)| Op::Clear { at, len }),
        1 => (at(), len()).prop_map(|(at, len)| Op::Prune { at, len }),
    ]
}

struct World {
    table: Table<Arena>,
    model: Model,
    group: u64,
    block: u64,
    large: u64,
}

impl World {
    fn new(config: Config) -> Self {
        let page = config.page_size();
        let sizes = config.page_sizes();
        let block = 1u64 << (sizes & (sizes - 1)).trailing_zeros();
        let top = sizes & (sizes - 1);
        let top = top & (top - 1);
        // One size up from the block: a larger block if there is one.
        let large = if top != 0 && top.trailing_zeros() < config.ipa_bits() {
            1u64 << top.trailing_zeros()
        } else {
            block * 4
        };
        let group = page * [16, 128, 32][config.granule() as usize];
        let bytes = if cfg!(miri) { 128 << 10 } else { 16 << 20 };
        Self {
            table: common::table(config, bytes),
            model: Model::default(),
            group,
            block,
            large,
        }
    }

    /// Pages, groups, blocks and large blocks into bytes.
    fn bytes(&self, code: u64) -> u64 {
        let page = self.table.config().page_size();
        (code & 0xffff_ffff) * page
            + (code >> 32 & 0xff) * self.group
            + (code >> 40 & 0xff) * self.block
            + (code >> 48) * self.large
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Map {
                at,
                len,
                shift,
                attrs,
                budget,
            } => {
                let (ipa, len) = (self.bytes(*at), self.bytes(*len));
                self.map(ipa, len, ipa + self.bytes(*shift), ATTRS[*attrs], *budget);
            }
            Op::List { at, lens, attrs } => self.list(self.bytes(*at), lens, ATTRS[*attrs]),
            Op::Batch { at, pieces, attrs } => {
                self.batch(self.bytes(*at), pieces, ATTRS[*attrs]);
            }
            Op::Unmap { at, len, budget } => {
                self.unmap(self.bytes(*at), self.bytes(*len), *budget);
            }
            Op::UnmapWith { at, len, fail } => {
                self.unmap_with(self.bytes(*at), self.bytes(*len), *fail);
            }
            Op::Protect { at, len, write } => {
                self.protect(self.bytes(*at), self.bytes(*len), *write);
            }
            Op::Clear { at, len } => self.clear(self.bytes(*at), self.bytes(*len)),
            Op::Prune { at, len } => {
                match self.table.prune(Ipa(self.bytes(*at)), self.bytes(*len)) {
                    Ok(gone) => self.table.release(gone, forget).unwrap(),
                    Err(error) => assert!(matches!(error, Error::IpaTooLarge(_)), "{error}"),
                }
            }
        }
    }

    fn fits(&self, ipa: u64, len: u64) -> bool {
        ipa + len <= 1 << self.table.config().ipa_bits()
    }

    fn map(&mut self, ipa: u64, len: u64, pa: u64, attrs: Attrs, budget: Option<usize>) {
        let used = self.table.memory().in_use();
        let budget = budget.unwrap_or(usize::MAX);
        let done = self.table.map_some(Ipa(ipa), Pa(pa), len, attrs, budget);
        match done {
            Ok(done) => {
                assert!(done == len || budget != usize::MAX && done < len && done > 0);
                assert_eq!(
                    self.model.first(ipa, done, true),
                    None,
                    "mapped over a mapping"
                );
                self.model.0.insert(ipa, (done, pa, attrs));
            }
            Err(Error::IpaTooLarge(_)) => assert!(!self.fits(ipa, len)),
            Err(Error::PaTooLarge(_)) => assert!(pa + len > 1 << self.table.config().pa_bits()),
            Err(Error::AlreadyMapped(at)) => {
                assert!(at.0 < ipa + len);
                // A block that is in the way is reported where the range
                // enters its table's entry.
                assert!(
                    self.model.first(ipa, len, true).is_some(),
                    "nothing in the way at {at}"
                );
            }
            Err(Error::NoMemory(_)) => {
                assert_eq!(
                    self.table.memory().in_use(),
                    used,
                    "tables linked without memory"
                );
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    fn list(&mut self, ipa: u64, lens: &[u64], attrs: Attrs) {
        let mut pa = 1 << 31;
        let mut list = Vec::new();
        for len in lens {
            let len = self.bytes(*len);
            list.push((Pa(pa), len));
            pa += len + self.table.config().page_size();
        }
        let total: u64 = list.iter().map(|(_, len)| len).sum();
        let used = self.table.memory().in_use();
        match self.table.map_list(Ipa(ipa), list.iter().copied(), attrs) {
            Ok(done) => {
                assert_eq!(done, total);
                assert_eq!(self.model.first(ipa, total, true), None);
                let mut at = ipa;
                for (pa, len) in list {
                    self.model.0.insert(at, (len, pa.0, attrs));
                    at += len;
                }
            }
            Err(Error::IpaTooLarge(_)) => assert!(!self.fits(ipa, total)),
            Err(Error::PaTooLarge(_)) => assert!(pa > 1 << self.table.config().pa_bits()),
            Err(Error::AlreadyMapped(_)) => {
                assert!(self.model.first(ipa, total, true).is_some());
            }
            Err(Error::NoMemory(_)) => assert_eq!(self.table.memory().in_use(), used),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Each piece is mapped or refused by itself; the others are as they were.
    fn batch(&mut self, ipa: u64, pieces: &[(u64, u64)], attrs: Attrs) {
        let page = self.table.config().page_size();
        let (mut at, mut pa) = (ipa, 1 << 31);
        let mut batch = self.table.batch(attrs);
        for (gap, len) in pieces {
            let len = self.bytes(*len);
            at += gap * page;
            pa += 3 * page;
            let taken = self.model.first(at, len, true).is_some();
            match batch.map(Ipa(at), Pa(pa), len) {
                Ok(()) => {
                    assert!(!taken, "mapped over a mapping");
                    self.model.0.insert(at, (len, pa, attrs));
                }
                Err(Error::IpaTooLarge(_)) => assert!(!self.fits(at, len)),
                Err(Error::PaTooLarge(_)) => assert!(pa + len > 1 << self.table.config().pa_bits()),
                Err(Error::AlreadyMapped(_)) => assert!(taken, "nothing in the way"),
                Err(Error::NoMemory(_)) => {}
                Err(other) => panic!("{other:?}"),
            }
            at += len;
            pa += len;
        }
    }

    fn unmap(&mut self, ipa: u64, len: u64, budget: Option<usize>) {
        let budget = budget.unwrap_or(usize::MAX);
        match self.table.unmap_some(Ipa(ipa), len, budget) {
            Ok((done, gone)) => {
                assert!(done == len || budget != usize::MAX && done < len && done > 0);
                assert_eq!(self.model.first(ipa, done, false), None, "unmapped a hole");
                assert_eq!((gone.stale().ipa(), gone.stale().len()), (Ipa(ipa), done));
                self.table.release(gone, forget).unwrap();
                self.model.remove(ipa, done);
            }
            Err(Error::IpaTooLarge(_)) => assert!(!self.fits(ipa, len)),
            Err(Error::NotMapped(at)) => assert_eq!(self.model.first(ipa, len, false), Some(at.0)),
            Err(Error::Partial(at)) => assert!(self.model.at(at.0).is_some()),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn unmap_with(&mut self, ipa: u64, len: u64, fail: bool) {
        let table = &self.table;
        let invalidate = |stale: pgtable::Stale| {
            if fail {
                return Err(());
            }
            // Broken before it is made: nothing of it is mapped now.
            let replace = table.config() == &table.config().with_bbml(Bbml::Replace);
            for at in [stale.ipa().0, stale.ipa().0 + stale.len() - 1] {
                assert_eq!(table.translate(Ipa(at)).is_some(), replace);
            }
            Ok(())
        };
        match table.unmap_with(Ipa(ipa), len, invalidate) {
            Ok(gone) => {
                assert_eq!(self.model.first(ipa, len, false), None, "unmapped a hole");
                self.table.release(gone, forget).unwrap();
                self.model.remove(ipa, len);
            }
            Err(Failure::Table(Error::IpaTooLarge(_))) => assert!(!self.fits(ipa, len)),
            Err(Failure::Table(Error::NotMapped(at))) => {
                assert_eq!(self.model.first(ipa, len, false), Some(at.0));
            }
            Err(Failure::Walkers(())) => assert!(fail),
            Err(Failure::Table(Error::NoMemory(_))) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    fn protect(&mut self, ipa: u64, len: u64, write: bool) {
        let access = if write {
            Access::ReadWrite
        } else {
            Access::Read
        };
        let Some((_, attrs)) = self.model.at(ipa) else {
            return;
        };
        let execute = attrs.execute();
        match self.table.protect(Ipa(ipa), len, access, execute) {
            Ok(gone) => {
                assert_eq!(self.model.first(ipa, len, false), None);
                self.table.release(gone, forget).unwrap();
                self.model.protect(ipa, len, access);
                for (_, (_, _, attrs)) in self.model.0.range_mut(ipa..ipa + len) {
                    *attrs = Attrs::new(attrs.memory(), access, execute);
                }
            }
            Err(Error::IpaTooLarge(_)) => assert!(!self.fits(ipa, len)),
            Err(Error::NotMapped(at)) => assert_eq!(self.model.first(ipa, len, false), Some(at.0)),
            Err(Error::Partial(at)) => assert!(self.model.at(at.0).is_some()),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn clear(&mut self, ipa: u64, len: u64) {
        match self.table.clear(Ipa(ipa), len) {
            Ok(gone) => {
                self.table.release(gone, forget).unwrap();
                self.model.remove(ipa, len);
            }
            Err(Error::IpaTooLarge(_)) => assert!(!self.fits(ipa, len)),
            Err(Error::Partial(at)) => assert!(self.model.at(at.0).is_some()),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Table, hardware and model agree at every boundary.
    fn check(&self) {
        let page = self.table.config().page_size();
        let mut probes = vec![0, self.group, self.block, self.large];
        for (start, (len, ..)) in &self.model.0 {
            probes.extend([*start, start + len / 2, start + len - page, start + len]);
            probes.push(start.wrapping_sub(page));
        }
        let arena = self.table.memory();
        for probe in probes {
            let expected = self.model.at(probe);
            let found = self.table.translate(Ipa(probe));
            assert_eq!(
                found.map(|(pa, attrs, _)| (pa.0, attrs)),
                expected,
                "at {probe:#x}"
            );
            let read = |pa| {
                assert!(arena.is_used(pa), "hardware reads freed memory at {pa}");
                arena.word(pa).unwrap()
            };
            let seen = hardware(self.table.config(), self.table.root(), read, probe);
            let strip = |bits: u64| bits & !(1 << 52);
            assert_eq!(
                seen.map(|seen| (seen.pa, strip(seen.bits))),
                expected.map(|(pa, attrs)| (pa, bits(attrs))),
                "hardware at {probe:#x}"
            );
            assert_eq!(seen.map(|seen| seen.size), found.map(|(_, _, size)| size));
        }
    }
}

fn run(config: Config, ops: &[(Op, Option<usize>)]) {
    let mut world = World::new(config);
    for (op, limit) in ops {
        world.table.memory().limit(*limit);
        world.apply(op);
        world.check();
    }
    world.table.memory().limit(None);
    end(world.table);
}

/// Under Miri only those with small tables: it is a thousand times slower.
fn shapes() -> &'static [(pgtable::Granule, u32, u32)] {
    if cfg!(miri) { &SHAPES[3..5] } else { SHAPES }
}

fn cases() -> u32 {
    match std::env::var("PGTABLE_CASES").map(|n| n.parse()) {
        Ok(Ok(cases)) => cases,
        _ if cfg!(miri) => 4,
        _ => 96,
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn operations_agree_with_a_plain_map(
        shape in 0..shapes().len(),
        contiguous: bool,
        replace: bool,
        ops in proptest::collection::vec((op(), proptest::option::weighted(0.2, 0..3usize)), 1..if cfg!(miri) { 6 } else { 40 }),
    ) {
        let (granule, ipa_bits, pa_bits) = shapes()[shape];
        let config = Config::new(granule, ipa_bits, pa_bits)
            .unwrap()
            .with_contiguous(contiguous)
            .with_bbml(if replace { Bbml::Replace } else { Bbml::Break });
        run(config, &ops);
    }
}

/// Each allocation of one large mapping fails once; then it succeeds.
#[test]
fn every_allocation_may_fail() {
    for &(granule, ipa_bits, pa_bits) in shapes() {
        let config = Config::new(granule, ipa_bits, pa_bits).unwrap();
        let world = World::new(config);
        let page = config.page_size();
        let (ipa, len) = (world.block - page, world.block + 2 * page);
        let used = world.table.memory().in_use();
        let mut failures = 0;
        loop {
            world.table.memory().limit(Some(failures));
            match world.table.map(Ipa(ipa), Pa(ipa), len, Attrs::RAM) {
                Ok(()) => break,
                Err(error) => assert_eq!(error, Error::NoMemory(page as usize)),
            }
            failures += 1;
            assert_eq!(world.table.memory().in_use(), used);
            world.check();
        }
        assert!(failures >= 2, "two leaf tables at least");
        assert_eq!(world.table.memory().in_use(), used + failures);
        let gone = world.table.unmap(Ipa(ipa), len).unwrap();
        world.table.release(gone, forget).unwrap();
        end(world.table);
    }
}

/// Every granule with every input size: the first page, the last, the last
/// block but one, and nothing beyond.
#[test]
#[cfg_attr(miri, ignore = "roots of a megabyte")]
fn every_input_size_has_its_first_and_last_page() {
    use pgtable::Granule::{K4, K16, K64};
    for (granule, pa_bits, most) in [(K4, 48, 48), (K16, 48, 48), (K64, 48, 48), (K64, 52, 52)] {
        for bits in 32..=most {
            let mut world = World::new(Config::new(granule, bits, pa_bits).unwrap());
            let (page, top) = (world.table.config().page_size(), 1u64 << bits);
            let (block, far) = (world.block, top - page);
            let mapped = [
                (0, page, page),
                (far, page, 3 * page),
                (top - 2 * block, block, block),
            ];
            for (ipa, len, pa) in mapped {
                world.map(ipa, len, pa, Attrs::RAM, None);
                assert_eq!(world.model.at(ipa), Some((pa, Attrs::RAM)), "{bits} bits");
            }
            world.check();
            assert_eq!(world.table.translate(Ipa(top)), None);
            let beyond = world
                .table
                .map(Ipa(top), Pa(page), page, Attrs::RAM)
                .unwrap_err();
            assert_eq!(beyond, Error::IpaTooLarge(Ipa(top)));
            for (ipa, len, _) in mapped {
                world.unmap(ipa, len, None);
            }
            world.check();
            end(world.table);
        }
    }
}

//! What one MAP made is unmapped whole or not at all (virtio 1.2, 5.13.6.6).

use super::*;
use crate::dma::testing::frames;
use stagegate_abi::Prot;
use std::collections::BTreeMap;

#[test]
fn unmap_takes_what_is_there_and_does_not_cut_blocks() {
    let mut driver = Driver::new();
    driver.attach(1, 0x8, 0);
    for page in [1, 2, 5, 9] {
        assert_eq!(driver.map(page * PAGE, PAGE, RAM, RW), OK);
    }
    assert_eq!(driver.unmap(0, 8 * PAGE - 1), OK);
    assert_eq!(translate(driver.dma, 1, 5 * PAGE), None);
    assert!(translate(driver.dma, 1, 9 * PAGE).is_some());
    assert_eq!(driver.unmap(0, PAGE - 1), OK);
    assert_eq!(driver.map(BLOCK, BLOCK, RAM, RW), OK);
    assert_eq!(driver.unmap(BLOCK + PAGE, BLOCK + 2 * PAGE - 1), RANGE);
    assert!(translate(driver.dma, 1, BLOCK + PAGE).is_some());
}

#[test]
fn an_unmap_that_would_split_a_mapping_removes_nothing() {
    let mut driver = Driver::new();
    driver.attach(1, 0x8, 0);
    for page in [BLOCK - PAGE, 2 * BLOCK] {
        assert_eq!(driver.map(page, PAGE, RAM, RW), OK);
    }
    assert_eq!(driver.map(BLOCK, BLOCK, RAM, RW), OK);
    let all = [BLOCK - PAGE, BLOCK, 2 * BLOCK];
    let there = |driver: &Driver| all.map(|at| translate(driver.dma, 1, at).is_some());
    // The block is cut at its end, at its start, and at both.
    for (start, end) in [
        (BLOCK - PAGE, BLOCK + PAGE),
        (BLOCK + PAGE, 2 * BLOCK + PAGE),
        (BLOCK + PAGE, 2 * BLOCK - PAGE),
        (0, 2 * BLOCK - PAGE),
    ] {
        assert_eq!(driver.unmap(start, end - 1), RANGE, "{start:#x}");
        assert_eq!(there(&driver), [true; 3], "{start:#x}");
    }
    assert_eq!(driver.unmap(0, 3 * BLOCK - 1), OK);
    assert_eq!(there(&driver), [false; 3]);
}

#[test]
fn the_examples_of_the_specification() {
    let mut driver = Driver::new();
    driver.attach(1, 0x8, 0);
    // 5.13.6.6.1, with pages for its units.
    let page = |n: u64| n * PAGE;
    let unmap =
        |driver: &mut Driver, from: u64, to: u64| driver.unmap(page(from), page(to + 1) - 1);
    assert_eq!(unmap(&mut driver, 0, 4), OK, "nothing there");
    driver.map(page(0), page(10), RAM, RW);
    assert_eq!(unmap(&mut driver, 0, 9), OK, "a whole mapping");
    driver.map(page(0), page(5), RAM, RW);
    driver.map(page(5), page(5), RAM, RW);
    assert_eq!(unmap(&mut driver, 0, 9), OK, "two");
    driver.map(page(0), page(10), RAM, RW);
    assert_eq!(unmap(&mut driver, 0, 4), RANGE, "the first half of one");
    assert!(translate(driver.dma, 1, 0).is_some(), "left as it was");
    assert_eq!(unmap(&mut driver, 0, 9), OK);
    driver.map(page(0), page(5), RAM, RW);
    driver.map(page(5), page(5), RAM, RW);
    assert_eq!(unmap(&mut driver, 0, 4), OK, "the first of two");
    assert_eq!(unmap(&mut driver, 5, 9), OK);
    driver.map(page(0), page(5), RAM, RW);
    assert_eq!(unmap(&mut driver, 0, 9), OK, "one and a hole");
    driver.map(page(0), page(5), RAM, RW);
    driver.map(page(10), page(5), RAM, RW);
    assert_eq!(unmap(&mut driver, 0, 14), OK, "two and a hole");
    assert_eq!(translate(driver.dma, 1, page(14)), None);
}

#[test]
fn a_map_of_several_traps_is_one_mapping() {
    let mut driver = Driver::new();
    driver.attach(1, 0x8, 0);
    // No blocks: 600 pages, 512 of them in the first trap.
    assert_eq!(driver.map(PAGE, 600 * PAGE, RAM + 2 * PAGE, RW), OK);
    assert_eq!(driver.unmap(513 * PAGE, 601 * PAGE - 1), RANGE);
    assert_eq!(driver.unmap(PAGE, 513 * PAGE - 1), RANGE);
    assert_eq!(driver.unmap(PAGE, 601 * PAGE - 1), OK);
}

#[test]
fn a_mapping_may_adjoin_the_doorbell() {
    let mut driver = Driver::new();
    driver.attach(1, 0x8, 0);
    for at in [DOORBELL - PAGE, DOORBELL + PAGE] {
        assert_eq!(driver.map(at, PAGE, RAM, RW), OK);
    }
    assert_eq!(driver.unmap(DOORBELL - PAGE, DOORBELL - 1), OK);
    assert_eq!(driver.unmap(DOORBELL + PAGE, DOORBELL + 2 * PAGE - 1), OK);
}

#[test]
fn what_hypercalls_unmap_leaves_a_boundary() {
    let mut driver = Driver::new();
    driver.attach(1, 0x8, 0);
    assert_eq!(driver.map(PAGE, 4 * PAGE, RAM, RW), OK);
    assert_eq!(driver.dma.unmap(1, 2 * PAGE, PAGE, false).result, Ok(()));
    assert_eq!(driver.unmap(4 * PAGE, 5 * PAGE - 1), RANGE);
    assert_eq!(driver.unmap(3 * PAGE, 5 * PAGE - 1), OK);
    // What they map joins what it adjoins, and so can be unmapped with it.
    let mapped = driver.dma.map(1, 2 * PAGE, RAM, PAGE, Prot::READ);
    assert_eq!(mapped.result, Ok(()));
    assert_eq!(driver.unmap(2 * PAGE, 3 * PAGE - 1), RANGE);
    assert_eq!(driver.unmap(PAGE, 3 * PAGE - 1), OK);
}

#[test]
fn boundaries_take_no_memory() {
    const PAGES: u64 = 2048;
    let taken = |each: u64| {
        let mut driver = Driver::new();
        driver.attach(1, 0x8, 0);
        for n in (0..PAGES).step_by(each as usize) {
            // A page further in RAM than in IOVA: no blocks.
            let at = BLOCK + n * PAGE;
            assert_eq!(driver.map(at, each * PAGE, RAM + (n + 1) * PAGE, RW), OK);
        }
        frames(driver.dma, 1)
    };
    assert_eq!(taken(1), taken(PAGES / 2));
}

/// Mappings as the specification sees them: first page and pages.
#[derive(Default)]
struct Model(BTreeMap<u64, u64>);

impl Model {
    fn meeting(&self, first: u64, pages: u64) -> Vec<(u64, u64)> {
        let meets = |(at, len): &(u64, u64)| *at < first + pages && first < at + len;
        let all = self.0.iter().map(|(at, len)| (*at, *len));
        all.filter(meets).collect()
    }

    fn map(&mut self, first: u64, pages: u64) -> u8 {
        if !self.meeting(first, pages).is_empty() {
            return INVALID;
        }
        self.0.insert(first, pages);
        OK
    }

    fn unmap(&mut self, first: u64, pages: u64) -> u8 {
        let met = self.meeting(first, pages);
        if met
            .iter()
            .any(|(at, len)| *at < first || first + pages < at + len)
        {
            return RANGE;
        }
        for (at, _) in met {
            self.0.remove(&at);
        }
        OK
    }
}

/// An end of a range: near the middle of some pages, or near a block's border.
fn spot() -> impl Strategy<Value = u64> {
    prop_oneof![1..24u64, 500..530u64, Just(512), Just(1024)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 64 }))]

    /// Every MAP and UNMAP is answered as the model answers it, and leaves mapped what it says.
    #[test]
    fn as_a_plain_model_of_the_specification(
        script in proptest::collection::vec((any::<bool>(), spot(), spot(), 0..2u64), 1..48),
    ) {
        let mut driver = Driver::new();
        driver.attach(1, 0x8, 0);
        let mut model = Model::default();
        for (maps, one, other, shift) in script {
            let (first, last) = (one.min(other), one.max(other));
            let pages = last - first + 1;
            if maps {
                // With an even difference of IOVA and IPA blocks are possible, else not.
                let at = RAM + (first + shift) * PAGE;
                let answer = driver.map(first * PAGE, pages * PAGE, at, RW);
                prop_assert_eq!(answer, model.map(first, pages), "map {} {}", first, pages);
            } else {
                let answer = driver.unmap(first * PAGE, (last + 1) * PAGE - 1);
                prop_assert_eq!(answer, model.unmap(first, pages), "unmap {} {}", first, pages);
            }
            for page in [first - 1, first, last, last + 1, 512, 513] {
                let mapped = !model.meeting(page, 1).is_empty();
                prop_assert_eq!(translate(driver.dma, 1, page * PAGE).is_some(), mapped);
            }
        }
    }
}

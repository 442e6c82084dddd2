//! Several ranges in one call.

use super::*;

#[test]
fn lists_are_mapped_at_consecutive_addresses() {
    let vm = vm();
    let id = paging(&vm);
    let list: Vec<_> = (0..20)
        .map(|n| ListEntry {
            address: RAM + (20 - n) * 3 * PAGE,
            size: PAGE * (1 + n % 3),
        })
        .collect();
    let total: u64 = list.iter().map(|entry| entry.size).sum();
    let progress = vm.map_list(id, BLOCK, &list, RW, 512);
    assert_eq!(progress.result, Ok(()));
    assert_eq!(
        (progress.entries, progress.bytes, progress.extra),
        (20, total, 0)
    );
    let mut iova = BLOCK;
    for entry in &list {
        for offset in (0..entry.size).step_by(PAGE as usize) {
            let (pa, ..) = translate(&vm, id, iova + offset).unwrap();
            assert_eq!(pa, entry.address + offset - RAM + RAM_PA);
        }
        iova += entry.size;
    }
    assert_eq!(done(vm.unmap(id, BLOCK, total, false)), total);
}

#[test]
fn a_list_stops_at_the_bound_and_at_a_bad_entry() {
    let vm = vm();
    let id = paging(&vm);
    let entry = |address, size| ListEntry { address, size };
    // 300 pages at an address that allows no block, twice: the second in part.
    let list = [entry(RAM + PAGE, 300 * PAGE), entry(RAM + PAGE, 300 * PAGE)];
    let progress = vm.map_list(id, 0, &list, RW, 512);
    assert_eq!((progress.entries, progress.bytes), (1, 512 * PAGE));
    assert_eq!((progress.extra, progress.result), (212 * PAGE, Ok(())));
    let list = [entry(RAM, PAGE), entry(0, PAGE), entry(RAM, PAGE)];
    let progress = vm.map_list(id, BLOCK * 8, &list, RW, 512);
    assert_eq!((progress.entries, progress.bytes), (1, PAGE));
    assert_eq!(progress.result, Err(Error::NotOwned(0)));
    for bad in [
        entry(RAM, 0),
        entry(RAM, 1),
        entry(RAM, u64::MAX - 0xfff),
        entry(RAM + 8, PAGE),
        entry(RAM_SPLIT - 8, PAGE),
    ] {
        let progress = vm.map_list(id, BLOCK * 9, &[entry(RAM, PAGE), bad], RW, 512);
        assert!(progress.result.is_err());
        assert_eq!((progress.entries, progress.bytes), (1, PAGE));
        assert_eq!(progress.extra, 0);
        done(vm.unmap(id, BLOCK * 9, PAGE, false));
    }
}

#[test]
fn a_list_waits_for_lazy_unmaps_and_goes_round_nothing_else() {
    let vm = vm();
    let id = paging(&vm);
    let list = [ListEntry {
        address: RAM,
        size: PAGE,
    }; 4];
    done(vm.map(id, 2 * PAGE, RAM, PAGE, RW));
    done(vm.unmap(id, 2 * PAGE, PAGE, true));
    vm.outside().take();
    let progress = vm.map_list(id, 0, &list, RW, 512);
    assert_eq!((progress.entries, progress.result), (4, Ok(())));
    assert_eq!(vm.outside().take().len(), 1, "one invalidation");
    // In its way is what is mapped, and what is mapped for good.
    for (iova, error) in [
        (BLOCK - 2 * PAGE, Error::Mapped(BLOCK)),
        (DOORBELL - 2 * PAGE, Error::Reserved(DOORBELL)),
        ((1 << 39) - 2 * PAGE, Error::Range(1 << 39)),
    ] {
        let _ = vm.map(id, BLOCK, RAM, PAGE, RW);
        let progress = vm.map_list(id, iova, &list, RW, 512);
        assert_eq!((progress.entries, progress.result), (2, Err(error)));
    }
}

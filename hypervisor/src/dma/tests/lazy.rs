//! Invalidation that is put off, and one that fails.

use super::*;

#[test]
fn lazy_unmaps_wait_for_the_sync_and_their_range_is_not_reused_before() {
    let vm = vm();
    let id = paging(&vm);
    done(vm.map(id, 0, RAM, 4 * PAGE, RW));
    vm.outside().take();
    done(vm.unmap(id, 0, PAGE, true));
    done(vm.unmap(id, 2 * PAGE, PAGE, true));
    assert!(vm.outside().take().is_empty(), "nothing invalidated yet");
    assert_eq!(translate(&vm, id, 0), None, "but removed at once");
    // Somewhere else: no sync. In the stale range: synced first.
    done(vm.map(id, BLOCK, RAM, PAGE, RW));
    assert!(vm.outside().take().is_empty());
    done(vm.map(id, 2 * PAGE, RAM + BLOCK, PAGE, RW));
    assert_eq!(
        vm.outside().take(),
        [Told::Invalidate(
            id as u16,
            vec![(0, PAGE), (2 * PAGE, PAGE)]
        )]
    );
    assert_eq!(vm.sync(id), Err(Error::Nothing));
    done(vm.unmap(id, PAGE, PAGE, true));
    assert_eq!(vm.sync(id), Ok(()));
    assert_eq!(vm.outside().take().len(), 1);
}

#[test]
fn a_lazy_unmap_in_parts_keeps_no_more_than_its_parts() {
    let vm = vm();
    let id = paging(&vm);
    let (iova, ipa) = (PAGE, RAM + 2 * PAGE);
    for part in 0..2 {
        let offset = part * 512 * PAGE;
        done(vm.map(id, iova + offset, ipa + offset, 512 * PAGE, RW));
    }
    vm.outside().take();
    assert_eq!(done(vm.unmap(id, iova, 1024 * PAGE, true)), 512 * PAGE);
    assert_eq!(
        done(vm.unmap(id, iova + 512 * PAGE, 512 * PAGE, true)),
        512 * PAGE
    );
    assert!(
        vm.outside().take().is_empty(),
        "the second was not in the first's way"
    );
    vm.sync(id).unwrap();
}

#[test]
fn a_guest_that_never_syncs_is_synced() {
    let vm = vm();
    let id = paging(&vm);
    done(vm.map(id, PAGE, RAM, 200 * PAGE, RW));
    vm.outside().take();
    for page in 1..=200 {
        done(vm.unmap(id, page * PAGE, PAGE, true));
    }
    let told = vm.outside().take();
    assert!(
        (4..=10).contains(&told.len()),
        "{} invalidations",
        told.len()
    );
    done(vm.map(id, PAGE, RAM, 200 * PAGE, RW));
}

#[test]
fn a_stuck_smmu_fences_the_domain_and_keeps_the_range() {
    let vm = vm();
    let id = paging(&vm);
    let other = paging(&vm);
    done(vm.map(id, 0, RAM, 2 * PAGE, RW));
    vm.outside().stuck.store(true, Ordering::Relaxed);
    let progress = vm.unmap(id, 0, PAGE, false);
    assert_eq!(progress.bytes, PAGE, "the entry is gone all the same");
    assert_eq!(progress.result, Err(Error::Fenced(id)));
    vm.outside().stuck.store(false, Ordering::Relaxed);
    assert_eq!(
        vm.map(id, 0, RAM, PAGE, RW),
        Progress::failed(Error::Fenced(id))
    );
    assert_eq!(vm.attach(id, 0x8), Err(Error::Fenced(id)));
    done(vm.map(other, 0, RAM, PAGE, RW));
    assert_eq!(vm.free(id), Ok(Freed::All), "once the SMMU answers again");
}

#[test]
fn a_domain_that_cannot_be_invalidated_stays_out_of_use() {
    let vm = vm();
    let id = paging(&vm);
    done(vm.map(id, 0, RAM, PAGE, RW));
    vm.outside().stuck.store(true, Ordering::Relaxed);
    assert_eq!(vm.free(id), Err(Error::Fenced(id)));
    assert_ne!(vm.alloc(DomainKind::Blocked), Ok(id));
    vm.outside().stuck.store(false, Ordering::Relaxed);
    vm.outside().take();
    assert_eq!(
        vm.free(id),
        Err(Error::Fenced(id)),
        "asking again proves nothing"
    );
    assert!(vm.outside().take().is_empty());
    assert_eq!(vm.attach(id, 0x8), Err(Error::Fenced(id)));
    vm.stop(|| ()).unwrap();
    assert_ne!(vm.alloc(DomainKind::Blocked), Ok(id));
}

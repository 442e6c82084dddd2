use super::testing::*;
use super::*;
use pgtable::{Access, Execute, MemoryType};
use stagegate_abi::{ListEntry, Prot};
use std::sync::atomic::Ordering;
use std::vec::Vec;

const RW: Prot = Prot::READ.union(Prot::WRITE).union(Prot::CACHE);

fn paging(vm: &VmDma<Machine>) -> u32 {
    vm.alloc(DomainKind::Paging).unwrap()
}

fn done(progress: Progress) -> u64 {
    assert_eq!(progress.result, Ok(()));
    progress.bytes
}

#[test]
fn map_leads_where_the_guest_owns_and_unmap_takes_it_away() {
    let vm = vm();
    let id = paging(&vm);
    assert_eq!(done(vm.map(id, 0x1000, RAM + PAGE, 2 * PAGE, RW)), 2 * PAGE);
    let (pa, attrs, _) = translate(&vm, id, 0x2000).unwrap();
    assert_eq!(pa, RAM_PA + 2 * PAGE);
    assert_eq!(attrs.access(), Access::ReadWrite);
    assert_eq!(attrs.memory(), MemoryType::Normal);
    vm.outside().take();
    assert_eq!(done(vm.unmap(id, 0x1000, 2 * PAGE, false)), 2 * PAGE);
    assert_eq!(translate(&vm, id, 0x1000), None);
    assert_eq!(
        vm.outside().take(),
        [Told::Invalidate(id as u16, vec![(0x1000, 2 * PAGE)])]
    );
}

#[test]
fn protection_is_what_was_asked_for_and_no_more() {
    let vm = vm();
    let id = paging(&vm);
    done(vm.map(id, 0, RAM, PAGE, Prot::READ | Prot::NOEXEC));
    let (_, attrs, _) = translate(&vm, id, 0).unwrap();
    assert_eq!(attrs.access(), Access::Read);
    assert_eq!(attrs.memory(), MemoryType::NonCacheable);
    assert_eq!(attrs.execute(), Execute::None);
    done(vm.map(id, 0x5000, DEVICE, PAGE, Prot::WRITE | Prot::MMIO));
    let (pa, attrs, _) = translate(&vm, id, 0x5000).unwrap();
    assert_eq!((pa, attrs.memory()), (DEVICE_PA, MemoryType::Device));
    assert_eq!(attrs.access(), Access::Write);
}

#[test]
fn only_what_the_vm_owns_can_be_mapped() {
    let vm = vm();
    let id = paging(&vm);
    for (ipa, size, prot, error) in [
        (0, PAGE, RW, Error::NotOwned(0)),
        (
            u64::MAX - 0xfff,
            PAGE,
            RW,
            Error::NotOwned(u64::MAX - 0xfff),
        ),
        (DEVICE, PAGE, RW, Error::NotOwned(DEVICE)),
        (RAM, PAGE, RW | Prot::MMIO, Error::NotOwned(RAM)),
        (READ_ONLY, PAGE, RW, Error::NotOwned(READ_ONLY)),
        (RAM + 1, PAGE, RW, Error::Misaligned(RAM + 1)),
    ] {
        assert_eq!(vm.map(id, 0x1000, ipa, size, prot), Progress::failed(error));
        assert_eq!(translate(&vm, id, 0x1000), None);
    }
    done(vm.map(id, 0x1000, READ_ONLY, PAGE, Prot::READ));
    // The end of RAM, and one page of somebody else's.
    let progress = vm.map(id, BLOCK, READ_ONLY - PAGE, 3 * PAGE, Prot::READ);
    assert_eq!(progress.bytes, 2 * PAGE);
    assert_eq!(progress.result, Err(Error::NotOwned(READ_ONLY + PAGE)));
    assert_eq!(translate(&vm, id, BLOCK + 2 * PAGE), None);
}

#[test]
fn malformed_ranges_are_refused_and_change_nothing() {
    let vm = vm();
    let id = paging(&vm);
    let top = 1 << 39;
    for (iova, size, error) in [
        (0, 0, Error::Range(0)),
        (1, PAGE, Error::Misaligned(1)),
        (0, 0x800, Error::Misaligned(0x800)),
        (top, PAGE, Error::Range(top)),
        (top - PAGE, 2 * PAGE, Error::Range(top - PAGE)),
        (u64::MAX - 0xfff, PAGE, Error::Range(u64::MAX - 0xfff)),
        (PAGE, u64::MAX - 0xfff, Error::Range(PAGE)),
        (DOORBELL, PAGE, Error::Reserved(DOORBELL)),
        (DOORBELL - PAGE, 3 * PAGE, Error::Reserved(DOORBELL)),
    ] {
        assert_eq!(vm.map(id, iova, RAM, size, RW), Progress::failed(error));
        assert_eq!(vm.unmap(id, iova, size, false), Progress::failed(error));
    }
    assert!(vm.outside().take().is_empty());
    done(vm.map(id, top - PAGE, RAM, PAGE, RW));
}

#[test]
fn the_doorbell_is_in_every_paging_domain() {
    let vm = vm();
    let id = paging(&vm);
    let (pa, attrs, _) = translate(&vm, id, DOORBELL).unwrap();
    assert_eq!(pa, 0x0809_0000);
    assert_eq!(attrs.access(), Access::Write);
    assert_eq!(attrs.memory(), MemoryType::Device);
}

#[test]
fn work_is_bounded_and_resumable() {
    let vm = vm();
    let id = paging(&vm);
    // Incongruent addresses: pages only. 1024 pages take two calls.
    let size = 1024 * PAGE;
    let first = vm.map(id, PAGE, RAM + 2 * PAGE, size, RW);
    assert_eq!((first.bytes, first.leaves), (512 * PAGE, 512));
    assert_eq!(first.result, Ok(()));
    let rest = vm.map(
        id,
        PAGE + first.bytes,
        RAM + 2 * PAGE + first.bytes,
        size - first.bytes,
        RW,
    );
    assert_eq!(done(rest), size - first.bytes);
    let first = vm.unmap(id, PAGE, size, false);
    assert_eq!(done(first), 512 * PAGE);
    assert_eq!(
        done(vm.unmap(id, PAGE + first.bytes, size - first.bytes, false)),
        512 * PAGE
    );
}

#[test]
fn blocks_are_used_and_ram_in_pieces_is_mapped_piece_by_piece() {
    let vm = vm();
    let id = paging(&vm);
    assert_eq!(done(vm.map(id, RAM, RAM, RAM_SIZE, RW)), RAM_SIZE);
    let (pa, _, size) = translate(&vm, id, RAM_SPLIT + 5).unwrap();
    assert_eq!((pa, size), (RAM_PA2 + 5, BLOCK));
    assert_eq!(
        vm.unmap(id, RAM + PAGE, PAGE, false).result,
        Err(Error::Cuts(RAM))
    );
    assert_eq!(done(vm.unmap(id, RAM, RAM_SIZE, false)), RAM_SIZE);
}

#[test]
fn an_unmap_stops_at_a_hole() {
    let vm = vm();
    let id = paging(&vm);
    done(vm.map(id, 0, RAM, 2 * PAGE, RW));
    done(vm.map(id, 3 * PAGE, RAM, PAGE, RW));
    let progress = vm.unmap(id, 0, 4 * PAGE, false);
    assert_eq!(progress.bytes, 2 * PAGE);
    assert_eq!(progress.result, Err(Error::NotMapped(2 * PAGE)));
    assert!(translate(&vm, id, 3 * PAGE).is_some());
    assert_eq!(
        vm.unmap(id, 2 * PAGE, PAGE, false),
        Progress::failed(Error::NotMapped(2 * PAGE))
    );
}

#[test]
fn mapped_twice_is_refused_and_keeps_the_first() {
    let vm = vm();
    let id = paging(&vm);
    done(vm.map(id, PAGE, RAM, PAGE, RW));
    assert_eq!(
        vm.map(id, PAGE, RAM + PAGE, PAGE, RW),
        Progress::failed(Error::Mapped(PAGE))
    );
    assert_eq!(translate(&vm, id, PAGE).unwrap().0, RAM_PA);
}

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

#[test]
fn out_of_table_pages_is_an_error_and_freeing_helps() {
    let vm = vm();
    // Root, two tables for the doorbell, two more.
    vm.outside().frames.store(5, Ordering::Relaxed);
    let id = paging(&vm);
    let mut mapped = Vec::new();
    let error = (1..100)
        .map(|n| n << 30)
        .find_map(|iova| match vm.map(id, iova, RAM, PAGE, RW) {
            Progress { result: Ok(()), .. } => {
                mapped.push(iova);
                None
            }
            progress => Some(progress),
        });
    assert_eq!(error, Some(Progress::failed(Error::NoMemory)));
    assert!(!mapped.is_empty());
    for iova in mapped {
        done(vm.unmap(id, iova, PAGE, false));
    }
}

#[test]
fn table_pages_come_back() {
    let vm = vm();
    let id = paging(&vm);
    let before = frames(&vm, id);
    for round in 0..4u64 {
        let iova = (round + 1) << 30;
        let mut at = 0;
        while at < RAM_SIZE {
            at += done(vm.map(id, iova + at, RAM + at, RAM_SIZE - at, RW));
        }
        let mut at = 0;
        while at < RAM_SIZE {
            at += done(vm.unmap(id, iova + at, RAM_SIZE - at, round % 2 == 0));
        }
        let _ = vm.sync(id);
    }
    // Tables that were only ever half emptied may stay, but are found again.
    assert!(frames(&vm, id) <= before + 8, "{} frames", frames(&vm, id));
}

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

#[test]
fn endpoints_move_between_domains_and_fall_back() {
    let vm = vm();
    vm.start().unwrap();
    assert_eq!(vm.outside().take().len(), 3);
    let (a, b) = (paging(&vm), paging(&vm));
    vm.attach(a, 0x10).unwrap();
    assert_eq!(vm.info(0x10).unwrap().1, Some(a));
    assert_eq!(vm.free(a), Err(Error::InUse(a)));
    vm.attach(b, 0x10).unwrap();
    assert_eq!(vm.detach(a, 0x10), Err(Error::NotAttached(0x10)));
    assert_eq!(vm.free(a), Ok(Freed::All));
    vm.detach(b, 0x10).unwrap();
    assert_eq!(
        vm.outside().take(),
        [
            Told::Attach(1, "domain", Some(a as u16)),
            Told::Attach(1, "domain", Some(b as u16)),
            Told::Close(a as u16),
            Told::Attach(1, "vm", None),
        ]
    );
    assert_eq!(vm.attach(b, 0x11), Err(Error::NoEndpoint(0x11)));
    assert_eq!(vm.attach(9, 0x10), Err(Error::NoDomain(9)));
    assert_eq!(vm.attach(u32::MAX, 0x10), Err(Error::NoDomain(u32::MAX)));
}

#[test]
fn strict_vms_fall_back_to_nothing() {
    let vm = vm_with(Policy {
        strict: true,
        domains: 4,
    });
    vm.start().unwrap();
    assert_eq!(
        vm.outside().take(),
        (0..3)
            .map(|n| Told::Attach(n, "blocked", None))
            .collect::<Vec<_>>()
    );
    assert_eq!(vm.alloc(DomainKind::Identity), Err(Error::Forbidden));
    for _ in 0..4 {
        vm.alloc(DomainKind::Paging).unwrap();
    }
    assert_eq!(vm.alloc(DomainKind::Paging), Err(Error::NoMemory));
}

#[test]
fn identity_and_blocked_domains_hold_no_mappings() {
    let vm = vm();
    let identity = vm.alloc(DomainKind::Identity).unwrap();
    let blocked = vm.alloc(DomainKind::Blocked).unwrap();
    vm.attach(identity, 0x8).unwrap();
    vm.attach(blocked, 0x8).unwrap();
    assert_eq!(
        vm.outside().take(),
        [
            Told::Attach(0, "vm", None),
            Told::Attach(0, "blocked", None)
        ]
    );
    for id in [identity, blocked] {
        assert_eq!(
            vm.map(id, 0, RAM, PAGE, RW),
            Progress::failed(Error::NotPaging(id))
        );
        assert_eq!(vm.sync(id), Err(Error::Nothing));
    }
}

#[test]
fn an_attach_that_fails_leaves_the_endpoint_in_no_domain() {
    let vm = vm();
    let (a, b) = (paging(&vm), paging(&vm));
    vm.attach(a, 0x8).unwrap();
    vm.outside().dead.store(true, Ordering::Relaxed);
    assert_eq!(vm.attach(b, 0x8), Err(Error::Power));
    assert_eq!(vm.info(0x8).unwrap().1, None);
    assert_eq!(vm.free(b), Ok(Freed::All));
    // Going back is not mistaken for being there.
    assert_eq!(vm.attach(a, 0x8), Err(Error::Power));
    vm.outside().dead.store(false, Ordering::Relaxed);
    vm.attach(a, 0x8).unwrap();
    assert_eq!(
        vm.outside().take().last(),
        Some(&Told::Attach(0, "domain", Some(a as u16)))
    );
    vm.outside().dead.store(true, Ordering::Relaxed);
    assert_eq!(vm.detach(a, 0x8), Err(Error::Power));
    assert_eq!(vm.free(a), Ok(Freed::All));
}

#[test]
fn implicit_domains_live_as_long_as_somebody_is_attached() {
    let vm = vm();
    vm.attach_or_create(5, 0x8, DomainKind::Paging).unwrap();
    vm.attach_or_create(5, 0x10, DomainKind::Paging).unwrap();
    assert_eq!(
        vm.attach_or_create(5, 0x2000, DomainKind::Identity),
        Err(Error::DomainExists(5))
    );
    done(vm.map(5, 0, RAM, PAGE, RW));
    vm.detach(5, 0x8).unwrap();
    assert!(translate(&vm, 5, 0).is_some());
    vm.attach_or_create(6, 0x10, DomainKind::Identity).unwrap();
    assert_eq!(vm.sync(5), Err(Error::NoDomain(5)));
    vm.outside().dead.store(true, Ordering::Relaxed);
    assert_eq!(
        vm.attach_or_create(7, 0x8, DomainKind::Paging),
        Err(Error::Power)
    );
    assert_eq!(vm.sync(7), Err(Error::NoDomain(7)));
}

/// Maps a page in each of so many tables of the last level.
fn spread(vm: &VmDma<Machine>, id: u32, tables: u64) {
    for table in 1..=tables {
        done(vm.map(id, table * BLOCK, RAM, PAGE, RW));
    }
}

/// From the next question on an interrupt waits.
fn interrupt(vm: &VmDma<Machine>) {
    vm.outside().patience.store(1, Ordering::Relaxed);
}

#[test]
fn a_large_domain_is_freed_between_interrupts() {
    let vm = vm();
    let (id, other) = (paging(&vm), paging(&vm));
    spread(&vm, id, 40);
    interrupt(&vm);
    vm.outside().take();
    let mut calls = 1;
    while vm.free(id) == Ok(Freed::Part) {
        calls += 1;
        // Meanwhile it is nobody's.
        assert_eq!(
            vm.map(id, 0, RAM, PAGE, RW).result,
            Err(Error::NoDomain(id))
        );
        assert_eq!(vm.attach(id, 0x8), Err(Error::NoDomain(id)));
        let created = vm.attach_or_create(id, 0x8, DomainKind::Paging);
        assert_eq!(created, Err(Error::Busy));
        assert_eq!(vm.tidy(), Freed::All, "it is another's to finish");
    }
    assert!(calls > 10, "{calls} calls for 40 tables");
    assert_eq!(vm.free(id), Err(Error::NoDomain(id)));
    assert_eq!(
        vm.outside().take(),
        [Told::Close(id as u16)],
        "once, and first of all"
    );
    vm.outside().patience.store(0, Ordering::Relaxed);
    assert_eq!(vm.free(other), Ok(Freed::All), "at once, if none waits");
    assert_eq!(paging(&vm), id);
}

#[test]
fn an_id_is_not_used_again_before_its_tables_are_given_back() {
    let vm = vm();
    let id = paging(&vm);
    spread(&vm, id, 40);
    interrupt(&vm);
    assert_eq!(vm.free(id), Ok(Freed::Part));
    let next = paging(&vm);
    assert_ne!(next, id);
    // No interrupt any more: all the rest at once.
    vm.outside().patience.store(0, Ordering::Relaxed);
    assert_eq!(vm.free(id), Ok(Freed::All));
    assert_eq!(paging(&vm), id);
}

#[test]
fn what_implicit_domains_leave_is_tidied_up_between_interrupts() {
    let vm = vm();
    vm.attach_or_create(5, 0x8, DomainKind::Paging).unwrap();
    spread(&vm, 5, 40);
    vm.detach(5, 0x8).unwrap();
    interrupt(&vm);
    let mut calls = 1;
    while vm.tidy() == Freed::Part {
        calls += 1;
        assert_eq!(
            vm.attach_or_create(5, 0x8, DomainKind::Paging),
            Err(Error::Busy)
        );
    }
    assert!(calls > 10, "{calls} calls for 40 tables");
    vm.attach_or_create(5, 0x8, DomainKind::Paging).unwrap();
}

#[test]
fn a_vm_that_stops_leaves_nothing_half_freed() {
    let vm = vm();
    let ids = [paging(&vm), paging(&vm)];
    ids.iter().for_each(|id| spread(&vm, *id, 40));
    interrupt(&vm);
    assert_eq!(vm.free(ids[1]), Ok(Freed::Part));
    let times = std::cell::Cell::new(0);
    vm.stop(|| times.set(times.get() + 1)).unwrap();
    assert!(times.get() > 20, "{} times in between", times.get());
    assert_eq!(ids.map(|_| paging(&vm)), ids);
}

#[test]
fn stop_blocks_everything_and_frees_every_domain() {
    let vm = vm();
    vm.start().unwrap();
    let ids: Vec<_> = (0..4).map(|_| paging(&vm)).collect();
    vm.attach(ids[1], 0x8).unwrap();
    done(vm.map(ids[1], 0, RAM, 8 * PAGE, RW));
    done(vm.unmap(ids[1], 0, PAGE, true));
    vm.outside().take();
    vm.stop(|| ()).unwrap();
    let told = vm.outside().take();
    assert_eq!(told[0], Told::Attach(0, "blocked", None));
    for id in ids {
        assert!(told.contains(&Told::Close(id as u16)));
        assert_eq!(vm.sync(id), Err(Error::NoDomain(id)));
    }
    vm.start().unwrap();
    assert_eq!(paging(&vm), 0);
}

#[test]
fn cpus_map_and_unmap_side_by_side() {
    let vm = vm();
    let id = paging(&vm);
    let rounds = if cfg!(miri) { 4 } else { 300 };
    std::thread::scope(|scope| {
        for cpu in 0..4u64 {
            let vm = &vm;
            scope.spawn(move || {
                let iova = cpu * 64 * PAGE;
                for round in 0..rounds {
                    let lazy = (round + cpu) % 2 == 0;
                    // Two may want to make the same table.
                    retry(|| vm.map(id, iova, RAM + cpu * BLOCK, 16 * PAGE, RW));
                    assert_eq!(
                        translate(vm, id, iova + PAGE).map(|(pa, ..)| pa),
                        Some(RAM_PA + cpu * BLOCK + PAGE)
                    );
                    retry(|| vm.unmap(id, iova, 16 * PAGE, lazy));
                }
            });
        }
    });
    let _ = vm.sync(id);
    assert_eq!(translate(&vm, id, 0), None);
    assert_eq!(vm.free(id), Ok(Freed::All));
}

fn retry(mut call: impl FnMut() -> Progress) {
    for _ in 0..10_000 {
        let progress = call();
        match progress.result {
            Ok(()) => return assert_eq!(progress.bytes, 16 * PAGE),
            Err(Error::Busy) => assert_eq!(progress.bytes, 0),
            error => panic!("{error:?}"),
        }
    }
    panic!("never succeeded");
}

#[test]
fn cpus_racing_on_one_range_leave_it_mapped_or_not() {
    let vm = vm();
    let id = paging(&vm);
    let rounds = if cfg!(miri) { 10 } else { 2000 };
    std::thread::scope(|scope| {
        for cpu in 0..3u64 {
            let vm = &vm;
            scope.spawn(move || {
                for _ in 0..rounds {
                    let _ = vm.map(id, PAGE, RAM + cpu * PAGE, 4 * PAGE, RW);
                    let _ = vm.unmap(id, PAGE, 4 * PAGE, cpu == 0);
                }
            });
        }
    });
    let first = translate(&vm, id, PAGE).is_some();
    for page in 2..5 {
        assert_eq!(translate(&vm, id, page * PAGE).is_some(), first);
    }
    let _ = vm.unmap(id, PAGE, 4 * PAGE, false);
    done(vm.map(id, PAGE, RAM, 4 * PAGE, RW));
}

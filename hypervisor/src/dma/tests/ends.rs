//! The end of a domain, and of a VM.

use super::*;

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

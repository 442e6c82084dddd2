//! Which domain an endpoint is in.

use super::*;

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

#[test]
fn an_endpoint_whose_smmu_comes_late_goes_where_it_belongs() {
    let vm = vm();
    let id = paging(&vm);
    vm.renew(1).unwrap();
    assert_eq!(vm.outside().take(), [], "the VM has not started");
    vm.start().unwrap();
    vm.outside().take();
    vm.renew(1).unwrap();
    assert_eq!(vm.outside().take(), [Told::Attach(1, "vm", None)]);
    vm.attach(id, ENDPOINTS[1]).unwrap();
    vm.outside().take();
    vm.renew(1).unwrap();
    let domain = Told::Attach(1, "domain", Some(id as u16));
    assert_eq!(vm.outside().take(), [domain]);
    vm.set_bypass(false);
    vm.outside().take();
    vm.renew(0).unwrap();
    assert_eq!(vm.outside().take(), [Told::Attach(0, "blocked", None)]);
    vm.stop(|| {}).unwrap();
    vm.outside().take();
    vm.renew(1).unwrap();
    assert_eq!(vm.outside().take(), [], "it stays blocked");
}

//! The life of single interrupts.

use super::Machine;
use super::machine::DIST;
use crate::vgic::{ListRegisters, SgiKind, State, Version};

const TIMER: u32 = 27;
const SPI: u32 = 40;

fn both(test: impl Fn(Machine)) {
    for version in [Version::V2, Version::V3] {
        test(Machine::new(version, 2, 4));
    }
}

#[test]
fn an_entry_with_nothing_new_touches_no_list_register() {
    both(|mut m| {
        m.enable(0, TIMER);
        m.fire(0, TIMER, TIMER);
        *m.cpus[0].touched.borrow_mut() = 0;
        m.enter(0);
        m.acknowledge(0).unwrap();
        m.enter(0);
        m.end(0);
        m.enter(0);
        assert_eq!(*m.cpus[0].touched.borrow(), 0);
    });
}

#[test]
fn a_physical_timer_is_deactivated_by_the_guest_and_fires_again() {
    both(|mut m| {
        m.enable(0, TIMER);
        for _ in 0..5 {
            assert!(m.fire(0, TIMER, TIMER));
            assert!(m.is_physically_active(0, TIMER));
            assert_eq!(m.acknowledge(0), Some(TIMER));
            assert_eq!(m.acknowledge(0), None);
            m.end(0);
            assert!(!m.is_physically_active(0, TIMER));
        }
    });
}

#[test]
fn a_timer_that_fires_again_before_the_next_entry_is_taken_again() {
    both(|mut m| {
        m.enable(0, TIMER);
        m.fire(0, TIMER, TIMER);
        m.acknowledge(0);
        m.end(0);
        // The list register is empty in hardware; memory does not know yet.
        m.fire(0, TIMER, TIMER);
        assert_eq!(m.acknowledge(0), Some(TIMER));
        m.end(0);
        assert!(
            !m.is_physically_active(0, TIMER),
            "nobody deactivated the second one"
        );
    });
}

#[test]
fn a_physical_interrupt_of_a_disabled_one_waits_and_is_not_lost() {
    both(|mut m| {
        m.fire(0, TIMER, TIMER);
        assert_eq!(m.acknowledge(0), None);
        assert!(
            m.is_physically_active(0, TIMER),
            "it would fire without end"
        );
        m.enable(0, TIMER);
        assert_eq!(m.acknowledge(0), Some(TIMER));
        m.end(0);
        assert!(!m.is_physically_active(0, TIMER));
    });
}

#[test]
fn dismissing_a_pending_physical_interrupt_deactivates_it() {
    both(|mut m| {
        m.enable(0, TIMER);
        m.fire(0, TIMER, TIMER);
        m.write_bit(0, 0x280, TIMER);
        assert!(!m.is_physically_active(0, TIMER));
        assert_eq!(m.acknowledge(0), None);
    });
}

#[test]
fn a_level_line_comes_back_until_it_falls() {
    both(|mut m| {
        m.enable(0, SPI);
        m.set_level(0, SPI, true);
        m.settle();
        for _ in 0..3 {
            assert_eq!(m.acknowledge(0), Some(SPI));
            assert_eq!(m.acknowledge(0), None, "active: not again yet");
            m.end(0);
        }
        m.acknowledge(0);
        m.set_level(0, SPI, false);
        m.settle();
        m.end(0);
        assert_eq!(m.acknowledge(0), None);
    });
}

#[test]
fn a_level_line_that_falls_before_it_is_taken_is_withdrawn() {
    both(|mut m| {
        m.enable(0, SPI);
        m.set_level(0, SPI, true);
        m.settle();
        m.set_level(0, SPI, false);
        m.settle();
        assert_eq!(m.acknowledge(0), None);
        assert!(m.cpus[0].lrs.iter().all(|lr| lr.state() == State::Invalid));
    });
}

#[test]
fn edges_while_active_make_one_more() {
    both(|mut m| {
        m.set_edge(0, SPI, true);
        m.enable(0, SPI);
        m.inject(0, SPI);
        m.settle();
        assert_eq!(m.acknowledge(0), Some(SPI));
        m.inject(0, SPI);
        m.inject(0, SPI);
        m.settle();
        assert_eq!(m.acknowledge(0), None);
        m.end(0);
        assert_eq!(m.acknowledge(0), Some(SPI));
        m.end(0);
        assert_eq!(m.acknowledge(0), None);
    });
}

#[test]
fn a_disabled_interrupt_leaves_the_list_register_and_returns() {
    both(|mut m| {
        m.set_edge(0, SPI, true);
        m.enable(0, SPI);
        m.inject(0, SPI);
        m.settle();
        m.write_bit(1, 0x180, SPI);
        m.settle();
        assert_eq!(m.acknowledge(0), None);
        assert!(m.read_bit(0, 0x200, SPI), "still pending");
        m.enable(1, SPI);
        m.settle();
        assert_eq!(m.acknowledge(0), Some(SPI));
    });
}

#[test]
fn a_rerouted_pending_spi_moves_and_an_active_one_stays() {
    both(|mut m| {
        m.set_edge(0, SPI, true);
        m.enable(0, SPI);
        m.inject(0, SPI);
        m.settle();
        m.route(0, SPI, 1);
        m.settle();
        assert_eq!(m.acknowledge(0), None);
        assert_eq!(m.acknowledge(1), Some(SPI));
        m.inject(0, SPI);
        m.route(0, SPI, 0);
        m.settle();
        assert_eq!(m.acknowledge(0), None, "active elsewhere");
        m.end(1);
        m.settle();
        assert_eq!(m.acknowledge(1), None);
        assert_eq!(m.acknowledge(0), Some(SPI));
    });
}

#[test]
fn an_spi_sent_to_nobody_waits_for_a_route() {
    let mut m = Machine::new(Version::V3, 2, 4);
    m.route(0, SPI, 7);
    m.enable(0, SPI);
    m.inject(0, SPI);
    m.settle();
    assert_eq!((m.acknowledge(0), m.acknowledge(1)), (None, None));
    m.route(0, SPI, 1);
    m.settle();
    assert_eq!(m.acknowledge(1), Some(SPI));
}

#[test]
fn one_of_n_goes_to_a_cpu_that_runs() {
    let mut m = Machine::new(Version::V3, 2, 4);
    m.write(0, DIST, 0x6000 + SPI as usize * 8, 8, 1 << 31);
    m.enable(0, SPI);
    let kick = m.vgic.set_online(0, false);
    m.kick(kick);
    m.inject(0, SPI);
    m.settle();
    assert_eq!((m.acknowledge(0), m.acknowledge(1)), (None, Some(SPI)));
}

#[test]
fn urgent_interrupts_come_first_even_with_one_list_register() {
    for version in [Version::V2, Version::V3] {
        let mut m = Machine::new(version, 1, 1);
        for n in 0..6 {
            let intid = 50 + n;
            m.set_priority(0, intid, 0xf0 - 0x10 * n as u8);
            m.set_edge(0, intid, true);
            m.enable(0, intid);
            m.inject(0, intid);
        }
        m.settle();
        let mut order = Vec::new();
        while let Some(intid) = m.acknowledge(0) {
            order.push(intid);
            m.end(0);
        }
        assert_eq!(order, [55, 54, 53, 52, 51, 50]);
    }
}

#[test]
fn deep_nesting_sets_active_interrupts_aside_and_ends_them_in_order() {
    for version in [Version::V2, Version::V3] {
        let mut m = Machine::new(version, 1, 2);
        for n in 0..6 {
            let intid = 50 + n;
            m.set_priority(0, intid, 0xf0 - 0x10 * n as u8);
            m.set_edge(0, intid, true);
            m.enable(0, intid);
            m.inject(0, intid);
            m.settle();
            assert_eq!(m.acknowledge(0), Some(intid));
        }
        for n in (0..6).rev() {
            assert_eq!(m.end(0), Some(50 + n));
            let _own = m.vgic.poke(0);
            m.enter(0);
            assert!(!m.read_bit(0, 0x300, 50 + n), "{} still active", 50 + n);
        }
        // Each can be taken once more.
        for n in 0..6 {
            m.inject(0, 50 + n);
        }
        m.settle();
        let mut taken = 0;
        while m.acknowledge(0).is_some() {
            taken += 1;
            m.end(0);
        }
        assert_eq!(taken, 6);
    }
}

#[test]
fn v3_sgis_reach_the_listed_and_all_but_self() {
    let mut m = Machine::new(Version::V3, 3, 4);
    for vcpu in 0..3 {
        m.enable(vcpu, 5);
    }
    let kick = m.vgic.sgi(0, SgiKind::Group1, 5 << 24 | 0b101);
    assert_eq!(kick.0, 0b101);
    m.kick(kick);
    m.settle();
    let taken: Vec<_> = (0..3).map(|v| m.acknowledge(v)).collect();
    assert_eq!(taken, [Some(5), None, Some(5)]);
    (0..3).for_each(|v| {
        m.end(v);
    });
    let kick = m.vgic.sgi(1, SgiKind::Group1, 1 << 40 | 5 << 24);
    m.kick(kick);
    m.settle();
    let taken: Vec<_> = (0..3).map(|v| m.acknowledge(v)).collect();
    assert_eq!(taken, [Some(5), None, Some(5)]);
}

#[test]
fn v3_sgis_for_other_clusters_or_groups_reach_nobody() {
    let m = Machine::new(Version::V3, 2, 4);
    for elsewhere in [1 << 16, 1 << 32, 1 << 48, 1 << 44] {
        assert!(!m.vgic.sgi(0, SgiKind::Group1, elsewhere | 3).any());
    }
    assert!(!m.vgic.sgi(0, SgiKind::Group0, 3).any());
    assert!(!m.vgic.sgi(0, SgiKind::Alias, 3).any());
}

#[test]
fn v2_sgis_keep_their_senders_apart() {
    let mut m = Machine::new(Version::V2, 3, 4);
    for sender in 0..3 {
        m.write(sender, DIST, 0xf00, 4, 0b010 << 16 | 7);
    }
    m.settle();
    let mut senders = Vec::new();
    while let Some((intid, source)) = m.acknowledge_from(1) {
        assert_eq!(intid, 7);
        senders.push(source);
        m.end(1);
    }
    assert_eq!(senders, [0, 1, 2]);
    assert_eq!(m.acknowledge(0), None);
}

#[test]
fn v2_sgi_filters() {
    let mut m = Machine::new(Version::V2, 3, 4);
    m.write(1, DIST, 0xf00, 4, 1 << 24 | 3);
    m.settle();
    let taken: Vec<_> = (0..3).map(|v| m.acknowledge_from(v)).collect();
    assert_eq!(taken, [Some((3, 1)), None, Some((3, 1))]);
    m.write(1, DIST, 0xf00, 4, 2 << 24 | 4);
    m.settle();
    assert_eq!(m.acknowledge_from(1), Some((4, 1)));
}

#[test]
fn the_same_sgi_sent_while_active_comes_again() {
    let mut m = Machine::new(Version::V2, 2, 4);
    m.write(0, DIST, 0xf00, 4, 0b10 << 16 | 7);
    m.settle();
    assert_eq!(m.acknowledge_from(1), Some((7, 0)));
    m.write(0, DIST, 0xf00, 4, 0b10 << 16 | 7);
    m.write(1, DIST, 0xf00, 4, 0b10 << 16 | 7);
    m.settle();
    m.end(1);
    assert_eq!(m.acknowledge_from(1), Some((7, 0)));
    m.end(1);
    assert_eq!(m.acknowledge_from(1), Some((7, 1)));
    m.end(1);
    assert_eq!(m.acknowledge_from(1), None);
}

#[test]
fn software_pending_on_an_active_physical_interrupt_is_told_apart() {
    both(|mut m| {
        m.enable(0, TIMER);
        m.fire(0, TIMER, TIMER);
        m.acknowledge(0);
        m.write_bit(0, 0x200, TIMER);
        m.end(0);
        assert!(
            !m.is_physically_active(0, TIMER),
            "the end of the first one reached hardware"
        );
        assert_eq!(m.acknowledge(0), Some(TIMER));
        m.end(0);
        assert_eq!(m.acknowledge(0), None);
    });
}

#[test]
fn passthrough_spis_report_what_the_guest_wants() {
    both(|mut m| {
        m.vgic.assign_hw_spi(SPI, 77).unwrap();
        assert_eq!(m.write_bit(0, 0x100, SPI + 1).iter().count(), 0);
        let changes = m.write_bit(0, 0x100, SPI);
        assert_eq!(changes.iter().collect::<Vec<_>>(), [SPI]);
        let wish = m.vgic.hw_spi(SPI).unwrap();
        assert_eq!(
            (wish.physical, wish.enabled, wish.vcpu),
            (77, true, Some(0))
        );
        let changes = m.route(0, SPI, 1);
        assert_eq!(changes.iter().collect::<Vec<_>>(), [SPI]);
        assert_eq!(m.vgic.hw_spi(SPI).unwrap().vcpu, Some(1));
        m.fire(0, SPI, 77);
        m.settle();
        assert_eq!(m.acknowledge(1), Some(SPI));
        m.end(1);
        assert!(!m.is_physically_active(0, 77));
        assert_eq!(m.vgic.hw_spis().collect::<Vec<_>>(), [SPI]);
    });
}

#[test]
fn a_stopped_vm_leaves_no_physical_interrupt_active() {
    both(|mut m| {
        m.vgic.assign_hw_spi(SPI, 77).unwrap();
        m.vgic.assign_hw_spi(SPI + 1, 78).unwrap();
        m.enable(0, TIMER);
        m.enable(0, SPI);
        m.fire(0, TIMER, TIMER);
        m.fire(1, TIMER, TIMER);
        m.fire(0, SPI, 77);
        m.fire(0, SPI + 1, 78);
        m.acknowledge(0);
        for cpu in 0..2 {
            let kick = m.vgic.park(cpu, &mut m.cpus[cpu]);
            m.kick(kick);
        }
        let active = m.physical.clone();
        m.vgic
            .release_hw(|physical| assert!(active.borrow_mut().remove(&(usize::MAX, physical))));
        assert!(m.physical.borrow().is_empty());
        assert!(
            m.cpus.iter().all(|c| c.empty() == 0b1111),
            "list registers not empty"
        );
        m.vgic.reset();
        m.kicks = 0;
        (0..2).for_each(|cpu| m.enter(cpu));
        assert_eq!((m.acknowledge(0), m.acknowledge(1)), (None, None));
    });
}

#[test]
fn has_pending_sees_memory_and_list_registers() {
    both(|mut m| {
        assert!(!m.vgic.has_pending(0, &m.cpus[0]));
        m.set_edge(0, SPI, true);
        m.enable(0, SPI);
        m.inject(0, SPI);
        assert!(m.vgic.has_pending(0, &m.cpus[0]), "in memory");
        assert!(!m.vgic.has_pending(1, &m.cpus[1]), "not this vCPU's");
        m.settle();
        assert!(m.vgic.has_pending(0, &m.cpus[0]), "in a list register");
        m.acknowledge(0);
        assert!(!m.vgic.has_pending(0, &m.cpus[0]), "taken");
    });
}

#[test]
fn active_state_is_read_and_written_across_cpus() {
    both(|mut m| {
        m.set_edge(0, SPI, true);
        m.enable(0, SPI);
        m.inject(0, SPI);
        m.settle();
        m.acknowledge(0);
        assert!(
            m.read_bit(1, 0x300, SPI),
            "active in another CPU's list register"
        );
        m.write_bit(1, 0x380, SPI);
        m.settle();
        assert!(!m.read_bit(1, 0x300, SPI));
        m.cpus[0].running.clear();
        m.inject(0, SPI);
        m.settle();
        assert_eq!(m.acknowledge(0), Some(SPI), "free to be taken again");
        m.end(0);
        m.write_bit(1, 0x300, SPI);
        m.inject(0, SPI);
        m.settle();
        assert_eq!(m.acknowledge(0), None, "made active by hand");
        m.write_bit(0, 0x380, SPI);
        m.settle();
        assert_eq!(m.acknowledge(0), Some(SPI));
    });
}

#[test]
fn pending_state_is_cleared_in_another_cpus_list_register() {
    both(|mut m| {
        m.set_edge(0, SPI, true);
        m.enable(0, SPI);
        m.inject(0, SPI);
        m.settle();
        assert!(m.read_bit(1, 0x200, SPI));
        m.write_bit(1, 0x280, SPI);
        m.settle();
        assert!(!m.read_bit(1, 0x200, SPI));
        assert_eq!(m.acknowledge(0), None);
    });
}

#[test]
fn a_parked_owner_does_not_hold_up_readers() {
    both(|mut m| {
        m.set_edge(0, SPI, true);
        m.enable(0, SPI);
        m.inject(0, SPI);
        m.settle();
        m.acknowledge(0);
        let kick = m.vgic.park(0, &mut m.cpus[0]);
        m.kick(kick);
        m.kicks &= !1;
        assert!(m.read_bit(1, 0x300, SPI));
        m.write_bit(1, 0x380, SPI);
        assert!(!m.read_bit(1, 0x300, SPI));
        m.route(1, SPI, 1);
        m.inject(1, SPI);
        m.kicks &= !1;
        m.settle();
        assert_eq!(m.acknowledge(1), Some(SPI));
    });
}

#[test]
fn dismissing_a_physical_interrupt_behind_one_in_hand_elsewhere_deactivates_it() {
    both(|mut m| {
        m.vgic.assign_hw_spi(SPI, 77).unwrap();
        m.write_bit(0, 0x200, SPI);
        m.enable(0, SPI);
        m.acknowledge(0);
        m.fire(1, SPI, 77);
        m.write_bit(1, 0x280, SPI);
        m.end(0);
        m.settle();
        assert!(!m.is_physically_active(1, 77));
        assert_eq!(m.acknowledge(0), None);
    });
}

#[test]
fn an_interrupt_signalled_again_does_not_overtake_a_more_urgent_one() {
    let mut m = Machine::new(Version::V3, 1, 2);
    for (intid, priority) in [(40, 0xb0), (41, 0x10), (42, 0x10)] {
        m.set_priority(0, intid, priority);
        m.set_edge(0, intid, true);
        m.enable(0, intid);
    }
    m.inject(0, 40);
    m.settle();
    m.acknowledge(0);
    // Three pending, two list registers, one of them for the active one.
    [40, 41, 42]
        .into_iter()
        .for_each(|intid| m.inject(0, intid));
    m.settle();
    m.end(0);
    let mut order = Vec::new();
    while let Some(intid) = m.acknowledge(0) {
        order.push(intid);
        m.end(0);
    }
    assert_eq!(order, [41, 42, 40]);
}

#[test]
fn a_dismissal_does_not_befall_a_later_signal() {
    let mut m = Machine::new(Version::V3, 2, 1);
    for intid in [40, 41] {
        m.set_edge(0, intid, true);
        m.enable(0, intid);
    }
    m.inject(0, 40);
    m.settle();
    m.acknowledge(0);
    // The only list register goes to the second; the first is set aside.
    m.inject(0, 41);
    m.settle();
    m.write_bit(1, 0x280, 40);
    m.inject(0, 40);
    m.route(0, 41, 1);
    m.settle();
    m.end(0);
    assert_eq!(m.acknowledge(0), Some(40));
}

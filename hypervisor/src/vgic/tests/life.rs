//! The life of single interrupts.

use super::machine::DIST;
use super::{Machine, SPI, TIMER, both};
use crate::vgic::{Read, State, Version};

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
fn a_timer_that_is_set_anew_before_it_is_taken_is_withdrawn() {
    both(|mut m| {
        m.enable(0, TIMER);
        m.fire(0, TIMER, TIMER);
        // The guest writes the timer and then disables its interrupt.
        m.cpus[0].fallen.insert(TIMER);
        m.write_bit(0, 0x180, TIMER);
        m.enable(0, TIMER);
        assert_eq!(m.acknowledge(0), None, "it fired early");
        assert!(!m.is_physically_active(0, TIMER), "it can never fire again");
        m.cpus[0].fallen.clear();
        assert!(m.fire(0, TIMER, TIMER));
        assert_eq!(m.acknowledge(0), Some(TIMER));
        m.end(0);
        assert!(!m.is_physically_active(0, TIMER));
    });
}

#[test]
fn a_timer_that_is_taken_stays_taken_whatever_its_line_does() {
    both(|mut m| {
        m.enable(0, TIMER);
        m.fire(0, TIMER, TIMER);
        assert_eq!(m.acknowledge(0), Some(TIMER));
        m.cpus[0].fallen.insert(TIMER);
        m.write_bit(0, 0x180, TIMER);
        m.enable(0, TIMER);
        assert!(m.is_physically_active(0, TIMER), "still the guest's");
        m.end(0);
        assert!(!m.is_physically_active(0, TIMER));
        assert_eq!(m.acknowledge(0), None);
    });
}

#[test]
fn where_hardware_does_not_signal_again_the_end_is_done_by_hand() {
    both(|mut m| {
        m.cpus[0].forgetful = true;
        m.enable(0, TIMER);
        for _ in 0..3 {
            assert!(m.fire(0, TIMER, TIMER));
            let with = m.cpus[0].lrs.iter().filter(|lr| lr.physical().is_some());
            assert_eq!(with.count(), 0, "hardware would deactivate it");
            assert_eq!(m.acknowledge(0), Some(TIMER));
            assert!(m.is_physically_active(0, TIMER));
            m.end(0);
            assert!(!m.is_physically_active(0, TIMER));
        }
    });
}

#[test]
fn a_read_of_live_state_leaves_nothing_to_be_taken_twice() {
    both(|mut m| {
        m.enable(0, TIMER);
        m.fire(0, TIMER, TIMER);
        let (region, base) = m.frame(0, TIMER);
        let read = m.vgic.read(0, region, base + 0x200, 4, &mut m.cpus[0]);
        assert_eq!(read, Read::Value(1 << TIMER), "pending");
        // The guest goes on without an entry in between.
        assert_eq!(m.acknowledge(0), Some(TIMER));
        m.end(0);
        m.enter(0);
        assert_eq!(m.acknowledge(0), None, "taken twice");
        assert!(!m.is_physically_active(0, TIMER));
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

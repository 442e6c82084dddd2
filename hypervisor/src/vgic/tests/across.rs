//! Several CPUs and the board: passthrough, stopping, each other's registers.

use super::{Machine, SPI, TIMER, both};
use crate::vgic::{ListRegisters, Maintenance, Version};

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
fn a_watched_spi_tells_when_it_is_routed_and_nothing_else() {
    both(|mut m| {
        m.vgic.watch_spi(SPI);
        assert_eq!(m.write_bit(0, 0x100, SPI).iter().count(), 0);
        let told = m.route(0, SPI, 1);
        let all = match m.vgic.version {
            Version::V2 => vec![],
            Version::V3 => vec![SPI],
        };
        assert_eq!(told.iter().collect::<Vec<_>>(), all);
        assert_eq!(m.vgic.spi_target(SPI), Some(1));
        assert_eq!(m.route(0, SPI + 1, 1).iter().count(), 0);
        assert_eq!(m.vgic.hw_spi(SPI), None);
        // Private and missing interrupts are not watched.
        m.vgic.watch_spi(TIMER);
        m.vgic.watch_spi(5000);
        assert_eq!(m.vgic.spi_target(TIMER), None);
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
            .release_hw(|physical| assert!(active.lock().unwrap().remove(&(usize::MAX, physical))));
        assert!(m.physical.lock().unwrap().is_empty());
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

#[test]
fn parking_forgets_the_maintenance_conditions() {
    let mut m = Machine::new(Version::V3, 1, 1);
    for intid in [40, 41] {
        m.set_edge(0, intid, true);
        m.enable(0, intid);
        m.inject(0, intid);
    }
    m.settle();
    assert_ne!(
        m.cpus[0].wanted(),
        Maintenance::default(),
        "two for one register"
    );
    let _nobody = m.vgic.park(0, &mut m.cpus[0]);
    assert_eq!(m.cpus[0].wanted(), Maintenance::default());
}

//! What the registers say, by the manuals (IHI 0048, IHI 0069).

use super::Machine;
use super::machine::{DIST, REDIST};
use crate::vgic::v2m::V2m;
use crate::vgic::{Config, Error, Lr, Read, Region, State, Version, Vgic};
use proptest::prelude::*;

fn v2() -> Machine {
    Machine::new(Version::V2, 4, 4)
}

fn v3() -> Machine {
    Machine::new(Version::V3, 4, 4)
}

#[test]
fn v3_identifies_itself() {
    let mut m = v3();
    // 96 interrupt lines, ten id bits, no LPIs, no messages, no range selector.
    assert_eq!(m.read(0, DIST, 0x004, 4), 9 << 19 | 2);
    assert_eq!(m.read(0, DIST, 0xffe8, 4) >> 4 & 0xf, 3, "ArchRev");
    assert_eq!(m.read(0, REDIST, 0xffe8, 4) >> 4 & 0xf, 3, "ArchRev");
    assert_eq!(m.read(0, DIST, 0x008, 4) & 0xfff, 0x43b);
    assert_eq!(m.read(0, DIST, 0x00c, 4), 0);
    let component: Vec<_> = (0xfff0..0x1_0000)
        .step_by(4)
        .map(|o| m.read(0, DIST, o, 4))
        .collect();
    assert_eq!(component, [0x0d, 0xf0, 0x05, 0xb1]);
}

#[test]
fn v3_distributor_control_keeps_affinity_routing_on() {
    let mut m = v3();
    m.write(0, DIST, 0, 4, 0);
    assert_eq!(m.read(0, DIST, 0, 4), 0x50);
    m.write(0, DIST, 0, 4, 0xffff_ffff);
    assert_eq!(
        m.read(0, DIST, 0, 4),
        0x53,
        "no write pending, DS, ARE, both groups"
    );
}

#[test]
fn v3_redistributors_tell_who_they_are() {
    let mut m = v3();
    for vcpu in 0..4_usize {
        let base = vcpu << 17;
        let typer = m.read(0, REDIST, base + 8, 8);
        assert_eq!(typer >> 32, vcpu as u64, "affinity");
        assert_eq!(typer >> 8 & 0xffff, vcpu as u64, "processor number");
        assert_eq!(typer >> 4 & 1, u64::from(vcpu == 3), "last");
        assert_eq!(typer & 0xf, 0, "no LPIs");
        assert_eq!(m.read(0, REDIST, base + 12, 4), vcpu as u64);
        m.write(vcpu, REDIST, base + 0x14, 4, 0);
        assert_eq!(m.read(0, REDIST, base + 0x14, 4), 0, "awake");
        m.write(vcpu, REDIST, base + 0x14, 4, 2);
        assert_eq!(
            m.read(0, REDIST, base + 0x14, 4),
            6,
            "asleep with its children"
        );
    }
    let before = m.vgic.unknown_accesses();
    assert_eq!(m.read(0, REDIST, 4 << 17 | 8, 8), 0, "no fifth");
    assert_eq!(m.vgic.unknown_accesses(), before + 1);
}

#[test]
fn v2_identifies_itself() {
    let mut m = v2();
    assert_eq!(m.read(0, DIST, 0x004, 4), 3 << 5 | 2, "four CPUs, 96 lines");
    assert_eq!(m.read(0, DIST, 0xfe8, 4) >> 4 & 0xf, 2, "ArchRev");
    m.write(0, DIST, 0, 4, 1);
    assert_eq!(m.read(0, DIST, 0, 4), 1);
}

#[test]
fn enable_set_and_clear_show_the_same_bits() {
    for mut m in [v2(), v3()] {
        for intid in [16, 31, 32, 63, 64, 95] {
            assert!(!m.read_bit(0, 0x100, intid));
            m.enable(0, intid);
            assert!(m.read_bit(0, 0x100, intid));
            assert!(m.read_bit(0, 0x180, intid));
            // Writing zeroes changes nothing.
            let (region, base) = m.frame(0, intid);
            m.write(0, region, base + 0x180 + (intid as usize >> 5) * 4, 4, 0);
            assert!(m.read_bit(0, 0x100, intid));
            m.write_bit(0, 0x180, intid);
            assert!(!m.read_bit(0, 0x100, intid));
        }
    }
}

#[test]
fn private_interrupts_are_banked() {
    for mut m in [v2(), v3()] {
        m.enable(1, 20);
        assert!(m.read_bit(1, 0x100, 20));
        assert!(!m.read_bit(0, 0x100, 20));
        m.set_priority(2, 20, 0x30);
        let (region, base) = m.frame(3, 20);
        assert_eq!(m.read(3, region, base + 0x414, 1), 0x80);
        let (region, base) = m.frame(2, 20);
        assert_eq!(m.read(2, region, base + 0x414, 1), 0x30);
    }
}

#[test]
fn v2_sgis_are_always_enabled_and_not_pended_by_bits() {
    let mut m = v2();
    assert_eq!(m.read(0, DIST, 0x100, 4), 0xffff);
    m.write(0, DIST, 0x180, 4, 0xffff_ffff);
    assert_eq!(m.read(0, DIST, 0x100, 4), 0xffff);
    m.write(0, DIST, 0x200, 4, 0xffff_ffff);
    assert_eq!(m.read(0, DIST, 0x200, 4), 0xffff_0000);
}

#[test]
fn v3_distributor_leaves_private_interrupts_alone() {
    let mut m = v3();
    for offset in [0x080, 0x100, 0x200, 0x300, 0x400, 0xc00, 0x800] {
        m.write(0, DIST, offset, 4, 0xffff_ffff);
        assert_eq!(m.read(0, DIST, offset, 4), 0, "{offset:#x}");
    }
    assert_eq!(m.read(0, REDIST, 0x1_0100, 4), 0);
}

#[test]
fn priorities_have_five_bits_in_every_access_size() {
    for mut m in [v2(), v3()] {
        m.write(0, DIST, 0x420, 4, 0xffff_ffff);
        assert_eq!(m.read(0, DIST, 0x420, 4), 0xf8f8_f8f8);
        m.write(0, DIST, 0x421, 1, 0x47);
        assert_eq!(m.read(0, DIST, 0x420, 4), 0xf8f8_40f8);
        assert_eq!(m.read(0, DIST, 0x421, 1), 0x40);
        assert_eq!(m.read(0, DIST, 0x422, 2), 0xf8f8);
        assert_eq!(
            m.read(0, DIST, 0x420 + 96, 4),
            0,
            "beyond the last interrupt"
        );
    }
}

#[test]
fn v2_targets() {
    let mut m = v2();
    for vcpu in 0..4 {
        assert_eq!(m.read(vcpu, DIST, 0x800, 4), 0x0101_0101 << vcpu, "own bit");
    }
    m.write(0, DIST, 0x820, 4, 0xff08_0403);
    assert_eq!(
        m.read(0, DIST, 0x820, 4),
        0x0f08_0403,
        "only CPUs there are"
    );
    assert_eq!(m.read(0, DIST, 0x823, 1), 0x0f);
    m.write(0, DIST, 0x800, 4, 0);
    assert_eq!(m.read(0, DIST, 0x800, 4), 0x0101_0101, "read-only");
}

#[test]
fn v3_routes_are_read_back_in_both_sizes() {
    let mut m = v3();
    let at = 0x6000 + 40 * 8;
    m.write(0, DIST, at, 8, 0xffff_ffff_ffff_ffff);
    assert_eq!(m.read(0, DIST, at, 8), 0xff_80ff_ffff);
    m.write(0, DIST, at, 4, 2);
    assert_eq!(m.read(0, DIST, at, 8), 0xff_0000_0002);
    m.write(0, DIST, at + 4, 4, 0);
    assert_eq!(m.read(0, DIST, at, 8), 2);
    assert_eq!(m.read(0, DIST, 0x820, 4), 0, "no ITARGETSR");
}

#[test]
fn triggers() {
    for mut m in [v2(), v3()] {
        let (region, base) = m.frame(0, 0);
        assert_eq!(
            m.read(0, region, base + 0xc00, 4),
            0xaaaa_aaaa,
            "SGIs are edges"
        );
        m.write(0, region, base + 0xc00, 4, 0);
        assert_eq!(m.read(0, region, base + 0xc00, 4), 0xaaaa_aaaa);
        m.set_edge(0, 17, true);
        assert_eq!(m.read(0, region, base + 0xc04, 4), 0b1000);
        for intid in [32, 47, 48, 63, 95] {
            m.set_edge(0, intid, true);
        }
        assert_eq!(m.read(0, DIST, 0xc08, 4), 1 << 31 | 2);
        assert_eq!(m.read(0, DIST, 0xc0c, 4), 1 << 31 | 2);
        assert_eq!(m.read(0, DIST, 0xc14, 4), 1 << 31);
        m.set_edge(0, 47, false);
        assert_eq!(m.read(0, DIST, 0xc08, 4), 2);
        m.write(0, DIST, 0xc08, 4, 0x5555_5555);
        assert_eq!(m.read(0, DIST, 0xc08, 4), 0, "even bits are reserved");
    }
}

#[test]
fn groups_start_as_the_version_wants_and_are_kept() {
    let mut m = v3();
    assert_eq!(m.read(0, DIST, 0x084, 4), 0xffff_ffff);
    assert_eq!(m.read(0, REDIST, 0x1_0080, 4), 0xffff_ffff);
    let mut m = v2();
    assert_eq!(m.read(0, DIST, 0x084, 4), 0);
    m.write(0, DIST, 0x084, 4, 0x1234);
    assert_eq!(m.read(0, DIST, 0x084, 4), 0x1234);
}

#[test]
fn a_group_that_is_off_delivers_nothing() {
    for mut m in [v2(), v3()] {
        let group1 = m.read(0, DIST, 0x084, 4) != 0;
        m.enable(0, 40);
        m.write_bit(0, 0x200, 40);
        m.write(0, DIST, 0, 4, if group1 { 1 } else { 2 });
        m.settle();
        assert_eq!(m.acknowledge(0), None);
        m.write(0, DIST, 0, 4, 3);
        m.settle();
        let lr = m.cpus[0].lrs[0];
        assert_eq!((lr.intid(), lr.group1()), (40, group1));
        m.write(0, DIST, 0x084, 4, if group1 { 0 } else { 0xffff_ffff });
        m.settle();
        assert_eq!(m.cpus[0].lrs[0].group1(), !group1, "list register follows");
        assert_eq!(m.acknowledge(0), Some(40));
    }
}

#[test]
fn v2_sgi_pending_registers() {
    let mut m = v2();
    m.write(1, DIST, 0xf20, 4, 0x0000_0500);
    m.settle();
    assert_eq!(m.acknowledge_from(1), Some((1, 0)));
    assert_eq!(m.read(1, DIST, 0xf20, 4), 0x0400);
    assert_eq!(m.read(1, DIST, 0xf10, 4), 0x0400);
    assert_eq!(m.read(0, DIST, 0xf20, 4), 0, "banked");
    m.write(1, DIST, 0xf11, 1, 0x04);
    m.end(1);
    assert_eq!(m.acknowledge(1), None);
}

#[test]
fn unknown_registers_read_as_zero_and_are_counted() {
    for mut m in [v2(), v3()] {
        let before = m.vgic.unknown_accesses();
        assert_eq!(m.read(0, DIST, 0x5000, 4), 0);
        m.write(0, DIST, 0x5000, 4, 1);
        assert_eq!(m.read(0, DIST, 0x5000, 4), 0);
        assert_eq!(m.vgic.unknown_accesses(), before + 3);
    }
}

#[test]
fn sizes_that_do_not_exist_are_refused() {
    let shape = |version, vcpus, spis| {
        Vgic::new(&Config {
            version,
            vcpus,
            spis,
        })
        .map(|_| ())
    };
    assert_eq!(shape(Version::V2, 9, 32), Err(Error::Vcpus(9)));
    assert_eq!(shape(Version::V3, 17, 32), Err(Error::Vcpus(17)));
    assert_eq!(shape(Version::V3, 0, 32), Err(Error::Vcpus(0)));
    assert_eq!(shape(Version::V3, 1, 961), Err(Error::Spis(961)));
    assert_eq!(shape(Version::V3, 16, 960), Ok(()));
    let m = v3();
    assert_eq!(m.vgic.assign_hw_spi(31, 40), Err(Error::Intid(31)));
    assert_eq!(m.vgic.assign_hw_spi(96, 40), Err(Error::Intid(96)));
    assert_eq!(m.vgic.assign_hw_spi(32, 1020), Err(Error::Physical(1020)));
}

#[test]
fn message_frame() {
    let mut m = v3();
    assert!(V2m::new(31, 4).is_none());
    assert!(V2m::new(64, 0).is_none());
    let frame = V2m::new(64, 8).unwrap();
    assert_eq!(frame.read(8), 64 << 16 | 8);
    assert_eq!(frame.read(0xfcc) & 0xfff, 0x43b);
    for intid in [64, 71] {
        m.set_edge(0, intid, true);
        m.enable(0, intid);
    }
    m.enable(0, 72);
    let kick = frame.write(&m.vgic, 0x40, 71);
    m.kick(kick);
    assert!(!frame.write(&m.vgic, 0x40, 72).any(), "not of this frame");
    assert!(!frame.write(&m.vgic, 0x44, 64).any(), "not the doorbell");
    m.settle();
    assert_eq!(m.acknowledge(0), Some(71));
    m.end(0);
    assert_eq!(m.acknowledge(0), None);
}

#[test]
fn a_frame_leaves_out_what_others_have() {
    let of = |range: core::ops::Range<u32>, used: &[u32]| {
        let frame = V2m::of_free(range, |n| !used.contains(&n))?;
        Some(frame.numbers())
    };
    assert_eq!(of(80..144, &[]), Some(96..144));
    // QEMU's virt with GICv2: the SMMU's lie among the frame's.
    assert_eq!(of(80..144, &[106, 107, 108, 109]), Some(128..144));
    assert_eq!(of(80..144, &[96, 128, 100, 140]), Some(101..128));
    assert_eq!(of(65..73, &[70]), Some(65..70));
    assert_eq!(of(65..67, &[65, 66]), None);
    assert_eq!(of(64..64, &[]), None);
    assert_eq!(of(1000..1100, &[]), None, "no SPIs");
}

#[test]
fn list_register_words_of_the_manual() {
    // Pending, HW, group 1, priority 0xa0, physical 27, virtual 27.
    let lr = Lr::new(27, State::Pending)
        .with_priority(0xa0)
        .with_group1(true)
        .with_physical(27);
    assert_eq!(lr.0, 0x70a0_001b_0000_001b);
    assert_eq!(lr.to_v2(), 0xda00_6c1b);
    // Active SGI 5 from CPU 3, to be told of its end.
    let lr = Lr::new(5, State::Active).with_source(3).with_eoi(true);
    assert_eq!(lr.0, 0x8000_0200_0000_0c05);
    assert_eq!(lr.to_v2(), 0x2008_0c05);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(super::cases(200)))]

    #[test]
    fn list_register_words_survive_both_ways(
        intid in 0..1020_u32,
        state in prop::sample::select(&[State::Invalid, State::Pending, State::Active, State::PendingActive][..]),
        priority in 0..32_u8,
        group1 in any::<bool>(),
        physical in prop::option::of(32..1020_u32),
        eoi in any::<bool>(),
    ) {
        let lr = Lr::new(intid, state).with_priority(priority << 3).with_group1(group1);
        let lr = match physical {
            Some(physical) => lr.with_physical(physical),
            None => lr.with_eoi(eoi),
        };
        prop_assert_eq!(Lr::from_v2(lr.to_v2()), lr);
        prop_assert_eq!((lr.intid(), lr.state(), lr.physical()), (intid, state, physical));
    }

    /// Any access whatever: no panic, no endless kicks, nothing but RAZ
    /// outside the map; and reads change nothing that another read shows.
    #[test]
    fn hostile_accesses(
        version in prop::sample::select(&[Version::V2, Version::V3][..]),
        accesses in prop::collection::vec(
            (0..4_usize, any::<bool>(), any::<bool>(), 0..0xa_0000_usize,
             prop::sample::select(&[1_usize, 2, 3, 4, 8, 16][..]), any::<u64>()),
            1..60),
    ) {
        let mut m = Machine::new(version, 4, 2);
        for (cpu, write, redist, offset, size, value) in accesses {
            let region = if redist { Region::Redistributors } else { Region::Distributor };
            if write {
                m.write(cpu, region, offset, size, value);
            } else if let Read::Value(value) = m.vgic.read(cpu, region, offset, size, &mut m.cpus[cpu]) {
                prop_assert!(size >= 8 || value >> (size * 8) == 0, "wider than asked");
                m.enter(cpu);
            }
            m.settle();
            m.acknowledge(cpu);
        }
    }
}

//! Software-generated interrupts.

use super::Machine;
use super::machine::DIST;
use crate::vgic::{SgiKind, Version};

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

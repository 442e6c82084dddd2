//! Enumeration, placement, isolation, reset.

use crate::pci::fake::{FakeFn, FakePci, Happened};
use crate::pci::place::{HostWindow, HostWindows};
use crate::pci::regs::{self, bridge, pcie};
use crate::pci::topology::Topology;
use crate::pci::{ConfigSpace, Delay, PciError, Rid, acs, bring_up, scan};

pub const WINDOWS: HostWindows = HostWindows {
    low: HostWindow {
        bus: 0x1000_0000,
        pa: 0x1000_0000,
        size: 0x2eff_0000,
    },
    high: Some(HostWindow {
        bus: 0x80_0000_0000,
        pa: 0x80_0000_0000,
        size: 1 << 39,
    }),
};

impl Delay for FakePci {
    fn delay_us(&self, micros: u32) {
        self.log.borrow_mut().push(Happened::Wait(micros));
    }
}

/// The shape of QEMU's virt machine: two endpoints and a multi-function device
/// on the root bus, two root ports, a switch with two ports behind the second.
pub fn machine() -> FakePci {
    let mut pci = FakePci::new(0);
    pci.add(None, 0, 0, FakeFn::new(0x0008_1b36, 0));
    pci.add(
        None,
        1,
        0,
        FakeFn::endpoint(0x10d3_8086)
            .bar32(0, 0x2_0000)
            .io(2, 32)
            .pin(1)
            .pm(0xc8, false)
            .msix(0xa0, 5),
    );
    pci.add(
        None,
        2,
        0,
        FakeFn::endpoint(0x11e8_1234)
            .bar32(0, 0x10_0000)
            .pin(1)
            .multi(),
    );
    pci.add(
        None,
        2,
        1,
        FakeFn::endpoint(0x11e9_1234)
            .bar32(0, 0x10)
            .bar32(1, 0x100)
            .pin(2),
    );
    let a = pci.add(None, 3, 0, FakeFn::root_port().acs().bar32(0, 0x1000));
    pci.add(
        Some(a),
        0,
        0,
        FakeFn::endpoint(0x0010_1b36)
            .bar64(0, 0x4000, false)
            .pin(1)
            .pcie(pcie::ENDPOINT, true),
    );
    let b = pci.add(None, 4, 0, FakeFn::root_port());
    let up = pci.add(Some(b), 0, 0, FakeFn::new(0x8232_104c, 1).pcie(5, false));
    let d0 = pci.add(
        Some(up),
        0,
        0,
        FakeFn::new(0x8233_104c, 1).pcie(pcie::DOWNSTREAM, false),
    );
    let d1 = pci.add(
        Some(up),
        1,
        0,
        FakeFn::new(0x8233_104c, 1)
            .pcie(pcie::DOWNSTREAM, false)
            .acs(),
    );
    pci.add(
        Some(d0),
        0,
        0,
        FakeFn::endpoint(0x1041_1af4)
            .bar32(1, 0x1000)
            .bar64(4, 0x4000, true)
            .pin(1),
    );
    pci.add(
        Some(d1),
        0,
        0,
        FakeFn::endpoint(0x1533_8086)
            .bar32(0, 0x8_0000)
            .bar64(2, 1 << 33, true)
            .pin(3),
    );
    pci
}

pub fn rid_of(topology: &Topology, id: u32) -> Rid {
    topology.functions.iter().find(|f| f.id == id).unwrap().rid
}

#[test]
fn numbers_buses_that_nobody_numbered() {
    let pci = machine();
    let topology = scan::scan(&pci, 0, 15).unwrap();
    let found: Vec<_> = topology
        .functions
        .iter()
        .map(|f| f.rid.to_string())
        .collect();
    let root = [
        "00:00.0", "00:01.0", "00:02.0", "00:02.1", "00:03.0", "00:04.0",
    ];
    let behind = [
        "01:00.0", "02:00.0", "03:00.0", "03:01.0", "04:00.0", "05:00.0",
    ];
    assert_eq!(found, [root, behind].concat());
    assert_eq!(pci.read32(Rid::new(0, 3, 0), bridge::BUSES), 0x0001_0100);
    assert_eq!(pci.read32(Rid::new(0, 4, 0), bridge::BUSES), 0x0005_0200);
    assert_eq!(pci.read32(Rid::new(3, 1, 0), bridge::BUSES), 0x0005_0503);
}

#[test]
fn keeps_sound_firmware_numbers_and_drops_unsound_ones() {
    for (port, expected) in [
        ((0, 7, 9), 7),
        ((0, 7, 16), 1),
        ((0, 7, 6), 1),
        ((1, 7, 9), 1),
        ((0, 0, 9), 1),
    ] {
        let mut pci = FakePci::new(0);
        let a = pci.add(
            None,
            3,
            0,
            FakeFn::root_port().buses(port.0, port.1, port.2),
        );
        pci.add(Some(a), 0, 0, FakeFn::endpoint(0x0010_1b36));
        let topology = scan::scan(&pci, 0, 15).unwrap();
        assert_eq!(
            topology.functions[1].rid,
            Rid::new(expected, 0, 0),
            "{port:?}"
        );
    }
}

#[test]
fn says_when_buses_run_out() {
    let pci = machine();
    let error = scan::scan(&pci, 0, 3).unwrap_err();
    assert_eq!(
        error,
        PciError::NoBus {
            bridge: Rid::new(3, 0, 0)
        }
    );
}

#[test]
fn endpoints_are_quiet_and_io_bars_unknown() {
    let pci = machine();
    let topology = bring_up(&pci, (0, 15), &WINDOWS, 4096).unwrap();
    for function in topology.functions.iter().filter(|f| f.is_endpoint()) {
        assert_eq!(
            pci.read16(function.rid, regs::COMMAND),
            0x400,
            "{}",
            function.rid
        );
    }
    let nic = topology.get(Rid::new(0, 1, 0)).unwrap();
    assert!(nic.bars[0].is_some() && nic.bars[2].is_none());
}

#[test]
fn interrupts_swizzle_through_bridges() {
    let pci = machine();
    let topology = scan::scan(&pci, 0, 15).unwrap();
    let at = |id| {
        let f = topology.functions.iter().find(|f| f.id == id).unwrap();
        topology.intx(f)
    };
    assert_eq!(at(0x10d3_8086), Some((1, 1)));
    assert_eq!(at(0x11e9_1234), Some((2, 2)));
    assert_eq!(at(0x0010_1b36), Some((3, 1)), "slot 0 behind port 3");
    // INTC in slot 0, then slot 1 of the switch, slot 0 of the upstream port.
    assert_eq!(at(0x1533_8086), Some((4, 4)));
    assert_eq!(at(0x0008_1b36), None, "no pin");
}

#[test]
fn groups_are_what_access_control_cannot_keep_apart() {
    let pci = machine();
    let topology = bring_up(&pci, (0, 15), &WINDOWS, 4096).unwrap();
    let group = |id| acs::group(&topology, topology.get(rid_of(&topology, id)).unwrap());
    assert_eq!(group(0x10d3_8086), Rid::new(0, 1, 0));
    assert_eq!(
        group(0x11e8_1234),
        group(0x11e9_1234),
        "functions of one device"
    );
    assert_eq!(group(0x0010_1b36), Rid::new(1, 0, 0), "its port isolates");
    assert_eq!(
        group(0x1041_1af4),
        Rid::new(0, 4, 0),
        "a port without access control"
    );
    assert_eq!(
        group(0x1533_8086),
        Rid::new(0, 4, 0),
        "root port without it, above"
    );
}

/// What cannot be kept apart goes to one VM, whoever comes first.
#[test]
fn a_group_has_one_owner() {
    let pci = machine();
    let topology = bring_up(&pci, (0, 15), &WINDOWS, 4096).unwrap();
    let rid = |id| rid_of(&topology, id);
    let mut owners = acs::Owners::default();
    // Two functions of one device.
    owners.give(&topology, rid(0x11e8_1234), "one").unwrap();
    let refused = owners.give(&topology, rid(0x11e9_1234), "two");
    let inseparable = |id, owner| {
        Err(acs::Inseparable {
            function: rid(id),
            owner,
        })
    };
    assert_eq!(refused, inseparable(0x11e8_1234, "one"));
    owners.give(&topology, rid(0x11e9_1234), "one").unwrap();
    // Two devices below a port that does not isolate.
    owners.give(&topology, rid(0x1533_8086), "two").unwrap();
    let refused = owners.give(&topology, rid(0x1041_1af4), "one");
    assert_eq!(refused, inseparable(0x1533_8086, "two"));
    owners.give(&topology, rid(0x1041_1af4), "two").unwrap();
    // Apart from everything, and not there at all.
    owners.give(&topology, rid(0x10d3_8086), "three").unwrap();
    owners.give(&topology, rid(0x0010_1b36), "four").unwrap();
    owners.give(&topology, Rid::new(15, 31, 7), "five").unwrap();
}

#[test]
fn devices_behind_a_conventional_bridge_go_together() {
    let mut pci = FakePci::new(0);
    let port = pci.add(None, 1, 0, FakeFn::root_port().acs());
    let to_pci = FakeFn::new(0x8112_10b5, 1).pcie(pcie::TO_PCI, false);
    let bridge = pci.add(Some(port), 0, 0, to_pci);
    pci.add(Some(bridge), 5, 0, FakeFn::endpoint(7));
    pci.add(Some(bridge), 6, 0, FakeFn::endpoint(8));
    let topology = bring_up(&pci, (0, 15), &WINDOWS, 4096).unwrap();
    let mut owners = acs::Owners::default();
    owners.give(&topology, rid_of(&topology, 7), 1).unwrap();
    let refused = owners.give(&topology, rid_of(&topology, 8), 2);
    assert_eq!(refused.unwrap_err().owner, 1);
}

#[test]
fn conventional_bridges_lend_their_requester_id() {
    let mut pci = FakePci::new(0);
    let port = pci.add(None, 1, 0, FakeFn::root_port());
    let bridge = pci.add(
        Some(port),
        0,
        0,
        FakeFn::new(0x8112_10b5, 1).pcie(pcie::TO_PCI, false),
    );
    pci.add(Some(bridge), 5, 0, FakeFn::endpoint(7));
    let topology = scan::scan(&pci, 0, 15).unwrap();
    let ids = topology.requesters(topology.functions.last().unwrap());
    assert_eq!(ids.as_slice(), [Rid::new(2, 5, 0), Rid::new(2, 0, 0)]);
}

#[test]
fn stale_numbers_answer_no_more_while_new_ones_are_given() {
    let mut pci = FakePci::new(0);
    let a = pci.add(None, 3, 0, FakeFn::root_port().buses(0, 9, 8));
    let b = pci.add(None, 4, 0, FakeFn::root_port().buses(0, 1, 1));
    pci.add(Some(a), 0, 0, FakeFn::endpoint(0x0010_1b36));
    pci.add(Some(b), 0, 0, FakeFn::endpoint(0x0011_1b36));
    let topology = scan::scan(&pci, 0, 15).unwrap();
    assert_eq!(rid_of(&topology, 0x0010_1b36), Rid::new(1, 0, 0));
    assert_eq!(rid_of(&topology, 0x0011_1b36), Rid::new(2, 0, 0));
}

#[test]
fn a_link_has_one_device_at_its_end() {
    let mut pci = FakePci::new(0);
    let port = pci.add(None, 3, 0, FakeFn::root_port());
    // A device that answers in every slot of its bus.
    pci.add(Some(port), 0, 0, FakeFn::endpoint(0x0010_1b36));
    pci.add(Some(port), 1, 0, FakeFn::endpoint(0x0010_1b36));
    assert_eq!(scan::scan(&pci, 0, 15).unwrap().functions.len(), 2);
}

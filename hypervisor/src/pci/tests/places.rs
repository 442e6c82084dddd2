//! Placement of BARs.

use super::physical::{WINDOWS, machine, rid_of};
use crate::pci::fake::{FakeFn, FakePci};
use crate::pci::place::{HostWindow, HostWindows, unplaced};
use crate::pci::regs;
use crate::pci::topology::Topology;
use crate::pci::{ConfigSpace, PciError, Rid, bring_up};
use proptest::prelude::*;

/// Every byte of every BAR is decoded by that BAR alone, through its bridges,
/// and no other BAR shares its pages.
fn check_places(pci: &FakePci, topology: &Topology, page: u64) {
    for f in topology.functions.iter().filter(|f| f.layout == 0) {
        pci.write16(f.rid, regs::COMMAND, 2);
    }
    for f in topology.functions.iter().filter(|f| f.layout == 0) {
        for (n, bar) in (0u8..).zip(&f.bars) {
            let Some(bar) = bar else { continue };
            let place = bar
                .place
                .unwrap_or_else(|| panic!("{} BAR {n} unplaced", f.rid));
            assert_eq!(place.bus % page.max(bar.size), 0);
            for at in [place.bus, place.bus + bar.size - 1] {
                assert_eq!(pci.decoders(at), [(f.rid, n)], "{at:#x}");
                let above: Vec<_> = topology.bridges_above(f).map(|b| b.rid).collect();
                let mut passed = pci.forwarders(at);
                passed.reverse();
                assert_eq!(passed, above, "{at:#x} goes astray");
            }
            let rest = page.saturating_sub(bar.size);
            if rest != 0 {
                assert_eq!(
                    pci.decoders(place.bus + bar.size),
                    [],
                    "page of {} BAR {n}",
                    f.rid
                );
                assert_eq!(
                    pci.decoders(place.bus + page - 1),
                    [],
                    "page of {} BAR {n}",
                    f.rid
                );
            }
        }
    }
}

#[test]
fn places_each_bar_on_pages_of_its_own_behind_bridges_too() {
    for page in [4096, 0x1_0000] {
        let pci = machine();
        let topology = bring_up(&pci, (0, 15), &WINDOWS, page).unwrap();
        assert_eq!(unplaced(&topology).count(), 0);
        check_places(&pci, &topology, page);
        let big = topology.get(rid_of(&topology, 0x1533_8086)).unwrap().bars[2].unwrap();
        assert_eq!(
            (big.size, big.place.unwrap().bus),
            (1 << 33, 0x80_0000_0000)
        );
    }
}

#[test]
fn an_oversized_device_takes_no_other_down() {
    let pci = machine();
    let windows = HostWindows {
        high: None,
        ..WINDOWS
    };
    let topology = bring_up(&pci, (0, 15), &windows, 4096).unwrap();
    let failed: Vec<_> = unplaced(&topology).collect();
    let rid = rid_of(&topology, 0x1533_8086);
    assert!(failed.contains(&PciError::Unplaced {
        rid,
        bar: 2,
        size: 1 << 33
    }));
    // The switch's window holds it, so all behind the switch go without.
    assert!(
        topology.get(Rid::new(0, 1, 0)).unwrap().bars[0]
            .unwrap()
            .place
            .is_some()
    );
    assert!(
        topology.get(Rid::new(1, 0, 0)).unwrap().bars[0]
            .unwrap()
            .place
            .is_some()
    );
}

#[test]
fn physical_addresses_follow_the_windows_translation() {
    let mut pci = FakePci::new(0);
    pci.add(None, 1, 0, FakeFn::endpoint(1).bar32(0, 0x1000));
    let low = HostWindow {
        bus: 0x1000_0000,
        pa: 0x6_1000_0000,
        size: 0x10_0000,
    };
    let topology = bring_up(&pci, (0, 0), &HostWindows { low, high: None }, 4096).unwrap();
    let place = topology.functions[0].bars[0].unwrap().place.unwrap();
    assert_eq!((place.bus, place.pa), (0x1000_0000, 0x6_1000_0000));
}

#[test]
fn bad_windows_are_refused() {
    let pci = machine();
    let low = |bus, size| HostWindows {
        low: HostWindow { bus, pa: bus, size },
        high: None,
    };
    let bad = |w, page, value| {
        let error = bring_up(&pci, (0, 15), &w, page).unwrap_err();
        assert_eq!(error, PciError::BadWindow { value });
    };
    bad(WINDOWS, 2048, 2048);
    bad(WINDOWS, 6000, 6000);
    bad(low(0x1000_0800, 0x1000), 4096, 0x1000_0800);
    bad(low(0xffff_f000, 0x2000), 4096, 0xffff_f000);
    bad(low(u64::MAX - 0xfff, 0x2000), 4096, u64::MAX - 0xfff);
}

#[test]
fn a_bridge_without_a_64_bit_window_keeps_its_bars_low() {
    let mut pci = FakePci::new(0);
    let a = pci.add(None, 3, 0, FakeFn::root_port().narrow());
    let b = pci.add(Some(a), 0, 0, FakeFn::new(0x8232_104c, 1));
    pci.add(Some(b), 0, 0, FakeFn::endpoint(7).bar64(0, 0x4000, true));
    let topology = bring_up(&pci, (0, 15), &WINDOWS, 4096).unwrap();
    let place = topology.functions[2].bars[0].unwrap().place.unwrap();
    assert!(place.bus < 1 << 32);
    check_places(&pci, &topology, 4096);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever hangs behind whatever bridges: the placement gives every BAR
    /// its own pages, reachable through its bridges.
    #[test]
    fn any_hierarchy_is_placed_without_overlap(
        shape in prop::collection::vec((any::<prop::sample::Index>(), 0u8..4, prop::collection::vec((0u8..3, 4u32..22), 0..3)), 1..14),
        page in prop::sample::select(vec![4096u64, 0x4000, 0x1_0000]),
    ) {
        let mut pci = FakePci::new(0);
        let mut places = vec![(None, 32u8, 0u8)];
        for (at, kind, wanted) in shape {
            let at = at.index(places.len());
            let (parent, slots, used) = places[at];
            if used >= slots { continue }
            places[at].2 += 1;
            if kind == 0 {
                let port = pci.add(parent, used, 0, FakeFn::new(0x8112_10b5, 1));
                places.push((Some(port), 32, 0));
                continue;
            }
            let mut f = FakeFn::endpoint(0x1234);
            let mut n = 0;
            for (flavour, bits) in wanted {
                f = match flavour {
                    0 => f.bar32(n, 1 << bits),
                    1 => f.bar64(n, 1 << bits, false),
                    _ => f.bar64(n, 1 << (bits + 4), true),
                };
                n += if flavour == 0 { 1 } else { 2 };
            }
            pci.add(parent, used, 0, f);
        }
        match bring_up(&pci, (0, 255), &WINDOWS, page) {
            Ok(topology) => {
                prop_assert_eq!(unplaced(&topology).count(), 0);
                check_places(&pci, &topology, page);
            }
            Err(error) => {
                let deep = matches!(error, PciError::TooDeep { .. });
                prop_assert!(deep);
            }
        }
    }
}

//! Reset of physical functions.

use super::physical::{WINDOWS, rid_of};
use crate::pci::fake::{FakeFn, FakePci, Happened};
use crate::pci::regs::{self, pcie};
use crate::pci::{ConfigSpace, PciError, ResetMethod, Rid, bring_up, reset, scan};

#[test]
fn reset_takes_the_best_method_and_restores_the_bars() {
    let mut pci = FakePci::new(0);
    pci.add(
        None,
        1,
        0,
        FakeFn::endpoint(0x1001)
            .bar32(0, 0x1000)
            .pm(0x40, false)
            .pcie(pcie::RC_ENDPOINT, true)
            .msix(0xa0, 2),
    );
    pci.add(
        None,
        2,
        0,
        FakeFn::endpoint(0x1002)
            .bar32(0, 0x1000)
            .cap(0x40, 0x13, &[6, 3, 0, 0]),
    );
    pci.add(
        None,
        3,
        0,
        FakeFn::endpoint(0x1003).bar32(0, 0x1000).pm(0x40, false),
    );
    let port = pci.add(None, 4, 0, FakeFn::root_port());
    pci.add(
        Some(port),
        0,
        0,
        FakeFn::endpoint(0x1004).bar32(0, 0x1000).pm(0x40, true),
    );
    pci.add(
        None,
        5,
        0,
        FakeFn::endpoint(0x1005)
            .bar32(0, 0x1000)
            .pm(0x40, true)
            .msi64(0x50),
    );
    let topology = bring_up(&pci, (0, 15), &WINDOWS, 4096).unwrap();
    let methods = [
        ResetMethod::Function,
        ResetMethod::Advanced,
        ResetMethod::Power,
        ResetMethod::Bus,
        ResetMethod::None,
    ];
    for (id, method) in (0x1001u32..).zip(methods) {
        let f = topology.get(rid_of(&topology, id)).unwrap();
        let place = f.bars[0].unwrap().place.unwrap();
        pci.write16(f.rid, regs::COMMAND, 0x406);
        if let Some(at) = f.caps.find(regs::cap::MSIX) {
            pci.write16(f.rid, at + 2, 0x8000);
        }
        if let Some(at) = f.caps.find(regs::cap::MSI) {
            pci.write16(f.rid, at + 2, 1);
        }
        if let Some(at) = f.caps.find(regs::cap::PM) {
            pci.write16(f.rid, at + 4, 3);
        }
        assert_eq!(reset::reset(&pci, &topology, f, &pci), Ok(method));
        assert_eq!(
            pci.read32(f.rid, regs::BAR0),
            place.bus as u32,
            "{method:?}"
        );
        assert_eq!(pci.read16(f.rid, regs::COMMAND), 0x400);
        pci.with(f.rid, |f| assert_eq!(f.state(), 0));
        for (id, enable) in [(regs::cap::MSI, 1), (regs::cap::MSIX, 0x8000)] {
            let enabled = f.caps.find(id).map(|at| pci.read16(f.rid, at + 2) & enable);
            assert!(matches!(enabled, None | Some(0)), "{method:?} {enabled:x?}");
        }
    }
}

#[test]
fn a_function_that_does_not_stop_is_reported() {
    let mut pci = FakePci::new(0);
    pci.add(None, 1, 0, FakeFn::endpoint(0x1001).stubborn());
    let topology = scan::scan(&pci, 0, 0).unwrap();
    let f = &topology.functions[0];
    let stuck = PciError::Stuck {
        rid: f.rid,
        offset: regs::COMMAND,
    };
    assert_eq!(reset::reset(&pci, &topology, f, &pci), Err(stuck));
}

#[test]
fn a_function_that_never_returns_from_reset_is_given_up_after_a_second() {
    struct Gone(FakePci);
    impl ConfigSpace for Gone {
        fn read(&self, rid: Rid, offset: u16, width: crate::pci::Width) -> u32 {
            let reset = self
                .0
                .log
                .borrow()
                .iter()
                .any(|h| matches!(h, Happened::Write(_, 0x88, v) if v & 0x8000 != 0));
            if reset {
                width.ones()
            } else {
                self.0.read(rid, offset, width)
            }
        }
        fn write(&self, rid: Rid, offset: u16, width: crate::pci::Width, value: u32) {
            self.0.write(rid, offset, width, value);
        }
    }
    let mut pci = FakePci::new(0);
    pci.add(
        None,
        1,
        0,
        FakeFn::endpoint(0x1001).pcie(pcie::RC_ENDPOINT, true),
    );
    let topology = scan::scan(&pci, 0, 0).unwrap();
    let pci = Gone(pci);
    let result = reset::reset(&pci, &topology, &topology.functions[0], &pci.0);
    let rid = Rid::new(0, 1, 0);
    assert_eq!(
        result,
        Err(PciError::Stuck {
            rid,
            offset: regs::VENDOR
        })
    );
    let waited: u64 = pci
        .0
        .log
        .borrow()
        .iter()
        .map(|h| {
            if let Happened::Wait(us) = h {
                u64::from(*us)
            } else {
                0
            }
        })
        .sum();
    assert!((1_000_000..1_500_000).contains(&waited), "{waited}");
}

/// A function with transactions outstanding for a number of reads.
struct Busy(FakePci, std::cell::Cell<u32>);

impl ConfigSpace for Busy {
    fn read(&self, rid: Rid, offset: u16, width: crate::pci::Width) -> u32 {
        let value = self.0.read(rid, offset, width);
        let left = self.1.get();
        if offset != 0x8a || left == 0 {
            return value;
        }
        self.1.set(left - 1);
        value | 0x20
    }
    fn write(&self, rid: Rid, offset: u16, width: crate::pci::Width, value: u32) {
        self.0.write(rid, offset, width, value);
    }
}

#[test]
fn outstanding_transactions_are_waited_for_but_not_for_ever() {
    for (reads, waits) in [(0, 0), (3, 3), (u32::MAX, 100)] {
        let mut pci = FakePci::new(0);
        let device = FakeFn::endpoint(0x1001).pcie(pcie::RC_ENDPOINT, true);
        pci.add(None, 1, 0, device);
        let topology = scan::scan(&pci, 0, 0).unwrap();
        let busy = Busy(pci, reads.into());
        let result = reset::reset(&busy, &topology, &topology.functions[0], &busy.0);
        assert_eq!(result, Ok(ResetMethod::Function));
        let log = busy.0.take_log();
        let flr = |h: &Happened| matches!(h, Happened::Write(_, 0x88, v) if v & 0x8000 != 0);
        let at = log.iter().position(flr).unwrap();
        let before = log[..at]
            .iter()
            .filter(|h| **h == Happened::Wait(1_000))
            .count();
        assert_eq!(before, waits);
    }
}

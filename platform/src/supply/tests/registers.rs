use super::fake::{Registers, World, keep};
use crate::supply::gpio::{Bank, GpioGate};
use crate::supply::pl061::Pl061;
use crate::supply::qcom::{
    self, BranchEntry, BranchKind, Controller, DomainEntry, DomainKind, Table,
};
use crate::supply::{SupplyError, SupplyKind, Switch};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

const DIRECTION: usize = 0x400;

/// A PL061 behind one word of data: the address masks the access.
fn pl061_write(file: &mut BTreeMap<usize, u32>, offset: usize, value: u32) {
    if offset >= DIRECTION {
        file.insert(offset, value);
        return;
    }
    let mask = (offset >> 2) as u32;
    let direction = file.get(&DIRECTION).copied().unwrap_or(0);
    let data = file.get(&0x3fc).copied().unwrap_or(0);
    let data = data & !(mask & direction) | value & mask & direction;
    for line in 0..8 {
        file.insert((1 << line) << 2, data & 1 << line);
    }
    file.insert(0x3fc, data);
}

#[test]
fn a_gate_on_pl061_drives_its_line_and_no_other() {
    let registers = Registers::new(pl061_write);
    registers.set(DIRECTION, 0x08);
    let bank: Arc<dyn Bank> = Arc::new(Pl061::new(registers.clone()));
    let gate = GpioGate::new(bank.clone(), 5, 0);
    assert!(
        registers.writes.lock().is_empty(),
        "nothing is touched before the first switch"
    );
    assert_eq!(gate.is_on(), Ok(false));
    gate.enable().unwrap();
    assert_eq!(registers.writes.lock().last(), Some(&(0x20 << 2, 0x20)));
    assert_eq!(registers.file.lock()[&DIRECTION], 0x28);
    assert_eq!(registers.file.lock()[&0x3fc], 0x20);
    assert_eq!((gate.is_on(), gate.is_fixed()), (Ok(true), false));
    gate.disable().unwrap();
    assert_eq!(registers.file.lock()[&0x3fc], 0);
    assert_eq!(bank.driven(5), Some(false));
    assert_eq!(bank.driven(4), None);
}

#[test]
fn an_active_low_gate_is_on_when_low() {
    let bank: Arc<dyn Bank> = Arc::new(Pl061::new(Registers::new(pl061_write)));
    let gate = GpioGate::new(bank.clone(), 2, 1);
    gate.disable().unwrap();
    assert_eq!((bank.driven(2), gate.is_on()), (Some(true), Ok(false)));
    gate.enable().unwrap();
    assert_eq!((bank.driven(2), gate.is_on()), (Some(false), Ok(true)));
}

#[test]
fn a_line_that_does_not_follow_is_reported() {
    let dead = Registers::new(|_, _, _| {});
    let bank: Arc<dyn Bank> = Arc::new(Pl061::new(dead));
    assert_eq!(
        GpioGate::new(bank, 0, 0).enable(),
        Err(SupplyError::Stuck(0))
    );
}

static TABLE: Table = Table {
    compatible: "test,cc",
    clocks: &[
        BranchEntry {
            number: 1,
            kind: BranchKind::Plain,
            register: 0x10,
        },
        BranchEntry {
            number: 2,
            kind: BranchKind::Voted,
            register: 0x20,
        },
        BranchEntry {
            number: 3,
            kind: BranchKind::Unseen,
            register: 0x30,
        },
        BranchEntry {
            number: 4,
            kind: BranchKind::Kept,
            register: 0x38,
        },
    ],
    domains: &[
        DomainEntry {
            number: 0,
            kind: DomainKind::Plain,
            register: 0x40,
            status: 0x40,
        },
        DomainEntry {
            number: 1,
            kind: DomainKind::Voted,
            register: 0x50,
            status: 0x60,
        },
        DomainEntry {
            number: 2,
            kind: DomainKind::Kept,
            register: 0x70,
            status: 0x70,
        },
    ],
};

/// Hardware that follows at once.
fn obedient(file: &mut BTreeMap<usize, u32>, offset: usize, value: u32) {
    const STATUS: u32 = 1 << 31;
    let on = value & 1 == 1;
    let value = value & !STATUS;
    file.insert(
        offset,
        match offset {
            0x10 | 0x20 if !on => value | STATUS,
            0x40 if !on => value | STATUS,
            _ => value,
        },
    );
    if offset == 0x50 {
        file.insert(0x60, if on { 0 } else { STATUS });
    }
}

fn switch(registers: &Registers, kind: SupplyKind, number: u32) -> (Arc<dyn Switch>, Arc<World>) {
    let world = World::silent();
    let controller = Arc::new(Controller::new(registers.clone(), &TABLE));
    (
        qcom::switch(controller, world.clone(), kind, number).unwrap(),
        world,
    )
}

#[test]
fn qualcomm_clocks_and_domains_follow() {
    let registers = Registers::new(obedient);
    registers.set(0x10, 0x8000_00f0);
    registers.set(0x40, 1);
    for (kind, numbers) in [(SupplyKind::Clock, 1..4), (SupplyKind::PowerDomain, 0..2)] {
        for number in numbers {
            let (switch, _) = switch(&registers, kind, number);
            switch.enable().unwrap();
            assert_eq!(switch.is_on(), Ok(true), "{kind:?} {number}");
            switch.disable().unwrap();
            assert_eq!(switch.is_on(), Ok(false), "{kind:?} {number}");
        }
    }
    assert_eq!(
        registers.file.lock()[&0x10] & 0xff,
        0xf0,
        "other bits are kept"
    );
}

#[test]
fn qualcomm_hardware_that_does_not_follow_is_given_up_on() {
    let registers = Registers::new(keep);
    registers.set(0x10, 1 << 31);
    let (clock, world) = switch(&registers, SupplyKind::Clock, 1);
    assert_eq!(clock.enable(), Err(SupplyError::Timeout(200)));
    assert!((200..400).contains(&world.elapsed()));
    registers.set(0x10, 0);
    assert_eq!(clock.disable(), Err(SupplyError::Timeout(200)));
    let (domain, _) = switch(&registers, SupplyKind::PowerDomain, 0);
    assert_eq!(domain.enable(), Err(SupplyError::Timeout(1_500)));
    registers.set(0x40, 1 << 31);
    assert_eq!(domain.disable(), Err(SupplyError::Timeout(1_500)));
}

#[test]
fn a_network_on_chip_that_says_on_counts_as_on() {
    let registers = Registers::new(keep);
    registers.set(0x10, 1 << 31 | 2 << 28);
    assert_eq!(switch(&registers, SupplyKind::Clock, 1).0.enable(), Ok(()));
}

#[test]
fn what_is_voted_for_may_stay_on_for_others() {
    let registers = Registers::new(keep);
    registers.set(0x20, 0x7f);
    registers.set(0x60, 1 << 31);
    for kind in [SupplyKind::Clock, SupplyKind::PowerDomain] {
        let (switch, world) = switch(
            &registers,
            kind,
            if kind == SupplyKind::Clock { 2 } else { 1 },
        );
        switch.disable().unwrap();
        assert_eq!(world.elapsed(), 0, "nothing to wait for");
    }
    assert_eq!(registers.file.lock()[&0x20], 0x7e);
    assert_eq!(registers.file.lock()[&0x50], 1);
}

#[test]
fn what_must_stay_on_is_never_touched() {
    let registers = Registers::new(keep);
    for (kind, number) in [(SupplyKind::Clock, 4), (SupplyKind::PowerDomain, 2)] {
        let (switch, _) = switch(&registers, kind, number);
        switch.enable().unwrap();
        switch.disable().unwrap();
        assert!(switch.is_fixed());
    }
    assert!(registers.writes.lock().is_empty());
}

#[test]
fn the_tables_are_in_order_and_aligned() {
    let mut seen = alloc::collections::BTreeSet::new();
    let mut entries = 0;
    for table in qcom::all() {
        assert!(table.compatible.starts_with("qcom,") && seen.insert(table.compatible));
        assert!(
            table.clocks.windows(2).all(|p| p[0].number < p[1].number),
            "{table:?}"
        );
        assert!(
            table.domains.windows(2).all(|p| p[0].number < p[1].number),
            "{table:?}"
        );
        let clocks = table.clocks.iter().map(|c| c.register);
        let domains = table.domains.iter().flat_map(|d| [d.register, d.status]);
        assert!(
            clocks.chain(domains).all(|r| r % 4 == 0 && r < 0x20_0000),
            "{table:?}"
        );
        entries += table.clocks.len() + table.domains.len();
    }
    assert!(entries > 100);
}

#[test]
fn an_unknown_clock_has_no_switch() {
    let controller = Arc::new(Controller::new(Registers::new(keep), &TABLE));
    assert!(qcom::switch(controller, World::silent(), SupplyKind::Clock, 9).is_none());
}

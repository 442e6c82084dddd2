use super::fake::{Lagging, Registers};
use crate::supply::SupplyError;
use crate::supply::Switch;
use crate::supply::gpio::{Bank, GpioGate};
use crate::supply::pl061::Pl061;
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

/// The pin is at the level wanted, and nobody drives it.
#[test]
fn a_line_that_stays_an_input_is_reported() {
    let registers = Registers::new(|file, offset, value| {
        if offset != DIRECTION {
            file.insert(offset, value);
        }
    });
    let bank: Arc<dyn Bank> = Arc::new(Pl061::new(registers));
    assert_eq!(bank.drive(3, true), Err(SupplyError::Stuck(8)));
}

#[test]
fn a_line_may_follow_some_reads_later_but_not_for_ever() {
    for lag in [1, 4, 24] {
        let lagging = Lagging::new(Registers::new(pl061_write), lag);
        let bank = Pl061::new(lagging);
        assert_eq!(bank.drive(5, true), Ok(()), "{lag}");
        assert_eq!(bank.driven(5), Some(true));
        assert_eq!(bank.drive(5, false), Ok(()));
    }
    let lagging = Lagging::new(Registers::new(pl061_write), 1_000);
    let bank = Pl061::new(lagging.clone());
    assert_eq!(bank.drive(5, true), Err(SupplyError::Stuck(0)));
    assert!(*lagging.reads.lock() < 100);
}

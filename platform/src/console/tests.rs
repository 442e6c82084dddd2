//! Each driver against a register file that behaves as the part does.

use super::{Console, Layout, Uart};
use crate::mmio::Mmio;
use core::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

/// How a register file answers: reads and writes by byte offset, after
/// whatever scaling the driver did itself.
trait Part {
    fn read(&mut self, offset: usize) -> u32;
    fn write(&mut self, offset: usize, value: u32);
}

/// A register file that records accesses of the wrong width.
struct Fake<P> {
    part: RefCell<P>,
    width: u8,
    wrong: RefCell<usize>,
}

impl<P: Part> Fake<P> {
    fn new(part: P, width: u8) -> Self {
        Self {
            part: RefCell::new(part),
            width,
            wrong: RefCell::new(0),
        }
    }

    fn access(&self, width: u8) {
        if width != self.width {
            *self.wrong.borrow_mut() += 1;
        }
    }
}

macro_rules! access {
    ($read:ident, $write:ident, $t:ty, $width:literal) => {
        fn $read(&self, offset: usize) -> $t {
            self.access($width);
            self.part.borrow_mut().read(offset) as $t
        }
        fn $write(&self, offset: usize, value: $t) {
            self.access($width);
            self.part.borrow_mut().write(offset, value as u32);
        }
    };
}

impl<P: Part> Mmio for Fake<P> {
    access!(read8, write8, u8, 1);
    access!(read16, write16, u16, 2);
    access!(read32, write32, u32, 4);
    access!(read64, write64, u64, 8);
}

/// FIFOs and an interrupt line that every part has in its own words.
#[derive(Default)]
struct Wire {
    sent: Vec<u8>,
    fifo: usize,
    received: VecDeque<u8>,
    regs: BTreeMap<usize, u32>,
}

impl Wire {
    fn send(&mut self, byte: u32, depth: usize) {
        assert!(self.fifo < depth, "driver wrote into a full FIFO");
        self.fifo += 1;
        self.sent.push(byte as u8);
    }

    fn reg(&self, offset: usize) -> u32 {
        self.regs.get(&offset).copied().unwrap_or(0)
    }
}

struct Pl011Part(Wire);

impl Part for Pl011Part {
    fn read(&mut self, offset: usize) -> u32 {
        match offset {
            0x18 => {
                let full = u32::from(self.0.fifo == 16) << 5;
                full | u32::from(self.0.received.is_empty()) << 4
            }
            0x00 => match self.0.received.pop_front() {
                // 0xee stands for a byte with a framing error.
                Some(0xee) => 0x1ee,
                byte => byte.unwrap_or(0).into(),
            },
            _ => self.0.reg(offset),
        }
    }

    fn write(&mut self, offset: usize, value: u32) {
        match offset {
            0x00 => self.0.send(value, 16),
            0x44 => {}
            _ => {
                self.0.regs.insert(offset, value);
            }
        }
    }
}

struct Ns16550Part {
    wire: Wire,
    shift: u8,
}

impl Part for Ns16550Part {
    fn read(&mut self, offset: usize) -> u32 {
        assert_eq!(offset & ((1 << self.shift) - 1), 0, "between registers");
        match offset >> self.shift {
            0 => self.wire.received.pop_front().map_or(0, u32::from),
            5 => {
                let bad = self.wire.received.front() == Some(&0xee);
                let ready = !self.wire.received.is_empty();
                u32::from(self.wire.fifo == 0) << 5 | u32::from(bad) << 3 | u32::from(ready)
            }
            register => self.wire.reg(register),
        }
    }

    fn write(&mut self, offset: usize, value: u32) {
        match offset >> self.shift {
            0 => {
                assert_eq!(self.wire.reg(3) & 0x80, 0, "wrote the divisor latch");
                self.wire.send(value, 16);
            }
            register => {
                self.wire.regs.insert(register, value);
            }
        }
    }
}

struct CadencePart(Wire);

impl Part for CadencePart {
    fn read(&mut self, offset: usize) -> u32 {
        match offset {
            0x2c => u32::from(self.0.received.is_empty()) << 1 | u32::from(self.0.fifo == 64) << 4,
            0x30 => self.0.received.pop_front().map_or(0, u32::from),
            _ => self.0.reg(offset),
        }
    }

    fn write(&mut self, offset: usize, value: u32) {
        match offset {
            0x30 => {
                assert_eq!(self.0.reg(0) & 0x30, 0x10, "transmitter is off");
                self.0.send(value, 64);
            }
            // Enable and disable act on the mask, kept at 0x10.
            0x08 => {
                let mask = self.0.reg(0x10) | value;
                self.0.regs.insert(0x10, mask);
            }
            0x0c => {
                let mask = self.0.reg(0x10) & !value;
                self.0.regs.insert(0x10, mask);
            }
            _ => {
                self.0.regs.insert(offset, value);
            }
        }
    }
}

struct GeniPart(Wire);

impl Part for GeniPart {
    fn read(&mut self, offset: usize) -> u32 {
        match offset {
            0x040 => u32::from(self.0.fifo != 0),
            0x804 => self.0.received.len() as u32,
            0x780 => self.0.received.pop_front().map_or(0, u32::from),
            _ => self.0.reg(offset),
        }
    }

    fn write(&mut self, offset: usize, value: u32) {
        if offset == 0x700 {
            assert_eq!(self.0.reg(0x600), 1 << 27, "data without a command");
            assert_eq!(self.0.reg(0x270), 1, "data without a length");
            self.0.send(value, 1);
        } else {
            self.0.regs.insert(offset, value);
        }
    }
}

struct MsmPart(Wire);

impl Part for MsmPart {
    fn read(&mut self, offset: usize) -> u32 {
        match offset {
            0x08 => {
                let idle = u32::from(self.0.fifo == 0);
                u32::from(!self.0.received.is_empty()) | idle << 2 | idle << 3
            }
            0x70 => self.0.received.pop_front().map_or(0, u32::from),
            0x14 => 0,
            _ => self.0.reg(offset),
        }
    }

    fn write(&mut self, offset: usize, value: u32) {
        if offset == 0x70 {
            assert_eq!(self.0.reg(0x40), 1, "data without a count");
            self.0.send(value, 1);
        } else {
            self.0.regs.insert(offset, value);
        }
    }
}

/// Puts until full, lets the wire carry everything away, and puts again; then
/// receives. `depth`: how many bytes fit at once.
fn talk<P: Part>(
    fake: &Fake<P>,
    uart: &Uart<&Fake<P>>,
    wire: fn(&mut P) -> &mut Wire,
    depth: usize,
) {
    for round in 0..3 {
        let mut put = 0;
        while uart.try_put(b'a' + round) {
            put += 1;
            assert!(put <= depth, "more than fits");
        }
        assert_eq!(put, depth, "round {round}");
        wire(&mut fake.part.borrow_mut()).fifo = 0;
    }
    assert_eq!(wire(&mut fake.part.borrow_mut()).sent.len(), 3 * depth);
    assert_eq!(uart.get(), None);
    wire(&mut fake.part.borrow_mut()).received.extend(b"hi");
    uart.ack_interrupts();
    assert_eq!(
        [uart.get(), uart.get(), uart.get()],
        [Some(b'h'), Some(b'i'), None]
    );
    assert_eq!(*fake.wrong.borrow(), 0, "accesses of the wrong width");
}

#[test]
fn pl011_talks_and_drops_garbled_bytes() {
    let fake = Fake::new(Pl011Part(Wire::default()), 4);
    let uart = Uart::from_compatible("arm,pl011", &fake, Layout::default()).unwrap();
    talk(&fake, &uart, |p| &mut p.0, 16);
    fake.part.borrow_mut().0.received.extend([0xee, b'x']);
    assert_eq!(uart.get(), Some(b'x'));
    uart.enable_rx_interrupt();
    uart.set_tx_interrupt(true);
    assert_eq!(fake.part.borrow().0.reg(0x38), 0x70);
    uart.set_tx_interrupt(false);
    assert_eq!(fake.part.borrow().0.reg(0x38), 0x50);
}

#[test]
fn pl011_left_running_keeps_its_line_settings() {
    let mut wire = Wire::default();
    wire.regs.extend([(0x2c, 0x60), (0x30, 0x301)]);
    let fake = Fake::new(Pl011Part(wire), 4);
    let _ = Uart::from_compatible("arm,sbsa-uart", &fake, Layout::default()).unwrap();
    assert_eq!(fake.part.borrow().0.reg(0x2c), 0x60);
}

#[test]
fn ns16550_talks_in_every_layout() {
    for (shift, width) in [(0, 1), (1, 2), (2, 1), (2, 4), (3, 4)] {
        let part = Ns16550Part {
            wire: Wire::default(),
            shift,
        };
        let fake = Fake::new(part, width);
        fake.part.borrow_mut().wire.regs.insert(3, 0x83);
        let layout = Layout {
            reg_shift: Some(shift),
            reg_io_width: Some(width),
        };
        let uart = Uart::from_compatible("snps,dw-apb-uart", &fake, layout).unwrap();
        talk(&fake, &uart, |p| &mut p.wire, 1);
        fake.part.borrow_mut().wire.received.extend([0xee, b'x']);
        assert_eq!(uart.get(), Some(b'x'));
        uart.enable_rx_interrupt();
        uart.set_tx_interrupt(true);
        assert_eq!(fake.part.borrow().wire.reg(1), 3);
        uart.set_tx_interrupt(false);
        assert_eq!(fake.part.borrow().wire.reg(1), 1);
    }
}

#[test]
fn cadence_talks() {
    let mut wire = Wire::default();
    // After reset both directions are disabled.
    wire.regs.insert(0, 0x128);
    let fake = Fake::new(CadencePart(wire), 4);
    let uart = Uart::from_compatible("xlnx,xuartps", &fake, Layout::default()).unwrap();
    talk(&fake, &uart, |p| &mut p.0, 64);
    uart.enable_rx_interrupt();
    uart.set_tx_interrupt(true);
    assert_eq!(fake.part.borrow().0.reg(0x10), 0x109);
    uart.set_tx_interrupt(false);
    assert_eq!(fake.part.borrow().0.reg(0x10), 0x101);
}

#[test]
fn qualcomm_parts_talk() {
    let fake = Fake::new(GeniPart(Wire::default()), 4);
    let uart = Uart::from_compatible("qcom,geni-debug-uart", &fake, Layout::default()).unwrap();
    talk(&fake, &uart, |p| &mut p.0, 1);
    let fake = Fake::new(MsmPart(Wire::default()), 4);
    let uart = Uart::from_compatible("qcom,msm-uartdm", &fake, Layout::default()).unwrap();
    talk(&fake, &uart, |p| &mut p.0, 1);
}

#[test]
fn an_unknown_uart_is_not_guessed() {
    let fake = Fake::new(Pl011Part(Wire::default()), 4);
    assert!(Uart::from_compatible("acme,uart", &fake, Layout::default()).is_none());
}

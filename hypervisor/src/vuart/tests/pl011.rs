//! The PL011, as Linux's amba-pl011 and earlycon drive it.

use crate::vuart::Pl011;
use std::cell::RefCell;

const DR: usize = 0x00;
const FR: usize = 0x18;
const LCR_H: usize = 0x2c;
const CR: usize = 0x30;
const IFLS: usize = 0x34;
const IMSC: usize = 0x38;
const RIS: usize = 0x3c;
const MIS: usize = 0x40;
const ICR: usize = 0x44;

const RXFE: u32 = 1 << 4;
const TXFF: u32 = 1 << 5;
const RXFF: u32 = 1 << 6;
const TXFE: u32 = 1 << 7;
const RX: u32 = 1 << 4;
const TX: u32 = 1 << 5;
const RT: u32 = 1 << 6;
const OE: u32 = 1 << 10;

/// A guest's view, with the interrupt line at its other end.
struct Guest {
    uart: Pl011,
    line: RefCell<bool>,
}

impl Guest {
    fn new() -> Self {
        Self {
            uart: Pl011::new(),
            line: RefCell::new(false),
        }
    }

    /// A line change must be a change.
    fn set(&self, high: bool) {
        assert_ne!(self.line.replace(high), high, "line set to what it was");
    }

    fn read(&self, offset: usize) -> u32 {
        self.uart.read(offset, |high| self.set(high)).0
    }

    fn write(&self, offset: usize, value: u32) {
        let _ = self.uart.write(offset, value, |high| self.set(high));
    }

    fn typed(&self, byte: u8) -> bool {
        self.uart.typed(byte, |high| self.set(high)).0
    }

    fn fetch(&self, most: usize) -> Vec<u8> {
        let mut out = vec![0; most];
        let (count, _) = self.uart.fetch(&mut out, |high| self.set(high));
        out.truncate(count);
        out
    }

    fn line(&self) -> bool {
        *self.line.borrow()
    }
}

#[test]
fn amba_identification_says_pl011_r1p5() {
    let guest = Guest::new();
    let word = |at: usize| (0..4).fold(0, |w, n| w | guest.read(at + n * 4) << (n * 8));
    assert_eq!(word(0xfe0) & 0x00ff_ffff, 0x0034_1011);
    assert_eq!(word(0xff0), 0xb105_f00d);
}

#[test]
fn an_early_console_prints_without_any_setup() {
    let guest = Guest::new();
    for byte in b"early\n" {
        assert_eq!(guest.read(FR) & TXFF, 0);
        guest.write(DR, u32::from(*byte));
        assert_eq!(guest.read(FR) & 1 << 3, 0, "never busy");
    }
    assert_eq!(guest.fetch(100), b"early\n");
    assert_eq!(guest.read(FR) & (TXFE | RXFE), TXFE | RXFE);
    assert!(!guest.line(), "no interrupt was asked for");
}

#[test]
fn a_full_ring_holds_the_guest_off_and_calls_it_back() {
    let guest = Guest::new();
    let mut sent = Vec::new();
    while guest.read(FR) & TXFF == 0 {
        let byte = sent.len() as u8;
        guest.write(DR, u32::from(byte));
        sent.push(byte);
        assert!(sent.len() <= 1 << 16, "never full");
    }
    guest.write(ICR, TX);
    guest.write(IMSC, TX);
    assert!(!guest.line(), "no room yet");
    let mut got = guest.fetch(10);
    assert!(!guest.line(), "not half empty yet");
    while !guest.line() {
        let more = guest.fetch(64);
        assert!(!more.is_empty(), "drained without an interrupt");
        got.extend(more);
    }
    assert_eq!(guest.read(MIS), TX);
    // A driver now sends half a FIFO without looking.
    for byte in 0..16 {
        guest.write(DR, byte);
        sent.push(byte as u8);
    }
    guest.write(IMSC, 0);
    assert!(!guest.line());
    got.extend(guest.fetch(1 << 16));
    assert_eq!(got, sent, "bytes lost or out of order");
    assert_eq!(guest.uart.dropped(), 0);
}

#[test]
fn bytes_sent_against_the_full_flag_are_counted_as_lost() {
    let guest = Guest::new();
    let mut room = 0;
    while guest.read(FR) & TXFF == 0 {
        guest.write(DR, 1);
        room += 1;
    }
    guest.write(DR, 2);
    guest.write(DR, 3);
    assert_eq!(guest.uart.dropped(), 2);
    assert_eq!(guest.fetch(1 << 16).len(), room);
}

#[test]
fn the_transmit_interrupt_comes_for_a_driver_that_only_waits_for_it() {
    let guest = Guest::new();
    guest.write(IMSC, TX);
    assert!(!guest.line(), "nothing has passed the level yet");
    guest.write(DR, u32::from(b'x'));
    assert!(guest.line());
    guest.write(ICR, TX);
    assert!(!guest.line());
}

#[test]
fn one_byte_typed_interrupts_and_reading_it_ends_that() {
    let guest = Guest::new();
    guest.write(LCR_H, 0x70);
    guest.write(CR, 0x301);
    guest.write(IMSC, RX | RT);
    assert!(guest.typed(b'a'));
    assert!(guest.line());
    assert_eq!(guest.read(MIS), RT, "one byte is below the FIFO level");
    guest.write(ICR, RT | RX);
    assert!(guest.line(), "clearing does not make the byte go away");
    assert_eq!(guest.read(DR), u32::from(b'a'));
    assert!(!guest.line());
    assert_eq!(guest.read(DR), 0, "empty");
}

#[test]
fn the_receive_level_follows_ifls_and_fen() {
    for (ifls, level) in [(0, 4), (1, 8), (2, 16), (3, 24), (4, 28)] {
        let guest = Guest::new();
        guest.write(LCR_H, 0x70);
        guest.write(IFLS, ifls << 3);
        for n in 1..=level {
            assert_eq!(guest.read(RIS) & RX, 0, "before byte {n} of {level}");
            guest.typed(n as u8);
        }
        assert_eq!(guest.read(RIS) & RX, RX, "at {level}");
        guest.read(DR);
        assert_eq!(guest.read(RIS) & RX, 0);
    }
    let guest = Guest::new();
    guest.typed(1);
    assert_eq!(guest.read(RIS) & RX, RX, "no FIFO");
    assert_eq!(guest.read(FR) & RXFF, RXFF);
}

#[test]
fn an_overrun_is_told_with_the_last_byte_that_fitted() {
    let guest = Guest::new();
    guest.write(LCR_H, 0x70);
    let mut fitted = 0_usize;
    while guest.typed(fitted as u8) {
        fitted += 1;
    }
    assert_eq!(guest.read(RIS) & OE, OE);
    for n in 0..fitted {
        let flag = if n + 1 == fitted { 1 << 11 } else { 0 };
        assert_eq!(guest.read(DR), n as u32 & 0xff | flag);
    }
    assert_eq!(guest.read(0x04), 1 << 3);
    guest.write(0x04, 0);
    guest.write(ICR, OE);
    assert_eq!((guest.read(0x04), guest.read(RIS)), (0, 0));
}

#[test]
fn settings_are_read_back() {
    let guest = Guest::new();
    for (offset, value, kept) in [
        (0x20, 0x1ff, 0xff),
        (0x24, 0x1_2345, 0x2345),
        (0x28, 0xff, 0x3f),
        (LCR_H, 0x70, 0x70),
        (CR, 0x301, 0x301),
        (IFLS, 0x12, 0x12),
        (IMSC, 0xffff, 0x7ff),
        (0x48, 7, 7),
    ] {
        guest.write(offset, value);
        assert_eq!(guest.read(offset), kept, "{offset:#x}");
    }
    guest.write(0xff8, 0xff);
    assert_eq!(guest.read(0x800), 0);
}

#[test]
fn a_reset_lowers_the_line_and_keeps_last_words() {
    let guest = Guest::new();
    guest.write(IMSC, RT);
    guest.typed(b'x');
    guest.write(DR, u32::from(b'!'));
    assert!(guest.line());
    let _ = guest.uart.reset(|high| guest.set(high));
    assert!(!guest.line());
    assert_eq!(guest.read(IMSC), 0);
    assert_eq!(guest.read(FR) & RXFE, RXFE);
    assert_eq!(guest.fetch(10), b"!");
}

#[test]
fn the_caller_hears_of_output() {
    let guest = Guest::new();
    assert!(!guest.uart.write(IMSC, 0, |_| ()).output);
    assert!(guest.uart.write(DR, 1, |_| ()).output);
}

//! The 8250/16550 family, Synopsys DesignWare APB UART included.

use super::{Console, Layout};
use crate::mmio::Mmio;

/// Receive buffer, transmit holding register.
const RBR_THR: usize = 0;
/// Interrupt enable.
const IER: usize = 1;
/// Interrupt identification (read), FIFO control (write).
const IIR_FCR: usize = 2;
/// Line control.
const LCR: usize = 3;
/// Modem control.
const MCR: usize = 4;
/// Line status.
const LSR: usize = 5;
/// DesignWare: UART status; a read clears "busy detect".
const USR: usize = 31;

const IER_RECEIVED: u32 = 1;
const IER_ROOM: u32 = 2;
const FCR_ENABLE: u32 = 1;
const IIR_BUSY_DETECT: u32 = 7;
const LCR_DLAB: u32 = 1 << 7;
const LCR_8BIT: u32 = 0b11;
/// DTR, RTS, and OUT2, which gates the interrupt on many parts.
const MCR_ON: u32 = 1 | 1 << 1 | 1 << 3;
const LSR_READY: u32 = 1;
/// Parity, framing, break.
const LSR_BAD: u32 = 0b111 << 2;
const LSR_THRE: u32 = 1 << 5;
/// Depth of the deepest receive FIFO; bounds the search for a good byte.
const FIFO_DEPTH: usize = 256;

/// An 8250-like UART.
#[derive(Debug, Clone, Copy)]
pub struct Ns16550<M> {
    regs: M,
    shift: u8,
    width: u8,
}

impl<M: Mmio> Ns16550<M> {
    /// Takes over the UART: FIFOs on, all interrupts off. Without a `layout`
    /// registers are bytes next to each other.
    pub fn new(regs: M, layout: Layout) -> Self {
        let shift = layout.reg_shift.unwrap_or(0).min(3);
        let width = layout.reg_io_width.unwrap_or(1);
        let uart = Self { regs, shift, width };
        // First: while DLAB is set, IER is something else.
        let line = uart.read(LCR);
        if line & LCR_DLAB != 0 {
            uart.write(LCR, line & !LCR_DLAB | LCR_8BIT);
        }
        uart.write(IER, 0);
        uart.write(IIR_FCR, FCR_ENABLE);
        uart.write(MCR, MCR_ON);
        uart
    }

    fn read(&self, register: usize) -> u32 {
        let offset = register << self.shift;
        match self.width {
            4 => self.regs.read32(offset) & 0xff,
            2 => u32::from(self.regs.read16(offset)) & 0xff,
            _ => self.regs.read8(offset).into(),
        }
    }

    fn write(&self, register: usize, value: u32) {
        let offset = register << self.shift;
        match self.width {
            4 => self.regs.write32(offset, value),
            2 => self.regs.write16(offset, value as u16),
            _ => self.regs.write8(offset, value as u8),
        }
    }

    fn set_interrupt(&self, bits: u32, on: bool) {
        let enabled = self.read(IER);
        self.write(IER, if on { enabled | bits } else { enabled & !bits });
    }
}

impl<M: Mmio> Console for Ns16550<M> {
    // There is no "full" flag in the base part, only "empty" (THRE).
    fn try_put(&self, byte: u8) -> bool {
        let room = self.read(LSR) & LSR_THRE != 0;
        if room {
            self.write(RBR_THR, byte.into());
        }
        room
    }

    fn get(&self) -> Option<u8> {
        for _ in 0..FIFO_DEPTH {
            let status = self.read(LSR);
            if status & LSR_READY == 0 {
                return None;
            }
            let byte = self.read(RBR_THR) as u8;
            if status & LSR_BAD == 0 {
                return Some(byte);
            }
        }
        None
    }

    fn enable_rx_interrupt(&self) {
        self.set_interrupt(IER_RECEIVED, true);
    }

    fn ack_interrupts(&self) {
        if self.read(IIR_FCR) & 0xf == IIR_BUSY_DETECT {
            self.read(USR);
        }
    }

    fn set_tx_interrupt(&self, on: bool) {
        self.set_interrupt(IER_ROOM, on);
    }
}

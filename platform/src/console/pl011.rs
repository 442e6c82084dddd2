//! Arm PrimeCell UART PL011 (DDI 0183), and the SBSA generic UART, which is
//! the part of it that needs no set-up.

use super::Console;
use crate::mmio::Mmio;

/// Data register; a read carries error bits 11:8.
const UARTDR: usize = 0x00;
/// Flags: RXFE 4, TXFF 5.
const UARTFR: usize = 0x18;
/// Line control: FEN 4, WLEN 6:5.
const UARTLCR_H: usize = 0x2c;
/// Control: UARTEN 0, TXE 8, RXE 9.
const UARTCR: usize = 0x30;
/// Interrupt mask (1 = may raise): RX 4, TX 5, RT 6.
const UARTIMSC: usize = 0x38;
/// Interrupt clear.
const UARTICR: usize = 0x44;

/// Depth of the deepest receive FIFO (r1p5); bounds the search for a good byte.
const FIFO_DEPTH: usize = 32;
const DR_ERRORS: u32 = 0xf00;
const FR_RXFE: u32 = 1 << 4;
const FR_TXFF: u32 = 1 << 5;
const LCR_H_8BIT_FIFO: u32 = 0b11 << 5 | 1 << 4;
const CR_ON: u32 = 1 | 1 << 8 | 1 << 9;
const INT_RX: u32 = 1 << 4;
const INT_TX: u32 = 1 << 5;
const INT_RT: u32 = 1 << 6;
const INT_ALL: u32 = 0x7ff;

/// A PL011.
#[derive(Debug, Clone, Copy)]
pub struct Pl011<M> {
    regs: M,
}

impl<M: Mmio> Pl011<M> {
    /// Takes over a PL011; all its interrupts are off afterwards. A UART that
    /// firmware left running is not reprogrammed, because writing
    /// `UARTLCR_H` in mid-character garbles it (DDI 0183, 3.3.7).
    pub fn new(regs: M) -> Self {
        regs.write32(UARTIMSC, 0);
        regs.write32(UARTICR, INT_ALL);
        let control = regs.read32(UARTCR);
        if control & CR_ON != CR_ON {
            regs.write32(UARTLCR_H, LCR_H_8BIT_FIFO);
            regs.write32(UARTCR, control | CR_ON);
        }
        Self { regs }
    }

    fn set_mask(&self, bits: u32, on: bool) {
        let mask = self.regs.read32(UARTIMSC);
        let mask = if on { mask | bits } else { mask & !bits };
        self.regs.write32(UARTIMSC, mask);
    }
}

impl<M: Mmio> Console for Pl011<M> {
    fn try_put(&self, byte: u8) -> bool {
        let room = self.regs.read32(UARTFR) & FR_TXFF == 0;
        if room {
            self.regs.write32(UARTDR, u32::from(byte));
        }
        room
    }

    fn get(&self) -> Option<u8> {
        for _ in 0..FIFO_DEPTH {
            if self.regs.read32(UARTFR) & FR_RXFE != 0 {
                return None;
            }
            let data = self.regs.read32(UARTDR);
            if data & DR_ERRORS == 0 {
                return Some(data as u8);
            }
        }
        None
    }

    fn enable_rx_interrupt(&self) {
        self.set_mask(INT_RX | INT_RT, true);
    }

    fn ack_interrupts(&self) {
        self.regs.write32(UARTICR, INT_ALL);
    }

    fn set_tx_interrupt(&self, on: bool) {
        self.set_mask(INT_TX, on);
    }
}

//! Qualcomm GENI serial engine, in the UART protocol and FIFO mode that the
//! boot loader has set up. Register names are those of the public drivers;
//! the manual is not public.

use super::Console;
use crate::mmio::Mmio;

const STATUS: usize = 0x040;
const TX_PACKING_CFG0: usize = 0x260;
const TX_PACKING_CFG1: usize = 0x264;
const UART_TX_TRANS_LEN: usize = 0x270;
const RX_PACKING_CFG0: usize = 0x284;
const RX_PACKING_CFG1: usize = 0x288;
const M_CMD0: usize = 0x600;
const M_IRQ_STATUS: usize = 0x610;
const M_IRQ_EN: usize = 0x614;
const M_IRQ_CLEAR: usize = 0x618;
const S_CMD0: usize = 0x630;
const S_IRQ_STATUS: usize = 0x640;
const S_IRQ_EN: usize = 0x644;
const S_IRQ_CLEAR: usize = 0x648;
const TX_FIFO: usize = 0x700;
const RX_FIFO: usize = 0x780;
const RX_FIFO_STATUS: usize = 0x804;

/// Main (transmit) and secondary (receive) sequencer busy.
const STATUS_M_ACTIVE: u32 = 1;
const STATUS_S_ACTIVE: u32 = 1 << 12;
/// Opcode 1: start transmitting, start reading.
const CMD_START: u32 = 1 << 27;
/// One byte to a FIFO word: bits 7:0 of it, then stop.
const ONE_BYTE: u32 = 0xf;
const IRQ_CMD_DONE: u32 = 1;
const IRQ_RX_WATERMARK: u32 = 1 << 26;
const IRQ_RX_LAST: u32 = 1 << 27;
const RX_WORDS: u32 = 0x1ff_ffff;

/// A GENI UART.
#[derive(Debug, Clone, Copy)]
pub struct Geni<M> {
    regs: M,
}

impl<M: Mmio> Geni<M> {
    /// Takes over the UART, interrupts off, one byte per FIFO word, reading.
    pub fn new(regs: M) -> Self {
        regs.write32(M_IRQ_EN, 0);
        regs.write32(S_IRQ_EN, 0);
        regs.write32(TX_PACKING_CFG0, ONE_BYTE);
        regs.write32(TX_PACKING_CFG1, 0);
        regs.write32(RX_PACKING_CFG0, ONE_BYTE);
        regs.write32(RX_PACKING_CFG1, 0);
        if regs.read32(STATUS) & STATUS_S_ACTIVE == 0 {
            regs.write32(S_CMD0, CMD_START);
        }
        Self { regs }
    }

    fn set_interrupt(&self, register: usize, bits: u32, on: bool) {
        let enabled = self.regs.read32(register);
        self.regs
            .write32(register, if on { enabled | bits } else { enabled & !bits });
    }
}

impl<M: Mmio> Console for Geni<M> {
    // Each byte is a command of its own: a longer one could not be left
    // unfinished.
    fn try_put(&self, byte: u8) -> bool {
        if self.regs.read32(STATUS) & STATUS_M_ACTIVE != 0 {
            return false;
        }
        self.regs.write32(UART_TX_TRANS_LEN, 1);
        self.regs.write32(M_CMD0, CMD_START);
        self.regs.write32(TX_FIFO, u32::from(byte));
        true
    }

    fn get(&self) -> Option<u8> {
        let words = self.regs.read32(RX_FIFO_STATUS) & RX_WORDS;
        (words != 0).then(|| self.regs.read32(RX_FIFO) as u8)
    }

    fn enable_rx_interrupt(&self) {
        self.set_interrupt(S_IRQ_EN, IRQ_RX_WATERMARK | IRQ_RX_LAST, true);
        self.set_interrupt(M_IRQ_EN, IRQ_RX_WATERMARK | IRQ_RX_LAST, true);
    }

    fn ack_interrupts(&self) {
        for (status, clear) in [(M_IRQ_STATUS, M_IRQ_CLEAR), (S_IRQ_STATUS, S_IRQ_CLEAR)] {
            let raised = self.regs.read32(status);
            self.regs.write32(clear, raised);
        }
    }

    fn set_tx_interrupt(&self, on: bool) {
        self.set_interrupt(M_IRQ_EN, IRQ_CMD_DONE, on);
    }
}

//! Cadence UART of Zynq and ZynqMP (UG1085, chapter 21; register names of the
//! ZynqMP register reference UG1087).

use super::Console;
use crate::mmio::Mmio;

const CONTROL: usize = 0x00;
const INTRPT_EN: usize = 0x08;
const INTRPT_DIS: usize = 0x0c;
const CHNL_INT_STS: usize = 0x14;
const RCVR_TIMEOUT: usize = 0x1c;
const RCVR_FIFO_TRIGGER: usize = 0x20;
const CHANNEL_STS: usize = 0x2c;
const TX_RX_FIFO: usize = 0x30;

const CONTROL_RXEN: u32 = 1 << 2;
const CONTROL_RXDIS: u32 = 1 << 3;
const CONTROL_TXEN: u32 = 1 << 4;
const CONTROL_TXDIS: u32 = 1 << 5;
const STS_REMPTY: u32 = 1 << 1;
const STS_TFULL: u32 = 1 << 4;
const INT_RTRIG: u32 = 1 << 0;
const INT_TEMPTY: u32 = 1 << 3;
const INT_TIMEOUT: u32 = 1 << 8;
const INT_ALL: u32 = 0x1fff;
/// Silence before the receive time-out, in four bit times each.
const TIMEOUT: u32 = 10;

/// A Cadence UART.
#[derive(Debug, Clone, Copy)]
pub struct Cadence<M> {
    regs: M,
}

impl<M: Mmio> Cadence<M> {
    /// Takes over the UART: both directions on, all interrupts off.
    pub fn new(regs: M) -> Self {
        regs.write32(INTRPT_DIS, INT_ALL);
        regs.write32(CHNL_INT_STS, INT_ALL);
        let control = regs.read32(CONTROL) & !(CONTROL_RXDIS | CONTROL_TXDIS);
        regs.write32(CONTROL, control | CONTROL_RXEN | CONTROL_TXEN);
        Self { regs }
    }
}

impl<M: Mmio> Console for Cadence<M> {
    fn try_put(&self, byte: u8) -> bool {
        let room = self.regs.read32(CHANNEL_STS) & STS_TFULL == 0;
        if room {
            self.regs.write32(TX_RX_FIFO, u32::from(byte));
        }
        room
    }

    // The FIFO does not say which byte an error belongs to; bad ones pass.
    fn get(&self) -> Option<u8> {
        let empty = self.regs.read32(CHANNEL_STS) & STS_REMPTY != 0;
        (!empty).then(|| self.regs.read32(TX_RX_FIFO) as u8)
    }

    fn enable_rx_interrupt(&self) {
        self.regs.write32(RCVR_FIFO_TRIGGER, 1);
        self.regs.write32(RCVR_TIMEOUT, TIMEOUT);
        self.regs.write32(INTRPT_EN, INT_RTRIG | INT_TIMEOUT);
    }

    fn ack_interrupts(&self) {
        let status = self.regs.read32(CHNL_INT_STS);
        self.regs.write32(CHNL_INT_STS, status);
    }

    fn set_tx_interrupt(&self, on: bool) {
        let register = if on { INTRPT_EN } else { INTRPT_DIS };
        self.regs.write32(register, INT_TEMPTY);
    }
}

//! Qualcomm UARTDM (the MSM UART before GENI), in FIFO mode. Register names
//! are those of the public drivers; the manual is not public.

use super::Console;
use crate::mmio::Mmio;

const SR: usize = 0x08;
const CR: usize = 0x10;
const IMR: usize = 0x14;
/// Same place, when read.
const ISR: usize = 0x14;
const RFWR: usize = 0x20;
const DMRX: usize = 0x34;
const DMEN: usize = 0x3c;
const NCF_TX: usize = 0x40;
const TF: usize = 0x70;
/// Same place, when read.
const RF: usize = 0x70;

const SR_RX_READY: u32 = 1 << 0;
const SR_TX_READY: u32 = 1 << 2;
const SR_TX_EMPTY: u32 = 1 << 3;
const ISR_TX_READY: u32 = 1 << 7;
const IMR_TX_LEVEL: u32 = 1 << 0;
const IMR_RX: u32 = 1 << 3 | 1 << 4;
const CR_RX_ENABLE: u32 = 1 << 0;
const CR_TX_ENABLE: u32 = 1 << 2;
const CR_RESET_ERROR: u32 = 3 << 4;
const CR_RESET_STALE: u32 = 8 << 4;
const CR_STALE_ENABLE: u32 = 80 << 4;
const CR_RESET_TX_READY: u32 = 3 << 8;
/// Each read of `RF` yields one byte, not four.
const DMEN_RX_SINGLE: u32 = 1 << 5;
/// As many bytes as `DMRX` can count.
const DMRX_ALL: u32 = 0xff_ffff;

/// A UARTDM.
#[derive(Debug, Clone, Copy)]
pub struct Msm<M> {
    regs: M,
}

impl<M: Mmio> Msm<M> {
    /// Takes over the UART: both directions on, all interrupts off.
    pub fn new(regs: M) -> Self {
        regs.write32(IMR, 0);
        regs.write32(DMEN, DMEN_RX_SINGLE);
        regs.write32(CR, CR_TX_ENABLE | CR_RX_ENABLE);
        let uart = Self { regs };
        uart.rearm();
        uart
    }

    /// Starts the next reception: the "stale" event comes once per start.
    fn rearm(&self) {
        self.regs.write32(CR, CR_RESET_STALE);
        self.regs.write32(DMRX, DMRX_ALL);
        self.regs.write32(CR, CR_STALE_ENABLE);
    }
}

impl<M: Mmio> Console for Msm<M> {
    fn try_put(&self, byte: u8) -> bool {
        // The length of the next packet may be set once the last one is out.
        let status = self.regs.read32(SR);
        let done = status & SR_TX_EMPTY != 0 || self.regs.read32(ISR) & ISR_TX_READY != 0;
        if !done || status & SR_TX_READY == 0 {
            return false;
        }
        self.regs.write32(CR, CR_RESET_TX_READY);
        self.regs.write32(NCF_TX, 1);
        // Orders the length before the data.
        self.regs.read32(NCF_TX);
        self.regs.write32(TF, u32::from(byte));
        true
    }

    fn get(&self) -> Option<u8> {
        let ready = self.regs.read32(SR) & SR_RX_READY != 0;
        ready.then(|| self.regs.read32(RF) as u8)
    }

    fn enable_rx_interrupt(&self) {
        self.regs.write32(RFWR, 0);
        self.regs.write32(IMR, IMR_RX);
    }

    fn ack_interrupts(&self) {
        self.regs.write32(CR, CR_RESET_ERROR);
        self.rearm();
    }

    // The mask cannot be read back. Receiving is always wanted by whoever
    // uses interrupts at all.
    fn set_tx_interrupt(&self, on: bool) {
        self.regs
            .write32(IMR, if on { IMR_RX | IMR_TX_LEVEL } else { IMR_RX });
    }
}

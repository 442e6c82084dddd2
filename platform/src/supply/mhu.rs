//! Arm Message Handling Unit as a doorbell (bindings/mailbox/arm,mhu.yaml,
//! DDI 0515 3.4.4): each bit of a channel rings on its own.
use super::SupplyError;
use super::scmi::Doorbell;
use crate::mmio::Mmio;

/// Channels: low priority, high priority. The secure one is not ours.
const CHANNELS: [usize; 2] = [0x0, 0x20];
/// From a channel's receive registers to its transmit registers.
const TRANSMIT: usize = 0x100;
/// Interrupt set register of a channel: ones ring, zeroes do nothing.
const SET: usize = 0x08;

/// One bit of one channel.
#[derive(Debug)]
pub struct MhuDoorbell<M> {
    registers: M,
    set: usize,
    bit: u32,
}

impl<M> MhuDoorbell<M> {
    /// Bit `bit` of channel `channel`, as the binding numbers them. `None` if
    /// there is no such doorbell.
    #[must_use]
    pub fn new(registers: M, channel: u32, bit: u32) -> Option<Self> {
        let channel = *CHANNELS.get(usize::try_from(channel).ok()?)?;
        let set = channel.checked_add(TRANSMIT)?.checked_add(SET)?;
        let bit = 1u32.checked_shl(bit)?;
        Some(Self {
            registers,
            set,
            bit,
        })
    }
}

impl<M: Mmio + Send + Sync> Doorbell for MhuDoorbell<M> {
    fn ring(&self) -> Result<(), SupplyError> {
        self.registers.write32(self.set, self.bit);
        Ok(())
    }
}

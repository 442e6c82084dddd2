//! Power domains and clocks of SCMI firmware.
use super::super::poll::confirm;
use super::super::{SupplyError, Switch};
use super::{Channel, PROTOCOL_CLOCK, PROTOCOL_POWER};
use crate::mmio::Mmio;
use alloc::sync::Arc;

const POWER_STATE_SET: u32 = 4;
const POWER_STATE_GET: u32 = 5;
const CLOCK_ATTRIBUTES: u32 = 3;
const CLOCK_CONFIG_SET: u32 = 7;

/// POWER_STATE: domain on, context kept (DEN 0056, 4.3.2.5).
const POWER_ON: u32 = 0;
/// POWER_STATE: domain off, context lost.
const POWER_OFF: u32 = 0x4000_0000;
/// Clock protocol version from which CONFIG_SET has a third argument.
const CLOCK_VERSION_2_1: u32 = 0x0002_0001;

/// A power domain of SCMI firmware.
pub struct ScmiDomain<M> {
    channel: Arc<Channel<M>>,
    domain: u32,
}

impl<M: Mmio> ScmiDomain<M> {
    /// Domain number `domain`.
    #[must_use]
    pub fn new(channel: Arc<Channel<M>>, domain: u32) -> Self {
        Self { channel, domain }
    }

    fn set(&self, state: u32) -> Result<(), SupplyError> {
        let args = [0, self.domain, state];
        self.channel
            .message(PROTOCOL_POWER, POWER_STATE_SET, &args, 0)
            .map(drop)
    }

    fn state(&self) -> Result<u32, SupplyError> {
        let reply = self
            .channel
            .message(PROTOCOL_POWER, POWER_STATE_GET, &[self.domain], 1);
        reply.map(|[state, ..]| state)
    }
}

impl<M: Mmio + Send + Sync> Switch for ScmiDomain<M> {
    /// Firmware may agree without doing it, or before it is done: what it
    /// says of the domain then is what counts.
    fn enable(&self) -> Result<(), SupplyError> {
        self.set(POWER_ON)?;
        confirm(self.channel.services(), self.channel.limit_us(), || {
            Ok(self.state()? == POWER_ON)
        })
    }

    /// A domain that another agent keeps up is off as far as we are concerned.
    fn disable(&self) -> Result<(), SupplyError> {
        self.set(POWER_OFF)
    }

    fn is_on(&self) -> Result<bool, SupplyError> {
        Ok(self.state()? & POWER_OFF == 0)
    }
}

/// A clock of SCMI firmware.
pub struct ScmiClock<M> {
    channel: Arc<Channel<M>>,
    clock: u32,
    version: u32,
}

impl<M: Mmio> ScmiClock<M> {
    /// Clock number `clock`; `version` is the clock protocol's.
    #[must_use]
    pub fn new(channel: Arc<Channel<M>>, clock: u32, version: u32) -> Self {
        Self {
            channel,
            clock,
            version,
        }
    }

    fn set(&self, on: u32) -> Result<(), SupplyError> {
        let all = [self.clock, on, 0];
        let args = if self.version >= CLOCK_VERSION_2_1 {
            &all[..]
        } else {
            &all[..2]
        };
        self.channel
            .message(PROTOCOL_CLOCK, CLOCK_CONFIG_SET, args, 0)
            .map(drop)
    }

    fn runs(&self) -> Result<bool, SupplyError> {
        let reply = self
            .channel
            .message(PROTOCOL_CLOCK, CLOCK_ATTRIBUTES, &[self.clock], 1);
        reply.map(|[attributes, ..]| attributes & 1 != 0)
    }
}

impl<M: Mmio + Send + Sync> Switch for ScmiClock<M> {
    fn enable(&self) -> Result<(), SupplyError> {
        self.set(1)?;
        confirm(self.channel.services(), self.channel.limit_us(), || {
            self.runs()
        })
    }

    fn disable(&self) -> Result<(), SupplyError> {
        self.set(0)
    }

    fn is_on(&self) -> Result<bool, SupplyError> {
        self.runs()
    }
}

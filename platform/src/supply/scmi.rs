//! SCMI client (DEN 0056): clocks and power domains of firmware, through a
//! shared page and a doorbell.
use super::poll::until;
use super::{Services, SupplyError, Switch};
use crate::mmio::Mmio;
use alloc::sync::Arc;
use spin::Mutex;

/// Rings firmware after a message has been written.
pub trait Doorbell: Send + Sync {
    /// Rings. On return the message may, but need not, have been handled.
    ///
    /// # Errors
    /// [`SupplyError`] when firmware cannot be reached.
    fn ring(&self) -> Result<(), SupplyError>;
}

/// Power domain management protocol (DEN 0056, 4.3).
pub const PROTOCOL_POWER: u32 = 0x11;
/// Clock management protocol (DEN 0056, 4.6).
pub const PROTOCOL_CLOCK: u32 = 0x14;

const PROTOCOL_VERSION: u32 = 0;
const POWER_STATE_SET: u32 = 4;
const POWER_STATE_GET: u32 = 5;
const CLOCK_ATTRIBUTES: u32 = 3;
const CLOCK_CONFIG_SET: u32 = 7;

/// POWER_STATE: domain off, context lost (DEN 0056, 4.3.2.5).
const POWER_OFF: u32 = 0x4000_0000;
/// Clock protocol version from which CONFIG_SET has a third argument.
const CLOCK_VERSION_2_1: u32 = 0x0002_0001;

// Shared memory (DEN 0056, 5.1.2).
const CHANNEL_STATUS: usize = 0x04;
const CHANNEL_FLAGS: usize = 0x10;
const LENGTH: usize = 0x14;
const HEADER: usize = 0x18;
const PAYLOAD: usize = 0x1c;
const FREE: u32 = 1 << 0;
const ERROR: u32 = 1 << 1;

/// Longest wait for firmware in milliseconds, unless its node says otherwise;
/// Linux's is the same.
const LIMIT_MS: u32 = 30;
/// No node may ask for more.
const MOST_MS: u32 = 10_000;

/// A channel to SCMI firmware.
pub struct Channel<M> {
    page: M,
    doorbell: Arc<dyn Doorbell>,
    services: Arc<dyn Services>,
    limit_us: u64,
    /// Token of the last message; the lock serialises messages.
    token: Mutex<u32>,
}

/// Up to three words of a reply after the status.
type Reply = [u32; 3];

impl<M: Mmio> Channel<M> {
    /// A channel through `page`, which is the shared memory.
    #[must_use]
    pub fn new(page: M, doorbell: Arc<dyn Doorbell>, services: Arc<dyn Services>) -> Self {
        Self {
            page,
            doorbell,
            services,
            limit_us: u64::from(LIMIT_MS).saturating_mul(1000),
            token: Mutex::new(0),
        }
    }

    /// The same with another longest wait for an answer, at most ten seconds
    /// (`arm,max-rx-timeout-ms` in the node of the firmware).
    #[must_use]
    pub fn waiting(mut self, milliseconds: u32) -> Self {
        self.limit_us = u64::from(milliseconds.min(MOST_MS)).saturating_mul(1000);
        self
    }

    /// Asks for a protocol's version: also the way to find out whether
    /// firmware answers at all.
    ///
    /// # Errors
    /// [`SupplyError`].
    pub fn version(&self, protocol: u32) -> Result<u32, SupplyError> {
        self.message(protocol, PROTOCOL_VERSION, &[], 1)
            .map(|[version, ..]| version)
    }

    /// Sends a message and returns `words` words of the reply.
    fn message(
        &self,
        protocol: u32,
        message: u32,
        args: &[u32],
        words: usize,
    ) -> Result<Reply, SupplyError> {
        let mut token = self.token.lock();
        *token = token.wrapping_add(1) & 0x3ff;
        let header = message | protocol << 10 | *token << 18;
        self.wait_free()?;
        self.page.write32(CHANNEL_FLAGS, 0);
        let bytes = u32::try_from(args.len()).unwrap_or(0).saturating_mul(4);
        self.page.write32(LENGTH, bytes.saturating_add(4));
        self.page.write32(HEADER, header);
        for (i, arg) in args.iter().enumerate() {
            self.page.write32(payload(i), *arg);
        }
        self.page.write32(CHANNEL_STATUS, 0);
        self.doorbell.ring()?;
        self.wait_free()?;
        self.reply(header, words)
    }

    fn wait_free(&self) -> Result<(), SupplyError> {
        until(&*self.services, self.limit_us, || {
            self.page.read32(CHANNEL_STATUS) & FREE != 0
        })
    }

    fn reply(&self, header: u32, words: usize) -> Result<Reply, SupplyError> {
        let status = self.page.read32(CHANNEL_STATUS);
        if status & ERROR != 0 {
            return Err(SupplyError::Protocol(status));
        }
        let answered = self.page.read32(HEADER);
        if answered != header {
            return Err(SupplyError::Protocol(answered));
        }
        let code = self.page.read32(PAYLOAD).cast_signed();
        if code != 0 {
            return Err(SupplyError::Firmware(code));
        }
        let length = self.page.read32(LENGTH) as usize;
        if length < words.saturating_mul(4).saturating_add(8) {
            return Err(SupplyError::Protocol(self.page.read32(LENGTH)));
        }
        let mut reply = Reply::default();
        for (i, word) in reply.iter_mut().take(words).enumerate() {
            *word = self.page.read32(payload(i.saturating_add(1)));
        }
        Ok(reply)
    }
}

const fn payload(word: usize) -> usize {
    PAYLOAD.saturating_add(word.saturating_mul(4))
}

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

    /// Sets the state and reads it back: firmware may have agreed without
    /// doing it, because another agent still needs the domain.
    fn set(&self, state: u32) -> Result<u32, SupplyError> {
        let args = [0, self.domain, state];
        self.channel
            .message(PROTOCOL_POWER, POWER_STATE_SET, &args, 0)?;
        self.state()
    }

    fn state(&self) -> Result<u32, SupplyError> {
        let reply = self
            .channel
            .message(PROTOCOL_POWER, POWER_STATE_GET, &[self.domain], 1);
        reply.map(|[state, ..]| state)
    }
}

impl<M: Mmio + Send + Sync> Switch for ScmiDomain<M> {
    fn enable(&self) -> Result<(), SupplyError> {
        match self.set(0)? {
            0 => Ok(()),
            state => Err(SupplyError::Stuck(state)),
        }
    }

    /// A domain that another agent keeps up is off as far as we are concerned.
    fn disable(&self) -> Result<(), SupplyError> {
        self.set(POWER_OFF).map(drop)
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
}

impl<M: Mmio + Send + Sync> Switch for ScmiClock<M> {
    fn enable(&self) -> Result<(), SupplyError> {
        self.set(1)
    }

    fn disable(&self) -> Result<(), SupplyError> {
        self.set(0)
    }

    fn is_on(&self) -> Result<bool, SupplyError> {
        let reply = self
            .channel
            .message(PROTOCOL_CLOCK, CLOCK_ATTRIBUTES, &[self.clock], 1);
        reply.map(|[attributes, ..]| attributes & 1 != 0)
    }
}

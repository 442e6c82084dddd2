//! SCMI client (DEN 0056): clocks and power domains of firmware, through a
//! shared page and a doorbell.
mod supplies;

pub use supplies::{ScmiClock, ScmiDomain};

use super::poll::until;
use super::{Services, SupplyError};
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
/// Status: firmware has no room for the message now (DEN 0056, 4.1.4).
pub(super) const BUSY: i32 = -6;

// Shared memory (DEN 0056, 5.1.2).
const CHANNEL_STATUS: usize = 0x04;
const CHANNEL_FLAGS: usize = 0x10;
const LENGTH: usize = 0x14;
const HEADER: usize = 0x18;
const PAYLOAD: usize = 0x1c;
const FREE: u32 = 1 << 0;
const ERROR: u32 = 1 << 1;
/// Bytes of a reply: header and status at least; no shared memory is larger
/// than a page.
const REPLY_BYTES: core::ops::RangeInclusive<u32> = 8..=4096;

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

    /// Whether firmware has answered whatever it was asked. It owns a channel
    /// that is not free, also one that it has yet to make usable.
    pub fn is_free(&self) -> bool {
        self.page.read32(CHANNEL_STATUS) & FREE != 0
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

    /// Longest wait for one answer, in microseconds.
    const fn limit_us(&self) -> u64 {
        self.limit_us
    }

    fn services(&self) -> &dyn Services {
        &*self.services
    }

    /// Sends a message and returns `words` words of the reply. One that
    /// firmware is too busy for is sent again while there is time.
    ///
    /// Takes at most twice the longest wait: for the answer to an earlier
    /// message, which still has the channel, and for its own.
    fn message(
        &self,
        protocol: u32,
        message: u32,
        args: &[u32],
        words: usize,
    ) -> Result<Reply, SupplyError> {
        let mut token = self.token.lock();
        let start = self.services.now_us();
        loop {
            *token = token.wrapping_add(1) & 0x3ff;
            let header = message | protocol << 10 | *token << 18;
            let reply = self.exchange(header, args, words);
            let passed = self.services.now_us().saturating_sub(start);
            if reply != Err(SupplyError::Firmware(BUSY)) || passed >= self.limit_us {
                return reply;
            }
        }
    }

    fn exchange(&self, header: u32, args: &[u32], words: usize) -> Result<Reply, SupplyError> {
        until(&*self.services, self.limit_us, || self.is_free())?;
        self.page.write32(CHANNEL_FLAGS, 0);
        let bytes = u32::try_from(args.len()).unwrap_or(0).saturating_mul(4);
        self.page.write32(LENGTH, bytes.saturating_add(4));
        self.page.write32(HEADER, header);
        for (i, arg) in args.iter().enumerate() {
            self.page.write32(payload(i), *arg);
        }
        self.page.write32(CHANNEL_STATUS, 0);
        if let Err(error) = self.doorbell.ring() {
            // Nobody has the message, so nobody else would free the channel.
            self.page.write32(CHANNEL_STATUS, FREE);
            return Err(error);
        }
        self.wait_for(header)?;
        self.reply(words)
    }

    /// Waits for the reply to `header`. Another one in a free channel, to a
    /// message given up on, or a notification, is not it; ours may yet come.
    fn wait_for(&self, header: u32) -> Result<(), SupplyError> {
        let mut status = 0;
        let mut seen = header;
        let waited = until(&*self.services, self.limit_us, || {
            status = self.page.read32(CHANNEL_STATUS);
            if status & FREE != 0 {
                seen = self.page.read32(HEADER);
            }
            status & ERROR != 0 || status & FREE != 0 && seen == header
        });
        match waited {
            Ok(()) if status & ERROR != 0 => Err(SupplyError::Protocol(status)),
            Err(_) if seen != header => Err(SupplyError::Protocol(seen)),
            waited => waited,
        }
    }

    /// The reply in the page. What its length does not cover was not written
    /// by firmware, and is not looked at.
    fn reply(&self, words: usize) -> Result<Reply, SupplyError> {
        let length = self.page.read32(LENGTH);
        if !REPLY_BYTES.contains(&length) {
            return Err(SupplyError::Protocol(length));
        }
        let status = self.page.read32(PAYLOAD);
        match status.cast_signed() {
            0 => {}
            code if code < 0 => return Err(SupplyError::Firmware(code)),
            _ => return Err(SupplyError::Protocol(status)),
        }
        if (length as usize) < words.saturating_mul(4).saturating_add(8) {
            return Err(SupplyError::Protocol(length));
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

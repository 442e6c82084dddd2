//! The shared page: one message out, one reply in (DEN0056E, 5.1.2).

use super::wire::{Status, shmem};
use arrayvec::ArrayVec;
use core::sync::atomic::{Ordering, fence};
use platform::mmio::Mmio;

/// Words of payload that a message or a reply holds at most.
pub const MAX_WORDS: usize = shmem::MAX_PAYLOAD / 4;

/// A message, copied out of the page once. The guest may write the page at any
/// time from another vCPU; nothing here looks at it a second time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Message id.
    pub id: u8,
    /// Protocol id.
    pub protocol: u8,
    /// Arguments.
    pub args: ArrayVec<u32, MAX_WORDS>,
}

impl Message {
    /// The arguments, if there are exactly `N`.
    ///
    /// # Errors
    /// [`Status::ProtocolError`] for any other number.
    pub fn args<const N: usize>(&self) -> Result<[u32; N], Status> {
        self.args
            .as_slice()
            .try_into()
            .map_err(|_| Status::ProtocolError)
    }
}

/// What the page holds when the doorbell rings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doorbell {
    /// The channel is marked free: there is no message.
    Nothing,
    /// No message can be made of it: a length that is no whole number of words
    /// or beyond the page, or a type other than command.
    Malformed,
    /// A command.
    Message(Message),
}

/// Results of a command, after the status.
pub type Results = ArrayVec<u32, { MAX_WORDS - 1 }>;

/// A guest's page. `M` must reach it with the attributes that the guest uses
/// (Device or Normal non-cacheable), or stage 2 must force one type for both.
#[derive(Debug)]
pub struct Page<'a, M: ?Sized>(&'a M);

impl<'a, M: Mmio + ?Sized> Page<'a, M> {
    /// The page behind `window`, 4 KiB.
    #[must_use]
    pub const fn new(window: &'a M) -> Self {
        Self(window)
    }

    /// Makes the page ready for a VM that starts: all zero but for the free
    /// channel, on which the guest's first message waits.
    pub fn init(&self) {
        for offset in (0..4096).step_by(4) {
            self.0.write32(offset, 0);
        }
        self.0.write32(shmem::CHANNEL_STATUS, shmem::FREE);
    }

    /// Takes the message.
    #[must_use]
    pub fn take(&self) -> Doorbell {
        if self.0.read32(shmem::CHANNEL_STATUS) & shmem::FREE != 0 {
            return Doorbell::Nothing;
        }
        // What the guest wrote before the status is read after it.
        fence(Ordering::Acquire);
        let header = self.0.read32(shmem::HEADER);
        let length = self.0.read32(shmem::LENGTH) as usize;
        let Some(words) = words(length) else {
            return Doorbell::Malformed;
        };
        let mut args = ArrayVec::new();
        for offset in (shmem::PAYLOAD..).step_by(4).take(words) {
            // `words` does not exceed the capacity.
            let _ = args.try_push(self.0.read32(offset));
        }
        if (header >> 8) & 3 != 0 {
            return Doorbell::Malformed;
        }
        Doorbell::Message(Message {
            id: header as u8,
            protocol: (header >> 10) as u8,
            args,
        })
    }

    /// Puts the reply and frees the channel. The header stays: the guest
    /// compares its token.
    pub fn reply(&self, result: &Result<Results, Status>) {
        let (status, results) = match result {
            Ok(results) => (0, results.as_slice()),
            Err(status) => (*status as i32, [].as_slice()),
        };
        self.0.write32(shmem::PAYLOAD, status.cast_unsigned());
        let first = shmem::PAYLOAD.saturating_add(4);
        for (offset, word) in (first..).step_by(4).zip(results) {
            self.0.write32(offset, *word);
        }
        let bytes = results.len().saturating_mul(4).saturating_add(8);
        self.0.write32(shmem::LENGTH, bytes as u32);
        self.free(0);
    }

    /// Answers what was no message: a protocol error, and the channel's error
    /// bit until the next message.
    pub fn refuse(&self) {
        self.0.write32(
            shmem::PAYLOAD,
            (Status::ProtocolError as i32).cast_unsigned(),
        );
        self.0.write32(shmem::LENGTH, 8);
        self.free(shmem::ERROR);
    }

    fn free(&self, error: u32) {
        // Another vCPU that polls the status must find the reply behind it.
        fence(Ordering::Release);
        self.0.write32(shmem::CHANNEL_STATUS, shmem::FREE | error);
    }
}

/// Words of payload in a message of `length` bytes, header included.
fn words(length: usize) -> Option<usize> {
    let payload = length.checked_sub(4)?;
    let sound = payload.is_multiple_of(4) && payload <= shmem::MAX_PAYLOAD;
    sound.then_some(payload >> 2)
}

//! From a doorbell to a reply.

use super::backend::ScmiBackend;
use super::page::{Doorbell, Message, Page, Results};
use super::wire::{Status, protocol};
use super::{base, clock, power};
use platform::mmio::Mmio;

/// Handles a doorbell: takes the message out of the page, acts, puts the reply
/// in. When it returns, so may the guest's HVC, with x0 = 0; any other value
/// would make Linux drop the channel.
///
/// The caller holds whatever keeps a VM's vCPUs from ringing at once. The work
/// is bounded by the backend's: at most 128 bytes are copied each way.
pub fn serve<M: Mmio + ?Sized, B: ScmiBackend>(page: &Page<'_, M>, backend: &mut B) {
    match page.take() {
        Doorbell::Nothing => {}
        Doorbell::Malformed => page.refuse(),
        Doorbell::Message(message) => page.reply(&answer(&message, backend)),
    }
}

/// The result of one command.
///
/// # Errors
/// The status to put into the reply.
pub fn answer<B: ScmiBackend>(message: &Message, backend: &mut B) -> Result<Results, Status> {
    match message.protocol {
        protocol::BASE => base::answer(message, backend),
        protocol::POWER => power::answer(message, backend),
        protocol::CLOCK if backend.clocks() != 0 => clock::answer(message, backend),
        _ => Err(Status::NotSupported),
    }
}

/// Ids of the commands that every protocol has (DEN0056E, 4.1.1).
pub(super) mod common {
    /// `PROTOCOL_VERSION`.
    pub const VERSION: u8 = 0;
    /// `PROTOCOL_ATTRIBUTES`.
    pub const ATTRIBUTES: u8 = 1;
    /// `PROTOCOL_MESSAGE_ATTRIBUTES`.
    pub const MESSAGE_ATTRIBUTES: u8 = 2;
}

/// A reply of a few words, far fewer than fit.
pub(super) fn words<const N: usize>(words: [u32; N]) -> Results {
    let mut results = Results::new();
    for word in words {
        let _ = results.try_push(word);
    }
    results
}

/// `PROTOCOL_MESSAGE_ATTRIBUTES`: zero for the commands in `known`.
pub(super) fn message_attributes(message: &Message, known: &[u8]) -> Result<Results, Status> {
    let [id] = message.args()?;
    match known.iter().any(|&known| u32::from(known) == id) {
        true => Ok(words([0])),
        false => Err(Status::NotFound),
    }
}

/// Appends a name as 16 bytes, cut so that a zero ends it.
pub(super) fn push_name(results: &mut Results, name: &str) {
    let mut bytes = [0; 16];
    for (slot, byte) in bytes.iter_mut().take(15).zip(name.bytes()) {
        *slot = byte;
    }
    let (chunks, _) = bytes.as_chunks::<4>();
    for chunk in chunks {
        let _ = results.try_push(u32::from_le_bytes(*chunk));
    }
}

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

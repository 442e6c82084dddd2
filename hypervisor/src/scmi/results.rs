//! What the answers of all protocols have in common.

use super::page::{Message, Results};
use super::wire::Status;

/// Ids of the commands that every protocol has (DEN0056E, 4.1.1).
pub mod common {
    /// `PROTOCOL_VERSION`.
    pub const VERSION: u8 = 0;
    /// `PROTOCOL_ATTRIBUTES`.
    pub const ATTRIBUTES: u8 = 1;
    /// `PROTOCOL_MESSAGE_ATTRIBUTES`.
    pub const MESSAGE_ATTRIBUTES: u8 = 2;
}

/// A reply of a few words, far fewer than fit.
pub fn words<const N: usize>(words: [u32; N]) -> Results {
    let mut results = Results::new();
    for word in words {
        let _ = results.try_push(word);
    }
    results
}

/// `PROTOCOL_MESSAGE_ATTRIBUTES`: zero for the commands in `known`.
pub fn message_attributes(message: &Message, known: &[u8]) -> Result<Results, Status> {
    let [id] = message.args()?;
    match known.iter().any(|&known| u32::from(known) == id) {
        true => Ok(words([0])),
        false => Err(Status::NotFound),
    }
}

/// Appends a name as 16 bytes, cut so that a zero ends it.
pub fn push_name(results: &mut Results, name: &str) {
    let mut bytes = [0; 16];
    for (slot, byte) in bytes.iter_mut().take(15).zip(name.bytes()) {
        *slot = byte;
    }
    let (chunks, _) = bytes.as_chunks::<4>();
    for chunk in chunks {
        let _ = results.try_push(u32::from_le_bytes(*chunk));
    }
}

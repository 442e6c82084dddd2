//! Base protocol (DEN0056E, 4.2).

use super::backend::ScmiBackend;
use super::page::{Message, Results};
use super::results::{common, message_attributes, push_name, words};
use super::wire::{Status, protocol};

const VERSION: u32 = 0x2_0000;
const DISCOVER_VENDOR: u8 = 3;
const DISCOVER_SUB_VENDOR: u8 = 4;
const DISCOVER_IMPLEMENTATION_VERSION: u8 = 5;
const DISCOVER_LIST_PROTOCOLS: u8 = 6;
const DISCOVER_AGENT: u8 = 7;
const KNOWN: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

/// The platform's own agent id.
const PLATFORM: u32 = 0;
/// The VM's agent id.
const AGENT: u32 = 1;
/// "Who am I?" (`DISCOVER_AGENT`).
const SELF: u32 = u32::MAX;

pub fn answer<B: ScmiBackend>(message: &Message, backend: &B) -> Result<Results, Status> {
    match message.id {
        common::VERSION => message.args().map(|[]| words([VERSION])),
        // Protocols beside this one in 7:0, agents in 15:8.
        common::ATTRIBUTES => message.args().map(|[]| words([count(backend) | (1 << 8)])),
        common::MESSAGE_ATTRIBUTES => message_attributes(message, &KNOWN),
        DISCOVER_VENDOR => message.args().map(|[]| name("Stagegate")),
        DISCOVER_SUB_VENDOR => message.args().map(|[]| name("")),
        DISCOVER_IMPLEMENTATION_VERSION => message.args().map(|[]| words([1])),
        DISCOVER_LIST_PROTOCOLS => list(message, backend),
        DISCOVER_AGENT => agent(message),
        _ => Err(Status::NotSupported),
    }
}

/// Power, and clock if there is one.
fn count<B: ScmiBackend>(backend: &B) -> u32 {
    if backend.clocks() == 0 { 1 } else { 2 }
}

fn list<B: ScmiBackend>(message: &Message, backend: &B) -> Result<Results, Status> {
    let [skip] = message.args()?;
    let all = u32::from_le_bytes([protocol::POWER, protocol::CLOCK, 0, 0]);
    let present = match count(backend) {
        1 => all & 0xff,
        _ => all,
    };
    let left = count(backend)
        .checked_sub(skip)
        .ok_or(Status::InvalidParameters)?;
    // At most two skipped: the shift stays below 32.
    let names = present.checked_shr(skip.saturating_mul(8)).unwrap_or(0);
    Ok(words([left, names]))
}

fn agent(message: &Message) -> Result<Results, Status> {
    let (id, name) = match message.args()? {
        [PLATFORM] => (PLATFORM, "platform"),
        [AGENT | SELF] => (AGENT, "vm"),
        [_] => return Err(Status::NotFound),
    };
    let mut results = words([id]);
    push_name(&mut results, name);
    Ok(results)
}

fn name(text: &str) -> Results {
    let mut results = Results::new();
    push_name(&mut results, text);
    results
}

//! Clock management protocol (DEN0056E, 4.6), version 1: fixed rates, which
//! can be started and stopped.

use super::backend::{Power, ScmiBackend};
use super::page::{Message, Results};
use super::results::{common, message_attributes, push_name, words};
use super::wire::Status;

const VERSION: u32 = 0x1_0000;
const ATTRIBUTES: u8 = 3;
const DESCRIBE_RATES: u8 = 4;
const RATE_SET: u8 = 5;
const RATE_GET: u8 = 6;
const CONFIG_SET: u8 = 7;
const KNOWN: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

/// Flags of `RATE_SET`: asynchronous, ignore the delayed response, round up,
/// round to the nearest.
const FLAGS: u32 = 0xf;
/// Either way of rounding.
const ROUND: u32 = 0xc;
/// Attribute of `CONFIG_SET`: run.
const ENABLE: u32 = 1;

pub fn answer<B: ScmiBackend>(message: &Message, backend: &mut B) -> Result<Results, Status> {
    match message.id {
        common::VERSION => message.args().map(|[]| words([VERSION])),
        // Number of clocks in 15:0; no asynchronous rate changes in 23:16.
        common::ATTRIBUTES => message
            .args()
            .map(|[]| words([u32::from(backend.clocks())])),
        common::MESSAGE_ATTRIBUTES => message_attributes(message, &KNOWN),
        ATTRIBUTES => {
            let [id] = message.args()?;
            let clock = clock(backend, id)?;
            let mut results = words([u32::from(backend.clock(clock) == Power::On)]);
            push_name(&mut results, backend.clock_name(clock));
            Ok(results)
        }
        DESCRIBE_RATES => describe(message, backend),
        RATE_SET => set_rate(message, backend),
        RATE_GET => {
            let [id] = message.args()?;
            let [low, high] = halves(backend.clock_rate(clock(backend, id)?));
            Ok(words([low, high]))
        }
        CONFIG_SET => {
            let [id, attributes] = message.args()?;
            let clock = clock(backend, id)?;
            let power = match attributes {
                ENABLE => Power::On,
                0 => Power::Off,
                _ => return Err(Status::InvalidParameters),
            };
            backend.set_clock(clock, power).map(|()| Results::new())
        }
        _ => Err(Status::NotSupported),
    }
}

/// One discrete rate.
fn describe<B: ScmiBackend>(message: &Message, backend: &B) -> Result<Results, Status> {
    let [id, index] = message.args()?;
    let [low, high] = halves(backend.clock_rate(clock(backend, id)?));
    match index {
        0 => Ok(words([1, low, high])),
        _ => Err(Status::OutOfRange),
    }
}

/// The rate is fixed: setting it succeeds where it leads to the same.
fn set_rate<B: ScmiBackend>(message: &Message, backend: &B) -> Result<Results, Status> {
    let [flags, id, low, high] = message.args()?;
    let rate = backend.clock_rate(clock(backend, id)?);
    let asked = u64::from(low) | (u64::from(high) << 32);
    let round_up_from_above = flags & ROUND == 4 && asked > rate;
    let known = flags & !FLAGS == 0;
    match known && (asked == rate || flags & ROUND != 0) && !round_up_from_above {
        true => Ok(Results::new()),
        false => Err(Status::InvalidParameters),
    }
}

const fn halves(rate: u64) -> [u32; 2] {
    [rate as u32, (rate >> 32) as u32]
}

/// A clock id that exists.
fn clock<B: ScmiBackend>(backend: &B, id: u32) -> Result<u16, Status> {
    let clock = u16::try_from(id)
        .ok()
        .filter(|&clock| clock < backend.clocks());
    clock.ok_or(Status::NotFound)
}

//! Power domain protocol (DEN0056E, 4.3): the signal by which a stock guest
//! tells that a device sleeps or wakes.

use super::backend::{Power, ScmiBackend};
use super::page::{Message, Results};
use super::results::{common, message_attributes, push_name, words};
use super::wire::{POWER_OFF, POWER_ON, Status};

const VERSION: u32 = 0x3_0000;
const DOMAIN_ATTRIBUTES: u8 = 3;
const STATE_SET: u8 = 4;
const STATE_GET: u8 = 5;
const KNOWN: [u8; 6] = [0, 1, 2, 3, 4, 5];

/// Domain attribute: the state can be set synchronously.
const SYNCHRONOUS: u32 = 1 << 29;
/// Flag of `STATE_SET`: do not wait. The reply comes when it is done all the
/// same, which the flag allows.
const ASYNC: u32 = 1;

pub fn answer<B: ScmiBackend>(message: &Message, backend: &mut B) -> Result<Results, Status> {
    match message.id {
        common::VERSION => message.args().map(|[]| words([VERSION])),
        // Number of domains; no statistics page.
        common::ATTRIBUTES => message
            .args()
            .map(|[]| words([u32::from(backend.domains()), 0, 0, 0])),
        common::MESSAGE_ATTRIBUTES => message_attributes(message, &KNOWN),
        DOMAIN_ATTRIBUTES => {
            let [id] = message.args()?;
            let domain = domain(backend, id)?;
            let mut results = words([SYNCHRONOUS]);
            push_name(&mut results, backend.domain_name(domain));
            Ok(results)
        }
        STATE_SET => set(message, backend),
        STATE_GET => {
            let [id] = message.args()?;
            Ok(words([match backend.power(domain(backend, id)?) {
                Power::On => POWER_ON,
                Power::Off => POWER_OFF,
            }]))
        }
        _ => Err(Status::NotSupported),
    }
}

fn set<B: ScmiBackend>(message: &Message, backend: &mut B) -> Result<Results, Status> {
    let [flags, id, state] = message.args()?;
    let domain = domain(backend, id)?;
    let power = match state {
        POWER_ON => Power::On,
        POWER_OFF => Power::Off,
        _ => return Err(Status::InvalidParameters),
    };
    if flags & !ASYNC != 0 {
        return Err(Status::InvalidParameters);
    }
    backend.set_power(domain, power).map(|()| Results::new())
}

/// A domain id that exists.
fn domain<B: ScmiBackend>(backend: &B, id: u32) -> Result<u16, Status> {
    let domain = u16::try_from(id)
        .ok()
        .filter(|&domain| domain < backend.domains());
    domain.ok_or(Status::NotFound)
}

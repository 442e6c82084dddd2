//! Rings of devices that wait for each other.
use super::{Device, Index, State};
use alloc::vec::Vec;

/// Every ring among the waiting devices, each once, starting at its lowest
/// index. A device waits for one supplier at a time, so following that link
/// finds them all.
pub(super) fn cycles(devices: &[Device]) -> Vec<Vec<Index>> {
    let mut found: Vec<Vec<Index>> = Vec::new();
    for start in 0..devices.len() {
        let Some(mut ring) = ring_from(devices, start) else {
            continue;
        };
        let lowest = ring
            .iter()
            .enumerate()
            .min_by_key(|&(_, &i)| i)
            .map_or(0, |(at, _)| at);
        ring.rotate_left(lowest);
        if !found.contains(&ring) {
            found.push(ring);
        }
    }
    found
}

fn waits_for(devices: &[Device], index: Index) -> Option<Index> {
    match devices.get(index)?.state {
        State::Waiting(on) => Some(on),
        _ => None,
    }
}

/// The ring reached from `start`, if its chain of waiting closes.
fn ring_from(devices: &[Device], start: Index) -> Option<Vec<Index>> {
    let mut path = Vec::new();
    let mut at = start;
    loop {
        if let Some(position) = path.iter().position(|&p| p == at) {
            return Some(path.split_off(position));
        }
        path.push(at);
        at = waits_for(devices, at)?;
    }
}

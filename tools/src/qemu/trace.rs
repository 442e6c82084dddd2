//! QEMU's event trace: what the devices saw, with the time they saw it.

use super::{Result, context};
use std::fs;
use std::path::Path;

/// One traced event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Microseconds since the Unix epoch, by the host's clock.
    pub at_us: u64,
    /// Name, e.g. `smmuv3_write_mmio`.
    pub name: String,
    /// Everything after the name, as QEMU words it.
    pub text: String,
}

impl Event {
    /// The number after `key` in the event's text, decimal or `0x…`.
    pub fn number(&self, key: &str) -> Option<u64> {
        let rest = &self.text[self.text.find(key)? + key.len()..];
        let rest = rest.trim_start_matches([':', '=', ' ']);
        let word: String = rest
            .chars()
            .take_while(|c| c.is_ascii_hexdigit() || *c == 'x')
            .collect();
        match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => word.parse().ok(),
        }
    }
}

/// Reads a trace file; lines that are no events (warnings) are skipped.
pub fn read(path: &Path) -> Result<Vec<Event>> {
    let bytes = fs::read(path).map_err(context(path.display()))?;
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

/// Parses lines of the form `pid@seconds.microseconds:name text`.
pub fn parse(text: &str) -> Vec<Event> {
    text.lines().filter_map(event).collect()
}

/// The event that a line tells of; `None` for other lines.
pub fn event(line: &str) -> Option<Event> {
    let (_pid, rest) = line.split_once('@')?;
    let (time, rest) = rest.split_once(':')?;
    let (seconds, micros) = time.split_once('.')?;
    let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let at_us = seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?;
    Some(Event {
        at_us,
        name: name.trim().to_string(),
        text: text.trim().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_from_other_lines() {
        let text = "qemu: warning: something\n\
                    41@1700000000.000123:pl061_set_output pl061 0x5 setting output 5 to 1\n\
                    41@1700000000.500000:smmuv3_write_mmio addr: 0x44 val:0x100000 size: 0x4 (0)\n";
        let events = parse(text);
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].name, "pl061_set_output");
        assert_eq!(events[0].number("output"), Some(5));
        assert_eq!(events[1].number("val"), Some(0x10_0000));
        assert_eq!(events[1].at_us - events[0].at_us, 499_877);
    }
}

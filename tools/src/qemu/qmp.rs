//! QEMU's monitor: reading guest-physical memory and changing devices from
//! outside, so that evidence does not rest on the hypervisor's own word.

use super::{LIMIT, Result, context};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

/// A monitor connection.
pub struct Qmp {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    events: Vec<Value>,
}

impl Qmp {
    /// Takes QEMU's greeting and leaves negotiation mode.
    pub fn new(stream: UnixStream) -> Result<Self> {
        stream
            .set_read_timeout(Some(LIMIT))
            .map_err(context("monitor"))?;
        let writer = stream.try_clone().map_err(context("monitor"))?;
        let mut qmp = Self {
            reader: BufReader::new(stream),
            writer,
            events: Vec::new(),
        };
        qmp.read()?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and returns what it returns.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let message = json!({"execute": command, "arguments": arguments});
        writeln!(self.writer, "{message}").map_err(context("monitor"))?;
        loop {
            let answer = self.read()?;
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
            if let Some(error) = answer.get("error") {
                return Err(format!("monitor: {command}: {error}"));
            }
            self.events.push(answer);
        }
    }

    /// Runs a command of the human monitor and returns its text.
    pub fn human(&mut self, line: &str) -> Result<String> {
        let value = self.execute("human-monitor-command", json!({"command-line": line}))?;
        Ok(value.as_str().unwrap_or_default().to_string())
    }

    /// Reads one 32-bit word of physical memory or a device register.
    pub fn read_u32(&mut self, address: u64) -> Result<u32> {
        let text = self.human(&format!("xp /1wx {address:#x}"))?;
        text.split("0x")
            .last()
            .and_then(|digits| u32::from_str_radix(digits.trim(), 16).ok())
            .ok_or_else(|| format!("monitor: cannot read {address:#x}: {text}"))
    }

    /// Reads `count` bytes of physical memory.
    pub fn read_bytes(&mut self, address: u64, count: usize) -> Result<Vec<u8>> {
        let text = self.human(&format!("xp /{count}xb {address:#x}"))?;
        text.split_whitespace()
            .filter(|word| !word.ends_with(':'))
            .map(|word| {
                u8::from_str_radix(word.trim_start_matches("0x"), 16)
                    .map_err(|_| format!("monitor: cannot read {address:#x}: {text}"))
            })
            .collect()
    }

    /// Where the first BAR of the PCI function with these ids is now.
    pub fn bar(&mut self, (vendor, device): (u32, u32)) -> Result<u64> {
        let buses = self.execute("query-pci", json!({}))?;
        let mut left: Vec<&Value> = buses.as_array().into_iter().flatten().collect();
        while let Some(node) = left.pop() {
            let inner = node["pci_bridge"]["devices"].as_array();
            left.extend(node["devices"].as_array().into_iter().flatten());
            left.extend(inner.into_iter().flatten());
            if node["id"]["vendor"] == vendor && node["id"]["device"] == device {
                let address = node["regions"][0]["address"].as_u64();
                return address
                    .ok_or_else(|| format!("monitor: no BAR of {vendor:04x}:{device:04x}"));
            }
        }
        Err(format!("monitor: no function {vendor:04x}:{device:04x}"))
    }

    /// Stops QEMU in an orderly way.
    pub fn quit(&mut self) -> Result<()> {
        // QEMU may close the connection before the answer is out.
        let _ = self.execute("quit", json!({}));
        Ok(())
    }

    /// Why QEMU, which is ending, ends: the reason in its `SHUTDOWN` event, such
    /// as `guest-shutdown` or `host-signal`.
    pub fn shutdown_reason(&mut self) -> Option<String> {
        while let Ok(event) = self.read() {
            self.events.push(event);
        }
        let shutdown = self.events.iter().find(|e| e["event"] == "SHUTDOWN")?;
        Some(shutdown["data"]["reason"].as_str()?.to_string())
    }

    /// Connects or cuts a network device's cable.
    pub fn set_link(&mut self, id: &str, up: bool) -> Result<()> {
        self.execute("set_link", json!({"name": id, "up": up}))
            .map(drop)
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        let count = self
            .reader
            .read_line(&mut line)
            .map_err(context("monitor"))?;
        if count == 0 {
            return Err("monitor: QEMU closed the connection".into());
        }
        serde_json::from_str(&line).map_err(context("monitor"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn events_between_command_and_answer_are_kept_apart() {
        let (host, mut fake) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || {
            let mut lines = BufReader::new(fake.try_clone().unwrap()).lines();
            writeln!(fake, r#"{{"QMP": {{}}}}"#).unwrap();
            lines.next().unwrap().unwrap();
            writeln!(fake, r#"{{"return": {{}}}}"#).unwrap();
            lines.next().unwrap().unwrap();
            writeln!(fake, r#"{{"event": "RESET"}}"#).unwrap();
            writeln!(fake, r#"{{"return": "0000000009030400: 0x00000020\r\n"}}"#).unwrap();
        });
        let mut qmp = Qmp::new(host).unwrap();
        assert_eq!(qmp.read_u32(0x903_0400).unwrap(), 0x20);
        assert_eq!(qmp.events.len(), 1);
        server.join().unwrap();
    }
}

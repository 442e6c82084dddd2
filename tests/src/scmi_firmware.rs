//! A firmware that speaks SCMI through shared memory (DEN 0056): played by the
//! test, in the file that backs the machine's RAM. The doorbell is a word of
//! that memory, too. It comes up when the test lets it.

use crate::{Result, context};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Where RAM starts on QEMU `virt`.
const RAM: u64 = 0x4000_0000;
/// Doorbell registers and shared page, at the end of the first GiB of RAM.
pub const DOORBELL: u64 = 0x7f00_0000;
/// See [`DOORBELL`].
pub const PAGE: u64 = 0x7f00_1000;

// Offsets in the page (5.1.2), and the doorbell's set register.
const STATUS: u64 = 0x04;
const LENGTH: u64 = 0x14;
const HEADER: u64 = 0x18;
const PAYLOAD: u64 = 0x1c;
const FREE: u32 = 1;
const RING: u64 = 0x108;

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    Works,
    /// `NOT_SUPPORTED` to everything (4.1.4).
    Refuses,
    /// Its clock can be switched off; switching it on is `HARDWARE_ERROR`.
    Fails,
}

/// A running firmware; ends when dropped.
pub struct Firmware {
    stop: Arc<AtomicBool>,
    mood: Arc<Mutex<Mood>>,
    thread: Option<JoinHandle<u32>>,
}

/// QEMU's arguments for RAM in a file.
pub fn ram(file: &Path, mib: u32) -> [String; 4] {
    let object = format!(
        "memory-backend-file,id=ram,size={mib}M,share=on,mem-path={}",
        file.display()
    );
    ["-object", &object, "-machine", "memory-backend=ram"].map(String::from)
}

/// The nodes of it, and the SMMU's clock from it. On a busy computer the test's
/// answer may take longer than a firmware's.
pub fn overlay() -> String {
    format!(
        "/dts-v1/; /plugin/;
         &{{/}} {{
             reserved-memory {{ #address-cells = <2>; #size-cells = <2>; ranges;
                 scmi@{DOORBELL:x} {{ reg = <0 {DOORBELL:#x} 0 0x2000>; no-map; }}; }};
             mhu: mailbox@{DOORBELL:x} {{ compatible = \"arm,mhu-doorbell\", \"arm,mhu\";
                 reg = <0 {DOORBELL:#x} 0 0x1000>; #mbox-cells = <2>; }};
             scmi_page: shmem@{PAGE:x} {{ compatible = \"arm,scmi-shmem\";
                 reg = <0 {PAGE:#x} 0 0x1000>; }};
             firmware {{ scmi {{ compatible = \"arm,scmi\"; mboxes = <&mhu 0 0>; mbox-names = \"tx\";
                 shmem = <&scmi_page>; arm,max-rx-timeout-ms = <1000>; #address-cells = <1>; #size-cells = <0>;
                 scmi_clock: protocol@14 {{ reg = <0x14>; #clock-cells = <1>; }}; }}; }};
         }};
         &smmu {{ clocks = <&scmi_clock 3>; clock-names = \"smmu\"; }};"
    )
}

impl Firmware {
    /// Starts it on the machine whose RAM is `file`.
    pub fn start(file: &Path, mood: Mood) -> Result<Self> {
        let mut options = OpenOptions::new();
        let ram = options.read(true).write(true).open(file);
        let ram = ram.map_err(context(file.display()))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let mood = Arc::new(Mutex::new(mood));
        let current = mood.clone();
        let thread = thread::spawn(move || {
            let mut clock = 0;
            while !stopped.load(Ordering::Relaxed) {
                let mood = *current.lock().unwrap_or_else(PoisonError::into_inner);
                if answer(&ram, mood, &mut clock).is_err() {
                    break;
                }
                thread::sleep(Duration::from_millis(1));
            }
            clock
        });
        Ok(Self {
            stop,
            mood,
            thread: Some(thread),
        })
    }

    /// From now on it answers like this.
    pub fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// Ends it; how often the clock was set on or off.
    pub fn end(mut self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take();
        thread.map_or(0, |thread| thread.join().unwrap_or(0))
    }
}

impl Drop for Firmware {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Makes the channel usable, as firmware does first of all.
pub fn free_channel(file: &File) -> std::io::Result<()> {
    write(file, PAGE + STATUS, FREE)
}

fn read(ram: &File, address: u64) -> std::io::Result<u32> {
    let mut word = [0; 4];
    ram.read_exact_at(&mut word, address - RAM)?;
    Ok(u32::from_le_bytes(word))
}

fn write(ram: &File, address: u64, value: u32) -> std::io::Result<()> {
    ram.write_all_at(&value.to_le_bytes(), address - RAM)
}

/// Answers a message, if one waits.
fn answer(ram: &File, mood: Mood, clock: &mut u32) -> std::io::Result<()> {
    /// Status words (4.1.4).
    const SUCCESS: u32 = 0;
    const NOT_SUPPORTED: u32 = -1_i32 as u32;
    const HARDWARE_ERROR: u32 = -9_i32 as u32;
    /// `CLOCK_CONFIG_SET` of clock `n` (4.6.2.7): word 1 bit 0 is on.
    const CONFIG_SET: u32 = 7;
    if read(ram, DOORBELL + RING)? == 0 {
        return free_channel_once(ram);
    }
    write(ram, DOORBELL + RING, 0)?;
    let header = read(ram, PAGE + HEADER)?;
    let (message, protocol) = (header & 0xff, (header >> 10) & 0xff);
    let reply: &[u32] = match (mood, protocol, message) {
        (Mood::Refuses, ..) => &[NOT_SUPPORTED],
        (_, _, 0) => &[SUCCESS, 0x2_0000],
        (Mood::Fails, 0x14, CONFIG_SET) if read(ram, PAGE + PAYLOAD + 4)? & 1 != 0 => {
            &[HARDWARE_ERROR]
        }
        (_, 0x14, CONFIG_SET) => {
            *clock += 1;
            &[SUCCESS]
        }
        (_, 0x14, 3) => &[SUCCESS, 1, 0, 0, 0, 0],
        _ => &[NOT_SUPPORTED],
    };
    for (word, at) in reply.iter().zip((PAYLOAD..).step_by(4)) {
        write(ram, PAGE + at, *word)?;
    }
    write(ram, PAGE + LENGTH, 4 + 4 * reply.len() as u32)?;
    write(ram, PAGE + STATUS, FREE)
}

/// The channel is free when nobody has rung and nothing was ever written.
fn free_channel_once(ram: &File) -> std::io::Result<()> {
    if read(ram, PAGE + STATUS)? == 0 && read(ram, PAGE + HEADER)? == 0 {
        free_channel(ram)?;
    }
    Ok(())
}

//! Tests: a fake page, a recording switch.

mod golden;
mod hostile;
mod states;

use super::devices::{Devices, Switch};
use super::page::Page;
use super::server::serve;
use super::wire::Status;
use platform::mmio::Mmio;
use std::cell::{Cell, RefCell};

/// 4 KiB of shared memory that counts how often each word is read, and that a
/// hostile guest may change at each read.
struct FakePage {
    words: RefCell<Vec<u32>>,
    reads: RefCell<Vec<u32>>,
    /// Offsets in the order of writing.
    writes: RefCell<Vec<usize>>,
    /// Flipped into every word after it was read.
    race: Cell<u32>,
}

impl FakePage {
    fn new() -> Self {
        let page = Self {
            words: RefCell::new(vec![0xdead_beef; 1024]),
            reads: RefCell::new(vec![0; 1024]),
            writes: RefCell::default(),
            race: Cell::new(0),
        };
        Page::new(&page).init();
        page
    }
    fn word(&self, offset: usize) -> u32 {
        self.words.borrow()[offset / 4]
    }
    fn set(&self, offset: usize, value: u32) {
        self.words.borrow_mut()[offset / 4] = value;
    }
    /// Puts a message as Linux's `shmem_tx_prepare` does.
    fn send(&self, header: u32, args: &[u32]) {
        self.set(0x04, 0);
        self.set(0x10, 0);
        self.set(0x14, 4 + 4 * args.len() as u32);
        self.set(0x18, header);
        for (n, arg) in args.iter().enumerate() {
            self.set(0x1c + 4 * n, *arg);
        }
        self.reads.borrow_mut().fill(0);
        self.writes.borrow_mut().clear();
    }
    /// The reply as words, from the status on, as long as the length says.
    fn reply(&self) -> Vec<u32> {
        let length = self.word(0x14) as usize;
        assert!(
            length >= 8 && length.is_multiple_of(4) && length <= 132,
            "{length}"
        );
        self.words.borrow()[7..6 + length / 4].to_vec()
    }
}

impl Mmio for FakePage {
    fn read8(&self, _: usize) -> u8 {
        panic!("words only")
    }
    fn read16(&self, _: usize) -> u16 {
        panic!("words only")
    }
    fn read32(&self, offset: usize) -> u32 {
        self.reads.borrow_mut()[offset / 4] += 1;
        let value = self.word(offset);
        self.set(offset, value ^ self.race.get());
        value
    }
    fn read64(&self, _: usize) -> u64 {
        panic!("words only")
    }
    fn write8(&self, _: usize, _: u8) {
        panic!("words only")
    }
    fn write16(&self, _: usize, _: u16) {
        panic!("words only")
    }
    fn write32(&self, offset: usize, value: u32) {
        self.writes.borrow_mut().push(offset);
        self.set(offset, value);
    }
    fn write64(&self, _: usize, _: u64) {
        panic!("words only")
    }
}

/// What the power code was told.
#[derive(Default)]
struct Recorder {
    log: Vec<(u16, bool)>,
    fail: Option<Status>,
}

impl Switch for Recorder {
    fn wake(&mut self, device: u16) -> Result<(), Status> {
        if let Some(status) = self.fail {
            return Err(status);
        }
        self.log.push((device, true));
        Ok(())
    }
    fn sleep(&mut self, device: u16) {
        self.log.push((device, false));
    }
}

/// A VM's page, devices and switch.
struct Vm {
    page: FakePage,
    devices: Devices,
    switch: Recorder,
}

impl Vm {
    fn new() -> Self {
        let names = ["uart", "i2c-controller-0", "dma"];
        Self {
            page: FakePage::new(),
            devices: Devices::new(names, 100_000_000),
            switch: Recorder::default(),
        }
    }
    fn ring(&mut self) {
        serve(
            &Page::new(&self.page),
            &mut self.devices.with(&mut self.switch),
        );
    }
    /// Sends and returns status and results.
    fn call(&mut self, header: u32, args: &[u32]) -> Vec<u32> {
        self.page.send(header, args);
        self.ring();
        assert_eq!(self.page.word(0x04), 1, "channel free, no error");
        assert_eq!(self.page.word(0x18), header, "header untouched");
        self.page.reply()
    }
    fn status(&mut self, header: u32, args: &[u32]) -> i32 {
        let reply = self.call(header, args);
        if reply[0] != 0 {
            assert_eq!(reply.len(), 1, "an error carries nothing else");
        }
        reply[0] as i32
    }
}

/// Header of a command: token 27:18, protocol 17:10, id 7:0.
fn header(protocol: u32, id: u32) -> u32 {
    (0x155 << 18) | (protocol << 10) | id
}

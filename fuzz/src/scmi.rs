//! SCMI messages.

use super::input::Input;
use hypervisor::scmi::{Devices, Page, Status, Switch, serve};
use platform::mmio::Mmio;
use std::cell::RefCell;

/// A page of registers.
struct Shared(RefCell<Vec<u8>>);

impl Shared {
    fn get<const N: usize>(&self, offset: usize) -> [u8; N] {
        let bytes = self.0.borrow();
        bytes[offset..offset + N]
            .try_into()
            .expect("inside the page")
    }

    fn set(&self, offset: usize, value: &[u8]) {
        self.0.borrow_mut()[offset..offset + value.len()].copy_from_slice(value);
    }
}

impl Mmio for Shared {
    fn read8(&self, offset: usize) -> u8 {
        u8::from_le_bytes(self.get(offset))
    }
    fn read16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.get(offset))
    }
    fn read32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.get(offset))
    }
    fn read64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.get(offset))
    }
    fn write8(&self, offset: usize, value: u8) {
        self.set(offset, &value.to_le_bytes());
    }
    fn write16(&self, offset: usize, value: u16) {
        self.set(offset, &value.to_le_bytes());
    }
    fn write32(&self, offset: usize, value: u32) {
        self.set(offset, &value.to_le_bytes());
    }
    fn write64(&self, offset: usize, value: u64) {
        self.set(offset, &value.to_le_bytes());
    }
}

struct Supplier {
    fails: bool,
}

impl Switch for Supplier {
    fn wake(&mut self, device: u16) -> Result<(), Status> {
        assert!(device < 2);
        if self.fails {
            Err(Status::HardwareError)
        } else {
            Ok(())
        }
    }

    fn sleep(&mut self, device: u16) {
        assert!(device < 2);
    }
}

/// Messages one after the other: status, length, header, arguments.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let shared = Shared(RefCell::new(vec![0; 4096]));
    let page = Page::new(&shared);
    page.init();
    let mut devices = Devices::new(["nic", "a disk with a rather long name"], 1_000_000);
    let mut supplier = Supplier {
        fails: input.byte() & 1 != 0,
    };
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        let [busy, length, protocol, id] = input.bytes();
        shared.write32(4, u32::from(busy == 0xff));
        let length = if length == 0xff {
            input.word()
        } else {
            u32::from(length)
        };
        shared.write32(0x14, length);
        let protocol = 0x10 + u32::from(protocol % 6);
        shared.write32(0x18, protocol << 10 | u32::from(id));
        for offset in (0x1c..0x2c).step_by(4) {
            shared.write32(offset, u32::from(input.byte()));
        }
        serve(&page, &mut devices.with(&mut supplier));
        assert_eq!(shared.read32(4) & 1, 1, "the channel is free again");
        assert!(shared.read32(0x14) <= 0x84 || busy == 0xff);
    }
}

//! Accesses to a virtual PCI host bridge.

use super::input::Input;
use hypervisor::pci::{
    BarMapping, ConfigSpace, Delay, Effects, HostConfig, HostWindow, HostWindows, MapDenied,
    MsiPolicy, PowerDenied, Rid, VirtualHost, Width, bring_up,
};
use std::cell::RefCell;

const WINDOW: u64 = 0x1000_0000;
const WINDOW_SIZE: u64 = 0x10_0000;

/// Functions 0:1.0 and 0:2.0: an endpoint with two BARs and PM, MSI-X and PCIe capabilities.
struct Bus(RefCell<[Vec<u8>; 2]>);

impl Bus {
    fn new() -> Self {
        let mut config = vec![0u8; 4096];
        config[..4].copy_from_slice(&[0x86, 0x80, 0xd3, 0x10]);
        config[6] = 0x10;
        config[0x0b] = 2;
        config[0x34] = 0x40;
        config[0x3d] = 1;
        config[0x40..0x44].copy_from_slice(&[0x01, 0x60, 0x03, 0x00]);
        config[0x60..0x6c].copy_from_slice(&[0x11, 0x80, 0x04, 0, 1, 0, 0, 0, 1, 8, 0, 0]);
        config[0x80..0x88].copy_from_slice(&[0x10, 0, 2, 0, 0, 0, 0, 0x10]);
        Self(RefCell::new([config.clone(), config]))
    }

    fn index(rid: Rid) -> Option<usize> {
        match rid.0 {
            0x8 => Some(0),
            0x10 => Some(1),
            _ => None,
        }
    }
}

impl ConfigSpace for Bus {
    fn read(&self, rid: Rid, offset: u16, width: Width) -> u32 {
        let Some(index) = Self::index(rid) else {
            return width.ones();
        };
        let at = usize::from(offset & 0xffc);
        let word = &self.0.borrow()[index][at..at + 4];
        let word = u32::from_le_bytes(word.try_into().expect("four bytes"));
        word >> ((offset & 3) * 8) & width.ones()
    }

    fn write(&self, rid: Rid, offset: u16, width: Width, value: u32) {
        let Some(index) = Self::index(rid) else {
            return;
        };
        let bytes = match offset {
            // Two BARs of 16 KiB; the others do not exist.
            0x10 | 0x14 => (value & 0xffff_c000).to_le_bytes(),
            0x18..=0x27 | 0x30..=0x33 => [0; 4],
            _ => value.to_le_bytes(),
        };
        let writable = matches!(offset, 0x04..=0x05 | 0x10..=0x27 | 0x30..=0x33 | 0x3c | 0x44..=0x45
            | 0x62..=0x63 | 0x88..=0x89);
        let len = usize::from(width.bytes());
        if writable {
            let at = usize::from(offset);
            self.0.borrow_mut()[index][at..at + len].copy_from_slice(&bytes[..len]);
        }
    }
}

impl Delay for Bus {
    fn delay_us(&self, _: u32) {}
}

/// What the rest of the hypervisor would do, checked.
#[derive(Default)]
struct Checks {
    mapped: Vec<BarMapping>,
    no_power: bool,
    no_map: bool,
}

impl Delay for Checks {
    fn delay_us(&self, _: u32) {}
}

impl Effects for Checks {
    fn become_active(&mut self, _: Rid) -> Result<(), PowerDenied> {
        if self.no_power {
            Err(PowerDenied)
        } else {
            Ok(())
        }
    }

    fn become_idle(&mut self, _: Rid) {}

    fn map_bar(&mut self, bar: BarMapping) -> Result<(), MapDenied> {
        let end = bar.ipa.checked_add(bar.size).expect("no wrap");
        assert!(bar.ipa >= WINDOW && end <= WINDOW + WINDOW_SIZE, "{bar:x?}");
        for other in &self.mapped {
            let apart = other.ipa + other.size <= bar.ipa || end <= other.ipa;
            assert!(apart, "{bar:x?} over {other:x?}");
        }
        if self.no_map {
            return Err(MapDenied);
        }
        self.mapped.push(bar);
        Ok(())
    }

    fn unmap_bar(&mut self, bar: BarMapping) {
        let at = self.mapped.iter().position(|other| *other == bar);
        self.mapped.remove(at.expect("only what is mapped"));
    }
}

/// Accesses one after the other: flags, offset, value.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let bus = Bus::new();
    let low = HostWindow {
        bus: WINDOW,
        pa: WINDOW,
        size: WINDOW_SIZE,
    };
    let windows = HostWindows { low, high: None };
    let topology = bring_up(&bus, (0, 0), &windows, 4096).expect("a bus");
    let config = HostConfig {
        window_ipa: WINDOW,
        window_size: WINDOW_SIZE,
        page: 4096,
        first_spi: 3,
        msi: MsiPolicy::V2m {
            frame_ipa: 0x0802_0000,
            first_spi: 64,
            count: 32,
        },
    };
    let rids = [Rid(0x8), Rid(0x10)];
    let pins = |slot, _| Some(3 + u32::from(slot % 4u8));
    let mut host = VirtualHost::new(&bus, config, &topology, &rids, pins).expect("two endpoints");
    let mut checks = Checks::default();
    let _ = host.reset(&bus, &topology, &mut checks);
    for _ in 0..256 {
        if input.is_empty() {
            break;
        }
        let [flags, rid] = input.bytes();
        let [low, high] = input.bytes();
        let rid = if rid & 1 == 0 { 0x8 } else { u64::from(rid) };
        let offset = u64::from(low) | u64::from(high & 0xf) << 8;
        let offset = rid << 12
            | if flags & 1 == 0 {
                offset & 0xff
            } else {
                offset
            };
        let bytes = 1 << (flags >> 1 & 3);
        checks.no_power = flags & 0xe0 == 0xe0;
        checks.no_map = flags & 0xe0 == 0xc0;
        if flags & 0x10 == 0 {
            let value = u64::from(input.word());
            let _ = host.store(&bus, offset, bytes, value, &mut checks);
        }
        let _ = host.load(&bus, offset, bytes);
    }
}

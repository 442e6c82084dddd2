//! The register file of the MMIO transport (virtio 1.2, section 4.2.2).

use super::queue::{QUEUE_MAX, Queue};
use super::spec::{
    Config, DEVICE_ID_IOMMU, MAGIC_VALUE, VENDOR_ID_VALUE, feature, register, status,
};
use zerocopy::IntoBytes;

/// Queues: requests and events (5.13.2).
pub const QUEUES: usize = 2;
pub const REQUESTS: usize = 0;
pub const EVENTS: usize = 1;

/// What the guest has written.
#[derive(Debug, Default)]
pub struct Registers {
    device_features_sel: u32,
    driver_features_sel: u32,
    pub driver_features: u64,
    queue_sel: u32,
    pub queues: [Queue; QUEUES],
    pub interrupt_status: u32,
    pub status: u32,
}

/// What a write asks the device to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing more.
    None,
    /// The driver reset the device.
    Reset,
    /// There are new buffers in this queue.
    Notify(u32),
}

const fn low(old: u64, value: u32) -> u64 {
    old & 0xffff_ffff_0000_0000 | value as u64
}

const fn high(old: u64, value: u32) -> u64 {
    old & 0xffff_ffff | (value as u64) << 32
}

const fn half(value: u64, select: u32) -> u32 {
    match select {
        0 => value as u32,
        1 => (value >> 32) as u32,
        _ => 0,
    }
}

impl Registers {
    fn queue(&self) -> Option<&Queue> {
        self.queues.get(self.queue_sel as usize)
    }

    /// The selected queue, while the driver may change it (4.2.2.2).
    fn open_queue(&mut self) -> Option<&mut Queue> {
        self.queues
            .get_mut(self.queue_sel as usize)
            .filter(|queue| !queue.ready)
    }

    /// Whether the driver has finished its set-up and the device is in order.
    pub const fn running(&self) -> bool {
        self.status & (status::DRIVER_OK | status::NEEDS_RESET) == status::DRIVER_OK
    }

    /// A 32-bit read below the configuration.
    pub fn read(&self, offset: u64) -> u32 {
        match offset {
            register::MAGIC => MAGIC_VALUE,
            register::VERSION => 2,
            register::DEVICE_ID => DEVICE_ID_IOMMU,
            register::VENDOR_ID => VENDOR_ID_VALUE,
            register::DEVICE_FEATURES => half(feature::OFFERED, self.device_features_sel),
            register::QUEUE_NUM_MAX => self.queue().map_or(0, |_| u32::from(QUEUE_MAX)),
            register::QUEUE_READY => self.queue().map_or(0, |queue| u32::from(queue.ready)),
            register::INTERRUPT_STATUS => self.interrupt_status,
            register::STATUS => self.status,
            // No shared memory: length and base are all ones (4.2.2).
            register::SHM_LEN_LOW..=register::SHM_BASE_HIGH => u32::MAX,
            register::CONFIG_GENERATION => 0,
            _ => 0,
        }
    }

    /// A 32-bit write below the configuration.
    pub fn write(&mut self, offset: u64, value: u32) -> Action {
        match offset {
            register::DEVICE_FEATURES_SEL => self.device_features_sel = value,
            register::DRIVER_FEATURES_SEL => self.driver_features_sel = value,
            register::DRIVER_FEATURES => self.write_features(value),
            register::QUEUE_SEL => self.queue_sel = value,
            register::QUEUE_NOTIFY => return Action::Notify(value),
            register::INTERRUPT_ACK => self.interrupt_status &= !value,
            register::STATUS => return self.write_status(value),
            register::QUEUE_READY => self.write_ready(value),
            _ => self.write_queue(offset, value),
        }
        Action::None
    }

    fn write_features(&mut self, value: u32) {
        if self.status & status::FEATURES_OK != 0 {
            return;
        }
        match self.driver_features_sel {
            0 => self.driver_features = low(self.driver_features, value),
            1 => self.driver_features = high(self.driver_features, value),
            _ => {}
        }
    }

    fn write_status(&mut self, value: u32) -> Action {
        if value == 0 {
            *self = Self::default();
            return Action::Reset;
        }
        let mut value = value & status::DRIVER_BITS | self.status;
        let sane = self.driver_features & !feature::OFFERED == 0
            && self.driver_features & feature::VERSION_1 != 0;
        if !sane {
            // The driver reads back that we do not agree (3.1.1).
            value &= !status::FEATURES_OK;
        }
        if value & status::FEATURES_OK == 0 {
            value &= !status::DRIVER_OK;
        }
        self.status = value;
        Action::None
    }

    fn write_ready(&mut self, value: u32) {
        let Some(queue) = self.queues.get_mut(self.queue_sel as usize) else {
            return;
        };
        if value & 1 == 0 {
            *queue = Queue::default();
        } else if !queue.ready {
            queue.ready = queue.usable();
        }
    }

    fn write_queue(&mut self, offset: u64, value: u32) {
        let Some(queue) = self.open_queue() else {
            return;
        };
        match offset {
            register::QUEUE_NUM => queue.num = u16::try_from(value).unwrap_or(0),
            register::QUEUE_DESC_LOW => queue.desc = low(queue.desc, value),
            register::QUEUE_DESC_HIGH => queue.desc = high(queue.desc, value),
            register::QUEUE_DRIVER_LOW => queue.avail = low(queue.avail, value),
            register::QUEUE_DRIVER_HIGH => queue.avail = high(queue.avail, value),
            register::QUEUE_DEVICE_LOW => queue.used = low(queue.used, value),
            register::QUEUE_DEVICE_HIGH => queue.used = high(queue.used, value),
            _ => {}
        }
    }
}

/// `size` bytes (1, 2, 4 or 8) of the configuration at `offset`; zero beyond its end.
pub fn read_config(config: &Config, offset: u64, size: u8) -> u64 {
    let bytes = config.as_bytes();
    let mut value = [0u8; 8];
    for (index, byte) in value.iter_mut().enumerate().take(usize::from(size)) {
        let at = usize::try_from(offset)
            .ok()
            .and_then(|at| at.checked_add(index));
        *byte = at.and_then(|at| bytes.get(at)).copied().unwrap_or(0);
    }
    u64::from_le_bytes(value)
}

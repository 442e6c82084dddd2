//! Numbers and layouts of the virtio specification.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Registers, as offsets (4.2.2).
pub mod register {
    pub const MAGIC: u64 = 0x000;
    pub const VERSION: u64 = 0x004;
    pub const DEVICE_ID: u64 = 0x008;
    pub const VENDOR_ID: u64 = 0x00c;
    pub const DEVICE_FEATURES: u64 = 0x010;
    pub const DEVICE_FEATURES_SEL: u64 = 0x014;
    pub const DRIVER_FEATURES: u64 = 0x020;
    pub const DRIVER_FEATURES_SEL: u64 = 0x024;
    pub const QUEUE_SEL: u64 = 0x030;
    pub const QUEUE_NUM_MAX: u64 = 0x034;
    pub const QUEUE_NUM: u64 = 0x038;
    pub const QUEUE_READY: u64 = 0x044;
    pub const QUEUE_NOTIFY: u64 = 0x050;
    pub const INTERRUPT_STATUS: u64 = 0x060;
    pub const INTERRUPT_ACK: u64 = 0x064;
    pub const STATUS: u64 = 0x070;
    pub const QUEUE_DESC_LOW: u64 = 0x080;
    pub const QUEUE_DESC_HIGH: u64 = 0x084;
    pub const QUEUE_DRIVER_LOW: u64 = 0x090;
    pub const QUEUE_DRIVER_HIGH: u64 = 0x094;
    pub const QUEUE_DEVICE_LOW: u64 = 0x0a0;
    pub const QUEUE_DEVICE_HIGH: u64 = 0x0a4;
    pub const SHM_LEN_LOW: u64 = 0x0b0;
    pub const SHM_BASE_HIGH: u64 = 0x0bc;
    pub const CONFIG_GENERATION: u64 = 0x0fc;
    pub const CONFIG: u64 = 0x100;
}

/// "virt".
pub const MAGIC_VALUE: u32 = 0x7472_6976;
/// IOMMU device (5.13.1).
pub const DEVICE_ID_IOMMU: u32 = 23;
/// "sgat": of no meaning.
pub const VENDOR_ID_VALUE: u32 = 0x7461_6773;

/// Device status bits (2.1).
pub mod status {
    pub const FEATURES_OK: u32 = 8;
    pub const DRIVER_OK: u32 = 4;
    pub const NEEDS_RESET: u32 = 64;
    pub const DRIVER_BITS: u32 = 1 | 2 | DRIVER_OK | FEATURES_OK | 128;
}

/// Feature bits (5.13.3 and 6).
pub mod feature {
    pub const INPUT_RANGE: u64 = 1 << 0;
    pub const DOMAIN_RANGE: u64 = 1 << 1;
    pub const MAP_UNMAP: u64 = 1 << 2;
    pub const PROBE: u64 = 1 << 4;
    pub const MMIO: u64 = 1 << 5;
    pub const BYPASS_CONFIG: u64 = 1 << 6;
    pub const VERSION_1: u64 = 1 << 32;
    pub const OFFERED: u64 =
        INPUT_RANGE | DOMAIN_RANGE | MAP_UNMAP | PROBE | MMIO | BYPASS_CONFIG | VERSION_1;
}

/// Interrupt status: a used buffer (4.2.2).
pub const INTERRUPT_USED: u32 = 1;
/// Interrupt status: the configuration or the status changed.
pub const INTERRUPT_CONFIG: u32 = 2;

/// Offset of `bypass` in the configuration (5.13.4).
pub const CONFIG_BYPASS: u64 = 36;
/// Bytes of the configuration.
pub const CONFIG_SIZE: usize = 40;

/// Descriptor flags (2.7.5).
pub const DESC_NEXT: u16 = 1;
pub const DESC_WRITE: u16 = 2;
pub const DESC_INDIRECT: u16 = 4;
/// Available ring flag: no interrupt wanted (2.7.6).
pub const AVAIL_NO_INTERRUPT: u16 = 1;

#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Descriptor {
    pub addr: u64,
    pub len: u32,
    pub flags: u16,
    pub next: u16,
}

/// The configuration space (5.13.4).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Config {
    pub page_size_mask: u64,
    pub input_start: u64,
    pub input_end: u64,
    pub domain_start: u32,
    pub domain_end: u32,
    pub probe_size: u32,
    pub bypass: u8,
    pub reserved: [u8; 3],
}

/// Request types (5.13.6).
pub mod request {
    pub const ATTACH: u8 = 1;
    pub const DETACH: u8 = 2;
    pub const MAP: u8 = 3;
    pub const UNMAP: u8 = 4;
    pub const PROBE: u8 = 5;
}

/// Bytes of the longest request, as far as the device reads it (PROBE).
pub const REQUEST_MAX: usize = 72;

/// Request status (5.13.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RequestStatus {
    Ok = 0,
    IoError = 1,
    Unsupported = 2,
    DeviceError = 3,
    Invalid = 4,
    Range = 5,
    NoEntry = 6,
    Fault = 7,
    NoMemory = 8,
}

pub const ATTACH_BYPASS: u32 = 1;
pub const MAP_READ: u32 = 1;
pub const MAP_WRITE: u32 = 2;
pub const MAP_MMIO: u32 = 4;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Attach {
    pub head: [u8; 4],
    pub domain: u32,
    pub endpoint: u32,
    pub flags: u32,
    pub reserved: [u8; 4],
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Detach {
    pub head: [u8; 4],
    pub domain: u32,
    pub endpoint: u32,
    pub reserved: [u8; 8],
}

/// Its 64-bit fields are naturally aligned, the whole is 36 bytes.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, packed(4))]
pub struct Map {
    pub head: [u8; 4],
    pub domain: u32,
    pub virt_start: u64,
    pub virt_end: u64,
    pub phys_start: u64,
    pub flags: u32,
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, packed(4))]
pub struct Unmap {
    pub head: [u8; 4],
    pub domain: u32,
    pub virt_start: u64,
    pub virt_end: u64,
    pub reserved: [u8; 4],
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Probe {
    pub head: [u8; 4],
    pub endpoint: u32,
    pub reserved: [u8; 64],
}

/// Property RESV_MEM (5.13.6.7.1).
pub const PROPERTY_RESV_MEM: u16 = 1;
/// Subtype: MSI doorbells.
pub const RESV_MEM_MSI: u8 = 1;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, packed(4))]
pub struct ResvMem {
    pub kind: u16,
    pub length: u16,
    pub subtype: u8,
    pub reserved: [u8; 3],
    pub start: u64,
    pub end: u64,
}

/// Bytes of properties that PROBE answers with; properties that are not there are zero.
pub const PROBE_SIZE: usize = 64;

/// A fault event (5.13.6.9).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Fault {
    pub reason: u8,
    pub reserved: [u8; 3],
    pub flags: u32,
    pub endpoint: u32,
    pub reserved2: u32,
    pub address: u64,
}

const _: () = {
    assert!(size_of::<Config>() == CONFIG_SIZE);
    assert!(size_of::<Descriptor>() == 16);
    assert!(size_of::<Attach>() == 20 && size_of::<Detach>() == 20);
    assert!(size_of::<Map>() == 36 && size_of::<Unmap>() == 28);
    assert!(size_of::<Probe>() == REQUEST_MAX);
    assert!(size_of::<ResvMem>() == 24 && size_of::<Fault>() == 24);
};

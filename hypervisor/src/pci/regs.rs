//! Numbers of PCI configuration space (PCIe base 5.0, chapter 7; PCI-to-PCI
//! bridge 1.2, 3.2; PCI power management 1.2, 3.2).

/// Vendor id; all ones where there is no function.
pub const VENDOR: u16 = 0x00;
/// Device id.
pub const DEVICE: u16 = 0x02;
/// Command.
pub const COMMAND: u16 = 0x04;
/// Status.
pub const STATUS: u16 = 0x06;
/// Revision and class code.
pub const REVISION: u16 = 0x08;
/// Cache line size, latency timer, header type, BIST.
pub const CACHE_LINE: u16 = 0x0c;
/// Header type: 6:0 layout, 7 multi-function.
pub const HEADER_TYPE: u16 = 0x0e;
/// First base address register.
pub const BAR0: u16 = 0x10;
/// Last base address register of a type 0 header.
pub const BAR5: u16 = 0x24;
/// Subsystem ids.
pub const SUBSYSTEM: u16 = 0x2c;
/// Expansion ROM base address, type 0 header.
pub const ROM: u16 = 0x30;
/// Expansion ROM base address, type 1 header.
pub const BRIDGE_ROM: u16 = 0x38;
/// First capability.
pub const CAPABILITIES: u16 = 0x34;
/// Interrupt line.
pub const INTERRUPT_LINE: u16 = 0x3c;
/// Interrupt pin: 0 none, 1–4 INTA–INTD.
pub const INTERRUPT_PIN: u16 = 0x3d;

/// Command register bits.
pub mod command {
    /// Memory space enable.
    pub const MEMORY: u16 = 1 << 1;
    /// Bus master enable.
    pub const BUS_MASTER: u16 = 1 << 2;
    /// INTx disable.
    pub const INTX_DISABLE: u16 = 1 << 10;
}

/// Status register bits.
pub mod status {
    /// There is a capability list.
    pub const CAPABILITIES: u16 = 1 << 4;
    /// Error bits, cleared by writing one.
    pub const W1C: u16 = 0xf900;
}

/// Memory BAR bits.
pub mod bar {
    /// I/O space.
    pub const IO: u32 = 1;
    /// Type field 2:1 = 2: 64-bit.
    pub const TYPE: u32 = 0b110;
    /// 64-bit BAR.
    pub const TYPE_64: u32 = 0b100;
    /// Prefetchable.
    pub const PREFETCH: u32 = 0b1000;
    /// Flag bits.
    pub const FLAGS: u32 = 0xf;
}

/// Type 1 header.
pub mod bridge {
    /// Primary, secondary and subordinate bus number, latency timer.
    pub const BUSES: u16 = 0x18;
    /// I/O base and limit.
    pub const IO: u16 = 0x1c;
    /// Memory base and limit, 1 MiB units in 15:4 and 31:20.
    pub const MEMORY: u16 = 0x20;
    /// Prefetchable memory base and limit.
    pub const PREFETCH: u16 = 0x24;
    /// Upper half of the prefetchable base.
    pub const PREFETCH_BASE_HIGH: u16 = 0x28;
    /// Upper half of the prefetchable limit.
    pub const PREFETCH_LIMIT_HIGH: u16 = 0x2c;
    /// Upper halves of I/O base and limit.
    pub const IO_HIGH: u16 = 0x30;
    /// Bridge control.
    pub const CONTROL: u16 = 0x3e;
    /// Bridge control: secondary bus reset.
    pub const CONTROL_RESET: u16 = 1 << 6;
    /// Low nibble of the prefetchable base: 64-bit addressing.
    pub const PREFETCH_64: u32 = 1;
    /// A window whose base lies above its limit: closed.
    pub const CLOSED: u32 = 0x0000_fff0;
    /// The same for 8-bit I/O base and limit.
    pub const IO_CLOSED: u16 = 0x00f0;
    /// Granule of the memory windows.
    pub const GRANULE: u64 = 1 << 20;
}

/// Capability ids.
pub mod cap {
    /// Power management.
    pub const PM: u8 = 0x01;
    /// Message signalled interrupts.
    pub const MSI: u8 = 0x05;
    /// Vendor specific.
    pub const VENDOR: u8 = 0x09;
    /// PCI Express.
    pub const PCIE: u8 = 0x10;
    /// MSI-X.
    pub const MSIX: u8 = 0x11;
    /// Advanced features (conventional PCI's function reset).
    pub const AF: u8 = 0x13;
}

/// Power management capability.
pub mod pm {
    /// D1 supported.
    pub const PMC_D1: u16 = 1 << 9;
    /// D2 supported.
    pub const PMC_D2: u16 = 1 << 10;
    /// States that can raise PME.
    pub const PMC_PME: u16 = 0xf800;
    /// Control and status register.
    pub const PMCSR: u16 = 4;
    /// D-state.
    pub const STATE: u16 = 3;
    /// D3hot.
    pub const D3HOT: u16 = 3;
    /// D3hot to D0 keeps the function's context.
    pub const NO_SOFT_RESET: u16 = 1 << 3;
    /// Wait after leaving or entering D3hot, microseconds (5.6.1).
    pub const D3HOT_DELAY_US: u32 = 10_000;
    /// Wait after leaving D2.
    pub const D2_DELAY_US: u32 = 200;
}

/// MSI and MSI-X capabilities.
pub mod msi {
    /// Message control.
    pub const CONTROL: u16 = 2;
    /// MSI: enable, and how many messages.
    pub const MSI_WRITABLE: u16 = 0x0071;
    /// MSI: 64-bit address.
    pub const ADDRESS_64: u16 = 1 << 7;
    /// MSI: mask and pending registers.
    pub const PER_VECTOR_MASK: u16 = 1 << 8;
    /// MSI-X: enable and function mask.
    pub const MSIX_WRITABLE: u16 = 0xc000;
}

/// PCI Express capability.
pub mod pcie {
    /// Capabilities register: version 3:0, port type 7:4, slot 8.
    pub const FLAGS: u16 = 2;
    /// Device capabilities.
    pub const DEVCAP: u16 = 4;
    /// Phantom functions: DMA under other functions' numbers.
    pub const DEVCAP_PHANTOM: u32 = 0x18;
    /// Function-level reset.
    pub const DEVCAP_FLR: u32 = 1 << 28;
    /// Device control.
    pub const DEVCTL: u16 = 8;
    /// Initiate function-level reset.
    pub const DEVCTL_FLR: u16 = 1 << 15;
    /// Maximum read request size and relaxed ordering.
    pub const DEVCTL_WRITABLE: u16 = 0x7010;
    /// Maximum payload size: must agree along the path, so it is the host's.
    pub const DEVCTL_PAYLOAD: u16 = 0xe0;
    /// Device status.
    pub const DEVSTA: u16 = 10;
    /// Error bits, cleared by writing one.
    pub const DEVSTA_W1C: u16 = 0xf;
    /// Transactions pending.
    pub const DEVSTA_PENDING: u16 = 1 << 5;
    /// Device capabilities 2.
    pub const DEVCAP2: u16 = 0x24;
    /// Device control 2.
    pub const DEVCTL2: u16 = 0x28;
    /// Completion timeout value, which drivers shorten for their own sake.
    pub const DEVCTL2_WRITABLE: u16 = 0xf;
    /// Port type: endpoint.
    pub const ENDPOINT: u8 = 0;
    /// Port type: root port.
    pub const ROOT_PORT: u8 = 4;
    /// Port type: downstream port of a switch.
    pub const DOWNSTREAM: u8 = 6;
    /// Port type: PCI Express to PCI bridge.
    pub const TO_PCI: u8 = 7;
    /// Port type: endpoint inside the root complex.
    pub const RC_ENDPOINT: u8 = 9;
}

/// Advanced features capability.
pub mod af {
    /// Capabilities.
    pub const CAP: u16 = 3;
    /// Transactions-pending and function-level reset supported.
    pub const CAP_FLR: u8 = 0b11;
    /// Control: initiate function-level reset.
    pub const CONTROL: u16 = 4;
    /// Status: transactions pending.
    pub const STATUS: u16 = 5;
}

/// Extended capabilities.
pub mod ext {
    /// First extended capability.
    pub const START: u16 = 0x100;
    /// Access control services.
    pub const ACS: u16 = 0x000d;
    /// ACS capability register.
    pub const ACS_CAP: u16 = 4;
    /// ACS control register.
    pub const ACS_CTL: u16 = 6;
    /// Source validation, request and completion redirect, upstream forwarding:
    /// every transaction goes up to the SMMU.
    pub const ACS_ISOLATE: u16 = 0b1_1101;
}

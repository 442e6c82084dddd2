//! Register offsets and fields (IHI 0070, chapter 6).

/// Identification, IHI 0070 6.3.1 to 6.3.6.
pub const IDR0: usize = 0x00;
/// 6.3.2
pub const IDR1: usize = 0x04;
/// 6.3.3
pub const IDR2: usize = 0x08;
/// 6.3.4
pub const IDR3: usize = 0x0c;
/// 6.3.5
pub const IDR4: usize = 0x10;
/// 6.3.6
pub const IDR5: usize = 0x14;
/// Implementer, product and revision (6.3.7).
pub const IIDR: usize = 0x18;
/// Architecture version (6.3.8).
pub const AIDR: usize = 0x1c;
/// Global enables (6.3.9).
pub const CR0: usize = 0x20;
/// What of `CR0` is in force (6.3.10).
pub const CR0ACK: usize = 0x24;
/// Attributes of table and queue accesses (6.3.11).
pub const CR1: usize = 0x28;
/// 6.3.12
pub const CR2: usize = 0x2c;
/// What happens while `CR0.SMMUEN` is 0 (6.3.14).
pub const GBPA: usize = 0x44;
/// Interrupt enables (6.3.16).
pub const IRQ_CTRL: usize = 0x50;
/// 6.3.17
pub const IRQ_CTRLACK: usize = 0x54;
/// Global errors; active where it differs from `GERRORN` (6.3.18).
pub const GERROR: usize = 0x60;
/// 6.3.19
pub const GERRORN: usize = 0x64;
/// MSI address (64 bits), data and attributes for global errors (6.3.20).
pub const GERROR_IRQ_CFG0: usize = 0x68;
/// 6.3.21
pub const GERROR_IRQ_CFG1: usize = 0x70;
/// 6.3.22
pub const GERROR_IRQ_CFG2: usize = 0x74;
/// Stream table base (64 bits, 6.3.23).
pub const STRTAB_BASE: usize = 0x80;
/// 6.3.24
pub const STRTAB_BASE_CFG: usize = 0x88;
/// Command queue base (64 bits, 6.3.25).
pub const CMDQ_BASE: usize = 0x90;
/// 6.3.26
pub const CMDQ_PROD: usize = 0x98;
/// 6.3.27
pub const CMDQ_CONS: usize = 0x9c;
/// Event queue base (64 bits, 6.3.28).
pub const EVENTQ_BASE: usize = 0xa0;
/// On page 1 (6.3.29).
pub const EVENTQ_PROD: usize = 0x1_00a8;
/// On page 1 (6.3.30).
pub const EVENTQ_CONS: usize = 0x1_00ac;
/// MSI address (64 bits), data and attributes for events (6.3.31).
pub const EVENTQ_IRQ_CFG0: usize = 0xb0;
/// 6.3.32
pub const EVENTQ_IRQ_CFG1: usize = 0xb8;
/// 6.3.33
pub const EVENTQ_IRQ_CFG2: usize = 0xbc;

/// Fields of `CR0` and `CR0ACK`.
pub mod cr0 {
    /// Translation is on; off, `GBPA` rules.
    pub const SMMUEN: u32 = 1 << 0;
    /// Events are written.
    pub const EVENTQEN: u32 = 1 << 2;
    /// Commands are consumed.
    pub const CMDQEN: u32 = 1 << 3;
}

/// Fields of `CR1`: write-back, inner shareable for tables and queues.
pub mod cr1 {
    /// SH = inner (0b11), OC and IC = write-back (0b01), for both halves.
    pub const COHERENT: u32 = 0b11_01_01_11_01_01;
    /// Non-cacheable, outer shareable as the architecture then treats it.
    pub const NON_COHERENT: u32 = 0;
}

/// Fields of `CR2`.
pub mod cr2 {
    /// Record C_BAD_STREAMID for streams out of range.
    pub const RECINVSID: u32 = 1 << 1;
    /// Take no part in broadcast TLB maintenance.
    pub const PTM: u32 = 1 << 2;
}

/// Fields of `GBPA`.
pub mod gbpa {
    /// Every transaction aborts.
    pub const ABORT: u32 = 1 << 20;
    /// Set by software with a write, cleared when it is in force.
    pub const UPDATE: u32 = 1 << 31;
}

/// Fields of `IRQ_CTRL`.
pub mod irq_ctrl {
    /// Global errors interrupt.
    pub const GERROR: u32 = 1 << 0;
    /// Events interrupt.
    pub const EVENTQ: u32 = 1 << 2;
}

/// Fields of `GERROR` and `GERRORN`.
pub mod gerror {
    /// The command queue stopped on an error.
    pub const CMDQ: u32 = 1 << 0;
    /// An event could not be written.
    pub const EVENTQ_ABT: u32 = 1 << 2;
    /// A message for the event queue was aborted.
    pub const MSI_EVENTQ_ABT: u32 = 1 << 5;
    /// A message for a global error was aborted.
    pub const MSI_GERROR_ABT: u32 = 1 << 7;
    /// The SMMU is in service failure mode.
    pub const SFM: u32 = 1 << 8;
    /// Every error that this driver knows (MSI aborts are bits 4 to 7).
    pub const ALL: u32 = 0x1fd;
}

/// Fields of `CMDQ_CONS`.
pub mod cmdq_cons {
    /// Reason of a command error, bits 30:24.
    pub const fn err(value: u32) -> u8 {
        (value >> 24) as u8 & 0x7f
    }
    /// The command was illegal.
    pub const CERROR_ILL: u8 = 1;
    /// The command could not be fetched.
    pub const CERROR_ABT: u8 = 2;
}

/// Overflow flag in `EVENTQ_PROD`, and its acknowledgement in `EVENTQ_CONS`.
pub const EVENTQ_OVERFLOW: u32 = 1 << 31;

/// `STRTAB_BASE_CFG`: `log2` StreamID bits, two levels split at `split`.
pub const fn strtab_cfg(log2: u8, split: Option<u8>) -> u32 {
    match split {
        None => log2 as u32,
        Some(split) => 1 << 16 | (split as u32) << 6 | log2 as u32,
    }
}

/// Read-allocate (tables, command queue) or write-allocate (event queue) hint
/// in the 64-bit base registers.
pub const BASE_ALLOCATE: u64 = 1 << 62;

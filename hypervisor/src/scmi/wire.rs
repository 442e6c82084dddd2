//! Numbers of the System Control and Management Interface (Arm DEN0056E).

/// Function id of the SMC/HVC that rings the channel's doorbell: vendor
/// hypervisor service, fast, 64-bit (`arm,smc-id` in the guest's device tree).
pub const SMC_ID: u32 = 0xc600_0010;

/// Offsets in the shared page (DEN0056E, 5.1.2).
pub mod shmem {
    /// Channel status: bit 0 free, bit 1 error.
    pub const CHANNEL_STATUS: usize = 0x04;
    /// Flags: bit 0 asks for an interrupt, which this server does not send.
    pub const FLAGS: usize = 0x10;
    /// Bytes in header and payload.
    pub const LENGTH: usize = 0x14;
    /// Message header.
    pub const HEADER: usize = 0x18;
    /// Arguments, then status and results.
    pub const PAYLOAD: usize = 0x1c;
    /// The channel may be used.
    pub const FREE: u32 = 1;
    /// The last message could not be handled at all.
    pub const ERROR: u32 = 2;
    /// Payload bytes that the server handles at most.
    pub const MAX_PAYLOAD: usize = 128;
}

/// Error codes (DEN0056E, 4.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// The command does not exist here.
    NotSupported = -1,
    /// An argument makes no sense.
    InvalidParameters = -2,
    /// The agent may not do this.
    Denied = -3,
    /// No such domain, clock or agent.
    NotFound = -4,
    /// A value is outside the allowed range.
    OutOfRange = -5,
    /// Try again later.
    Busy = -6,
    /// Transport trouble.
    CommsError = -7,
    /// Anything else.
    GenericError = -8,
    /// The hardware did not do it.
    HardwareError = -9,
    /// The message is not of this protocol: wrong length.
    ProtocolError = -10,
    /// Somebody else uses it.
    InUse = -11,
}

/// Protocol ids.
pub mod protocol {
    /// Base.
    pub const BASE: u8 = 0x10;
    /// Power domain management.
    pub const POWER: u8 = 0x11;
    /// Clock management.
    pub const CLOCK: u8 = 0x14;
}

/// `POWER_STATE` of a domain that is on (DEN0056E, 4.3.1.2).
pub const POWER_ON: u32 = 0;
/// `POWER_STATE` of a domain that is off, context lost.
pub const POWER_OFF: u32 = 0x4000_0000;

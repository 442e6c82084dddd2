//! Commands of an ITS (IHI 0069, 5.3).

/// Bytes of a command.
pub const BYTES: u64 = 32;

/// A redistributor as commands name it (`RDbase`, bits 50:16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RdBase(pub(super) u64);

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Gives a device an interrupt translation table for `bits` bits of
    /// EventID at physical address `itt`.
    MapDevice {
        /// DeviceID.
        device: u32,
        /// Bits of EventID.
        bits: u32,
        /// Physical address, a multiple of 256.
        itt: u64,
    },
    /// Ties a collection to a redistributor.
    MapCollection {
        /// ICID.
        collection: u16,
        /// Where its interrupts go.
        target: RdBase,
    },
    /// Translates an event to an LPI.
    MapEvent {
        /// DeviceID.
        device: u32,
        /// EventID.
        event: u32,
        /// Physical interrupt id.
        lpi: u32,
        /// ICID.
        collection: u16,
    },
    /// Moves an event, and its pending state, to another collection.
    Move {
        /// DeviceID.
        device: u32,
        /// EventID.
        event: u32,
        /// ICID.
        collection: u16,
    },
    /// Removes an event's translation and its pending state.
    Discard {
        /// DeviceID.
        device: u32,
        /// EventID.
        event: u32,
    },
    /// Rereads the configuration of all LPIs of a collection.
    InvalidateAll {
        /// ICID.
        collection: u16,
    },
    /// Waits until earlier commands' effects on a redistributor are visible.
    Sync {
        /// Whose.
        target: RdBase,
    },
}

impl Command {
    /// The four words as the ITS reads them.
    pub const fn encode(self) -> [u64; 4] {
        const VALID: u64 = 1 << 63;
        match self {
            Self::MapDevice { device, bits, itt } => [
                head(0x08, device),
                bits.saturating_sub(1) as u64,
                VALID | itt,
                0,
            ],
            Self::MapCollection { collection, target } => {
                [0x09, 0, VALID | target.0 | collection as u64, 0]
            }
            Self::MapEvent {
                device,
                event,
                lpi,
                collection,
            } => [
                head(0x0a, device),
                (lpi as u64) << 32 | event as u64,
                collection as u64,
                0,
            ],
            Self::Move {
                device,
                event,
                collection,
            } => [head(0x01, device), event as u64, collection as u64, 0],
            Self::Discard { device, event } => [head(0x0f, device), event as u64, 0, 0],
            Self::InvalidateAll { collection } => [0x0d, 0, collection as u64, 0],
            Self::Sync { target } => [0x05, 0, target.0, 0],
        }
    }
}

const fn head(code: u64, device: u32) -> u64 {
    (device as u64) << 32 | code
}

//! What can go wrong with PCI, with the value that did.

use super::rid::Rid;
use core::fmt;

/// An error of this module. The state after it is that from before the call,
/// unless the method says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PciError {
    /// More buses behind bridges than the host bridge decodes.
    NoBus {
        /// The bridge that found no number left.
        bridge: Rid,
    },
    /// A bridge holds bridges deeper than [`super::MAX_DEPTH`].
    TooDeep {
        /// The bridge at the limit.
        bridge: Rid,
    },
    /// No such function was found by the scan.
    NoFunction {
        /// The id asked for.
        rid: Rid,
    },
    /// Bridges and host bridges cannot be given to a VM.
    NotAnEndpoint {
        /// The id asked for.
        rid: Rid,
    },
    /// A memory BAR found no room in the host bridge's windows.
    Unplaced {
        /// The function.
        rid: Rid,
        /// BAR number.
        bar: u8,
        /// Bytes it needs.
        size: u64,
    },
    /// A function was named twice.
    Twice {
        /// The id given twice.
        rid: Rid,
    },
    /// More functions than one virtual host bridge carries.
    TooMany {
        /// The first that did not fit.
        rid: Rid,
    },
    /// A VM needs more than four physical interrupt lines.
    NoLine {
        /// The function whose line did not fit.
        rid: Rid,
        /// Its physical interrupt.
        spi: u32,
    },
    /// The page size is no power of two of at least 4 KiB, or a window is empty
    /// or not aligned to it.
    BadWindow {
        /// The offending number.
        value: u64,
    },
    /// A register did not take the value within its bound.
    Stuck {
        /// The function.
        rid: Rid,
        /// Offset of the register.
        offset: u16,
    },
}

impl fmt::Display for PciError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoBus { bridge } => write!(f, "no bus number left behind bridge {bridge}"),
            Self::TooDeep { bridge } => write!(f, "too many bridges in a row at {bridge}"),
            Self::NoFunction { rid } => write!(f, "no PCI function {rid}"),
            Self::NotAnEndpoint { rid } => write!(f, "{rid} is a bridge, not a device"),
            Self::Unplaced { rid, bar, size } => {
                write!(f, "no room for BAR {bar} of {rid}, {size:#x} bytes")
            }
            Self::Twice { rid } => write!(f, "{rid} given twice"),
            Self::TooMany { rid } => write!(f, "no virtual slot left for {rid}"),
            Self::NoLine { rid, spi } => {
                write!(f, "no virtual interrupt line left for {rid} (SPI {spi})")
            }
            Self::BadWindow { value } => write!(f, "bad PCI window or page size {value:#x}"),
            Self::Stuck { rid, offset } => write!(f, "{rid} register {offset:#x} does not respond"),
        }
    }
}

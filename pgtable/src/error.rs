//! What can go wrong, with the value that was wrong.

use crate::{Ipa, Pa};
use core::fmt;

/// Why an operation was refused. In every case the mappings of the table are
/// what they were before the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// No such input size (bits) for this granule: D8.2, 32 to 48 bits, to 52
    /// with the 64K granule.
    InputSize(u32),
    /// No such output size (bits): one of 32, 36, 40, 42, 44, 48, and 52 with
    /// the 64K granule.
    OutputSize(u32),
    /// An address or a length is not a multiple of the granule.
    Misaligned(u64),
    /// A length of zero.
    Empty,
    /// The range starting here leaves the input size.
    IpaTooLarge(Ipa),
    /// The range starting here leaves the output size.
    PaTooLarge(Pa),
    /// This page is mapped already.
    AlreadyMapped(Ipa),
    /// This page is not mapped.
    NotMapped(Ipa),
    /// The range would cut the block or contiguous group that starts here,
    /// which takes break-before-make: see [`Table::split`](crate::Table::split).
    Partial(Ipa),
    /// Another CPU is changing this very page, or removing its table, now.
    Racing(Ipa),
    /// The frame source could not give this many bytes.
    NoMemory(usize),
    /// A frame from the frame source that no table can point to: beyond the
    /// output size, or not aligned to its size.
    BadFrame(Pa),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::InputSize(bits) => write!(f, "input size of {bits} bits is not supported"),
            Self::OutputSize(bits) => write!(f, "output size of {bits} bits is not supported"),
            Self::Misaligned(value) => write!(f, "{value:#x} is not a multiple of the granule"),
            Self::Empty => f.write_str("empty range"),
            Self::IpaTooLarge(ipa) => write!(f, "range at {ipa} leaves the input size"),
            Self::PaTooLarge(pa) => write!(f, "range at {pa} leaves the output size"),
            Self::AlreadyMapped(ipa) => write!(f, "{ipa} is mapped already"),
            Self::NotMapped(ipa) => write!(f, "{ipa} is not mapped"),
            Self::Partial(ipa) => write!(f, "range cuts the block at {ipa}"),
            Self::Racing(ipa) => write!(f, "{ipa} is being changed by another CPU"),
            Self::NoMemory(bytes) => write!(f, "no {bytes} bytes for a table"),
            Self::BadFrame(pa) => write!(f, "frame {pa} cannot hold a table"),
        }
    }
}

impl core::error::Error for Error {}

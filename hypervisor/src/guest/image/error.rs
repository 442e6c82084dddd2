//! What can be wrong with a kernel file.

use super::OutsideRam;
use core::fmt;

/// Why a kernel cannot be loaded, with the value that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// No bytes at all.
    Empty,
    /// The file ends before the kernel does.
    Truncated {
        /// Bytes there.
        have: u64,
        /// Bytes the file itself asks for.
        need: u64,
    },
    /// A format the loader does not unpack.
    Unsupported(&'static str),
    /// The kernel was built big-endian (flags of its header).
    BigEndian {
        /// The flags.
        flags: u64,
    },
    /// A gzip stream that breaks RFC 1952 or RFC 1951.
    CorruptGzip {
        /// Offset in the compressed file, in bytes.
        at: u64,
    },
    /// The unpacked bytes are not those that were packed.
    Checksum {
        /// CRC-32 of what came out.
        computed: u32,
        /// CRC-32 the file promises.
        expected: u32,
    },
    /// The unpacked length is not the one that was packed.
    Length {
        /// Bytes that came out, modulo 2^32.
        computed: u32,
        /// Bytes the file promises.
        expected: u32,
    },
    /// The VM has too little RAM.
    DoesNotFit {
        /// Bytes needed.
        need: u64,
        /// Bytes there are.
        have: u64,
    },
    /// The RAM given is not this VM's.
    OutsideRam {
        /// Guest physical address.
        ipa: u64,
    },
}

impl From<OutsideRam> for ImageError {
    fn from(error: OutsideRam) -> Self {
        Self::OutsideRam { ipa: error.0 }
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty => f.write_str("the kernel file is empty"),
            Self::Truncated { have, need } => write!(
                f,
                "the kernel file is truncated: {have} bytes of at least {need}"
            ),
            Self::Unsupported(what) => write!(f, "the kernel file is {what}"),
            Self::BigEndian { flags } => {
                write!(f, "the kernel is big-endian (flags {flags:#x})")
            }
            Self::CorruptGzip { at } => {
                write!(f, "the compressed kernel is corrupt near byte {at}")
            }
            Self::Checksum { computed, expected } => write!(
                f,
                "the compressed kernel is corrupt: CRC-32 {computed:#010x}, expected {expected:#010x}"
            ),
            Self::Length { computed, expected } => write!(
                f,
                "the compressed kernel is corrupt: {computed} bytes unpacked, expected {expected}"
            ),
            Self::DoesNotFit { need, have } => write!(
                f,
                "kernel, device tree and ramdisk need {need} bytes, the VM has {have}: give it more memory"
            ),
            Self::OutsideRam { ipa } => write!(f, "address {ipa:#x} is not RAM of this VM"),
        }
    }
}

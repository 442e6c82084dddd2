//! Reading flattened device trees without a heap and without trust.
//!
//! [`Blob::check`] walks the whole structure once; every later reader works on
//! a checked blob and is written so that even a wrong offset yields `None`,
//! never a panic. Layout: Devicetree Specification v0.4, chapter 5.
//!
//! Why not a crate: `fdt-rs` is built through an `unsafe` constructor and
//! asserts on truncated input, `dtoolkit` may panic on a tree it has not
//! validated and refuses more than half of Linux's board trees when it does,
//! for names longer than 31 characters. It is used behind this check, to merge
//! overlays.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]
mod check;
mod node;
#[cfg(test)]
mod tests;

pub use node::{Children, Node, Prop, Properties, Strings};

use alloc::vec::Vec;
use core::fmt;

/// Deepest nesting of nodes accepted. Real boards stay below 12; the bound
/// keeps recursion over a hostile blob within any stack.
pub const MAX_DEPTH: usize = 32;

/// Largest blob accepted, in bytes. The largest board tree known is 400 KiB.
pub const MAX_SIZE: usize = 4 << 20;

/// Why a blob is not a usable device tree. Offsets are in bytes from the start
/// of the blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FdtError {
    /// Shorter than a header, or than its own header says (`have`, `need`).
    Truncated {
        /// Bytes present.
        have: usize,
        /// Bytes required.
        need: usize,
    },
    /// Not a device tree: the first word is this and not 0xd00dfeed.
    Magic(u32),
    /// Layout version that version 17 readers cannot read.
    Version(u32),
    /// Larger than [`MAX_SIZE`].
    TooLarge(usize),
    /// A block (memory reservations, structure, strings) leaves the blob.
    Block(u32),
    /// The memory reservation block has no end entry.
    Reservations,
    /// An unknown or misplaced token at this offset.
    Token(usize),
    /// A node or property name at this offset is unterminated or not text.
    Name(usize),
    /// A property value at this offset leaves the structure block.
    Value(usize),
    /// Nodes nest deeper than [`MAX_DEPTH`] at this offset.
    Depth(usize),
}

impl fmt::Display for FdtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { have, need } => {
                write!(f, "truncated: {have} bytes of {need}")
            }
            Self::Magic(word) => write!(f, "no device tree: starts with {word:#010x}"),
            Self::Version(v) => write!(f, "device-tree format version {v} is not supported"),
            Self::TooLarge(size) => write!(f, "{size} bytes is too large"),
            Self::Block(at) => write!(f, "a block at {at:#x} leaves the blob"),
            Self::Reservations => write!(f, "the memory reservation block has no end"),
            Self::Token(at) => write!(f, "unexpected token at {at:#x}"),
            Self::Name(at) => write!(f, "bad name at {at:#x}"),
            Self::Value(at) => write!(f, "a property value at {at:#x} leaves the tree"),
            Self::Depth(at) => write!(f, "nodes nest too deeply at {at:#x}"),
        }
    }
}

impl core::error::Error for FdtError {}

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// Length of the header of a version 17 blob in bytes.
pub const HEADER_LEN: usize = 40;

/// Total size in bytes that the header at the start of `bytes` announces, or
/// why this is no device tree. Needs only the first [`HEADER_LEN`] bytes, so a
/// boot path can learn how much to map.
///
/// # Errors
/// [`FdtError`] when there is no usable header.
pub fn announced_size(bytes: &[u8]) -> Result<usize, FdtError> {
    let short = FdtError::Truncated {
        have: bytes.len(),
        need: HEADER_LEN,
    };
    let magic = be32(bytes, 0).ok_or(short)?;
    if magic != 0xd00d_feed {
        return Err(FdtError::Magic(magic));
    }
    let size = be32(bytes, 4).ok_or(short)? as usize;
    let version = be32(bytes, 20).ok_or(short)?;
    let oldest_reader = be32(bytes, 24).ok_or(short)?;
    if version < 17 || oldest_reader > 17 {
        return Err(FdtError::Version(version.max(oldest_reader)));
    }
    if size > MAX_SIZE {
        return Err(FdtError::TooLarge(size));
    }
    if size < HEADER_LEN || bytes.len() < HEADER_LEN {
        return Err(short);
    }
    Ok(size)
}

/// A device-tree blob whose structure has been checked from end to end.
#[derive(Debug, Clone, Copy)]
pub struct Blob<'a> {
    bytes: &'a [u8],
    structure: usize,
    structure_end: usize,
    strings: &'a [u8],
    reservations: usize,
}

impl<'a> Blob<'a> {
    /// Checks header, blocks, every token, every name and every value length.
    /// `bytes` may be longer than the tree.
    ///
    /// # Errors
    /// [`FdtError`] with the offset of the first fault.
    pub fn check(bytes: &'a [u8]) -> Result<Self, FdtError> {
        check::check(bytes)
    }

    /// The blob's bytes, exactly its announced size.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// A copy without the room that some makers of trees leave behind it: QEMU
    /// pads to 1 MiB.
    #[must_use]
    pub fn trimmed(&self) -> Vec<u8> {
        let end = |offset: usize, length: usize| {
            let (start, len) = (be32(self.bytes, offset)?, be32(self.bytes, length)?);
            (start as usize).checked_add(len as usize)
        };
        let entries = self.reservations().count().saturating_add(1);
        let reservations = be32(self.bytes, 16).map_or(0, |start| start as usize);
        let used = reservations
            .saturating_add(entries.saturating_mul(16))
            .max(end(8, 36).unwrap_or(usize::MAX))
            .max(end(12, 32).unwrap_or(usize::MAX))
            .min(self.bytes.len());
        let mut copy = Vec::from(self.bytes.get(..used).unwrap_or(self.bytes));
        let size = u32::try_from(copy.len()).unwrap_or(u32::MAX).to_be_bytes();
        if let Some(total) = copy.get_mut(4..8) {
            total.copy_from_slice(&size);
        }
        copy
    }

    /// The root node.
    #[must_use]
    pub fn root(&self) -> Node<'a> {
        Node::at(*self, self.structure)
    }

    /// The memory reservation block: (address, bytes).
    pub fn reservations(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let bytes = self.bytes;
        let start = self.reservations;
        (0usize..)
            .map_while(move |i| {
                let at = start.checked_add(i.checked_mul(16)?)?;
                Some((be64(bytes, at)?, be64(bytes, at.checked_add(8)?)?))
            })
            .take_while(|&(address, size)| address != 0 || size != 0)
    }

    /// The node at an absolute path, component by component. A component
    /// without unit address matches the first child of that base name.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Node<'a>> {
        let mut node = self.root();
        for part in path.strip_prefix('/')?.split('/').filter(|p| !p.is_empty()) {
            node = node.child(part)?;
        }
        Some(node)
    }

    fn word(&self, at: usize) -> Option<u32> {
        be32(self.bytes.get(..self.structure_end)?, at)
    }

    /// Whether the string at `offset` of the strings block is `wanted`.
    fn is_string(&self, offset: u32, wanted: &str) -> bool {
        let rest = self.strings.get(offset as usize..);
        let rest = rest.and_then(|bytes| bytes.strip_prefix(wanted.as_bytes()));
        rest.is_some_and(|bytes| bytes.first() == Some(&0))
    }

    fn string(&self, offset: u32) -> Option<&'a str> {
        text(self.strings.get(offset as usize..)?)
    }
}

/// The NUL-terminated UTF-8 text at the start of `bytes`.
fn text(bytes: &[u8]) -> Option<&str> {
    core::str::from_utf8(terminated(bytes)?).ok()
}

/// What stands before the first NUL of `bytes`.
fn terminated(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|&b| b == 0)?;
    bytes.get(..end)
}

/// Next multiple of four.
fn align4(at: usize) -> Option<usize> {
    at.checked_add(3).map(|v| v & !3)
}

/// The big-endian word at byte offset `at`.
pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(word.try_into().ok()?))
}

/// The big-endian doubleword at byte offset `at`.
pub(crate) fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_be_bytes(word.try_into().ok()?))
}

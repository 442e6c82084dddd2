//! Files packed behind the hypervisor's image, so that one file boots.
//!
//! Layout, little endian: a 32-byte header (magic, version, count, total
//! length, reserved), then one 64-byte entry per file (name, offset from the
//! header, length, kind, checksum), then the files, each at a multiple of
//! [`ALIGN`]. The pack begins at the first multiple of [`ALIGN`] after the
//! hypervisor's own `image_size`.
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
use core::fmt;

/// First eight bytes of a pack.
pub const MAGIC: [u8; 8] = *b"SGPACK\r\n";
/// Version written and understood.
pub const VERSION: u32 = 1;
/// Alignment of the pack and of each file in it, in bytes.
pub const ALIGN: usize = 4096;
/// Length of the header in bytes.
pub const HEADER: usize = 32;
/// Length of an entry in bytes.
pub const ENTRY: usize = 64;
/// Length of the name field in bytes; names are shorter by at least one.
pub const NAME: usize = 40;
/// Most files in a pack.
pub const MAX_FILES: usize = 64;

/// What a packed file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Named by a module's `stagegate,file`.
    File = 0,
    /// Overlay, applied in the order of the pack.
    Overlay = 1,
    /// Names of the hypervisor's functions ([`crate::symbols`]).
    Symbols = 2,
}

/// Why a pack cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackError {
    /// There is none here.
    Absent,
    /// Of another version.
    Version(u32),
    /// More than [`MAX_FILES`] files.
    TooMany(u32),
    /// This entry's name is no text, empty or unterminated.
    Name(usize),
    /// This entry's file leaves the pack.
    Bounds(usize),
    /// This entry's kind is unknown.
    Kind(usize),
    /// This entry's file is damaged.
    Damaged(usize),
}

impl fmt::Display for PackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => write!(f, "no packed files"),
            Self::Version(v) => write!(f, "packed files of unknown version {v}"),
            Self::TooMany(n) => write!(f, "{n} packed files are too many"),
            Self::Name(i) => write!(f, "packed file {i} has a bad name"),
            Self::Bounds(i) => write!(f, "packed file {i} is truncated"),
            Self::Kind(i) => write!(f, "packed file {i} is of unknown kind"),
            Self::Damaged(i) => write!(f, "packed file {i} is damaged"),
        }
    }
}

impl core::error::Error for PackError {}

/// A packed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is for.
    pub kind: Kind,
    /// Its contents.
    pub bytes: &'a [u8],
    /// Offset of its contents from the start of the pack, in bytes.
    pub offset: usize,
    checksum: u32,
}

impl File<'_> {
    /// Whether the contents are as they were packed. Takes time in proportion
    /// to the length.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        checksum(self.bytes) == self.checksum
    }
}

/// A pack whose table has been checked.
#[derive(Debug, Clone, Copy)]
pub struct Pack<'a> {
    bytes: &'a [u8],
    count: usize,
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(word.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at.checked_add(8)?)?;
    usize::try_from(u64::from_le_bytes(word.try_into().ok()?)).ok()
}

/// Length of the pack whose header `bytes` starts with; `None` if none does.
#[must_use]
pub fn announced_length(bytes: &[u8]) -> Option<usize> {
    (bytes.get(..8)? == MAGIC).then(|| long(bytes, 16))?
}

impl<'a> Pack<'a> {
    /// Checks header and table. File contents are not read: see
    /// [`File::is_intact`].
    ///
    /// # Errors
    /// [`PackError`].
    pub fn open(bytes: &'a [u8]) -> Result<Self, PackError> {
        let total = announced_length(bytes).ok_or(PackError::Absent)?;
        let version = word(bytes, 8).ok_or(PackError::Absent)?;
        if version != VERSION {
            return Err(PackError::Version(version));
        }
        let count = word(bytes, 12).ok_or(PackError::Absent)?;
        let files = count as usize;
        if files > MAX_FILES {
            return Err(PackError::TooMany(count));
        }
        let bytes = bytes.get(..total).ok_or(PackError::Bounds(0))?;
        let pack = Self {
            bytes,
            count: files,
        };
        for index in 0..files {
            pack.file(index)?;
        }
        Ok(pack)
    }

    fn file(&self, index: usize) -> Result<File<'a>, PackError> {
        let bounds = PackError::Bounds(index);
        let start = index
            .checked_mul(ENTRY)
            .and_then(|o| o.checked_add(HEADER))
            .ok_or(bounds)?;
        let end = start.checked_add(ENTRY).ok_or(bounds)?;
        let entry = self.bytes.get(start..end).ok_or(bounds)?;
        let name = entry.get(..NAME).and_then(|field| {
            let end = field.iter().position(|&b| b == 0)?;
            core::str::from_utf8(field.get(..end)?)
                .ok()
                .filter(|n| !n.is_empty())
        });
        let offset = long(entry, 40).ok_or(bounds)?;
        let length = long(entry, 48).ok_or(bounds)?;
        let kind = match word(entry, 56) {
            Some(0) => Kind::File,
            Some(1) => Kind::Overlay,
            Some(2) => Kind::Symbols,
            _ => return Err(PackError::Kind(index)),
        };
        let file_end = offset.checked_add(length).ok_or(bounds)?;
        Ok(File {
            name: name.ok_or(PackError::Name(index))?,
            kind,
            bytes: self.bytes.get(offset..file_end).ok_or(bounds)?,
            offset,
            checksum: word(entry, 60).ok_or(bounds)?,
        })
    }

    /// The files in order.
    pub fn files(&self) -> impl Iterator<Item = File<'a>> + use<'a> {
        let pack = *self;
        (0..self.count).map_while(move |index| pack.file(index).ok())
    }

    /// Length of the pack in bytes.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.bytes.len()
    }
}

/// A checksum that notices truncation and damage, at a few instructions per
/// eight bytes: kernels are large and boot is short. It is no defence against
/// an adversary, who could as well replace the hypervisor.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u32 {
    // Odd, so that every step is a bijection: one changed word always shows in
    // the 64-bit state.
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let step = |state: u64, word: u64| (state.rotate_left(23) ^ word).wrapping_mul(MULTIPLIER);
    let (words, rest) = bytes.as_chunks::<8>();
    let state = words
        .iter()
        .fold(bytes.len() as u64, |s, w| step(s, u64::from_le_bytes(*w)));
    let state = rest.iter().fold(state, |s, &byte| step(s, u64::from(byte)));
    (state ^ state >> 32) as u32
}

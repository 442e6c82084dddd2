//! Names of the hypervisor's functions, packed behind its image, for reports of
//! its own faults.
//!
//! Layout, little endian: the number of functions, then for each, by ascending
//! address, its offset in the image, its length (0: to the next), and offset and
//! length of its name, all 32 bits; then the names.
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
use alloc::vec::Vec;
use core::fmt;

/// Bytes of a function's entry.
const ENTRY: usize = 16;

/// Packs functions: offset in the image, length, name. They must be sorted.
#[must_use]
pub fn pack<'n>(functions: impl Iterator<Item = (u32, u32, &'n str)>) -> Vec<u8> {
    let word = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    let (mut table, mut names, mut count) = (Vec::new(), Vec::new(), 0_usize);
    for (offset, len, name) in functions {
        table.extend(offset.to_le_bytes());
        table.extend(len.to_le_bytes());
        table.extend(word(names.len()));
        table.extend(word(name.len()));
        names.extend_from_slice(name.as_bytes());
        count = count.saturating_add(1);
    }
    let mut out = Vec::from(word(count));
    out.extend(table);
    out.extend(names);
    out
}

/// Packed names. Reads as much as is sound of whatever bytes it is given.
#[derive(Clone, Copy, Debug)]
pub struct Symbols<'a>(&'a [u8]);

impl<'a> Symbols<'a> {
    /// The names in `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn count(&self) -> usize {
        self.word(0).unwrap_or(0)
    }

    fn word(&self, at: usize) -> Option<usize> {
        let bytes = self.0.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    }

    /// Field `field` of function `index`.
    fn field(&self, index: usize, field: usize) -> Option<usize> {
        let entry = index.checked_mul(ENTRY)?.checked_add(4)?;
        self.word(entry.checked_add(field.checked_mul(4)?)?)
    }

    /// The function that `offset` of the image lies in, and how far inside.
    #[must_use]
    pub fn find(&self, offset: u64) -> Option<(&'a str, u64)> {
        let offset = usize::try_from(offset).ok()?;
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low.midpoint(high);
            if self.field(middle, 0)? <= offset {
                low = middle.checked_add(1)?;
            } else {
                high = middle;
            }
        }
        let index = low.checked_sub(1)?;
        let inside = offset.checked_sub(self.field(index, 0)?)?;
        let len = self.field(index, 1)?;
        if len != 0 && inside >= len {
            return None;
        }
        let names = self.count().checked_mul(ENTRY)?.checked_add(4)?;
        let start = names.checked_add(self.field(index, 2)?)?;
        let name = self
            .0
            .get(start..start.checked_add(self.field(index, 3)?)?)?;
        Some((core::str::from_utf8(name).ok()?, inside as u64))
    }
}

/// An offset in the image, for people: with a name where there is one.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a>(pub u64, pub Option<Symbols<'a>>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "image+{:#x}", self.0)?;
        match self.1.and_then(|symbols| symbols.find(self.0)) {
            Some((name, inside)) => write!(f, " <{name}+{inside:#x}>"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn packed() -> Vec<u8> {
        let functions = [
            (0x100, 0x20, "first"),
            (0x140, 0x10, "second"),
            (0x200, 0, "last"),
        ];
        pack(functions.into_iter())
    }

    #[test]
    fn what_was_packed_is_found() {
        let bytes = packed();
        let symbols = Symbols::new(&bytes);
        assert_eq!(symbols.find(0xff), None);
        assert_eq!(symbols.find(0x100), Some(("first", 0)));
        assert_eq!(symbols.find(0x11f), Some(("first", 0x1f)));
        assert_eq!(symbols.find(0x120), None, "between functions");
        assert_eq!(symbols.find(0x148), Some(("second", 8)));
        assert_eq!(symbols.find(0x1000), Some(("last", 0xe00)));
        let place = |at| Place(at, Some(symbols)).to_string();
        assert_eq!(place(0x104), "image+0x104 <first+0x4>");
        assert_eq!(place(0x120), "image+0x120");
        assert_eq!(Place(0x104, None).to_string(), "image+0x104");
    }

    #[test]
    fn every_cut_and_every_flip_is_survived() {
        let bytes = packed();
        for cut in 0..bytes.len() {
            let _ = Symbols::new(&bytes[..cut]).find(0x148);
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0xff;
            for offset in [0, 0x110, 0x148, 0x300, u64::MAX] {
                let _ = Symbols::new(&bad).find(offset);
            }
        }
    }
}

//! Writes flattened device trees, version 17 (Devicetree Specification, 5).
//!
//! Existing writers insist on property names of 31 characters at most; many
//! boards' trees have longer ones, and a passed-through node must keep them.

use super::DtError;
use alloc::vec::Vec;

const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const END: u32 = 9;
const HEADER_BYTES: u32 = 40;
/// The empty memory reservation block: one terminating entry.
const RESERVATION_BYTES: u32 = 16;

/// A tree being written: nodes open and close in order.
#[derive(Default)]
pub(super) struct Fdt {
    structure: Vec<u8>,
    strings: Vec<u8>,
    error: Option<DtError>,
}

impl Fdt {
    /// Writes a node: `body` its properties, then its children.
    pub(super) fn node(&mut self, name: &str, body: impl FnOnce(&mut Self)) {
        self.begin(name);
        body(self);
        self.word(END_NODE);
    }

    /// Writes a property with raw bytes.
    #[inline(never)]
    pub(super) fn bytes(&mut self, name: &str, value: &[u8]) {
        self.property(name, value.len());
        self.structure.extend_from_slice(value);
        self.pad();
    }

    /// Writes a property without value.
    #[inline(never)]
    pub(super) fn flag(&mut self, name: &str) {
        self.property(name, 0);
    }

    /// Writes a property of one or more strings.
    #[inline(never)]
    pub(super) fn strings(&mut self, name: &str, values: &[&str]) {
        let len = values.iter().fold(0_usize, |len, value| {
            len.saturating_add(value.len()).saturating_add(1)
        });
        self.property(name, len);
        for value in values {
            self.text(value);
        }
        self.pad();
    }

    /// Writes a property of cells.
    #[inline(never)]
    pub(super) fn cells(&mut self, name: &str, cells: &[u32]) {
        self.property(name, size_of_val(cells));
        for cell in cells {
            self.word(*cell);
        }
    }

    /// Writes a property of 64-bit values, two cells each.
    #[inline(never)]
    pub(super) fn wide(&mut self, name: &str, values: &[u64]) {
        self.property(name, size_of_val(values));
        for value in values {
            self.word((value >> 32) as u32);
            self.word(*value as u32);
        }
    }

    /// The blob.
    #[inline(never)]
    pub(super) fn finish(mut self) -> Result<Vec<u8>, DtError> {
        self.word(END);
        if let Some(error) = self.error {
            return Err(error);
        }
        let size = |bytes: &Vec<u8>| u32::try_from(bytes.len()).ok();
        let header = size(&self.structure)
            .zip(size(&self.strings))
            .and_then(|(structure, strings)| header(structure, strings))
            .ok_or(DtError::TooLarge)?;
        let mut blob: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
        blob.extend_from_slice(&[0; RESERVATION_BYTES as usize]);
        blob.extend_from_slice(&self.structure);
        blob.extend_from_slice(&self.strings);
        Ok(blob)
    }

    // None of what follows is inlined: a tree is written once per boot, and
    // two hundred copies of a vector's growth would be most of its code.

    #[inline(never)]
    fn begin(&mut self, name: &str) {
        self.word(BEGIN_NODE);
        self.text(name);
        self.pad();
    }

    /// The head of a property of `len` bytes.
    #[inline(never)]
    fn property(&mut self, name: &str, len: usize) {
        let Ok(len) = u32::try_from(len) else {
            self.error = Some(DtError::TooLarge);
            return;
        };
        let name = self.intern(name);
        self.word(PROP);
        self.word(len);
        self.word(name);
    }

    #[inline(never)]
    fn word(&mut self, word: u32) {
        self.structure.extend_from_slice(&word.to_be_bytes());
    }

    #[inline(never)]
    fn text(&mut self, text: &str) {
        self.check(text);
        self.structure.extend_from_slice(text.as_bytes());
        self.structure.push(0);
    }

    #[inline(never)]
    fn pad(&mut self) {
        let len = self.structure.len().next_multiple_of(4);
        self.structure.resize(len, 0);
    }

    /// A NUL inside would end the text early and shift all that follows.
    fn check(&mut self, text: &str) {
        if text.as_bytes().contains(&0) {
            self.error = Some(DtError::NulInText);
        }
    }

    /// Offset of a property name in the strings block.
    fn intern(&mut self, name: &str) -> u32 {
        self.check(name);
        let mut offset = 0_usize;
        for known in self.strings.split(|byte| *byte == 0) {
            // The piece behind the last NUL is empty and no name is.
            if known == name.as_bytes() && !known.is_empty() {
                return offset as u32;
            }
            offset = offset.saturating_add(known.len()).saturating_add(1);
        }
        let offset = self.strings.len();
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        offset as u32
    }
}

/// Header words for blocks of these sizes, in bytes.
fn header(structure: u32, strings: u32) -> Option<[u32; 10]> {
    const STRUCTURE_AT: u32 = HEADER_BYTES + RESERVATION_BYTES;
    let strings_at = STRUCTURE_AT.checked_add(structure)?;
    let total = strings_at.checked_add(strings)?;
    Some([
        MAGIC,
        total,
        STRUCTURE_AT,
        strings_at,
        HEADER_BYTES,
        17,
        16,
        0,
        strings,
        structure,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The blob of `/ { a = <1>; b { a; }; };`, assembled by hand.
    #[test]
    fn golden_bytes() {
        let mut fdt = Fdt::default();
        fdt.node("", |root| {
            root.cells("a", &[1]);
            root.node("b", |b| b.flag("a"));
        });
        let words: [u32; 28] = [
            0xd00d_feed,
            0x72,
            0x38,
            0x70,
            0x28,
            17,
            16,
            0,
            2,
            0x38, // header
            0,
            0,
            0,
            0, // reservations
            1,
            0,
            3,
            4,
            0,
            1, // "" { a = <1>
            1,
            0x6200_0000,
            3,
            0,
            0,
            2, // b { a }
            2,
            9, // } end
        ];
        let mut expected: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        expected.extend(b"a\0");
        assert_eq!(fdt.finish().unwrap(), expected);
    }

    #[test]
    fn names_are_shared_only_when_equal() {
        let mut fdt = Fdt::default();
        fdt.node("", |root| {
            for name in [
                "reg",
                "g",
                "eg",
                "reg",
                "a-name-of-more-than-thirty-one-characters",
            ] {
                root.flag(name);
            }
        });
        let blob = fdt.finish().unwrap();
        assert!(blob.ends_with(b"reg\0g\0eg\0a-name-of-more-than-thirty-one-characters\0"));
    }

    #[test]
    fn a_nul_in_any_text_is_refused() {
        let writers: [fn(&mut Fdt); 3] = [
            |fdt| fdt.node("a\0", |_| {}),
            |fdt| fdt.node("", |node| node.flag("\0")),
            |fdt| fdt.node("", |node| node.strings("a", &["b\0c"])),
        ];
        for write in writers {
            let mut fdt = Fdt::default();
            write(&mut fdt);
            assert_eq!(fdt.finish(), Err(DtError::NulInText));
        }
    }
}

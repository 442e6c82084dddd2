//! CRC-32 as gzip uses it (RFC 1952, section 8), four bytes a step.

use alloc::boxed::Box;

/// Running CRC-32. The tables (4 KiB) live on the heap while it does.
pub(super) struct Crc32 {
    tables: Box<[[u32; 256]; 4]>,
    state: u32,
}

fn at(table: &[u32; 256], index: u32) -> u32 {
    // An index of one byte is always inside; the compiler sees it too.
    table.get((index & 0xff) as usize).copied().unwrap_or(0)
}

impl Crc32 {
    pub(super) fn new() -> Self {
        let mut tables = Box::new([[0; 256]; 4]);
        let [t0, t1, t2, t3] = &mut *tables;
        for (entry, byte) in t0.iter_mut().zip(0_u32..) {
            *entry = (0..8).fold(byte, |crc, _| {
                (crc >> 1) ^ if crc & 1 != 0 { 0xedb8_8320 } else { 0 }
            });
        }
        let next = |crc: u32| crc >> 8 ^ at(t0, crc);
        for (((&base, one), two), three) in t0.iter().zip(t1).zip(t2).zip(t3) {
            *one = next(base);
            *two = next(*one);
            *three = next(*two);
        }
        Self { tables, state: !0 }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        let [t0, t1, t2, t3] = &*self.tables;
        let mut crc = self.state;
        let (words, rest) = bytes.as_chunks::<4>();
        for word in words {
            let mixed = crc ^ u32::from_le_bytes(*word);
            crc = at(t3, mixed) ^ at(t2, mixed >> 8) ^ at(t1, mixed >> 16) ^ at(t0, mixed >> 24);
        }
        for byte in rest {
            crc = crc >> 8 ^ at(t0, crc ^ u32::from(*byte));
        }
        self.state = crc;
    }

    pub(super) fn value(&self) -> u32 {
        !self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crc(bytes: &[u8]) -> u32 {
        let mut crc = Crc32::new();
        crc.update(bytes);
        crc.value()
    }

    #[test]
    fn check_values() {
        assert_eq!(crc(b""), 0);
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
        assert_eq!(
            crc(b"The quick brown fox jumps over the lazy dog"),
            0x414f_a339
        );
    }

    #[test]
    fn pieces_of_any_length_give_the_same() {
        let bytes: Vec<u8> = (0..1000_u32).map(|i| (i * 7) as u8).collect();
        for cut in [0, 1, 2, 3, 5, 499, 1000] {
            let mut pieces = Crc32::new();
            pieces.update(&bytes[..cut]);
            pieces.update(&bytes[cut..]);
            assert_eq!(pieces.value(), crc(&bytes), "cut at {cut}");
        }
    }
}

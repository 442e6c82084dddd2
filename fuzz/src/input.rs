//! Takes numbers off a byte string.

use super::machine::{PAGE, RAM, RAM_SIZE};

/// The bytes that are left.
pub struct Input<'a>(pub &'a [u8]);

impl Input<'_> {
    /// The next `N` bytes; zero after the end.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let len = N.min(self.0.len());
        let (now, rest) = self.0.split_at(len);
        bytes[..len].copy_from_slice(now);
        self.0 = rest;
        bytes
    }

    pub fn byte(&mut self) -> u8 {
        let [byte] = self.bytes();
        byte
    }

    pub fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    pub fn long(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A number that is often one that matters: small, a page, in RAM, at an end, a single bit.
    pub fn argument(&mut self) -> u64 {
        let kind = self.byte();
        match kind % 8 {
            0 => u64::from(self.byte()),
            1 => u64::from(self.byte()) * PAGE,
            2 => RAM + u64::from(self.word()) % (RAM_SIZE / PAGE) * PAGE,
            3 => RAM + u64::from(self.word()) % RAM_SIZE,
            4 => u64::MAX - u64::from(self.byte()) * PAGE,
            5 => 1 << (self.byte() % 64),
            6 => u64::from(self.word()),
            _ => self.long(),
        }
    }
}

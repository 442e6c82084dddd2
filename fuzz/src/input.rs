//! Takes numbers off a byte string.

use super::machine::{BLOCK, ENDPOINTS, PAGE, RAM, RAM_SIZE};

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

    /// A domain, mostly one that there may be.
    pub fn domain(&mut self) -> u32 {
        match self.byte() {
            0xff => self.word(),
            n => u32::from(n % 3),
        }
    }

    /// An endpoint, mostly one of the VM's.
    pub fn endpoint(&mut self) -> u32 {
        match self.byte() {
            0xff => self.word(),
            n => ENDPOINTS[usize::from(n) % ENDPOINTS.len()],
        }
    }

    /// Where a domain may map: pages at the ends of a few tables, so that ranges meet.
    pub fn iova(&mut self) -> u64 {
        match self.byte() {
            0xf0.. => self.argument(),
            n => (u64::from(n >> 5) * BLOCK + u64::from(n & 15) * PAGE)
                .saturating_sub(u64::from(n & 16) * PAGE / 4),
        }
    }

    /// RAM, mostly whole pages of it.
    pub fn ipa(&mut self) -> u64 {
        match self.byte() {
            0xf0.. => self.argument(),
            n => RAM + u64::from(n >> 6) * (BLOCK / 2) + u64::from(n & 0x3f) % 48 * PAGE,
        }
    }

    /// Some pages, or a block or two.
    pub fn size(&mut self) -> u64 {
        match self.byte() {
            0xf0.. => self.argument(),
            n @ 0xe0.. => u64::from(n & 3) * BLOCK,
            n => u64::from(n % 12 + 1) * PAGE,
        }
    }
}

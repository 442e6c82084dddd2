//! Memory that the interrupt controller walks by physical address.

/// Where tables and queues come from. What is taken is kept for ever: the
/// controller may read and write it as long as the machine runs.
pub trait TableMemory {
    /// `size` bytes, all zero and published, at a physical address that is a
    /// multiple of `align`, a power of two.
    fn take(&self, size: u64, align: u64) -> Option<u64>;

    /// Stores a byte at physical address `at`, which was taken.
    fn write8(&self, at: u64, value: u8);

    /// Stores a word, little-endian, at physical address `at`, a multiple of 8.
    fn write64(&self, at: u64, value: u64);

    /// Makes `len` bytes at `at` visible to the controller, whether or not it
    /// snoops caches: what was stored is there before any later register write.
    fn publish(&self, at: u64, len: u64);
}

impl<T: TableMemory + ?Sized> TableMemory for &T {
    fn take(&self, size: u64, align: u64) -> Option<u64> {
        (**self).take(size, align)
    }
    fn write8(&self, at: u64, value: u8) {
        (**self).write8(at, value);
    }
    fn write64(&self, at: u64, value: u64) {
        (**self).write64(at, value);
    }
    fn publish(&self, at: u64, len: u64) {
        (**self).publish(at, len);
    }
}

/// How the controller's own accesses are cached: the fields `InnerCache` and
/// `Shareability`, which lie at different bits in each register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caching {
    /// Inner shareable, write-back, allocating: snoops the CPUs.
    Coherent,
    /// Non-shareable, non-cacheable.
    Uncached,
}

impl Caching {
    /// `InnerCache`: 0b111 is read- and write-allocate write-back, 0b001
    /// normal non-cacheable. `OuterCache` 0 is "as inner".
    pub const fn inner(self) -> u64 {
        match self {
            Self::Coherent => 0b111,
            Self::Uncached => 0b001,
        }
    }

    /// `Shareability`: 0b01 is inner.
    pub const fn shareability(self) -> u64 {
        match self {
            Self::Coherent => 0b01,
            Self::Uncached => 0b00,
        }
    }
}

//! Configuration space of the physical machine.

use super::rid::Rid;
use platform::mmio::Mmio;

/// Width of one configuration access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// One byte.
    Byte,
    /// Two bytes, 2-byte aligned.
    Half,
    /// Four bytes, 4-byte aligned.
    Word,
}

impl Width {
    /// The width of a `bytes`-byte access, if configuration space has it.
    #[must_use]
    pub const fn from_bytes(bytes: usize) -> Option<Self> {
        match bytes {
            1 => Some(Self::Byte),
            2 => Some(Self::Half),
            4 => Some(Self::Word),
            _ => None,
        }
    }

    /// Number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u16 {
        match self {
            Self::Byte => 1,
            Self::Half => 2,
            Self::Word => 4,
        }
    }

    /// All ones in this width: what an absent function reads as.
    #[must_use]
    pub const fn ones(self) -> u32 {
        match self {
            Self::Byte => 0xff,
            Self::Half => 0xffff,
            Self::Word => 0xffff_ffff,
        }
    }
}

/// A function's configuration registers. `offset` is in bytes, below 4096 and
/// aligned to `width`; anything else reads as all ones and writes nothing, like
/// a function that is not there.
pub trait ConfigSpace {
    /// Reads a register.
    fn read(&self, rid: Rid, offset: u16, width: Width) -> u32;
    /// Writes a register.
    fn write(&self, rid: Rid, offset: u16, width: Width, value: u32);

    /// Reads a byte.
    fn read8(&self, rid: Rid, offset: u16) -> u8 {
        self.read(rid, offset, Width::Byte) as u8
    }
    /// Reads 16 bits.
    fn read16(&self, rid: Rid, offset: u16) -> u16 {
        self.read(rid, offset, Width::Half) as u16
    }
    /// Reads 32 bits.
    fn read32(&self, rid: Rid, offset: u16) -> u32 {
        self.read(rid, offset, Width::Word)
    }
    /// Writes a byte.
    fn write8(&self, rid: Rid, offset: u16, value: u8) {
        self.write(rid, offset, Width::Byte, u32::from(value));
    }
    /// Writes 16 bits.
    fn write16(&self, rid: Rid, offset: u16, value: u16) {
        self.write(rid, offset, Width::Half, u32::from(value));
    }
    /// Writes 32 bits.
    fn write32(&self, rid: Rid, offset: u16, value: u32) {
        self.write(rid, offset, Width::Word, value);
    }
}

impl<C: ConfigSpace + ?Sized> ConfigSpace for &C {
    fn read(&self, rid: Rid, offset: u16, width: Width) -> u32 {
        (**self).read(rid, offset, width)
    }
    fn write(&self, rid: Rid, offset: u16, width: Width, value: u32) {
        (**self).write(rid, offset, width, value);
    }
}

/// A wait of known length. The implementation must return after at least
/// `micros` microseconds; nothing here waits without a bound.
pub trait Delay {
    /// Waits.
    fn delay_us(&self, micros: u32);
}

impl<D: Delay + ?Sized> Delay for &D {
    fn delay_us(&self, micros: u32) {
        (**self).delay_us(micros);
    }
}

/// The physical ECAM window (PCIe base 5.0, 7.2.2): 4 KiB per function, bus
/// `first_bus` at offset 0 (the `bus-range` property of the host bridge).
#[derive(Debug)]
pub struct Ecam<M> {
    window: M,
    first_bus: u8,
    last_bus: u8,
}

impl<M: Mmio> Ecam<M> {
    /// `window` must span the buses `first_bus..=last_bus`, 1 MiB each; what
    /// lies beyond it reads as zero through [`Mmio`], so pass the true range.
    #[must_use]
    pub const fn new(window: M, first_bus: u8, last_bus: u8) -> Self {
        Self {
            window,
            first_bus,
            last_bus,
        }
    }

    /// First and last bus number in the window.
    #[must_use]
    pub const fn buses(&self) -> (u8, u8) {
        (self.first_bus, self.last_bus)
    }

    fn at(&self, rid: Rid, offset: u16, width: Width) -> Option<usize> {
        let in_range = (self.first_bus..=self.last_bus).contains(&rid.bus());
        if !in_range || offset >= 4096 || !offset.is_multiple_of(width.bytes()) {
            return None;
        }
        let first = usize::from(self.first_bus) << 20;
        ((usize::from(rid.0) << 12) | usize::from(offset)).checked_sub(first)
    }
}

impl<M: Mmio> ConfigSpace for Ecam<M> {
    fn read(&self, rid: Rid, offset: u16, width: Width) -> u32 {
        let Some(at) = self.at(rid, offset, width) else {
            return width.ones();
        };
        match width {
            Width::Byte => u32::from(self.window.read8(at)),
            Width::Half => u32::from(self.window.read16(at)),
            Width::Word => self.window.read32(at),
        }
    }

    fn write(&self, rid: Rid, offset: u16, width: Width, value: u32) {
        let Some(at) = self.at(rid, offset, width) else {
            return;
        };
        match width {
            Width::Byte => self.window.write8(at, value as u8),
            Width::Half => self.window.write16(at, value as u16),
            Width::Word => self.window.write32(at, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// Remembers the offsets it was asked for; reads give the offset back.
    #[derive(Default)]
    struct Echo(RefCell<Vec<(usize, u64)>>);
    impl Mmio for Echo {
        fn read8(&self, o: usize) -> u8 {
            o as u8
        }
        fn read16(&self, o: usize) -> u16 {
            o as u16
        }
        fn read32(&self, o: usize) -> u32 {
            o as u32
        }
        fn read64(&self, o: usize) -> u64 {
            o as u64
        }
        fn write8(&self, o: usize, v: u8) {
            self.0.borrow_mut().push((o, v.into()));
        }
        fn write16(&self, o: usize, v: u16) {
            self.0.borrow_mut().push((o, v.into()));
        }
        fn write32(&self, o: usize, v: u32) {
            self.0.borrow_mut().push((o, v.into()));
        }
        fn write64(&self, o: usize, v: u64) {
            self.0.borrow_mut().push((o, v));
        }
    }

    #[test]
    fn ecam_offsets_are_relative_to_the_first_bus() {
        let ecam = Ecam::new(Echo::default(), 4, 7);
        assert_eq!(ecam.read32(Rid::new(5, 2, 1), 0x10), 0x11_1010);
        ecam.write16(Rid::new(4, 0, 0), 4, 0x406);
        assert_eq!(ecam.window.0.borrow().as_slice(), [(4, 0x406)]);
    }

    #[test]
    fn what_is_not_there_reads_as_ones_and_is_never_written() {
        let ecam = Ecam::new(Echo::default(), 4, 7);
        assert_eq!(ecam.read32(Rid::new(3, 0, 0), 0), u32::MAX);
        assert_eq!(ecam.read16(Rid::new(8, 0, 0), 0), 0xffff);
        assert_eq!(ecam.read32(Rid::new(4, 0, 0), 2), u32::MAX, "misaligned");
        assert_eq!(
            ecam.read8(Rid::new(4, 0, 0), 4096),
            0xff,
            "beyond the function"
        );
        ecam.write32(Rid::new(8, 0, 0), 0, 1);
        ecam.write32(Rid::new(4, 0, 0), 4096, 1);
        assert!(ecam.window.0.borrow().is_empty());
    }
}

//! Configuration space of the physical machine.

use super::rid::Rid;

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

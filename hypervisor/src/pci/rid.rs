//! Names of functions: requester ids.

use core::fmt;

/// A PCI requester id: bus 15:8, device 7:3, function 2:0 (PCIe base 5.0,
/// 2.2.4.2). The same number that a function's DMA carries to the SMMU.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rid(pub u16);

impl Rid {
    /// The requester id of `function` (0–7) of `device` (0–31) on `bus`.
    /// Higher bits of `device` and `function` are dropped.
    #[must_use]
    pub const fn new(bus: u8, device: u8, function: u8) -> Self {
        Self(((bus as u16) << 8) | ((device as u16 & 0x1f) << 3) | (function as u16 & 7))
    }

    /// Bus number.
    #[must_use]
    pub const fn bus(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// Device (slot) number, 0–31.
    #[must_use]
    pub const fn device(self) -> u8 {
        ((self.0 >> 3) & 0x1f) as u8
    }

    /// Function number, 0–7.
    #[must_use]
    pub const fn function(self) -> u8 {
        (self.0 & 7) as u8
    }

    /// The same device's function `function`.
    #[must_use]
    pub const fn sibling(self, function: u8) -> Self {
        Self((self.0 & !7) | (function as u16 & 7))
    }
}

impl fmt::Display for Rid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:02x}:{:02x}.{}",
            self.bus(),
            self.device(),
            self.function()
        )
    }
}

impl fmt::Debug for Rid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rid({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_text() {
        let rid = Rid::new(0x12, 0x1f, 7);
        assert_eq!(rid.0, 0x12ff);
        assert_eq!((rid.bus(), rid.device(), rid.function()), (0x12, 0x1f, 7));
        assert_eq!(format!("{}", Rid(0x0108)), "01:01.0");
        assert_eq!(Rid(0x010b).sibling(0), Rid(0x0108));
    }
}

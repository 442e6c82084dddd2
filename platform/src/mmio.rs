//! Register windows: the one place in this crate that touches device memory.
//!
//! Drivers are generic over [`Mmio`], so that host tests drive them against a
//! fake register file. [`Window`] is the real thing.
#![allow(unsafe_code)]

/// Access to one device's register window. Offsets are in bytes from its base
/// and naturally aligned to the access size.
///
/// An access outside the window reads as zero and writes nothing: drivers are
/// written against the manual, not against the length a device tree claims.
pub trait Mmio {
    /// Reads a byte.
    fn read8(&self, offset: usize) -> u8;
    /// Reads a 32-bit register.
    fn read32(&self, offset: usize) -> u32;
    /// Reads a 64-bit register in one access.
    fn read64(&self, offset: usize) -> u64;
    /// Writes a byte.
    fn write8(&self, offset: usize, value: u8);
    /// Writes a 32-bit register.
    fn write32(&self, offset: usize, value: u32);
    /// Writes a 64-bit register in one access.
    fn write64(&self, offset: usize, value: u64);
    /// Reads a 16-bit register.
    fn read16(&self, offset: usize) -> u16;
    /// Writes a 16-bit register.
    fn write16(&self, offset: usize, value: u16);
}

impl<T: Mmio + ?Sized> Mmio for &T {
    fn read8(&self, offset: usize) -> u8 {
        (**self).read8(offset)
    }
    fn read16(&self, offset: usize) -> u16 {
        (**self).read16(offset)
    }
    fn read32(&self, offset: usize) -> u32 {
        (**self).read32(offset)
    }
    fn read64(&self, offset: usize) -> u64 {
        (**self).read64(offset)
    }
    fn write8(&self, offset: usize, value: u8) {
        (**self).write8(offset, value);
    }
    fn write16(&self, offset: usize, value: u16) {
        (**self).write16(offset, value);
    }
    fn write32(&self, offset: usize, value: u32) {
        (**self).write32(offset, value);
    }
    fn write64(&self, offset: usize, value: u64) {
        (**self).write64(offset, value);
    }
}

/// A mapped device register window.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    base: usize,
    len: usize,
}

impl Window {
    /// A window of `len` bytes at virtual address `base`.
    ///
    /// # Safety
    /// `base..base + len` must be mapped as device memory for as long as the
    /// window is used, belong to one device, and hold nothing that Rust code
    /// refers to by reference. `base` must be 8-byte aligned.
    #[must_use]
    pub const unsafe fn new(base: usize, len: usize) -> Self {
        Self { base, len }
    }

    /// Length of the window in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the window holds no register at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The address of `offset`, if an access of `T` there stays inside the
    /// window and is aligned.
    fn at<T>(&self, offset: usize) -> Option<*mut T> {
        let size = size_of::<T>();
        let fits = offset.checked_add(size).is_some_and(|end| end <= self.len);
        (fits && offset.is_multiple_of(size)).then(|| (self.base + offset) as *mut T)
    }
}

/// Reads through a window.
///
/// On AArch64 plain loads and stores are spelled in assembly: the compiler may
/// otherwise pick an addressing mode with write-back, which leaves no valid
/// syndrome when a hypervisor below this one emulates the device.
macro_rules! access {
    ($read:ident, $write:ident, $t:ty, $ld:literal, $st:literal, $reg:literal) => {
        fn $read(&self, offset: usize) -> $t {
            let Some(address) = self.at::<$t>(offset) else { return 0 };
            #[cfg(target_arch = "aarch64")]
            {
                let value: u64;
                // SAFETY: `Window::new`'s caller vouches for the range, `at`
                // checked that this access lies in it and is aligned.
                unsafe {
                    core::arch::asm!(concat!($ld, " {v", $reg, "}, [{a}]"), v = out(reg) value, a = in(reg) address, options(nostack, preserves_flags));
                }
                value as $t
            }
            #[cfg(not(target_arch = "aarch64"))]
            // SAFETY: as above.
            unsafe {
                address.read_volatile()
            }
        }
        fn $write(&self, offset: usize, value: $t) {
            let Some(address) = self.at::<$t>(offset) else { return };
            #[cfg(target_arch = "aarch64")]
            // SAFETY: `Window::new`'s caller vouches for the range, `at`
            // checked that this access lies in it and is aligned.
            unsafe {
                core::arch::asm!(concat!($st, " {v", $reg, "}, [{a}]"), v = in(reg) u64::from(value), a = in(reg) address, options(nostack, preserves_flags));
            }
            #[cfg(not(target_arch = "aarch64"))]
            // SAFETY: as above.
            unsafe {
                address.write_volatile(value);
            }
        }
    };
}

impl Mmio for Window {
    access!(read8, write8, u8, "ldrb", "strb", ":w");
    access!(read16, write16, u16, "ldrh", "strh", ":w");
    access!(read32, write32, u32, "ldr", "str", ":w");
    access!(read64, write64, u64, "ldr", "str", ":x");
}

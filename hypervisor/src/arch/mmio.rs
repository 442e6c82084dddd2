//! Device windows of this board, mapped at EL2 when first asked for.

use super::mmu::{self, WriteEnd};
use platform::mmio::Window;

/// Maps the device registers at physical `base`, `len` bytes, and returns the
/// window. The caller names a device that the device tree gives to EL2.
#[must_use]
pub fn window(base: u64, len: u64) -> Window {
    mmu::map_device(base, len, WriteEnd::Bridge);
    early_window(base, len)
}

/// As [`window`], when translation is still off or everything outside RAM is
/// device memory anyway.
#[must_use]
pub fn early_window(base: u64, len: u64) -> Window {
    // SAFETY: whichever map is in force, it makes these addresses device
    // memory for ever; device memory holds no Rust object. Two windows on one
    // device are harmless: they are registers.
    unsafe { Window::new(base as usize, len as usize) }
}

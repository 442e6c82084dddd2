//! The register window on real hardware: the crate's one unsafe room.
#![allow(unsafe_code)]

use crate::outside::Registers;
use core::ptr::NonNull;

/// A memory-mapped register window.
#[derive(Debug)]
pub struct Mmio {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the window is device memory that no Rust object lives in; accesses
// are volatile and of register size, so sharing the pointer between CPUs is
// no more than what the hardware is made for.
unsafe impl Send for Mmio {}
// SAFETY: as above; no method hands out a reference into the window.
unsafe impl Sync for Mmio {}

impl Mmio {
    /// Takes charge of `bytes` of registers at `base`.
    ///
    /// # Safety
    /// `base..base + bytes` is mapped as device memory for as long as the
    /// value lives, is 8-byte aligned, and holds nothing but the registers of
    /// one SMMU that nobody else drives.
    pub unsafe fn new(base: NonNull<u8>, bytes: usize) -> Self {
        Self { base, bytes }
    }

    fn register<T>(&self, offset: usize) -> Option<NonNull<T>> {
        let size = size_of::<T>();
        let fits = offset.checked_add(size)? <= self.bytes && offset.is_multiple_of(size);
        // SAFETY: `fits` keeps the result inside the window that `new` was
        // promised, so the addition cannot leave the allocation.
        fits.then(|| unsafe { self.base.byte_add(offset) }.cast())
    }
}

/// Orders everything before against everything after, for devices too.
#[inline]
pub(crate) fn barrier() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a barrier instruction changes no register and no memory.
    unsafe {
        core::arch::asm!("dsb sy", options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "aarch64"))]
    crate::sync::fence(crate::sync::Ordering::SeqCst);
}

// An access outside the window is a defect in this crate's offsets; it reads
// as zero and writes nothing rather than touch a stranger's register.
impl Registers for Mmio {
    fn read32(&self, offset: usize) -> u32 {
        // SAFETY: `register` checked bounds and alignment; see `new`.
        let value = self
            .register::<u32>(offset)
            .map_or(0, |r| unsafe { r.read_volatile() });
        barrier();
        value
    }

    fn write32(&self, offset: usize, value: u32) {
        barrier();
        if let Some(r) = self.register::<u32>(offset) {
            // SAFETY: `register` checked bounds and alignment; see `new`.
            unsafe { r.write_volatile(value) };
        }
    }

    fn read64(&self, offset: usize) -> u64 {
        // SAFETY: `register` checked bounds and alignment; see `new`.
        let value = self
            .register::<u64>(offset)
            .map_or(0, |r| unsafe { r.read_volatile() });
        barrier();
        value
    }

    fn write64(&self, offset: usize, value: u64) {
        barrier();
        if let Some(r) = self.register::<u64>(offset) {
            // SAFETY: `register` checked bounds and alignment; see `new`.
            unsafe { r.write_volatile(value) };
        }
    }
}

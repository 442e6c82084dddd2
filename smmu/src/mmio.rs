//! The register window on real hardware: the crate's one unsafe room.
#![allow(unsafe_code)]

use crate::outside::{DmaMemory, Registers};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use pgtable::Pa;

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

/// Where [`DirectMemory`] gets its blocks from.
pub trait Frames: Sync {
    /// A physically contiguous block of memory that nobody else uses, aligned
    /// to `align`, or `None`. Its contents do not matter.
    fn alloc(&self, bytes: usize, align: usize) -> Option<Pa>;
    /// Takes a block back.
    fn free(&self, block: Pa, bytes: usize);
}

/// Memory that the CPU reaches at a fixed distance from its physical address.
pub struct DirectMemory<'a> {
    frames: &'a dyn Frames,
    offset: u64,
}

impl<'a> DirectMemory<'a> {
    /// Physical address `pa` is at virtual address `pa + offset`, wrapping.
    ///
    /// # Safety
    /// Every block that `frames` gives is mapped there as ordinary write-back
    /// memory, readable and writable, and belongs to nobody else until it is
    /// given back.
    pub unsafe fn new(frames: &'a dyn Frames, offset: u64) -> Self {
        Self { frames, offset }
    }

    /// The word at `at`; the driver only names addresses inside its blocks.
    fn word(&self, at: Pa) -> Option<&AtomicU64> {
        let address = at.0.wrapping_add(self.offset) as usize;
        let pointer = core::ptr::with_exposed_provenance_mut::<u64>(address);
        if pointer.is_null() || !address.is_multiple_of(8) {
            return None;
        }
        // SAFETY: non-null and aligned; by the contract of `DmaMemory` the
        // address lies in a block from `frames`, which `new` was promised to
        // be mapped and ours; all accesses to it are atomic.
        Some(unsafe { AtomicU64::from_ptr(pointer) })
    }

    fn each_line(&self, at: Pa, bytes: usize, op: impl Fn(u64)) {
        // The smallest line any implementation may have is 16 bytes; going in
        // such steps is right for all, and blocks here are small.
        const LINE: u64 = 16;
        let start = at.0.wrapping_add(self.offset) & !LINE.wrapping_sub(1);
        let end = at.0.wrapping_add(self.offset).wrapping_add(bytes as u64);
        let mut line = start;
        while line < end {
            op(line);
            line = line.wrapping_add(LINE);
        }
    }
}

impl DmaMemory for DirectMemory<'_> {
    fn alloc(&self, bytes: usize, align: usize) -> Option<Pa> {
        let block = self.frames.alloc(bytes, align)?;
        for offset in (0..bytes as u64).step_by(8) {
            self.store(Pa(block.0.wrapping_add(offset)), 0);
        }
        self.clean(block, bytes);
        self.barrier();
        Some(block)
    }

    fn free(&self, block: Pa, bytes: usize) {
        self.frames.free(block, bytes);
    }

    fn load(&self, at: Pa) -> u64 {
        let value = self.word(at).map_or(0, |w| w.load(Ordering::Acquire));
        u64::from_le(value)
    }

    fn store(&self, at: Pa, value: u64) {
        if let Some(word) = self.word(at) {
            word.store(value.to_le(), Ordering::Release);
        }
    }

    fn clean(&self, at: Pa, bytes: usize) {
        self.each_line(at, bytes, |_line| {
            #[cfg(target_arch = "aarch64")]
            // SAFETY: cleaning a line changes no value that software reads.
            unsafe {
                core::arch::asm!("dc cvac, {0}", in(reg) _line, options(nostack, preserves_flags));
            }
        });
    }

    fn discard(&self, at: Pa, bytes: usize) {
        barrier();
        self.each_line(at, bytes, |_line| {
            #[cfg(target_arch = "aarch64")]
            // SAFETY: clean and invalidate loses no store of this CPU; the
            // lines are ones that only the SMMU writes.
            unsafe {
                core::arch::asm!("dc civac, {0}", in(reg) _line, options(nostack, preserves_flags));
            }
        });
        barrier();
    }

    fn barrier(&self) {
        barrier();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_window_ends_where_it_ends() {
        let mut page = [0u64; 2];
        let base = NonNull::new(page.as_mut_ptr().cast()).unwrap();
        // SAFETY: the array stands in for registers and outlives the window.
        let window = unsafe { Mmio::new(base, 16) };
        window.write32(4, 0x1234_5678);
        window.write64(8, 7);
        assert_eq!(window.read64(0), 0x1234_5678 << 32);
        assert_eq!(window.read64(8), 7);
        window.write32(16, 1);
        window.write64(4, 1);
        assert_eq!((window.read32(16), window.read64(12)), (0, 0));
    }
}

//! Physical memory as bytes: the identity map makes a physical address a
//! pointer, and this file is where that step is argued.
//!
//! [`RamMap`] is made once, from the device tree, and knows what nobody uses;
//! every [`Extent`] comes out of it and is in one hand only.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use platform::region::Region;

/// RAM that EL2 maps read-write and in which no Rust object lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    start: u64,
    len: u64,
}

impl Extent {
    /// First byte's physical address.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// Length in bytes.
    #[must_use]
    pub const fn len(self) -> u64 {
        self.len
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Whether `len` bytes at `at` lie wholly inside.
    #[must_use]
    pub const fn contains(self, at: u64, len: u64) -> bool {
        match (at.checked_add(len), self.start.checked_add(self.len)) {
            (Some(end), Some(mine)) => at >= self.start && end <= mine,
            _ => false,
        }
    }

    /// The part of `len` bytes from offset `at`.
    #[must_use]
    pub const fn part(self, at: u64, len: u64) -> Option<Self> {
        match self.start.checked_add(at) {
            Some(start) if self.contains(start, len) => Some(Self { start, len }),
            _ => None,
        }
    }

    /// Copies `data` to physical `to`.
    ///
    /// # Errors
    /// The range is not inside; nothing was written.
    pub fn write(self, to: u64, data: &[u8]) -> Result<(), OutOfExtent> {
        if !self.contains(to, data.len() as u64) {
            return Err(OutOfExtent(to));
        }
        // SAFETY: an `Extent` is mapped RAM without Rust objects
        // (`RamMap::claim`), and the range was just checked.
        unsafe { copy(data.as_ptr(), to as *mut u8, data.len()) };
        Ok(())
    }

    /// Copies physical `from` into `data`.
    ///
    /// # Errors
    /// The range is not inside; `data` is unchanged.
    pub fn read(self, from: u64, data: &mut [u8]) -> Result<(), OutOfExtent> {
        if !self.contains(from, data.len() as u64) {
            return Err(OutOfExtent(from));
        }
        // SAFETY: as for `write`; a guest may change the bytes while they are
        // copied, which yields some mixture of bytes but never an invalid `u8`.
        unsafe { copy(from as *const u8, data.as_mut_ptr(), data.len()) };
        Ok(())
    }

    /// Fills it with zeros and cleans it to memory, so that neither a CPU with
    /// caches off nor a device can read what stood there.
    pub fn scrub(self) {
        super::cache::scrub(self.start, self.len);
    }
}

/// Copies `len` bytes, each read once: whole blocks of 256 bytes in long steps,
/// if both sides are aligned to words, because kernels, RAM disks and lists are
/// large, and the compiler's own copy is made for small things.
///
/// # Safety
/// `len` bytes from both addresses are mapped and do not overlap, and those at
/// `to` are the caller's to write.
unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    let blocks = len & !255;
    let aligned = (from as u64 | to as u64).is_multiple_of(8);
    let done = if aligned { blocks } else { 0 };
    if done != 0 {
        // SAFETY: the caller's promise; the addresses are aligned and there is
        // at least one block.
        unsafe { copy_blocks(from, to, done) };
    }
    let (from, to) = (from.wrapping_add(done), to.wrapping_add(done));
    // SAFETY: the caller's promise, for what is left.
    unsafe { core::ptr::copy_nonoverlapping(from, to, len - done) };
}

/// The long steps of [`copy`].
///
/// # Safety
/// As for [`copy`]; both addresses are multiples of 8, `len` one of 256 and not
/// zero.
unsafe fn copy_blocks(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!(
            "2:", ".rept 4",
            "ldp {a}, {b}, [{from}], #16", "ldp {c}, {d}, [{from}], #16",
            "ldp {e}, {f}, [{from}], #16", "ldp {g}, {h}, [{from}], #16",
            "stp {a}, {b}, [{to}], #16", "stp {c}, {d}, [{to}], #16",
            "stp {e}, {f}, [{to}], #16", "stp {g}, {h}, [{to}], #16",
            ".endr",
            "subs {left}, {left}, #256", "b.ne 2b",
            a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
            e = out(reg) _, f = out(reg) _, g = out(reg) _, h = out(reg) _,
            from = inout(reg) from => _, to = inout(reg) to => _, left = inout(reg) len => _,
            options(nostack),
        );
    }
}

/// A range that is not inside the extent it was looked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfExtent(pub u64);

/// RAM that nobody uses yet, and modules that stay where the loader put them.
pub struct RamMap {
    free: Vec<(u64, u64)>,
    modules: Vec<Region>,
}

impl RamMap {
    /// All of `memory` but for the image, `reserved` and `modules`. `None` but
    /// for the first call: RAM is given out once.
    ///
    /// The caller passes what the device tree says, and has mapped it: that the
    /// tree tells the truth about the board is what everything here rests on.
    #[must_use]
    pub fn claim(memory: &[Region], reserved: &[Region], modules: &[Region]) -> Option<Self> {
        static CLAIMED: AtomicBool = AtomicBool::new(false);
        if CLAIMED.swap(true, Ordering::AcqRel) {
            return None;
        }
        let free = memory
            .iter()
            .filter_map(|r| r.end().map(|end| (r.base, end)))
            .collect();
        let mut map = Self {
            free,
            modules: Vec::new(),
        };
        for region in reserved.iter().chain([&own(), &Region::new(0, 4096)]) {
            map.exclude(region);
        }
        map.keep(modules);
        Some(map)
    }

    /// Keeps further modules, found in an overlay, from being given out. To be
    /// called before anything is taken.
    pub fn keep(&mut self, modules: &[Region]) {
        for module in modules {
            self.exclude(module);
            self.modules.push(*module);
        }
    }

    fn exclude(&mut self, region: &Region) {
        let start = region.base & !0xfff;
        let end = region
            .base
            .saturating_add(region.size)
            .next_multiple_of(4096);
        let around = |&(a, b): &(u64, u64)| [(a, b.min(start)), (a.max(end), b)];
        self.free = self
            .free
            .iter()
            .flat_map(around)
            .filter(|(a, b)| a < b)
            .collect();
    }

    /// Takes `len` bytes aligned to `align` from the largest free piece's end;
    /// `align` is a power of two.
    pub fn take(&mut self, len: u64, align: u64) -> Option<Extent> {
        let fits = |&(a, b): &(u64, u64)| {
            let start = b.checked_sub(len)? & !(align - 1);
            (start >= a).then_some(start)
        };
        let index = (0..self.free.len())
            .filter(|&i| fits(&self.free[i]).is_some())
            .max_by_key(|&i| self.free[i].1 - self.free[i].0)?;
        let (a, b) = self.free.swap_remove(index);
        let start = fits(&(a, b))?;
        self.free.extend(
            [(a, start), (start + len, b)]
                .into_iter()
                .filter(|(a, b)| a < b),
        );
        Some(Extent { start, len })
    }

    /// Bytes in the largest piece that is free at alignment `align`.
    #[must_use]
    pub fn largest(&self, align: u64) -> u64 {
        self.free
            .iter()
            .map(|&(a, b)| (b & !(align - 1)).saturating_sub(a.next_multiple_of(align)))
            .max()
            .unwrap_or(0)
    }

    /// Bytes free altogether.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.free.iter().map(|(a, b)| b - a).sum()
    }

    /// The module at `region`, as bytes that nobody changes any more; `None` if
    /// the device tree names no such module.
    #[must_use]
    pub fn module(&self, region: Region) -> Option<&'static [u8]> {
        let known = self.modules.iter().any(|m| m.contains(&region));
        // SAFETY: modules are excluded from what is allocated or given to
        // guests, and mapped with the rest of RAM.
        known.then(|| unsafe {
            core::slice::from_raw_parts(region.base as *const u8, region.size as usize)
        })
    }
}

/// An extent as a register window: for memory that is shared with a guest and
/// must be accessed word by word.
#[must_use]
pub fn shared(extent: Extent) -> platform::mmio::Window {
    // SAFETY: mapped RAM without Rust objects, for ever; whoever shares it
    // races with the guest by intent, each access is one volatile word.
    unsafe { platform::mmio::Window::new(extent.start as usize, extent.len as usize) }
}

/// Adds an extent to the heap.
pub fn give_to_heap(extent: Extent) {
    // SAFETY: the extent came out of a `RamMap`, so it is mapped and unused,
    // and it is consumed here.
    unsafe { super::heap::add(extent.start, extent.len) };
}

/// What the loader gave this image: its own extent and, where an image writer
/// appended files, those too, by the size in the Image header.
#[must_use]
pub fn own() -> Region {
    let image = super::boot::image();
    // SAFETY: the header is the first 64 bytes of the mapped image; the word
    // at 16 is its size (Linux booting.rst).
    let size = unsafe { ((image.start + 16) as *const u64).read_volatile() };
    Region::new(image.start, size.max(image.end - image.start))
}

/// The files that an image writer appended, if any.
#[must_use]
pub fn packed() -> &'static [u8] {
    let image = super::boot::image();
    let len = (own().base + own().size).saturating_sub(image.end);
    // SAFETY: RAM behind the image that the loader reserved for it, which
    // `claim` keeps from being given out and boot maps with the rest.
    unsafe { core::slice::from_raw_parts(image.end as *const u8, len as usize) }
}

/// The device tree at `address`, if its header is one.
#[must_use]
pub fn device_tree(address: u64) -> Option<&'static [u8]> {
    if address == 0 || !address.is_multiple_of(8) {
        return None;
    }
    // SAFETY: the boot protocol puts a device tree of at most 2 MiB here; boot
    // mapped these bytes as normal memory.
    let header = unsafe { core::slice::from_raw_parts(address as *const u8, 8) };
    let word = |at: usize| {
        header
            .get(at..at + 4)
            .and_then(|b| b.try_into().ok())
            .map(u32::from_be_bytes)
    };
    let size = word(4)? as usize;
    if word(0)? != 0xd00d_feed || !(40..=2 << 20).contains(&size) {
        return None;
    }
    // SAFETY: as above, for the whole size that the header states.
    Some(unsafe { core::slice::from_raw_parts(address as *const u8, size) })
}

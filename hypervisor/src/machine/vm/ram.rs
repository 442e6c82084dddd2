//! A VM's memory: where its guest physical addresses are in this machine.

use alloc::vec::Vec;

use crate::arch::cache;
use crate::arch::ram::Extent;
use crate::guest::map::RAM_BASE;

/// Alignment of the pieces: whole 2 MiB blocks in stage 2.
pub const PIECE: u64 = 2 << 20;

/// An address range that is not all RAM of the VM; holds its first address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotRam(pub u64);

/// A guest's RAM: contiguous for the guest, in pieces for the machine.
#[derive(Debug)]
pub struct GuestRam {
    pieces: Vec<(u64, Extent)>,
    len: u64,
}

impl GuestRam {
    /// Lines the pieces up from [`RAM_BASE`].
    #[must_use]
    pub fn new(extents: Vec<Extent>) -> Self {
        let mut at = RAM_BASE;
        let mut pieces = Vec::new();
        for extent in extents {
            pieces.push((at, extent));
            at += extent.len();
        }
        Self {
            pieces,
            len: at - RAM_BASE,
        }
    }

    /// Bytes of RAM.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces: guest physical address and place in the machine.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, Extent)> + '_ {
        self.pieces.iter().copied()
    }

    /// Whether `len` bytes at `ipa` are all RAM.
    #[must_use]
    pub fn contains(&self, ipa: u64, len: u64) -> bool {
        ipa >= RAM_BASE
            && ipa
                .checked_add(len)
                .is_some_and(|end| end <= RAM_BASE.saturating_add(self.len))
    }

    /// Physical address of `ipa` and the bytes of RAM that follow it there
    /// without a gap.
    #[must_use]
    pub fn stretch(&self, ipa: u64) -> Option<(u64, u64)> {
        let (at, extent) = self.around(ipa)?;
        let offset = ipa - at;
        Some((extent.start() + offset, extent.len() - offset))
    }

    /// The piece that `ipa` lies in: where it begins for the guest, and where it
    /// is in the machine.
    #[must_use]
    #[inline]
    pub fn around(&self, ipa: u64) -> Option<(u64, Extent)> {
        // An address below a piece is a very large offset.
        let mut pieces = self.pieces.iter();
        let found = pieces.find(|(at, extent)| ipa.wrapping_sub(*at) < extent.len());
        found.copied()
    }

    /// Calls `each` with the machine's place of every part of `ipa..ipa+len`
    /// and the part's offset from `ipa`.
    fn parts(&self, ipa: u64, len: u64, mut each: impl FnMut(Extent, u64)) -> Result<(), NotRam> {
        if !self.contains(ipa, len) {
            return Err(NotRam(ipa));
        }
        let mut done = 0;
        while done < len {
            let (at, extent) = self.around(ipa + done).ok_or(NotRam(ipa))?;
            let offset = ipa + done - at;
            let size = (extent.len() - offset).min(len - done);
            each(extent.part(offset, size).ok_or(NotRam(ipa))?, done);
            done += size;
        }
        Ok(())
    }

    /// Copies `data` to guest address `ipa`, and on to memory, where a vCPU
    /// with its caches off will look.
    ///
    /// # Errors
    /// The range is not RAM; nothing was written.
    pub fn copy_in(&self, ipa: u64, data: &[u8]) -> Result<(), NotRam> {
        self.parts(ipa, data.len() as u64, |part, offset| {
            if let Some(bytes) = data.get(offset as usize..(offset + part.len()) as usize) {
                let _ = part.write(part.start(), bytes);
                cache::clean(part.start(), part.len());
            }
        })
    }

    /// Copies guest memory at `ipa` into `data`.
    ///
    /// # Errors
    /// The range is not RAM; `data` is unchanged.
    pub fn copy_out(&self, ipa: u64, data: &mut [u8]) -> Result<(), NotRam> {
        self.parts(ipa, data.len() as u64, |part, offset| {
            if let Some(bytes) = data.get_mut(offset as usize..(offset + part.len()) as usize) {
                let _ = part.read(part.start(), bytes);
            }
        })
    }

    /// Fills all of it with zeros, and calls `between` after each [`PIECE`]: all
    /// of it takes long.
    pub fn scrub(&self, mut between: impl FnMut()) {
        for (_, extent) in self.pieces() {
            for at in (0..extent.len()).step_by(PIECE as usize) {
                if let Some(piece) = extent.part(at, PIECE.min(extent.len() - at)) {
                    piece.scrub();
                }
                between();
            }
        }
    }
}

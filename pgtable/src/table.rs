//! The table itself: its root, its life, and what it hands out.

use crate::mem::Memory;
use crate::pins::{Pin, Pins};
use crate::sync::AtomicU64;
use crate::{Attrs, Config, Detached, Error, Ipa, Pa};

/// A stage-2 translation table, shared by all CPUs that change it and all
/// walkers that read it.
#[derive(Debug)]
pub struct Table<M: Memory> {
    pub(crate) config: Config,
    pub(crate) root: Pa,
    pub(crate) mem: M,
    pub(crate) pins: Pins,
    /// Invalidated pages that a software walker may still look at.
    pub(crate) limbo: AtomicU64,
    /// Pages whose invalidation failed.
    pub(crate) quarantine: AtomicU64,
}

impl<M: Memory> Table<M> {
    /// An empty table.
    ///
    /// # Errors
    /// [`Error::NoMemory`] if there is no room for the root,
    /// [`Error::BadFrame`] if the root lies beyond the output size or is not
    /// aligned to its size.
    pub fn new(config: Config, mem: M) -> Result<Self, Error> {
        let bytes = config.root_bytes();
        let root = mem.alloc(bytes).ok_or(Error::NoMemory(bytes))?;
        let table = Self {
            config,
            root,
            mem,
            pins: Pins::new(),
            limbo: AtomicU64::new(0),
            quarantine: AtomicU64::new(0),
        };
        if let Err(error) = table.check_frame(root, bytes) {
            table.mem.free(root, bytes);
            return Err(error);
        }
        table.publish_new(root, bytes);
        Ok(table)
    }

    /// Address of the root: VTTBR_EL2.BADDR, STE.S2TTB, SMMU_CBn_TTBR0. Its
    /// alignment is [`Config::root_bytes`].
    pub const fn root(&self) -> Pa {
        self.root
    }

    /// BADDR as VTTBR_EL2 and SMMU_CBn_TTBR0 want it: with 52-bit output
    /// PA[51:48] is in bits 5:2 (D24.2.214).
    pub const fn baddr(&self) -> u64 {
        if self.config.pa_bits == 52 {
            self.root.0 & 0x0000_ffff_ffff_ffff | self.root.0.wrapping_shr(46) & 0x3c
        } else {
            self.root.0
        }
    }

    /// The shape of the table.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The memory the table lives in.
    pub const fn memory(&self) -> &M {
        &self.mem
    }

    #[inline(always)]
    pub(crate) fn pin(&self) -> Pin<'_> {
        self.pins.enter(self.mem.slot())
    }
}

impl<M: Memory> Table<M> {
    fn check_frame(&self, _pa: Pa, _bytes: usize) -> Result<(), Error> {
        unimplemented!("under construction")
    }

    fn publish_new(&self, _pa: Pa, _bytes: usize) {
        unimplemented!("under construction")
    }

    /// Maps `len` bytes at `ipa` to `pa`.
    ///
    /// # Errors
    /// Nothing is mapped on error.
    pub fn map(&self, _ipa: Ipa, _pa: Pa, _len: u64, _attrs: Attrs) -> Result<(), Error> {
        unimplemented!("under construction")
    }

    /// Unmaps `len` bytes at `ipa`, all of which must be mapped.
    ///
    /// # Errors
    /// Nothing is unmapped on error.
    pub fn unmap(&self, _ipa: Ipa, _len: u64) -> Result<Detached, Error> {
        unimplemented!("under construction")
    }

    /// Returns what was detached to the frame source, after `invalidate` made
    /// every walker forget it. If that fails, the frames are quarantined.
    ///
    /// # Errors
    /// That of `invalidate`.
    pub fn release<E>(&self, _detached: Detached, _invalidate: impl FnOnce(crate::Stale) -> Result<(), E>) -> Result<(), E> {
        unimplemented!("under construction")
    }

    /// Where `ipa` leads, with what attributes, and the size of the mapping's
    /// descriptor.
    pub fn translate(&self, _ipa: Ipa) -> Option<(Pa, Attrs, u64)> {
        unimplemented!("under construction")
    }
}

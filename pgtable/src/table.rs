//! The table itself: its root, its life, and what it hands out.

use crate::desc::output;
use crate::mem::{self, Entry, Memory, Publish};
use crate::pins::{Pin, Pins};
use crate::quick::Shape;
use crate::sync::{AtomicU64, Ordering};
use crate::{Config, Error, Pa, Walks};

/// A stage-2 translation table, shared by all CPUs that change it and all
/// walkers that read it.
#[derive(Debug)]
pub struct Table<M: Memory> {
    pub(crate) root: Pa,
    pub(crate) shape: Shape,
    /// The first input address that is too large.
    pub(crate) limit: u64,
    /// The same for the shape that the short ways are inlined for, zero for
    /// all others.
    pub(crate) quick_limit: u64,
    /// The same again, zero also if links may carry a mark: see `look`.
    pub(crate) look_limit: u64,
    /// The bits of a leaf that `look` takes for its output address. A word in
    /// memory is one instruction where a constant of 48 bits is two.
    pub(crate) look_mask: u64,
    /// The first output address that is too large.
    pub(crate) output_limit: u64,
    /// The MemAttr field of write-back memory.
    pub(crate) normal: u64,
    pub(crate) config: Config,
    pub(crate) mem: M,
    pub(crate) pins: Pins,
    /// Invalidated pages that a software walker may still look at.
    pub(crate) limbo: AtomicU64,
    /// Pages whose invalidation failed.
    pub(crate) quarantine: AtomicU64,
    /// Tells the [`Detached`](crate::Detached) of this table from others.
    pub(crate) id: u64,
}

/// Numbers tables, so that nothing is released into a table it is not from.
/// Not under the model checker's eye: uniqueness is all that matters.
static NEXT_ID: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(1);

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
        let limit = 1u64.wrapping_shl(config.ipa_bits);
        let shape = Shape::of(&config);
        let table = Self {
            root,
            shape,
            limit,
            quick_limit: if shape.is_usual() { limit } else { 0 },
            look_limit: if shape == Shape::K4L1 && config.walks == Walks::Coherent {
                limit
            } else {
                0
            },
            look_mask: output::<12>(u64::MAX),
            output_limit: 1u64.wrapping_shl(config.pa_bits),
            normal: config.normal(),
            config,
            mem,
            pins: Pins::new(),
            limbo: AtomicU64::new(0),
            quarantine: AtomicU64::new(0),
            id: Self::next_id(),
        };
        if let Err(error) = table.check_frame(root, bytes) {
            table.mem.free(root, bytes);
            return Err(error);
        }
        let pin = table.pin();
        let entries = table.config.root_entries();
        table.publish_page(mem::entries(&table.mem, &pin, root, 0, entries));
        drop(pin);
        Ok(table)
    }

    /// A number that no table has or had.
    pub(crate) fn next_id() -> u64 {
        NEXT_ID.fetch_add(1, Ordering::Relaxed)
    }

    /// Address of the root: VTTBR_EL2.BADDR, STE.S2TTB, SMMU_CBn_TTBR0. Its
    /// alignment is [`Config::root_bytes`].
    pub const fn root(&self) -> Pa {
        self.root
    }

    /// BADDR as VTTBR_EL2 and SMMU_CBn_TTBR0 want it: with 52-bit output
    /// PA\[51:48\] is in bits 5:2 (D24.2.214).
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

    /// Whether some walker does not snoop the caches.
    #[inline(always)]
    pub(crate) const fn cleans(&self) -> bool {
        matches!(self.config.walks, Walks::NonCoherent)
    }

    /// Whether a frame can be pointed to by a table descriptor or a register.
    pub(crate) fn check_frame(&self, pa: Pa, bytes: usize) -> Result<(), Error> {
        let end = pa.checked_add(bytes as u64).ok_or(Error::BadFrame(pa))?;
        let fits = end.0.wrapping_sub(1).wrapping_shr(self.config.pa_bits) == 0;
        if fits && pa.is_aligned(bytes as u64) {
            Ok(())
        } else {
            Err(Error::BadFrame(pa))
        }
    }

    /// Makes a new table page visible to all walkers, before it is linked.
    pub(crate) fn publish_page(&self, entries: &[Entry]) {
        let walkers = self.mem.walkers();
        if self.cleans() {
            walkers.clean(entries);
            walkers.complete();
        } else {
            walkers.order();
        }
    }

    /// Makes changed entries visible, as far as that takes more than the
    /// barrier that ends every operation.
    #[inline(always)]
    pub(crate) fn publish(&self, entries: &[Entry]) {
        if self.cleans() {
            self.mem.walkers().clean(entries);
        }
    }
}

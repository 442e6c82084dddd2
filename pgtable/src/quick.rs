//! The short way to one descriptor: walks unrolled for every granule and
//! start level.
//!
//! Most operations are about one page or one block whose tables exist. They
//! take one walk and one compare-and-swap here; everything else goes the
//! general way.

use crate::desc::{CONT, FOLLOW, TABLE, UNCLEAN, VALID, field, output};
use crate::geometry::{Geo, LAST};
use crate::mem::{self, Claimed, Entry, Memory, Publish};
use crate::pins::Pin;
use crate::sync::Ordering;
use crate::{Attrs, Config, Granule, Mapping, Pa, Table};

/// Granule and level of the root in one number, to branch on once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    K4L0,
    K4L1,
    K4L2,
    K16L1,
    K16L2,
    K64L1,
    K64L2,
    #[cfg(loom)]
    Tiny,
}

impl Shape {
    pub(crate) const fn of(config: &Config) -> Self {
        match (config.granule, config.start) {
            (Granule::K4, 0) => Self::K4L0,
            (Granule::K4, 1) => Self::K4L1,
            (Granule::K4, _) => Self::K4L2,
            (Granule::K16, 1) => Self::K16L1,
            (Granule::K16, _) => Self::K16L2,
            (Granule::K64, 1) => Self::K64L1,
            (Granule::K64, _) => Self::K64L2,
            #[cfg(loom)]
            (Granule::Tiny, _) => Self::Tiny,
        }
    }
}

/// Whether `word`, of a table above the last level, points to a table.
#[inline(always)]
const fn is_table(word: u64) -> bool {
    word & FOLLOW != 0
}

/// Calls a method that is generic in page shift, bits per level and start
/// level, for the shape of `$table`.
macro_rules! shaped {
    ($table:expr, $call:ident ( $($arg:expr),* )) => {
        match $table.shape {
            Shape::K4L1 => $table.$call::<12, 9, 1>($($arg),*),
            Shape::K4L0 => $table.$call::<12, 9, 0>($($arg),*),
            Shape::K4L2 => $table.$call::<12, 9, 2>($($arg),*),
            Shape::K16L1 => $table.$call::<14, 11, 1>($($arg),*),
            Shape::K16L2 => $table.$call::<14, 11, 2>($($arg),*),
            Shape::K64L1 => $table.$call::<16, 13, 1>($($arg),*),
            Shape::K64L2 => $table.$call::<16, 13, 2>($($arg),*),
            #[cfg(loom)]
            Shape::Tiny => $table.$call::<12, 2, 2>($($arg),*),
        }
    };
}

/// The shape that the short ways are inlined for, its bits per level and the
/// level of its root: 4K pages and 35 to 43 bits, by far the most common.
#[cfg(not(loom))]
const USUAL: (Shape, u32, u32) = (Shape::K4L1, 9, 1);
#[cfg(loom)]
const USUAL: (Shape, u32, u32) = (Shape::Tiny, 2, 2);

/// The arithmetic of that shape.
pub(crate) type Usual = Geo<12, { USUAL.1 }>;

impl Shape {
    /// Whether the short ways are inlined for this one.
    pub(crate) fn is_usual(self) -> bool {
        self == USUAL.0
    }
}

impl<M: Memory> Table<M> {
    /// The word that decides about `ipa` and log2 of the bytes it covers; zero
    /// beyond the input size. For any shape.
    #[cold]
    #[inline(never)]
    pub(crate) fn word(&self, pin: &Pin<'_>, ipa: u64) -> (u64, u32) {
        if ipa >= self.limit {
            return (0, 0);
        }
        shaped!(self, word_of(pin, ipa))
    }

    /// What [`word`](Self::word) found for `ipa`.
    #[inline(always)]
    pub(crate) fn decode(&self, (word, shift): (u64, u32), ipa: u64) -> Option<Mapping> {
        if word & VALID == 0 {
            return None;
        }
        let size = 1u64.wrapping_shl(shift);
        let mask = size.wrapping_sub(1);
        let base = match self.config.granule {
            Granule::K64 => output::<16>(word),
            _ => output::<12>(word),
        };
        Some((Pa(ipa & mask | base & !mask), Attrs::of_leaf(word), size))
    }

    /// Maps one page or block of `len` bytes, if that is possible at once:
    /// whether it was. Checks everything but the attributes.
    #[inline(always)]
    pub(crate) fn map_one(&self, ipa: u64, pa: u64, len: u64, bits: u64) -> bool {
        if ipa < self.quick_limit && len == Usual::PAGE {
            pa < self.output_limit && self.map_usual(ipa, pa, bits)
        } else {
            self.map_one_any(ipa, pa, len, bits)
        }
    }

    #[inline(never)]
    fn map_one_any(&self, ipa: u64, pa: u64, len: u64, bits: u64) -> bool {
        if ipa < self.quick_limit && len == BLOCK_LEN && pa < self.output_limit {
            return self.map_at::<12, { USUAL.1 }, { USUAL.2 }>(ipa, pa, bits | VALID, BLOCK);
        }
        shaped!(self, map_one_of(ipa, pa, len, bits))
    }

    /// The same for one page of a table of the usual shape. Neither address is
    /// too large.
    #[inline(always)]
    pub(crate) fn map_usual(&self, ipa: u64, pa: u64, bits: u64) -> bool {
        self.map_at::<12, { USUAL.1 }, { USUAL.2 }>(ipa, pa, bits | TABLE, LAST)
    }

    /// Takes one page or block of `len` bytes from the walkers, if that is
    /// possible at once: its entry, which is claimed. Checks everything.
    #[inline(always)]
    pub(crate) fn unmap_one(&self, ipa: u64, len: u64) -> Option<Claimed> {
        let pin = self.pin();
        let entry = if ipa < self.quick_limit && len == Usual::PAGE {
            self.unmap_usual(&pin, ipa)
        } else {
            self.unmap_one_any(&pin, ipa, len)
        };
        entry.map(Claimed::of)
    }

    #[inline(never)]
    fn unmap_one_any<'p>(&'p self, pin: &'p Pin<'_>, ipa: u64, len: u64) -> Option<&'p Entry> {
        if ipa < self.quick_limit && len == BLOCK_LEN {
            return self.unmap_at::<12, { USUAL.1 }, { USUAL.2 }>(pin, ipa, BLOCK);
        }
        shaped!(self, unmap_one_of(pin, ipa, len))
    }

    /// The same for one page of a table of the usual shape; its entry. The
    /// address is not too large.
    #[inline(always)]
    pub(crate) fn unmap_usual<'p>(&'p self, pin: &'p Pin<'_>, ipa: u64) -> Option<&'p Entry> {
        self.unmap_at::<12, { USUAL.1 }, { USUAL.2 }>(pin, ipa, LAST)
    }

    #[inline(always)]
    fn word_of<const G: u32, const B: u32, const START: u32>(
        &self,
        pin: &Pin<'_>,
        ipa: u64,
    ) -> (u64, u32) {
        let (_, word, level) = self.descend::<G, B, START>(pin, ipa, LAST);
        (word, Geo::<G, B>::shift(level))
    }

    /// Looks up `ipa`, which is below `look_limit`: 4K pages, the root at level
    /// 1, and coherent walkers, so that a table descriptor is the address plus
    /// its type, with no mark of a link that may be unclean.
    #[inline(always)]
    pub(crate) fn look(&self, pin: &Pin<'_>, ipa: u64) -> Option<Mapping> {
        type K4 = Geo<12, 9>;
        let load = |node, index| mem::entry(&self.mem, pin, node, index).load(Ordering::Acquire);
        // No more than an offset in the next load, where a mask would be an
        // instruction.
        let node = |word: u64| Pa(word.wrapping_sub(TABLE));
        let word = load(self.root, ipa.wrapping_shr(K4::shift(1)) as usize);
        if !is_table(word) {
            return self.looked(word, ipa, K4::span(1));
        }
        let word = load(node(word), K4::index(ipa, 2));
        if !is_table(word) {
            return self.looked(word, ipa, K4::span(2));
        }
        let word = load(node(word), K4::index(ipa, LAST));
        if word & VALID == 0 {
            return nothing();
        }
        // As `looked` does it, but for the sum: were they the same, the compiler
        // would share the code, and have the page's constants in registers.
        let pa = (ipa & K4::PAGE.wrapping_sub(1)).wrapping_add(word & self.look_mask);
        Some((Pa(pa), Attrs::of_leaf(word), K4::PAGE))
    }

    /// What `word`, which covers `size` bytes, says about `ipa`.
    #[inline(always)]
    fn looked(&self, word: u64, ipa: u64, size: u64) -> Option<Mapping> {
        if word & VALID == 0 {
            return nothing();
        }
        let pa = ipa & size.wrapping_sub(1) | word & self.look_mask;
        Some((Pa(pa), Attrs::of_leaf(word), size))
    }

    #[inline(always)]
    fn map_one_of<const G: u32, const B: u32, const START: u32>(
        &self,
        ipa: u64,
        pa: u64,
        len: u64,
        bits: u64,
    ) -> bool {
        if ipa >= self.limit || pa >= self.output_limit {
            false
        } else if len == Geo::<G, B>::PAGE {
            self.map_at::<G, B, START>(ipa, pa, bits | TABLE, LAST)
        } else if len == Geo::<G, B>::span(BLOCK) && START <= BLOCK {
            self.map_at::<G, B, START>(ipa, pa, bits | VALID, BLOCK)
        } else {
            false
        }
    }

    /// Maps one descriptor of `level`, if its tables exist and it is absent.
    #[inline(always)]
    fn map_at<const G: u32, const B: u32, const START: u32>(
        &self,
        ipa: u64,
        pa: u64,
        bits: u64,
        level: u32,
    ) -> bool {
        if (ipa | pa) & Geo::<G, B>::span(level).wrapping_sub(1) != 0 {
            return false;
        }
        let pin = self.pin();
        let Some(entry) = self.reach::<G, B, START>(&pin, ipa, level) else {
            return false;
        };
        let new = field::<G>(Pa(pa)) | bits;
        let done = entry
            .compare_exchange(0, new, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if done {
            self.publish(core::slice::from_ref(entry));
            self.mem.walkers().complete();
        }
        done
    }

    #[inline(always)]
    fn unmap_one_of<'p, const G: u32, const B: u32, const START: u32>(
        &'p self,
        pin: &'p Pin<'_>,
        ipa: u64,
        len: u64,
    ) -> Option<&'p Entry> {
        if ipa >= self.limit {
            None
        } else if len == Geo::<G, B>::PAGE {
            self.unmap_at::<G, B, START>(pin, ipa, LAST)
        } else if len == Geo::<G, B>::span(BLOCK) && START <= BLOCK {
            self.unmap_at::<G, B, START>(pin, ipa, BLOCK)
        } else {
            None
        }
    }

    /// Takes one descriptor of `level` from the walkers, if it maps something
    /// by itself: its entry, which is claimed.
    #[inline(always)]
    fn unmap_at<'p, const G: u32, const B: u32, const START: u32>(
        &'p self,
        pin: &'p Pin<'_>,
        ipa: u64,
        level: u32,
    ) -> Option<&'p Entry> {
        if ipa & Geo::<G, B>::span(level).wrapping_sub(1) != 0 {
            return None;
        }
        let entry = self.reach::<G, B, START>(pin, ipa, level)?;
        let word = entry.load(Ordering::Relaxed);
        let kind = if level == LAST { VALID | CONT } else { TABLE };
        if word & kind != VALID {
            return None;
        }
        entry
            .compare_exchange(word, word & !VALID, Ordering::Release, Ordering::Relaxed)
            .ok()?;
        self.publish(core::slice::from_ref(entry));
        self.mem.walkers().complete();
        Some(entry)
    }

    /// The entry of `level` for `ipa`, if all tables above it exist.
    #[inline(always)]
    fn reach<'p, const G: u32, const B: u32, const START: u32>(
        &'p self,
        pin: &'p Pin<'_>,
        ipa: u64,
        level: u32,
    ) -> Option<&'p Entry> {
        let (node, index) = self.reach_table::<G, B, START>(pin, ipa, level)?;
        Some(mem::entry(&self.mem, pin, node, index))
    }

    /// The table of `level` for `ipa` and the index of its entry there, if all
    /// tables exist.
    #[inline(always)]
    fn reach_table<const G: u32, const B: u32, const START: u32>(
        &self,
        pin: &Pin<'_>,
        ipa: u64,
        level: u32,
    ) -> Option<(Pa, usize)> {
        let mut at = START;
        let mut node = self.root;
        let mut index = ipa.wrapping_shr(Geo::<G, B>::shift(START)) as usize;
        while at < level {
            let word = mem::entry(&self.mem, pin, node, index).load(Ordering::Acquire);
            // A link that may not be clean yet is for the general way.
            if !is_table(word) || word & UNCLEAN != 0 && self.cleans() {
                return None;
            }
            at = at.wrapping_add(1);
            node = Pa(output::<G>(word));
            index = Geo::<G, B>::index(ipa, at);
        }
        Some((node, index))
    }

    /// The table of 4K pages around `ipa`, if there is one.
    #[inline(never)]
    pub(crate) fn leaf_table(&self, pin: &Pin<'_>, ipa: u64) -> Option<Pa> {
        let found = match self.shape {
            _ if ipa >= self.limit => None,
            Shape::K4L1 => self.reach_table::<12, 9, 1>(pin, ipa, LAST),
            Shape::K4L0 => self.reach_table::<12, 9, 0>(pin, ipa, LAST),
            Shape::K4L2 => self.reach_table::<12, 9, 2>(pin, ipa, LAST),
            #[cfg(loom)]
            Shape::Tiny => self.reach_table::<12, 2, 2>(pin, ipa, LAST),
            _ => None,
        };
        found.map(|(node, _)| node)
    }

    /// The entry that decides about `ipa`, what it holds, and its level.
    /// `START` is the root's level.
    #[inline(always)]
    fn descend<'p, const G: u32, const B: u32, const START: u32>(
        &'p self,
        pin: &'p Pin<'_>,
        ipa: u64,
        last: u32,
    ) -> (&'p Entry, u64, u32) {
        let mut level = START;
        let mut node = self.root;
        let mut index = ipa.wrapping_shr(Geo::<G, B>::shift(START)) as usize;
        loop {
            let entry = mem::entry(&self.mem, pin, node, index);
            let word = entry.load(Ordering::Acquire);
            if level == last || !is_table(word) {
                return (entry, word, level);
            }
            level = level.wrapping_add(1);
            node = Pa(output::<G>(word));
            index = Geo::<G, B>::index(ipa, level);
        }
    }
}

/// Finding nothing is not what the code is laid out for.
#[cold]
const fn nothing<T>() -> Option<T> {
    None
}

/// The level of the common blocks: 2 MiB, 32 MiB, 512 MiB.
const BLOCK: u32 = 2;
/// The bytes of such a block of the usual shape.
const BLOCK_LEN: u64 = Usual::span(BLOCK);

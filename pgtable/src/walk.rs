//! Going down: from the root to the entry that decides about an address.
//!
//! ```text
//!            IPA  ┌────────┬────────┬────────┬────────┐
//!                 │ root   │ level 2│ level 3│ offset │   4K, 40 bits:
//!                 └───┬────┴───┬────┴───┬────┴────────┘   39:30 29:21 20:12
//!       root (1..16 concatenated tables)│
//!       ┌──────┐      │        │        │
//!       │      │      │        │        │
//!       │ table├──────┼─► ┌──────┐      │
//!       │ block│ 1 GiB    │ table├──────┼─► ┌──────┐
//!       └──────┘          │ block│ 2 MiB    │ page │ 4 KiB
//!                         └──────┘          └──────┘
//! ```

use crate::desc::{TABLE, UNCLEAN, output};
use crate::geometry::{Geo, LAST};
use crate::mem::{self, Entry, Memory};
use crate::pins::Pin;
use crate::sync::Ordering;
use crate::{Error, Ipa, Pa, Table};

/// One operation inside a table of one granule.
pub(crate) struct Walk<'p, M: Memory, const G: u32, const B: u32> {
    pub(crate) table: &'p Table<M>,
    pub(crate) pin: &'p Pin<'p>,
}

/// Enters `$table` and runs `$body` with a [`Walk`] of its granule.
macro_rules! walking {
    ($table:expr, $walk:ident => $body:expr) => {{
        let table = $table;
        let pin = table.pin();
        let pin = &pin;
        match table.config.granule {
            $crate::Granule::K4 => {
                let $walk = $crate::walk::Walk::<M, 12, 9> { table, pin };
                $body
            }
            $crate::Granule::K16 => {
                let $walk = $crate::walk::Walk::<M, 14, 11> { table, pin };
                $body
            }
            $crate::Granule::K64 => {
                let $walk = $crate::walk::Walk::<M, 16, 13> { table, pin };
                $body
            }
            #[cfg(loom)]
            $crate::Granule::Tiny => {
                let $walk = $crate::walk::Walk::<M, 12, 2> { table, pin };
                $body
            }
        }
    }};
}
pub(crate) use walking;

/// A place in the tree: an entry of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot {
    pub(crate) node: Pa,
    pub(crate) level: u32,
    pub(crate) index: usize,
}

impl<'p, M: Memory, const G: u32, const B: u32> Walk<'p, M, G, B> {
    /// The root's entry for `ipa`, which is within the input size.
    #[inline(always)]
    pub(crate) fn root(&self, ipa: u64) -> Spot {
        let level = self.table.config.start;
        let index = ipa.wrapping_shr(Geo::<G, B>::shift(level)) as usize;
        Spot {
            node: self.table.root,
            level,
            index,
        }
    }

    /// The entry at `spot`.
    #[inline(always)]
    pub(crate) fn entry(&self, spot: Spot) -> &'p Entry {
        mem::entry(&self.table.mem, self.pin, spot.node, spot.index)
    }

    /// `count` entries of `node` from `first` on.
    #[inline(always)]
    pub(crate) fn entries(&self, node: Pa, first: usize, count: usize) -> &'p [Entry] {
        mem::entries(&self.table.mem, self.pin, node, first, count)
    }

    /// The entry for `ipa` in the table that `word`, read at `spot`, points
    /// to.
    #[inline(always)]
    pub(crate) fn below(&self, spot: Spot, word: u64, ipa: u64) -> Spot {
        let level = spot.level.wrapping_add(1);
        Spot {
            node: Pa(output::<G>(word)),
            level,
            index: Geo::<G, B>::index(ipa, level),
        }
    }

    /// Follows tables to the entry that decides about `ipa`: it is at the
    /// last level, or no table.
    #[inline(always)]
    pub(crate) fn find(&self, ipa: u64) -> (Spot, u64) {
        let mut spot = self.root(ipa);
        loop {
            let word = self.entry(spot).load(Ordering::Acquire);
            if spot.level >= LAST || word & TABLE != TABLE {
                return (spot, word);
            }
            spot = self.below(spot, word, ipa);
        }
    }

    /// Entries from `spot` on, as many as `bytes` need, their table has and
    /// `most` allows.
    #[inline(always)]
    pub(crate) fn run(&self, spot: Spot, bytes: u64, most: usize) -> &'p [Entry] {
        let wanted = bytes.wrapping_shr(Geo::<G, B>::shift(spot.level)) as usize;
        let inside = spot.index & Geo::<G, B>::ENTRIES.wrapping_sub(1);
        let there = Geo::<G, B>::ENTRIES.wrapping_sub(inside);
        self.entries(spot.node, spot.index, wanted.min(there).min(most))
    }

    /// Calls `each` with every run of entries that are no tables in `len`
    /// bytes from `ipa` on.
    pub(crate) fn leaves(&self, ipa: u64, len: u64, mut each: impl FnMut(&'p [Entry])) {
        let mut done = 0u64;
        while done < len {
            let (spot, _) = self.find(ipa.wrapping_add(done));
            let most = if spot.level == LAST { usize::MAX } else { 1 };
            let run = self.run(spot, len.wrapping_sub(done), most);
            each(run);
            let bytes = (run.len().max(1) as u64).wrapping_shl(Geo::<G, B>::shift(spot.level));
            done = done.wrapping_add(bytes);
        }
    }

    /// A racing mapper may have linked this table and not yet cleaned the
    /// link: clean it too, so that what is mapped below does not depend on
    /// the other's progress.
    #[inline(always)]
    pub(crate) fn help(&self, spot: Spot, word: u64) {
        if word & UNCLEAN != 0 {
            self.table.publish(self.entries(spot.node, spot.index, 1));
        }
    }
}

impl<M: Memory> Table<M> {
    /// Checks an input range.
    #[inline(always)]
    pub(crate) fn check_ipa(&self, ipa: Ipa, len: u64) -> Result<(), Error> {
        let page = self.config.page_size();
        let low = (ipa.0 | len) & page.wrapping_sub(1);
        let end = ipa.0.wrapping_add(len);
        if low == 0 && ipa.0 < end && end <= self.limit {
            return Ok(());
        }
        Err(self.bad_ipa(ipa, len))
    }

    #[cold]
    fn bad_ipa(&self, ipa: Ipa, len: u64) -> Error {
        let page = self.config.page_size();
        if !ipa.is_aligned(page) {
            Error::Misaligned(ipa.0)
        } else if len == 0 {
            Error::Empty
        } else if !len.is_multiple_of(page) {
            Error::Misaligned(len)
        } else {
            Error::IpaTooLarge(ipa)
        }
    }

    /// Checks an output range, whose length is known to be good.
    #[inline(always)]
    pub(crate) fn check_pa(&self, pa: Pa, len: u64) -> Result<(), Error> {
        let end = pa.0.wrapping_add(len);
        let limit = 1u64.wrapping_shl(self.config.pa_bits);
        if pa.0 & self.config.page_size().wrapping_sub(1) != 0 {
            Err(Error::Misaligned(pa.0))
        } else if end < pa.0 || end > limit {
            Err(Error::PaTooLarge(pa))
        } else {
            Ok(())
        }
    }
}

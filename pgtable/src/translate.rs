//! Looking up an address in software.

use crate::desc::{self, TABLE, VALID, output};
use crate::geometry::LAST;
use crate::mem::{self, Memory};
use crate::pins::Pin;
use crate::sync::Ordering;
use crate::{Attrs, Config, Ipa, Pa, Table};

/// What a table says about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// Nothing is mapped there.
    Absent,
    /// Another CPU is mapping, unmapping or splitting it now: ask again. A
    /// guest that faulted there may just be resumed.
    Changing,
    /// Where it leads, the attributes, and the bytes its descriptor maps.
    Mapped(Pa, Attrs, u64),
}

/// Someone who looks up addresses. While it lives no detached table is freed:
/// keep it for the length of one operation.
#[derive(Debug)]
pub struct Reader<'t, M: Memory> {
    table: &'t Table<M>,
    pin: Pin<'t>,
}

impl<M: Memory> Table<M> {
    /// Where `ipa` leads, with what attributes, and the bytes that its
    /// descriptor maps; `None` if it is not mapped or beyond the input size.
    ///
    /// True at some moment during the call: what another CPU does after that
    /// is the caller's to exclude.
    #[inline]
    pub fn translate(&self, ipa: Ipa) -> Option<(Pa, Attrs, u64)> {
        self.reader().translate(ipa)
    }

    /// The same, telling what is absent from what is being changed.
    pub fn lookup(&self, ipa: Ipa) -> Lookup {
        self.reader().lookup(ipa)
    }

    /// Starts looking up several addresses.
    #[inline]
    pub fn reader(&self) -> Reader<'_, M> {
        Reader {
            table: self,
            pin: self.pin(),
        }
    }
}

impl<M: Memory> Reader<'_, M> {
    /// As [`Table::translate`].
    #[inline]
    #[must_use]
    pub fn translate(&self, ipa: Ipa) -> Option<(Pa, Attrs, u64)> {
        let (word, shift) = self.word(ipa)?;
        if word & VALID == 0 {
            return None;
        }
        Some(self.decode(word, shift, ipa))
    }

    /// As [`Table::lookup`].
    #[must_use]
    pub fn lookup(&self, ipa: Ipa) -> Lookup {
        match self.word(ipa) {
            None | Some((0, _)) => Lookup::Absent,
            Some((word, _)) if word & VALID == 0 => Lookup::Changing,
            Some((word, shift)) => {
                let (pa, attrs, size) = self.decode(word, shift, ipa);
                Lookup::Mapped(pa, attrs, size)
            }
        }
    }

    #[inline(always)]
    fn decode(&self, word: u64, shift: u32, ipa: Ipa) -> (Pa, Attrs, u64) {
        let config = &self.table.config;
        let base = if config.page_shift() == 16 {
            output::<16>(word)
        } else {
            output::<12>(word)
        };
        let size = 1u64.wrapping_shl(shift);
        let pa = base & !size.wrapping_sub(1) | ipa.0 & size.wrapping_sub(1);
        (Pa(pa), desc::attrs(word, config.fwb), size)
    }

    /// The word that decides about `ipa` and log2 of what it covers; none
    /// beyond the input size.
    #[inline(always)]
    fn word(&self, ipa: Ipa) -> Option<(u64, u32)> {
        let Config {
            granule,
            start,
            ipa_bits,
            ..
        } = self.table.config;
        if ipa.0.wrapping_shr(ipa_bits) != 0 {
            return None;
        }
        use crate::Granule::{K4, K16, K64};
        Some(match (granule, start) {
            (K4, 0) => self.descend::<12, 9, 0>(ipa.0),
            (K4, 1) => self.descend::<12, 9, 1>(ipa.0),
            (K4, _) => self.descend::<12, 9, 2>(ipa.0),
            (K16, 1) => self.descend::<14, 11, 1>(ipa.0),
            (K16, _) => self.descend::<14, 11, 2>(ipa.0),
            (K64, 1) => self.descend::<16, 13, 1>(ipa.0),
            (K64, _) => self.descend::<16, 13, 2>(ipa.0),
            #[cfg(loom)]
            (crate::Granule::Tiny, _) => self.descend::<12, 2, 2>(ipa.0),
        })
    }

    /// The walk itself, unrolled: `START` is the root's level.
    #[inline(always)]
    fn descend<const G: u32, const B: u32, const START: u32>(&self, ipa: u64) -> (u64, u32) {
        use crate::geometry::Geo;
        let mut level = START;
        let mut node = self.table.root;
        let mut index = ipa.wrapping_shr(Geo::<G, B>::shift(START)) as usize;
        loop {
            let entry = mem::entry(&self.table.mem, &self.pin, node, index);
            let word = entry.load(Ordering::Acquire);
            if level == LAST || word & TABLE != TABLE {
                return (word, Geo::<G, B>::shift(level));
            }
            level = level.wrapping_add(1);
            node = Pa(output::<G>(word));
            index = Geo::<G, B>::index(ipa, level);
        }
    }
}

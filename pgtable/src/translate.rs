//! Looking up an address in software.

use crate::mem::Memory;
use crate::pins::Pin;
use crate::{Attrs, Ipa, Pa, Table};

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

/// Where an address leads, with what attributes, and the bytes that its
/// descriptor maps.
pub type Mapping = (Pa, Attrs, u64);

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
    pub fn translate(&self, ipa: Ipa) -> Option<Mapping> {
        if ipa.0 < self.look_limit {
            self.look(&self.pin(), ipa.0)
        } else {
            self.decode(self.word_pinned(ipa.0), ipa.0)
        }
    }

    /// Out of the way, and with a result that fits into registers.
    #[cold]
    #[inline(never)]
    fn word_pinned(&self, ipa: u64) -> (u64, u32) {
        self.word(&self.pin(), ipa)
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
    pub fn translate(&self, ipa: Ipa) -> Option<Mapping> {
        if ipa.0 < self.table.look_limit {
            self.table.look(&self.pin, ipa.0)
        } else {
            self.table.decode(self.table.word(&self.pin, ipa.0), ipa.0)
        }
    }

    /// As [`Table::lookup`].
    #[must_use]
    pub fn lookup(&self, ipa: Ipa) -> Lookup {
        match self.translate(ipa) {
            Some((pa, attrs, size)) => Lookup::Mapped(pa, attrs, size),
            None if ipa.0 >= self.table.limit => Lookup::Absent,
            None if self.table.word(&self.pin, ipa.0).0 == 0 => Lookup::Absent,
            // Also if it was mapped since: then asking again helps, too.
            None => Lookup::Changing,
        }
    }
}

//! Looking at everything that is mapped.

use crate::desc::{CONT, TABLE, VALID, output};
use crate::geometry::{Geo, LAST};
use crate::mem::Memory;
use crate::sync::Ordering;
use crate::walk::{Spot, Walk, walking};
use crate::{Attrs, Error, Ipa, Pa, Table};
use core::fmt;
use core::ops::ControlFlow;

/// What one descriptor maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First input address.
    pub ipa: Ipa,
    /// First output address.
    pub pa: Pa,
    /// Bytes.
    pub len: u64,
    /// Attributes.
    pub attrs: Attrs,
    /// Whether the descriptor has the contiguous hint.
    pub contiguous: bool,
}

impl<M: Memory> Table<M> {
    /// Calls `see` for each descriptor that maps something in `len` bytes at
    /// `ipa`, in ascending order, until it breaks. The first and the last may
    /// reach beyond the range.
    ///
    /// Each descriptor is as it was at some moment during the call. No
    /// detached table is freed before `see` returns, so that it must be short.
    ///
    /// # Errors
    /// [`Error::Misaligned`], [`Error::Empty`], [`Error::IpaTooLarge`] for a
    /// range that does not fit.
    pub fn visit<T>(
        &self,
        ipa: Ipa,
        len: u64,
        mut see: impl FnMut(Region) -> ControlFlow<T>,
    ) -> Result<ControlFlow<T>, Error> {
        self.check_ipa(ipa, len)?;
        let end = ipa.0.wrapping_add(len);
        Ok(walking!(self, walk => walk.visit(walk.root(ipa.0), ipa.0, end, &mut see)))
    }

    /// All mappings for people to read, adjoining ones joined: one line each
    /// of input range, output address, attributes, and the descriptors used.
    pub fn dump(&self) -> Dump<'_, M> {
        Dump(self)
    }
}

impl<M: Memory, const G: u32, const B: u32> Walk<'_, M, G, B> {
    fn visit<T>(
        &self,
        spot: Spot,
        ipa: u64,
        end: u64,
        see: &mut impl FnMut(Region) -> ControlFlow<T>,
    ) -> ControlFlow<T> {
        let span = Geo::<G, B>::span(spot.level);
        let mut here = spot;
        let mut at = ipa;
        while at < end {
            let next = (at | span.wrapping_sub(1)).wrapping_add(1).min(end);
            let word = self.entry(here).load(Ordering::Acquire);
            if here.level < LAST && word & TABLE == TABLE {
                self.visit(self.below(here, word, at), at, next, see)?;
            } else if word & VALID != 0 {
                see(self.region(word, here.level, at))?;
            }
            here.index = here.index.wrapping_add(1);
            at = next;
        }
        ControlFlow::Continue(())
    }

    fn region(&self, word: u64, level: u32, ipa: u64) -> Region {
        let len = Geo::<G, B>::span(level);
        Region {
            ipa: Ipa(ipa & !len.wrapping_sub(1)),
            pa: Pa(output::<G>(word)),
            len,
            attrs: Attrs::of_leaf(word),
            contiguous: word & CONT != 0,
        }
    }
}

/// See [`Table::dump`].
#[derive(Debug)]
pub struct Dump<'t, M: Memory>(&'t Table<M>);

/// Regions that continue one another.
struct Line {
    first: Region,
    len: u64,
    count: u64,
}

impl Line {
    fn takes(&self, next: &Region) -> bool {
        self.first.ipa.checked_add(self.len) == Some(next.ipa)
            && self.first.pa.checked_add(self.len) == Some(next.pa)
            && self.first.attrs == next.attrs
            && self.first.contiguous == next.contiguous
            && self.first.len == next.len
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Region {
            ipa,
            pa,
            len,
            attrs,
            contiguous,
        } = self.first;
        let end = ipa.0.wrapping_add(self.len).wrapping_sub(1);
        let hint = if contiguous { " contiguous" } else { "" };
        write!(f, "{ipa:#014x}-{end:#014x} -> {pa:#014x} {attrs:?}")?;
        write!(f, " {} x {} KiB{hint}", self.count, len >> 10)
    }
}

impl<M: Memory> fmt::Display for Dump<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.0.config();
        let size = 1u64.wrapping_shl(config.ipa_bits());
        writeln!(
            f,
            "stage 2 at {}: {} KiB pages, {} bits in, {} bits out, root at level {}",
            self.0.root(),
            config.page_size() >> 10,
            config.ipa_bits(),
            config.pa_bits(),
            config.start_level()
        )?;
        let mut line: Option<Line> = None;
        let seen = self.0.visit(Ipa(0), size, |next| {
            if let Some(line) = &mut line {
                if line.takes(&next) {
                    line.len = line.len.wrapping_add(next.len);
                    line.count = line.count.wrapping_add(1);
                    return ControlFlow::Continue(());
                }
                if let Err(error) = writeln!(f, "{line}") {
                    return ControlFlow::Break(error);
                }
            }
            line = Some(Line {
                first: next,
                len: next.len,
                count: 1,
            });
            ControlFlow::Continue(())
        });
        match (seen, line) {
            (Ok(ControlFlow::Break(error)), _) => Err(error),
            (_, Some(line)) => writeln!(f, "{line}"),
            _ => f.write_str("nothing mapped\n"),
        }
    }
}

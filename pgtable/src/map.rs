//! Mapping, without a lock: claim every entry, then make them valid.

use crate::claim;
use crate::desc::{CONT, Kind, TABLE, VALID, field, kind, leaf_bits};
use crate::geometry::{Geo, LAST};
use crate::mem::{Entry, Memory, Publish};
use crate::reserve::Reserve;
use crate::sync::Ordering;
use crate::walk::{Spot, Walk, walking};
use crate::{Attrs, Error, Ipa, Leaf, Pa, Table};

/// A range to map; addresses as plain numbers, checked before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) ipa: u64,
    pub(crate) pa: u64,
    pub(crate) len: u64,
}

impl Piece {
    /// What is left after the first `bytes`.
    pub(crate) const fn after(self, bytes: u64) -> Self {
        Self {
            ipa: self.ipa.wrapping_add(bytes),
            pa: self.pa.wrapping_add(bytes),
            len: self.len.saturating_sub(bytes),
        }
    }
}

/// Why claiming stopped.
pub(crate) enum Stop {
    /// A table is missing and there is no reserve to take it from.
    Missing,
    /// The operation cannot go on.
    Error(Error),
}

impl<M: Memory> Table<M> {
    /// Maps `len` bytes at `ipa` to `pa`, with the largest blocks that
    /// alignment and length allow.
    ///
    /// Takes no lock; returns when every walker can see the mapping.
    ///
    /// # Errors
    /// [`Error::Misaligned`], [`Error::Empty`], [`Error::IpaTooLarge`],
    /// [`Error::PaTooLarge`] for a range that does not fit;
    /// [`Error::AlreadyMapped`] or [`Error::Racing`] with the first page that
    /// is in the way; [`Error::NoMemory`]. On error no walker has seen
    /// anything of the new mapping.
    #[inline]
    pub fn map(&self, ipa: Ipa, pa: Pa, len: u64, attrs: Attrs) -> Result<(), Error> {
        if self.map_one(ipa.0, pa.0, len, leaf_bits(attrs, self.normal)) {
            return Ok(());
        }
        self.map_some(ipa, pa, len, attrs, usize::MAX).map(drop)
    }

    /// The shortest way to map one page of 4K: whether that could be done at
    /// once. If not, nothing has changed, and [`map`](Self::map) says why.
    #[inline(always)]
    pub fn map_page(&self, ipa: Ipa, pa: Pa, leaf: Leaf) -> bool {
        ipa.0 < self.quick_limit && pa.0 < self.output_limit && self.map_usual(ipa.0, pa.0, leaf.0)
    }

    /// Maps a first part of the range, writing at most `budget` descriptors
    /// (at least one), and returns its length in bytes: call again with the
    /// rest.
    ///
    /// # Errors
    /// As [`map`](Self::map), for the part.
    #[inline(never)]
    pub fn map_some(
        &self,
        ipa: Ipa,
        pa: Pa,
        len: u64,
        attrs: Attrs,
        budget: usize,
    ) -> Result<u64, Error> {
        self.check_ipa(ipa, len)?;
        self.check_pa(pa, len)?;
        let bits = leaf_bits(attrs, self.normal);
        let piece = Piece {
            ipa: ipa.0,
            pa: pa.0,
            len,
        };
        walking!(self, walk => walk.map(piece, bits, budget.max(1)))
    }

    /// Maps the pieces of `list`, each an address and a length in bytes, one
    /// after the other from `ipa` on; all of them or none. Returns the bytes
    /// mapped.
    ///
    /// The list is read several times and must not change: copy it out of
    /// guest memory first.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn map_list<L>(&self, ipa: Ipa, list: L, attrs: Attrs) -> Result<u64, Error>
    where
        L: IntoIterator<Item = (Pa, u64)>,
        L::IntoIter: Clone,
    {
        let list = list.into_iter();
        let mut at = ipa;
        for (pa, len) in list.clone() {
            self.check_ipa(at, len)?;
            self.check_pa(pa, len)?;
            at = at.checked_add(len).ok_or(Error::IpaTooLarge(at))?;
        }
        let bits = leaf_bits(attrs, self.normal);
        let pieces = list.scan(ipa.0, |next, (pa, len)| {
            let ipa = *next;
            *next = next.wrapping_add(len);
            Some(Piece { ipa, pa: pa.0, len })
        });
        walking!(self, walk => walk.map_rest(ipa.0, 0, pieces, bits, usize::MAX))
    }
}

impl<'p, M: Memory, const G: u32, const B: u32> Walk<'p, M, G, B> {
    /// Maps `piece`; the short way if its tables exist and it lies in one.
    #[inline(always)]
    fn map(&self, piece: Piece, bits: u64, budget: usize) -> Result<u64, Error> {
        let mut rest = piece;
        let mut left = budget;
        let mut done = 0u64;
        while rest.len != 0 && left != 0 {
            match self.claim(rest, bits, left, None) {
                Ok((run, bytes)) if bytes == piece.len => {
                    self.show(run);
                    self.table.mem.walkers().complete();
                    return Ok(bytes);
                }
                Ok((run, bytes)) => {
                    rest = rest.after(bytes);
                    left = left.saturating_sub(run.len());
                    done = done.wrapping_add(bytes);
                }
                Err(Stop::Missing) => break,
                Err(Stop::Error(error)) => {
                    self.leaves(piece.ipa, done, claim::clear);
                    return Err(error);
                }
            }
        }
        if rest.len == 0 || left == 0 {
            Ok(self.show_all(piece.ipa, done))
        } else {
            self.map_rest(piece.ipa, done, core::iter::once(rest), bits, left)
        }
    }

    /// Makes claimed entries valid; the barrier is still to come.
    #[inline(always)]
    fn show(&self, run: &[Entry]) {
        claim::commit(run);
        self.table.publish(run);
    }

    /// Makes the claimed range valid for every walker. Returns its length.
    #[inline(always)]
    fn show_all(&self, ipa: u64, len: u64) -> u64 {
        self.leaves(ipa, len, |run| self.show(run));
        self.table.mem.walkers().complete();
        len
    }

    /// Maps `pieces`, after `done` bytes from `ipa` on are claimed.
    #[inline(never)]
    fn map_rest(
        &self,
        ipa: u64,
        done: u64,
        pieces: impl Iterator<Item = Piece> + Clone,
        bits: u64,
        budget: usize,
    ) -> Result<u64, Error> {
        let mut total = done;
        match self.claim_all(&mut total, pieces, bits, budget) {
            Ok(()) => Ok(self.show_all(ipa, total)),
            Err(error) => {
                self.leaves(ipa, total, claim::clear);
                Err(error)
            }
        }
    }

    /// Claims `pieces` and adds their bytes to `total`, also on failure.
    fn claim_all(
        &self,
        total: &mut u64,
        pieces: impl Iterator<Item = Piece> + Clone,
        bits: u64,
        mut budget: usize,
    ) -> Result<(), Error> {
        let missing = self.missing(pieces.clone(), budget);
        let mut reserve = self.reserve(missing)?;
        for mut piece in pieces {
            while piece.len != 0 && budget != 0 {
                match self.claim(piece, bits, budget, Some(&mut reserve)) {
                    Ok((run, bytes)) => {
                        *total = total.wrapping_add(bytes);
                        piece = piece.after(bytes);
                        budget = budget.saturating_sub(run.len());
                    }
                    Err(stop) => {
                        self.give_back(reserve);
                        return Err(match stop {
                            Stop::Error(error) => error,
                            Stop::Missing => Error::Racing(Ipa(piece.ipa)),
                        });
                    }
                }
            }
        }
        self.give_back(reserve);
        Ok(())
    }

    /// Whether an entry of `level` can map the start of `piece`.
    #[inline(always)]
    pub(crate) fn fits(&self, piece: Piece, level: u32) -> bool {
        let span = Geo::<G, B>::span(level);
        level >= LAST
            || level >= self.table.config.block_level
                && (piece.ipa | piece.pa) & span.wrapping_sub(1) == 0
                && piece.len >= span
    }

    /// Claims entries for the start of `piece`, as many as lie in one table:
    /// those and the bytes they map.
    #[inline(always)]
    fn claim(
        &self,
        piece: Piece,
        bits: u64,
        budget: usize,
        mut reserve: Option<&mut Reserve>,
    ) -> Result<(&'p [Entry], u64), Stop> {
        let mut spot = self.root(piece.ipa);
        loop {
            if spot.level >= LAST {
                return self
                    .claim_pages(spot, piece, bits, budget)
                    .map_err(Stop::Error);
            }
            let mut word = self.entry(spot).load(Ordering::Acquire);
            if word & TABLE != TABLE {
                if word == 0 && self.fits(piece, spot.level) {
                    match self.claim_blocks(spot, piece, bits, budget) {
                        Ok(done) => return Ok(done),
                        Err(found) => word = found,
                    }
                } else if word == 0 {
                    let Some(reserve) = reserve.as_deref_mut() else {
                        return Err(Stop::Missing);
                    };
                    word = self.install(spot, reserve).map_err(Stop::Error)?;
                }
                if kind(word, spot.level) != Kind::Table {
                    return Err(Stop::Error(in_the_way(word, piece.ipa)));
                }
            }
            self.help(spot, word);
            spot = self.below(spot, word, piece.ipa);
        }
    }

    /// Claims blocks from `spot` on until a table is in the way. If that is
    /// the case at once, or on failure, the word found.
    fn claim_blocks(
        &self,
        spot: Spot,
        piece: Piece,
        bits: u64,
        budget: usize,
    ) -> Result<(&'p [Entry], u64), u64> {
        let span = Geo::<G, B>::span(spot.level);
        let run = self.run(spot, piece.len, budget);
        let mut claimed = 0usize;
        for (entry, pa) in run.iter().zip((piece.pa..).step_by(span as usize)) {
            let word = field::<G>(Pa(pa)) | bits;
            match entry.compare_exchange(0, word, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => claimed = claimed.wrapping_add(1),
                Err(found) if claimed == 0 => return Err(found),
                Err(_) => break,
            }
        }
        let run = run.get(..claimed).unwrap_or(run);
        Ok((run, (claimed as u64).wrapping_mul(span)))
    }

    /// Claims pages from `spot` on, with the contiguous hint where whole
    /// groups fit.
    #[inline(always)]
    fn claim_pages(
        &self,
        spot: Spot,
        piece: Piece,
        bits: u64,
        budget: usize,
    ) -> Result<(&'p [Entry], u64), Error> {
        let run = self.run(spot, self.linear(piece), budget);
        let word = field::<G>(Pa(piece.pa)) | bits | (TABLE & !VALID);
        let group = (Geo::<G, B>::GROUP as u64).wrapping_shl(G);
        let apart = (piece.ipa ^ piece.pa) & group.wrapping_sub(1);
        let hint = run.len() >= Geo::<G, B>::GROUP && apart == 0 && self.table.config.contiguous;
        let claimed = if hint {
            claim_groups::<G, B>(run, spot.index, word)
        } else {
            claim_run::<G>(run, word)
        };
        if let Err((n, found)) = claimed {
            claim::clear(run.get(..n).unwrap_or(&[]));
            return Err(in_the_way(
                found,
                piece.ipa.wrapping_add((n as u64).wrapping_shl(G)),
            ));
        }
        Ok((run, (run.len() as u64).wrapping_shl(G)))
    }

    /// Bytes of `piece` over which the address field only counts up: with
    /// 52-bit output it does not across a multiple of 2^48.
    #[inline(always)]
    fn linear(&self, piece: Piece) -> u64 {
        if G != 16 {
            return piece.len;
        }
        let past = piece.pa & 0x0000_ffff_ffff_ffff;
        piece.len.min((1u64 << 48).wrapping_sub(past))
    }
}

/// Claims pages of which whole groups get the contiguous hint.
#[inline(always)]
fn claim_groups<const G: u32, const B: u32>(
    run: &[Entry],
    index: usize,
    word: u64,
) -> Result<(), (usize, u64)> {
    let page = Geo::<G, B>::PAGE;
    let (head, rest) = split_head::<G, B>(run, index);
    let whole = rest.len() & !Geo::<G, B>::GROUP.wrapping_sub(1);
    let (groups, tail) = rest.split_at_checked(whole).unwrap_or((rest, &[]));
    let after = |n: usize| word.wrapping_add((n as u64).wrapping_mul(page));
    let tail_at = head.len().wrapping_add(groups.len());
    claim_run::<G>(head, word)?;
    claim_run::<G>(groups, after(head.len()) | CONT)
        .map_err(|(n, found)| (n.wrapping_add(head.len()), found))?;
    claim_run::<G>(tail, after(tail_at)).map_err(|(n, found)| (n.wrapping_add(tail_at), found))
}

/// Claims pages that follow one another, from `word` on.
#[inline(always)]
fn claim_run<const G: u32>(run: &[Entry], word: u64) -> Result<(), (usize, u64)> {
    match G {
        12 => claim::absent::<0x1000>(run, word),
        14 => claim::absent::<0x4000>(run, word),
        _ => claim::absent::<0x1_0000>(run, word),
    }
}

/// Splits a run that starts at `index` where the first whole group starts.
#[inline(always)]
pub(crate) fn split_head<const G: u32, const B: u32>(
    run: &[Entry],
    index: usize,
) -> (&[Entry], &[Entry]) {
    let head = index.wrapping_neg() & Geo::<G, B>::GROUP.wrapping_sub(1);
    run.split_at_checked(head).unwrap_or((run, &[]))
}

/// The error for a page whose entry holds `word`.
#[cold]
fn in_the_way(word: u64, ipa: u64) -> Error {
    if word & VALID != 0 {
        Error::AlreadyMapped(Ipa(ipa))
    } else {
        Error::Racing(Ipa(ipa))
    }
}

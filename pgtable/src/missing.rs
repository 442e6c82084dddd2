//! How many tables a mapping will need, so that they can be allocated first.

use crate::Pa;
use crate::desc::{TABLE, output};
use crate::geometry::{Geo, LAST};
use crate::map::Piece;
use crate::mem::Memory;
use crate::sync::Ordering;
use crate::walk::{Spot, Walk};

/// The count so far.
struct Count {
    tables: usize,
    /// Descriptors left.
    budget: usize,
    /// By level of a missing table: the end of what the last one counted
    /// covers, so that the pieces of a list share it.
    covered: [u64; 4],
}

impl<M: Memory, const G: u32, const B: u32> Walk<'_, M, G, B> {
    /// An upper bound of the tables that mapping `pieces` with `budget`
    /// descriptors will link; exact if no other CPU changes the same range.
    pub(crate) fn missing(&self, pieces: impl Iterator<Item = Piece>, budget: usize) -> usize {
        let mut count = Count {
            tables: 0,
            budget,
            covered: [0; 4],
        };
        for piece in pieces {
            self.count(
                Some(self.table.root),
                self.table.config.start,
                piece,
                &mut count,
            );
            if count.budget == 0 {
                break;
            }
        }
        count.tables
    }

    /// Counts for the part of `piece` that one table of `level` covers; the
    /// table may not exist yet.
    fn count(&self, node: Option<Pa>, level: u32, piece: Piece, count: &mut Count) {
        let mut piece = piece;
        let span = Geo::<G, B>::span(level);
        while piece.len != 0 && count.budget != 0 {
            let end = (piece.ipa | span.wrapping_sub(1)).wrapping_add(1);
            let here = piece.len.min(end.wrapping_sub(piece.ipa));
            if level == LAST {
                let pages = piece.len.wrapping_shr(G);
                count.budget = count.budget.saturating_sub(pages as usize);
                return;
            }
            let child = node.and_then(|node| self.child(node, level, piece.ipa));
            if child.is_none() && self.fits(piece, level) {
                count.budget = count.budget.saturating_sub(1);
            } else {
                self.count_below(child, level, Piece { len: here, ..piece }, end, count);
            }
            piece = piece.after(here);
        }
    }

    fn count_below(
        &self,
        child: Option<Pa>,
        level: u32,
        piece: Piece,
        end: u64,
        count: &mut Count,
    ) {
        let below = level.wrapping_add(1);
        if child.is_none()
            && let Some(covered) = count.covered.get_mut(below as usize)
            && *covered <= piece.ipa
        {
            *covered = end;
            count.tables = count.tables.wrapping_add(1);
        }
        self.count(child, below, piece, count);
    }

    /// The table below the entry for `ipa`, if there is one.
    fn child(&self, node: Pa, level: u32, ipa: u64) -> Option<Pa> {
        let index = if level == self.table.config.start {
            self.root(ipa).index
        } else {
            Geo::<G, B>::index(ipa, level)
        };
        let word = self
            .entry(Spot { node, level, index })
            .load(Ordering::Acquire);
        (word & TABLE == TABLE).then_some(Pa(output::<G>(word)))
    }
}

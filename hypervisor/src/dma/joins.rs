//! At which SMMUs the domains of one VM are known, and as what.
//!
//! Asked at every unmap, so it is an array of words that are read without a lock. The word is written
//! before an endpoint is put into the domain at that SMMU, and taken away only after the SMMU has
//! forgotten the domain for certain.

use super::MAX_DOMAINS;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicUsize, Ordering, fence};

/// What an SMMU knows of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// Nothing: no endpoint behind it was ever in the domain.
    None,
    /// The domain has this number there.
    Known(usize),
    /// It was to forget the domain and did not say that it has. Nothing that is asked of it about this
    /// domain succeeds any more.
    Lost,
}

const NONE: usize = 0;
const LOST: usize = usize::MAX;

/// The table.
#[derive(Debug)]
pub struct Joins {
    /// By domain, then by SMMU.
    rows: Box<[Box<[AtomicUsize]>]>,
}

impl Joins {
    /// For a machine with so many SMMUs.
    #[must_use]
    pub fn new(units: usize) -> Self {
        let row = |_| (0..units).map(|_| AtomicUsize::new(NONE)).collect();
        Self {
            rows: (0..MAX_DOMAINS).map(row).collect(),
        }
    }

    /// Domain `slot` at each SMMU, in the order of the SMMUs.
    ///
    /// Whoever has cleared a descriptor before either finds the SMMU here, or the SMMU has yet to walk
    /// the domain's tables for the first time: a full barrier lies between the two here and in
    /// [`set`](Self::set).
    #[inline(always)]
    pub fn of(&self, slot: u16) -> impl Iterator<Item = (usize, Join)> + '_ {
        fence(Ordering::SeqCst);
        let row = self.rows.get(usize::from(slot));
        let words = row.map_or(&[][..], |row| row).iter().enumerate();
        words.map(|(unit, word)| (unit, join(word.load(Ordering::Relaxed))))
    }

    /// Domain `slot` at one SMMU.
    #[must_use]
    pub fn at(&self, unit: usize, slot: u16) -> Join {
        let word = self.word(unit, slot);
        word.map_or(Join::Lost, |word| join(word.load(Ordering::Relaxed)))
    }

    /// The SMMU's answer about domain `slot` is this from now on.
    pub fn set(&self, unit: usize, slot: u16, what: Join) {
        if let Some(word) = self.word(unit, slot) {
            let value = match what {
                Join::None => NONE,
                Join::Known(id) => id.saturating_add(1),
                Join::Lost => LOST,
            };
            word.store(value, Ordering::Relaxed);
            fence(Ordering::SeqCst);
        }
    }

    fn word(&self, unit: usize, slot: u16) -> Option<&AtomicUsize> {
        self.rows.get(usize::from(slot))?.get(unit)
    }
}

#[inline]
const fn join(word: usize) -> Join {
    match word {
        NONE => Join::None,
        LOST => Join::Lost,
        word => Join::Known(word.wrapping_sub(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(joins: &Joins, slot: u16) -> Vec<(usize, Join)> {
        joins.of(slot).collect()
    }

    #[test]
    fn each_domain_has_a_word_per_smmu() {
        let joins = Joins::new(2);
        joins.set(1, 3, Join::Known(0));
        joins.set(0, 31, Join::Known(7));
        assert_eq!(of(&joins, 3), [(0, Join::None), (1, Join::Known(0))]);
        assert_eq!(of(&joins, 31), [(0, Join::Known(7)), (1, Join::None)]);
        assert_eq!(of(&joins, 4), [(0, Join::None), (1, Join::None)]);
        assert_eq!(joins.at(1, 3), Join::Known(0));
        joins.set(1, 3, Join::None);
        assert_eq!(joins.at(1, 3), Join::None);
    }

    #[test]
    fn what_is_lost_stays_so_until_said_otherwise() {
        let joins = Joins::new(1);
        joins.set(0, 0, Join::Lost);
        assert_eq!(of(&joins, 0), [(0, Join::Lost)]);
    }

    #[test]
    fn what_is_beyond_the_table_is_never_known() {
        let joins = Joins::new(1);
        joins.set(1, 0, Join::Known(1));
        joins.set(0, 32, Join::Known(1));
        assert_eq!(joins.at(1, 0), Join::Lost);
        assert_eq!(joins.at(0, 32), Join::Lost);
        assert_eq!(of(&joins, 32), []);
        assert_eq!(joins.at(0, 1), Join::None, "nor somebody else's word");
        assert_eq!(of(&Joins::new(0), 0), []);
    }
}

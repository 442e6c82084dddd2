//! Claiming entries: the step that may fail, before the step that cannot.
//!
//! A claimed entry is not zero and has its valid bit clear. Whoever made it so
//! owns it and alone may change it, so that a range is claimed as a whole
//! before walkers see any of it change, and given back if that fails.
//!
//! ```text
//!            map: 0 → word without valid         unmap: fetch_and(!valid)
//!   absent ───────────────────────────► claimed ◄──────────────────── mapped
//!      ▲    ◄──────────────────────────   │  │  ───────────────────►    ▲
//!      │      undo / finish: store 0       │  │   commit / undo: |valid  │
//!      └───────────────────────────────────┘  └──────────────────────────┘
//! ```

use crate::desc::{CONT, VALID};
use crate::mem::Entry;
use crate::sync::Ordering::Relaxed;

/// Entries handled per turn of a hot loop.
const TURN: usize = 16;

/// Claims absent `entries` for `word`, `word + step` and so on, all without
/// the valid bit. On failure the first `n` are claimed and entry `n` held the
/// word returned.
#[inline(always)]
pub(crate) fn absent(entries: &[Entry], word: u64, step: u64) -> Result<(), (usize, u64)> {
    let (turns, rest) = entries.as_chunks::<TURN>();
    let mut word = word;
    for (turn, chunk) in turns.iter().enumerate() {
        for (i, entry) in chunk.iter().enumerate() {
            if let Err(found) = entry.compare_exchange(0, word, Relaxed, Relaxed) {
                return Err((turn.wrapping_mul(TURN).wrapping_add(i), found));
            }
            word = word.wrapping_add(step);
        }
    }
    for (i, entry) in rest.iter().enumerate() {
        if let Err(found) = entry.compare_exchange(0, word, Relaxed, Relaxed) {
            return Err((turns.len().wrapping_mul(TURN).wrapping_add(i), found));
        }
        word = word.wrapping_add(step);
    }
    Ok(())
}

/// Claims valid `entries`. On failure the first `n` are claimed and entry `n`
/// was not valid.
#[inline(always)]
pub(crate) fn valid(entries: &[Entry]) -> Result<(), usize> {
    let (turns, rest) = entries.as_chunks::<TURN>();
    for (turn, chunk) in turns.iter().enumerate() {
        // Spelled out: as a loop the compiler steps a pointer for each entry.
        macro_rules! claim {
            ($($name:ident $i:literal),*) => {
                let [$($name),*] = chunk;
                $(if $name.fetch_and(!VALID, Relaxed) & VALID == 0 {
                    return Err(turn.wrapping_mul(TURN).wrapping_add($i));
                })*
            };
        }
        claim!(a 0, b 1, c 2, d 3, e 4, f 5, g 6, h 7, i 8, j 9, k 10, l 11, m 12, n 13, o 14, p 15);
    }
    for (i, entry) in rest.iter().enumerate() {
        if entry.fetch_and(!VALID, Relaxed) & VALID == 0 {
            return Err(turns.len().wrapping_mul(TURN).wrapping_add(i));
        }
    }
    Ok(())
}

/// Why [`valid_single`] stopped.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stop {
    /// The entry was not valid.
    Invalid,
    /// The entry belongs to a contiguous group.
    Group,
}

/// Claims valid `entries` that must not belong to a contiguous group. On
/// failure the first `n` are claimed.
#[inline(always)]
pub(crate) fn valid_single(entries: &[Entry]) -> Result<(), (usize, Stop)> {
    for (i, entry) in entries.iter().enumerate() {
        let found = entry.fetch_and(!VALID, Relaxed);
        if found & VALID == 0 {
            return Err((i, Stop::Invalid));
        }
        if found & CONT != 0 {
            entry.store(found, Relaxed);
            return Err((i, Stop::Group));
        }
    }
    Ok(())
}

/// Makes claimed entries valid. Not one atomic update: a claimed entry has
/// one owner.
#[inline(always)]
pub(crate) fn commit(entries: &[Entry]) {
    let (turns, rest) = entries.as_chunks::<TURN>();
    for chunk in turns {
        for entry in chunk {
            entry.store(entry.load(Relaxed) | VALID, Relaxed);
        }
    }
    for entry in rest {
        entry.store(entry.load(Relaxed) | VALID, Relaxed);
    }
}

/// Makes claimed entries absent.
#[inline(always)]
pub(crate) fn clear(entries: &[Entry]) {
    let (turns, rest) = entries.as_chunks::<TURN>();
    for chunk in turns {
        for entry in chunk {
            entry.store(0, Relaxed);
        }
    }
    for entry in rest {
        entry.store(0, Relaxed);
    }
}

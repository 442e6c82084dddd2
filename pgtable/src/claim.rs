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
//!      │      undo / release: store 0      │  │   commit / undo: |valid  │
//!      └───────────────────────────────────┘  └──────────────────────────┘
//! ```

use crate::desc::{CONT, VALID};
use crate::mem::Entry;
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::sync::fence;

/// Does `$step` with each of `$entries`: most of them sixty-four in a row
/// without looking for the end, because that look costs as much as the step.
/// Eight on AArch64, where a step is a loop of its own around an exclusive
/// store, and sixty-four of them are twelve kilobytes.
macro_rules! each {
    ($entries:expr, $entry:ident => $step:expr) => {{
        let rest: &[Entry] = $entries;
        #[cfg(not(target_arch = "aarch64"))]
        let (turns, rest) = rest.as_chunks::<64>();
        #[cfg(not(target_arch = "aarch64"))]
        for turn in turns {
            each!(turn, $entry, $step,
                0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
                16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
                32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47
                48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);
        }
        let (turns, rest) = rest.as_chunks::<8>();
        for turn in turns {
            each!(turn, $entry, $step, 0 1 2 3 4 5 6 7);
        }
        for $entry in rest {
            $step
        }
    }};
    ($turn:ident, $entry:ident, $step:expr, $($i:literal)*) => {
        $({
            let $entry = &$turn[$i];
            $step
        })*
    };
}

/// Claims absent `entries` for `word`, `word + STEP` and so on, all without
/// the valid bit. On failure the first `n` are claimed and entry `n` held the
/// word returned.
#[inline(never)]
pub(crate) fn absent<const STEP: u64>(entries: &[Entry], word: u64) -> Result<(), (usize, u64)> {
    let mut word = word;
    // What the last exchange returned, which is zero: it is in the register
    // that the next one compares with.
    let mut zero = 0;
    each!(entries, entry => {
        // Who finds an entry absent comes after all that was done before it
        // became so: the walkers have forgotten it.
        match entry.compare_exchange(zero, word, Acquire, Relaxed) {
            Ok(was) => zero = was,
            Err(found) => return Err((position(entries, entry), found)),
        }
        word = word.wrapping_add(STEP);
    });
    Ok(())
}

/// Claims valid `entries`. On failure the first `n` are claimed and entry `n`
/// was not valid.
#[inline(never)]
pub(crate) fn valid(entries: &[Entry]) -> Result<(), usize> {
    each!(entries, entry => {
        if entry.fetch_and(!VALID, Relaxed) & VALID == 0 {
            return Err(position(entries, entry));
        }
    });
    Ok(())
}

/// Which of `entries` `entry` is.
#[cold]
fn position(entries: &[Entry], entry: &Entry) -> usize {
    let here = core::ptr::from_ref(entry);
    entries
        .iter()
        .position(|other| core::ptr::eq(other, here))
        .unwrap_or(entries.len())
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
#[inline(never)]
pub(crate) fn commit(entries: &[Entry]) {
    each!(entries, entry => entry.store(entry.load(Relaxed) | VALID, Relaxed));
}

/// Makes claimed entries absent. What was done before, such as an invalidation,
/// comes before what a mapper does who finds one absent; so it is for entries
/// that were found absent and are given back, because the chain from the one who
/// made them absent first would end here otherwise.
#[inline(never)]
pub(crate) fn clear(entries: &[Entry]) {
    fence(Release);
    each!(entries, entry => entry.store(0, Relaxed));
}

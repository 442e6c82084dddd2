//! Remembering where a mapping begins.
//!
//! Two mappings that adjoin look like one to a walker. Whoever must tell them
//! apart marks the first leaf of each, in a bit that hardware ignores (D8.3.1),
//! so that this takes no memory and goes when the leaf goes.

use crate::desc::{FIRST, VALID};
use crate::mem::Memory;
use crate::sync::Ordering;
use crate::walk::{Walk, walking};
use crate::{Ipa, Table};

impl<M: Memory> Table<M> {
    /// Marks the leaf that maps `ipa` as the first of its mapping:
    /// [`Attrs::is_first`](crate::Attrs::is_first). Nothing happens where nothing
    /// is mapped.
    ///
    /// No walker sees a difference, so that there is nothing to publish and
    /// nothing to invalidate.
    pub fn mark_first(&self, ipa: Ipa) {
        if ipa.0 < self.limit {
            walking!(self, walk => walk.mark_first(ipa.0));
        }
    }
}

impl<M: Memory, const G: u32, const B: u32> Walk<'_, M, G, B> {
    fn mark_first(&self, ipa: u64) {
        let (spot, mut word) = self.find(ipa);
        let entry = self.entry(spot);
        // Another CPU may be taking it out, or changing its rights.
        while word & VALID != 0 {
            let new = word | FIRST;
            match entry.compare_exchange_weak(word, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(found) => word = found,
            }
        }
    }
}

//! Cached translations and cached walk steps, kept until told otherwise.

use std::collections::BTreeMap;

/// A cached leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlbEntry {
    /// First output address.
    pub pa: u64,
    /// log2 of the bytes covered.
    pub shift: u32,
    /// Readable.
    pub read: bool,
    /// Writable.
    pub write: bool,
}

/// A TLB of unlimited size. `tag` is a VMID or what stands for it.
#[derive(Clone, Debug, Default)]
pub struct Tlb {
    leaves: BTreeMap<(u16, u64), TlbEntry>,
    /// (tag, address of the span's first byte) to span's log2 and table.
    steps: BTreeMap<(u16, u64), (u32, u64)>,
}

impl Tlb {
    /// The entry that covers `ipa`.
    pub fn find(&self, tag: u16, ipa: u64) -> Option<TlbEntry> {
        let below = self.leaves.range((tag, 0)..=(tag, ipa)).rev();
        below
            .map(|((_, base), entry)| (base, *entry))
            .find(|(base, entry)| ipa - **base < 1 << entry.shift)
            .map(|(_, entry)| entry)
    }

    /// Keeps a leaf.
    pub fn keep(&mut self, tag: u16, ipa: u64, entry: TlbEntry) {
        let base = ipa & !((1 << entry.shift) - 1);
        self.leaves.insert((tag, base), entry);
    }

    /// The table that serves the last level for `ipa`, spans of `1 << shift`.
    pub fn find_step(&self, tag: u16, ipa: u64, shift: u32) -> Option<u64> {
        let base = ipa & !((1 << shift) - 1);
        self.steps.get(&(tag, base)).map(|(_, table)| *table)
    }

    /// Keeps a walk step.
    pub fn keep_step(&mut self, tag: u16, ipa: u64, shift: u32, table: u64) {
        let base = ipa & !((1 << shift) - 1);
        self.steps.insert((tag, base), (shift, table));
    }

    /// Forgets everything.
    pub fn forget_all(&mut self) {
        self.leaves.clear();
        self.steps.clear();
    }

    /// Forgets a tag.
    pub fn forget_tag(&mut self, tag: u16) {
        self.leaves.retain(|(t, _), _| *t != tag);
        self.steps.retain(|(t, _), _| *t != tag);
    }

    /// Forgets what overlaps the range, steps only if not `leaf_only`.
    pub fn forget_range(&mut self, tag: u16, ipa: u64, bytes: u64, leaf_only: bool) {
        let end = ipa.saturating_add(bytes);
        let meets = |base: u64, shift: u32| base < end && ipa < base + (1 << shift);
        self.leaves
            .retain(|(t, base), e| *t != tag || !meets(*base, e.shift));
        if !leaf_only {
            self.steps
                .retain(|(t, base), (shift, _)| *t != tag || !meets(*base, *shift));
        }
    }

    /// Nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty() && self.steps.is_empty()
    }
}

//! Translation tables as a hardware walker sees them: the same memory that
//! `pgtable` writes, or, for a walker that is not coherent, what was cleaned.

use super::tlb::{Tlb, TlbEntry};
use crate::mirror::Mirror;
use pgtable::{Arena, Config, Memory, Native, Pa, Publish, Table, Walks};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Remembers what was cleaned, by the address of the entry.
#[derive(Clone, Debug, Default)]
pub struct Cleaner {
    seen: Arc<Mutex<BTreeMap<usize, u64>>>,
}

impl Publish for Cleaner {
    fn order(&self) {
        Native.order();
    }
    fn complete(&self) {
        Native.complete();
    }
    fn clean(&self, entries: &[pgtable::Entry]) {
        let mut seen = self.seen.lock().unwrap();
        for entry in entries {
            let value = entry.load(std::sync::atomic::Ordering::Acquire);
            seen.insert(core::ptr::from_ref(entry).addr(), value);
        }
    }
}

/// Tables of the real engine in memory that the model can walk.
pub type ModelTable = Table<Arena<Cleaner>>;

/// An empty table in an arena at `base`.
pub fn new_table(config: Config, base: Pa, bytes: usize) -> Arc<ModelTable> {
    Arc::new(Table::new(config, arena(base, bytes)).expect("the arena holds a root"))
}

/// An empty mirror in an arena at `base`.
pub fn new_mirror(config: Config, base: Pa, bytes: usize) -> Arc<Mirror<Arena<Cleaner>>> {
    Arc::new(Mirror::new(config, arena(base, bytes)).expect("the arena holds a root"))
}

fn arena(base: Pa, bytes: usize) -> Arena<Cleaner> {
    Arena::with_walkers(base, bytes, Cleaner::default())
}

/// Where a walker reads descriptors.
pub trait TableMemory: Send + Sync {
    /// The descriptor at `pa`, if it lies here.
    fn descriptor(&self, pa: u64) -> Option<u64>;
}

impl TableMemory for Mirror<Arena<Cleaner>> {
    fn descriptor(&self, pa: u64) -> Option<u64> {
        self.table().descriptor(pa)
    }
}

impl TableMemory for ModelTable {
    fn descriptor(&self, pa: u64) -> Option<u64> {
        let word = self.memory().word(Pa(pa))?;
        if self.config().walks() == Walks::Coherent {
            return Some(word);
        }
        let page = self.memory().entries(Pa(pa & !0xfff)).addr().get();
        let seen = self.memory().walkers().seen.lock().unwrap();
        // Never cleaned: whatever was in memory before.
        let garbage = pgtable_poison();
        Some(
            *seen
                .get(&(page + (pa & 0xfff) as usize))
                .unwrap_or(&garbage),
        )
    }
}

/// A descriptor that leads where nobody may go.
fn pgtable_poison() -> u64 {
    0xd_eadd_e7ff
}

/// Why a walk found no leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No valid descriptor.
    Fault,
    /// An output address is wider than the walker's.
    Size,
    /// A descriptor lay outside all tables.
    Bus,
}

/// The shape a walk needs, from an STE or a context bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walker {
    /// Root table.
    pub root: u64,
    /// Input bits.
    pub ipa_bits: u32,
    /// log2 of the granule.
    pub granule: u32,
    /// Level of the root.
    pub start: u32,
    /// Output bits.
    pub pa_bits: u32,
    /// A leaf whose access flag is clear faults.
    pub access_flag: bool,
}

impl Walker {
    /// Fetches the leaf for `ipa` as hardware may: starting from the last
    /// step that `tlb` keeps, and keeping there what it finds.
    pub fn fetch(
        &self,
        sources: &[Arc<dyn TableMemory>],
        tlb: &mut Tlb,
        tag: u16,
        ipa: u64,
    ) -> Result<TlbEntry, Missing> {
        let span = self.shift(2);
        let step = tlb.find_step(tag, ipa, span);
        let (found, last) = self.walk(sources, ipa, step);
        if let Some(table) = last {
            tlb.keep_step(tag, ipa, span, table);
        }
        found.inspect(|&entry| tlb.keep(tag, ipa, entry))
    }

    /// Walks for `ipa`. `cached` is a table that an earlier walk found for
    /// the last level, to start from; the table that this walk found for it
    /// comes back.
    fn walk(
        &self,
        sources: &[Arc<dyn TableMemory>],
        ipa: u64,
        cached: Option<u64>,
    ) -> (Result<TlbEntry, Missing>, Option<u64>) {
        if self.ipa_bits < 64 && ipa >> self.ipa_bits != 0 {
            return (Err(Missing::Fault), None);
        }
        let (mut table, mut level) = match cached {
            Some(table) => (table, 3),
            None => (self.root, self.start),
        };
        loop {
            let shift = self.shift(level);
            let bits = if level == self.start && cached.is_none() {
                self.ipa_bits - shift
            } else {
                self.granule - 3
            };
            let index = (ipa >> shift) & ((1 << bits) - 1);
            let Some(word) = sources.iter().find_map(|s| s.descriptor(table + index * 8)) else {
                return (Err(Missing::Bus), None);
            };
            let last = (level == 3).then_some(table);
            let output = word & 0x0000_ffff_ffff_f000;
            if word & 1 != 0 && output >> self.pa_bits != 0 {
                return (Err(Missing::Size), None);
            }
            match (word & 0b11, level) {
                (0b11, 3) => return (self.leaf(word, output, shift), last),
                (0b11, _) => {
                    table = output & !((1 << self.granule) - 1);
                    level += 1;
                }
                (0b01, 1 | 2) => return (self.leaf(word, output, shift), None),
                _ => return (Err(Missing::Fault), last),
            }
        }
    }

    fn leaf(&self, word: u64, output: u64, shift: u32) -> Result<TlbEntry, Missing> {
        if self.access_flag && word & 1 << 10 == 0 {
            return Err(Missing::Fault);
        }
        Ok(TlbEntry {
            pa: output & !((1 << shift) - 1),
            shift,
            read: word & 1 << 6 != 0,
            write: word & 1 << 7 != 0,
        })
    }

    /// log2 of what an entry of `level` covers.
    pub fn shift(&self, level: u32) -> u32 {
        self.granule + (3 - level) * (self.granule - 3)
    }
}

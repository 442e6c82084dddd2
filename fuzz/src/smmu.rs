//! An SMMU that looks at the tables whenever it may, remembers all that it has seen until it is told
//! to forget, and must never find what is not the VM's, what has changed unannounced, or a table that
//! has been given back.

use super::machine::{DOORBELL, FRAMES, PAGE, RAM_PA, RAM_SIZE};
use pgtable::{Arena, Pa, Stale};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const FIRST_ARENA: u64 = 0xc000_0000;
const ARENA_STEP: u64 = 1 << 20;
/// Address bits of a descriptor.
const ADDRESS: u64 = 0xffff_ffff_f000;

/// All that can be found from a root.
#[derive(Debug, Default, Clone)]
struct Found {
    /// IOVA and address of each page.
    pages: BTreeMap<u64, u64>,
    /// Tables below the root: first IOVA, bytes and address.
    tables: BTreeSet<(u64, u64, u64)>,
}

/// A domain that an endpoint was attached to: from then on until it closes, it may be remembered.
#[derive(Debug)]
struct Context {
    root: u64,
    arena: Arc<Arena>,
    remembered: Found,
}

/// The SMMU, and the memory of all tables that there were.
#[derive(Debug, Default)]
pub struct Smmu {
    arenas: Vec<Arc<Arena>>,
    contexts: BTreeMap<u16, Context>,
}

impl Smmu {
    /// Memory for one domain's tables.
    pub fn arena(&mut self) -> Arc<Arena> {
        let base = FIRST_ARENA + self.arenas.len() as u64 * ARENA_STEP;
        let arena = Arc::new(Arena::new(Pa(base), FRAMES));
        self.arenas.push(arena.clone());
        arena
    }

    /// An endpoint is attached to a domain.
    pub fn attach(&mut self, domain: u16, root: Pa) {
        let number = (root.0 - FIRST_ARENA) / ARENA_STEP;
        let context = Context {
            root: root.0,
            arena: self.arenas[number as usize].clone(),
            remembered: Found::default(),
        };
        self.contexts.entry(domain).or_insert(context);
        self.look();
    }

    /// Walks all tables, checks what it finds against what it remembers, and remembers it.
    pub fn look(&mut self) {
        self.contexts.values_mut().for_each(Context::look);
    }

    /// The hypervisor wants this forgotten; it may look once more before.
    pub fn invalidate(&mut self, domain: u16, stale: &[Stale]) {
        assert!(!stale.is_empty(), "nothing to forget");
        self.look();
        if let Some(context) = self.contexts.get_mut(&domain) {
            stale.iter().for_each(|range| context.forget(range));
        }
    }

    /// The domain closes: what it may remember is forgotten.
    pub fn close(&mut self, domain: u16) {
        self.look();
        self.contexts.remove(&domain);
    }

    /// Nothing of the domain is deferred: no page is remembered that is not there.
    pub fn settled(&mut self, domain: u16) {
        if let Some(context) = self.contexts.get_mut(&domain) {
            context.look();
            let there = context.walk();
            assert_eq!(context.remembered.pages, there.pages, "domain {domain}");
        }
    }

    /// All domains are gone, and every frame is back.
    pub fn end(&self) {
        assert!(self.contexts.is_empty(), "{:?}", self.contexts.keys());
        for arena in &self.arenas {
            assert_eq!(arena.in_use(), 0, "frames are missing");
        }
    }
}

impl Context {
    fn look(&mut self) {
        for (iova, pa) in self.walk_changed() {
            self.remembered.pages.insert(iova, pa);
        }
        for &(iova, _, table) in &self.remembered.tables {
            assert!(self.arena.is_used(Pa(table)), "table at {iova:#x} is gone");
        }
    }

    /// What is there now, none of it other than remembered.
    fn walk_changed(&mut self) -> BTreeMap<u64, u64> {
        let found = self.walk();
        for (iova, pa) in &found.pages {
            let before = self.remembered.pages.get(iova).unwrap_or(pa);
            assert_eq!(before, pa, "{iova:#x} leads elsewhere");
        }
        self.remembered.tables.extend(found.tables);
        found.pages
    }

    fn forget(&mut self, range: &Stale) {
        let (start, end) = (range.ipa().0, range.ipa().0 + range.len());
        self.remembered
            .pages
            .retain(|iova, _| !(start..end).contains(iova));
        if range.tables() {
            let apart = |iova: u64, bytes: u64| end <= iova || iova + bytes <= start;
            self.remembered
                .tables
                .retain(|&(iova, bytes, _)| apart(iova, bytes));
        }
    }

    fn walk(&self) -> Found {
        let mut found = Found::default();
        self.table(self.root, 0, 30, &mut found);
        found
    }

    /// A table whose entries map `1 << shift` bytes each, from `iova` on.
    fn table(&self, table: u64, iova: u64, shift: u32, found: &mut Found) {
        for index in 0..512 {
            let word = self.arena.word(Pa(table + index * 8)).expect("a table");
            if word & 1 == 0 {
                continue;
            }
            let (iova, bytes) = (iova + (index << shift), 1 << shift);
            let target = word & ADDRESS;
            if word & 2 != 0 && shift > 12 {
                found.tables.insert((iova, bytes, target));
                self.table(target, iova, shift - 9, found);
            } else {
                leaf(iova, target, bytes, found);
            }
        }
    }
}

/// A block or page leads to RAM of the VM, or it is the doorbell.
fn leaf(iova: u64, target: u64, bytes: u64, found: &mut Found) {
    let doorbell = (iova, target, bytes) == (DOORBELL.iova, DOORBELL.pa.0, PAGE);
    let ram = target >= RAM_PA && target + bytes <= RAM_PA + RAM_SIZE;
    assert!(doorbell || ram, "{iova:#x} leads to {target:#x}");
    assert!(doorbell || iova != DOORBELL.iova, "the doorbell's place");
    for offset in (0..bytes).step_by(PAGE as usize) {
        found.pages.insert(iova + offset, target + offset);
    }
}

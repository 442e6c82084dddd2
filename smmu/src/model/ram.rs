//! Memory that the driver and the SMMU share, with a cache in between when
//! the SMMU is not coherent.

use crate::outside::DmaMemory;
use pgtable::Pa;
use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};

const BASE: u64 = 0x10_0000_0000;
/// What memory holds that nobody wrote.
const GARBAGE: u64 = 0xdbad_dbad_dbad_dbad;

#[derive(Default)]
struct State {
    /// What the CPU sees.
    cpu: BTreeMap<u64, u64>,
    /// What has reached memory.
    memory: BTreeMap<u64, u64>,
    next: u64,
    out: BTreeMap<u64, usize>,
    budget: Option<usize>,
}

type Watcher = Box<dyn Fn() + Send + Sync>;

/// The memory.
pub struct Ram {
    coherent: bool,
    state: Mutex<State>,
    watcher: OnceLock<Watcher>,
}

impl Ram {
    /// `coherent`: the SMMU sees stores at once.
    pub fn new(coherent: bool) -> Self {
        Self {
            coherent,
            state: Mutex::new(State {
                next: BASE,
                ..State::default()
            }),
            watcher: OnceLock::new(),
        }
    }

    /// Calls `look` after every store and clean: an SMMU that sees each
    /// intermediate state. The first one stays.
    pub fn watch(&self, look: Watcher) {
        let _ = self.watcher.set(look);
    }

    fn seen(&self) {
        if let Some(look) = self.watcher.get() {
            look();
        }
    }

    /// Lets the next `count` allocations succeed and refuses all after them.
    pub fn limit(&self, count: Option<usize>) {
        self.state.lock().unwrap().budget = count;
    }

    /// Blocks allocated and not freed.
    pub fn in_use(&self) -> usize {
        self.state.lock().unwrap().out.len()
    }

    /// What the SMMU reads.
    pub fn device_load(&self, at: u64) -> u64 {
        let state = self.state.lock().unwrap();
        let view = if self.coherent {
            &state.cpu
        } else {
            &state.memory
        };
        view.get(&at).copied().unwrap_or(GARBAGE)
    }

    /// What the SMMU writes; the CPU may hold an older copy.
    pub fn device_store(&self, at: u64, value: u64) {
        let mut state = self.state.lock().unwrap();
        state.memory.insert(at, value);
        if self.coherent {
            state.cpu.insert(at, value);
        }
    }
}

fn words(at: Pa, bytes: usize) -> impl Iterator<Item = u64> {
    (at.0 & !63..at.0 + bytes as u64).step_by(8)
}

impl DmaMemory for Ram {
    fn alloc(&self, bytes: usize, align: usize) -> Option<Pa> {
        let mut state = self.state.lock().unwrap();
        match &mut state.budget {
            Some(0) => return None,
            Some(left) => *left -= 1,
            None => {}
        }
        let block = state.next.next_multiple_of(align as u64);
        state.next = block + bytes as u64;
        state.out.insert(block, bytes);
        for word in words(Pa(block), bytes) {
            state.cpu.insert(word, 0);
            state.memory.insert(word, 0);
        }
        Some(Pa(block))
    }

    fn free(&self, block: Pa, bytes: usize) {
        let mut state = self.state.lock().unwrap();
        assert_eq!(state.out.remove(&block.0), Some(bytes), "freed wrongly");
        for word in words(block, bytes) {
            state.cpu.insert(word, GARBAGE);
            state.memory.insert(word, GARBAGE);
        }
    }

    fn load(&self, at: Pa) -> u64 {
        self.state.lock().unwrap().cpu[&at.0]
    }

    fn store(&self, at: Pa, value: u64) {
        let mut state = self.state.lock().unwrap();
        let slot = state.cpu.get_mut(&at.0).expect("stored outside a block");
        *slot = value;
        drop(state);
        self.seen();
    }

    fn clean(&self, at: Pa, bytes: usize) {
        let mut state = self.state.lock().unwrap();
        for word in words(at, bytes) {
            if let Some(value) = state.cpu.get(&word).copied() {
                state.memory.insert(word, value);
            }
        }
        drop(state);
        self.seen();
    }

    fn discard(&self, at: Pa, bytes: usize) {
        let mut state = self.state.lock().unwrap();
        for word in words(at, bytes) {
            if let Some(value) = state.memory.get(&word).copied() {
                state.cpu.insert(word, value);
            }
        }
    }

    fn barrier(&self) {}
}

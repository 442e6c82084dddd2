//! The board's interrupt translation services, and LPIs at each CPU.
//!
//! Collection n of every ITS is CPU n. LPIs are given out once, in blocks, and
//! stay their owner's as long as the machine runs.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use pgtable::Pa;
use platform::facts;
use platform::gic::LpiTables;
use platform::gic::its::{DOORBELL_PAGE, Error, Its, LPI_BASE};
use platform::mmio::Window;
use platform::tree::NodeId;
use spin::Once;
use spin::mutex::SpinMutex;

use super::{cpus, gic};
use crate::arch::boot::MAX_CPUS;
use crate::arch::dma::{GIC_MEMORY, GicMemory};
use crate::arch::mmio;

/// An ITS that works.
pub struct Unit {
    node: NodeId,
    /// The page that devices write to.
    pub doorbell: Pa,
    /// Its driver. Taken for a batch of commands, which is bounded; an ITS that
    /// did not answer once is not waited for again.
    pub its: SpinMutex<Its<Window, GicMemory>>,
}

struct Lpis {
    tables: LpiTables<GicMemory>,
    units: Vec<Unit>,
    next: AtomicU32,
}

static LPIS: Once<Option<Lpis>> = Once::new();

fn lpis() -> Option<&'static Lpis> {
    LPIS.get()?.as_ref()
}

/// Takes over the board's ITSs, when the first VM asks for messages; on the
/// boot CPU, before the others start.
pub fn init(facts: &facts::Gic) {
    LPIS.call_once(|| start(facts));
}

fn start(facts: &facts::Gic) -> Option<Lpis> {
    if facts.its.is_empty() {
        return None;
    }
    let tables = LpiTables::new(GIC_MEMORY, gic::lpi_end()?, facts.coherent)?;
    let mut units = Vec::new();
    for its in &facts.its {
        let base = its.registers.base;
        match one(its) {
            Ok(driver) => units.push(Unit {
                node: its.node,
                doorbell: Pa(base + DOORBELL_PAGE),
                its: SpinMutex::new(driver),
            }),
            Err(error) => log::error!("ITS at {base:#x}: {error}: it translates nothing"),
        }
    }
    log::info!("{} ITSs, LPIs up to {}", units.len(), tables.end() - 1);
    Some(Lpis {
        tables,
        units,
        next: AtomicU32::new(LPI_BASE),
    })
}

fn one(facts: &facts::Its) -> Result<Its<Window, GicMemory>, Error> {
    let window = mmio::window(facts.registers.base, DOORBELL_PAGE);
    Its::new(window, GIC_MEMORY, MAX_CPUS as u16, facts.coherent)
}

/// Lets this CPU take LPIs, if the board's are used.
pub fn init_cpu() {
    let (Some(lpis), Some(cpu)) = (lpis(), cpus::this_cpu()) else {
        return;
    };
    let Some(tables) = lpis.tables.for_cpu() else {
        return log::error!("CPU {cpu}: no memory for pending LPIs: it takes no messages");
    };
    let id = match gic::enable_lpis(&tables) {
        Ok(id) => id,
        Err(error) => return log::error!("CPU {cpu} takes no messages: {error:?}"),
    };
    for unit in &lpis.units {
        if let Err(error) = unit.its.lock().map_collection(cpu as u16, id) {
            log::error!("CPU {cpu} takes no messages of an ITS: {error}");
        }
    }
}

/// Index of the ITS at `node`, if it works.
pub fn at(node: NodeId) -> Option<usize> {
    lpis()?.units.iter().position(|unit| unit.node == node)
}

/// ITS `index`.
pub fn unit(index: usize) -> Option<&'static Unit> {
    lpis()?.units.get(index)
}

/// `count` LPIs that nobody has, ready to be mapped: the first.
pub fn take_lpis(count: u32) -> Option<u32> {
    let lpis = lpis()?;
    let end = lpis.tables.end();
    let next = |first: u32| first.checked_add(count).filter(|&next| next <= end);
    let taken = lpis
        .next
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    let first = taken.ok()?;
    lpis.tables.enable(first, count);
    Some(first)
}

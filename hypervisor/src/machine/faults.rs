//! DMA faults: whose they are, how often, and what the operator sees of them.

use core::sync::atomic::{AtomicU32, Ordering};

use smmu::Fault;

use super::board;
use super::smmus::{self, Unit};

/// Faults shown in a burst; the rest is counted, and the count shown with the
/// next burst.
const SHOWN: u32 = 16;
/// A second, in nanoseconds: how long a burst lasts.
const BURST_NS: u64 = 1_000_000_000;

static COUNT: AtomicU32 = AtomicU32::new(0);
static SINCE: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(0);

/// Reports a fault to the operator and to the VM that it belongs to.
pub fn report(unit: &Unit, fault: Fault) {
    let index = smmus::at(unit.node);
    let owner = fault.link.and_then(|link| {
        let owns =
            |master: &&super::masters::Master| index.is_some_and(|index| master.owns(index, link));
        board::vms()
            .iter()
            .find_map(|&vm| Some((vm, vm.masters.iter().find(owns)?)))
    });
    if let Some((vm, master)) = owner
        && let Some(dma) = vm.dma.get()
    {
        dma.fault(vm, master.endpoint, &fault);
    }
    show(&fault, owner);
}

/// One line on the console, unless there were many.
fn show(fault: &Fault, owner: Option<(&super::vm::Vm, &super::masters::Master)>) {
    let since = SINCE.load(Ordering::Relaxed);
    if fault.at_ns.saturating_sub(since) > BURST_NS {
        SINCE.store(fault.at_ns, Ordering::Relaxed);
        let unseen = COUNT.swap(0, Ordering::Relaxed).saturating_sub(SHOWN);
        if unseen > 0 {
            log::warn!("{unseen} more DMA faults were not shown");
        }
    }
    if COUNT.fetch_add(1, Ordering::Relaxed) >= SHOWN {
        return;
    }
    let (vm, master) = owner.map_or(("nobody", "an unknown master"), |(vm, master)| {
        (vm.name.as_str(), master.name.as_str())
    });
    let record = &fault.record;
    let what = if record.write { "write" } else { "read" };
    match record.address {
        Some(address) => log::warn!(
            "DMA fault: {vm}: {master} (stream {:#x}): {what} at {:#x}: {:?}",
            record.stream.0,
            address.0,
            record.kind
        ),
        None => log::warn!(
            "DMA fault: {vm}: {master} (stream {:#x}): {:?}",
            record.stream.0,
            record.kind
        ),
    }
}

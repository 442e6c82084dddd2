//! DMA faults: whose they are, how often, and what the operator sees of them.

use crate::machine::vm::guest_dma::Told;
use crate::vgic::Kick;
use core::fmt;

use arrayvec::ArrayVec;
use smmu::{Fault, FaultRecord};
use spin::mutex::SpinMutex;

use crate::burst::Burst;
use crate::machine::board::console::print;
use crate::machine::board::smmus::{self, Unit};
use crate::machine::vm::Vm;
use crate::machine::vm::masters::Master;
use crate::machine::vms;

/// Faults shown on the console; the monitor lists the newest whatever became of
/// their lines.
static LINES: Burst = Burst::new(16);

/// Faults that the monitor can list.
const KEPT: usize = 32;

/// The newest faults, the oldest first.
static NEWEST: SpinMutex<ArrayVec<Seen, KEPT>> = SpinMutex::new(ArrayVec::new_const());

/// A fault and whose it was.
#[derive(Clone, Copy)]
struct Seen {
    at_ns: u64,
    smmu: &'static Unit,
    owner: Option<(&'static Vm, &'static Master)>,
    record: FaultRecord,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (vm, master) = self
            .owner
            .map_or(("nobody", "an unknown master"), |(vm, master)| {
                (vm.name, master.name.as_str())
            });
        let FaultRecord { stream, kind, .. } = self.record;
        write!(f, "{vm}: {master} (stream {:#x}): ", stream.0)?;
        if let Some(address) = self.record.address {
            let what = if self.record.write { "write" } else { "read" };
            write!(f, "{what} at {:#x}: ", address.0)?;
        }
        write!(f, "{kind:?}")
    }
}

/// Reports a fault to the operator and to the VM that it belongs to.
pub fn report(unit: &'static Unit, fault: Fault) {
    let index = smmus::at(unit.node);
    let owner = fault.link.and_then(|link| {
        let owns = |master: &&Master| index.is_some_and(|index| master.owns(index, link));
        vms::all()
            .iter()
            .find_map(|&vm| Some((vm, vm.masters.iter().find(owns)?)))
    });
    if let Some((vm, master)) = owner
        && !vm.life.has_failed()
        && let Some(dma) = vm.dma.get()
    {
        let line = |high| vm.kick(vm.viommu_line(high));
        vm.kick(match dma.fault(master.endpoint, &fault, line) {
            Told::Event => vm.event_interrupt(),
            Told::Nothing => Kick::default(),
        });
    }
    let seen = Seen {
        at_ns: fault.at_ns,
        smmu: unit,
        owner,
        record: fault.record,
    };
    {
        let mut newest = NEWEST.lock();
        if newest.is_full() {
            newest.remove(0);
        }
        newest.push(seen);
    }
    show(&seen);
}

/// One line on the console, unless there were many.
fn show(seen: &Seen) {
    let turn = LINES.turn(seen.at_ns);
    if turn.left_out > 0 {
        log::warn!("{} more DMA faults were not shown", turn.left_out);
    }
    if turn.shown {
        log::warn!("DMA fault: {seen}");
    }
}

/// The newest faults of all SMMUs, for the monitor.
pub fn list() {
    let newest = NEWEST.lock().clone();
    if newest.is_empty() {
        return print(format_args!("no DMA faults\n"));
    }
    print(format_args!("seconds      SMMU: VM: master: fault\n"));
    for seen in newest {
        let ms = seen.at_ns / 1_000_000;
        print(format_args!(
            "{:>8}.{:03} {}: {seen}\n",
            ms / 1000,
            ms % 1000,
            seen.smmu.smmu.name()
        ));
    }
}

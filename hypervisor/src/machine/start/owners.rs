//! Whom each interrupt of the board belongs to.

use alloc::vec::Vec;

use litemap::LiteMap;

use platform::facts::Board;

use super::stop::Stop;
use crate::machine::board::private::Private;
use crate::machine::board::smmus;
use crate::machine::irq::{Owner, Owners};
use crate::machine::vm::Vm;
use crate::machine::vm::messages::Messages;

/// The timer's and the GIC's private interrupts.
pub fn private_interrupts(board: &Board) -> Result<Private, Stop> {
    let timers = &board.timers;
    let maintenance = board.gic.as_ref().and_then(|gic| gic.maintenance);
    match (timers.virt, timers.phys, timers.hyp, maintenance) {
        (Some(virt), Some(phys), Some(hyp), Some(maintenance)) => Ok(Private {
            virtual_timer: virt.intid,
            physical_timer: phys.intid,
            hyp_timer: hyp.intid,
            maintenance: maintenance.intid,
        }),
        _ => Err(Stop("a timer or maintenance interrupt is missing")),
    }
}

/// Whom the board's interrupts go to.
pub fn owners(board: &Board, vms: &[&'static Vm]) -> Owners {
    Owners {
        shared: shared(board, vms),
        lpis: lpis(vms),
    }
}

fn lpis(vms: &[&'static Vm]) -> Vec<Option<&'static Vm>> {
    let mut owners = Vec::new();
    for &vm in vms {
        for block in vm.messages.iter().flat_map(Messages::blocks) {
            owners.resize(owners.len().max(block + 1), None);
            if let Some(owner) = owners.get_mut(block) {
                *owner = Some(vm);
            }
        }
    }
    owners
}

fn shared(board: &Board, vms: &[&'static Vm]) -> LiteMap<u32, Owner> {
    let mut owners = LiteMap::new();
    let console = board
        .console
        .and_then(|index| board.uarts.get(index))
        .and_then(|uart| uart.irq);
    if let Some(irq) = console {
        owners.insert(irq.intid, Owner::Console);
    }
    for (index, node) in smmus::nodes() {
        let irqs = board
            .smmus
            .iter()
            .find(|s| s.node == node)
            .map(|s| s.irqs.as_slice());
        for irq in irqs.unwrap_or_default().iter().flatten() {
            owners.insert(irq.intid, Owner::Smmu(index));
        }
    }
    for &vm in vms {
        for line in vm.lines() {
            owners.insert(line.physical, Owner::Guest(vm, line.number));
        }
    }
    owners
}

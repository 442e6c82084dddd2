//! The machine as a whole: its VMs, its alarms, and its end.

use alloc::vec::Vec;
use spin::Once;

use super::board::{cpus, smmus};
use super::life::Phase;
use super::operator::faults;
use super::vm::Vm;
use crate::arch::smp;

static VMS: Once<Vec<&'static Vm>> = Once::new();

/// Publishes the VMs.
pub fn publish(vms: Vec<&'static Vm>) {
    VMS.call_once(|| vms);
}

/// All VMs.
pub fn all() -> &'static [&'static Vm] {
    VMS.get().map_or(&[], Vec::as_slice)
}

/// A VM is off. When all are, there is nothing left to do.
pub fn vm_went_off() {
    if all()
        .iter()
        .all(|vm| matches!(vm.life.phase().0, Phase::Off(_) | Phase::Failed))
    {
        log::info!("every VM is off: powering off");
        power_off();
    }
}

/// Switches the board off; where firmware cannot, says so and returns.
pub fn power_off() {
    super::operator::report::lines();
    super::operator::console::flush();
    if let Some(conduit) = cpus::firmware() {
        smp::system_off(conduit);
    }
    log::error!("firmware cannot switch the board off: this CPU stops");
}

/// The EL2 timer rang: something is due.
pub fn alarm() {
    smmus::tick(&mut faults::report);
}

/// An SMMU raised an interrupt.
pub fn smmu_interrupt(index: usize) {
    smmus::interrupt(index, &mut faults::report);
}

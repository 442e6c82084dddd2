//! The end of the machine.

use super::report;
use crate::arch::smp;
use crate::life::Phase;
use crate::machine::board::{console, cpus};
use crate::machine::vms;

/// A VM is off. When all are, there is nothing left to do.
pub fn vm_went_off() {
    if vms::all()
        .iter()
        .all(|vm| matches!(vm.life.phase().0, Phase::Off(_) | Phase::Failed))
    {
        log::info!("every VM is off: powering off");
        power_off();
    }
}

/// Switches the board off; where firmware cannot, says so and returns.
pub fn power_off() {
    report::lines();
    console::flush();
    if let Some(conduit) = cpus::firmware() {
        smp::system_off(conduit);
    }
    log::error!("firmware cannot switch the board off: this CPU stops");
}

//! The machine's VMs.

use alloc::vec::Vec;
use spin::Once;

use super::vm::Vm;

static VMS: Once<Vec<&'static Vm>> = Once::new();

/// Publishes the VMs.
pub fn publish(vms: Vec<&'static Vm>) {
    VMS.call_once(|| vms);
}

/// All VMs.
pub fn all() -> &'static [&'static Vm] {
    VMS.get().map_or(&[], Vec::as_slice)
}

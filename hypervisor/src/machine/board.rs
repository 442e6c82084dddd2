//! The machine as a whole: its CPUs, its VMs, and its end.

use alloc::vec::Vec;
use platform::facts;
use spin::Once;

use super::life::Phase;
use super::vm::Vm;
use super::{faults, smmus};
use crate::arch::percpu::{self, PerCpu};
use crate::arch::smp::{self, Conduit};

static CPUS: Once<Vec<&'static PerCpu>> = Once::new();
static VMS: Once<Vec<&'static Vm>> = Once::new();
static FIRMWARE: Once<Option<Conduit>> = Once::new();

/// Publishes what boot found out; each once.
pub fn set_cpus(cpus: Vec<&'static PerCpu>) {
    CPUS.call_once(|| cpus);
}

/// Publishes the VMs.
pub fn set_vms(vms: Vec<&'static Vm>) {
    VMS.call_once(|| vms);
}

/// Publishes how to reach firmware.
pub fn set_firmware(conduit: Option<facts::Conduit>) {
    FIRMWARE.call_once(|| {
        conduit.map(|conduit| match conduit {
            facts::Conduit::Smc => Conduit::Smc,
            facts::Conduit::Hvc => Conduit::Hvc,
        })
    });
}

/// How to reach PSCI firmware.
pub fn firmware() -> Option<Conduit> {
    FIRMWARE.get().copied().flatten()
}

/// All CPUs, the boot CPU first.
pub fn cpus() -> &'static [&'static PerCpu] {
    CPUS.get().map_or(&[], Vec::as_slice)
}

/// All VMs.
pub fn vms() -> &'static [&'static Vm] {
    VMS.get().map_or(&[], Vec::as_slice)
}

/// Index of this CPU.
#[inline]
pub fn this_cpu() -> Option<usize> {
    percpu::try_get().map(|cpu| cpu.index)
}

/// Affinity of this CPU.
pub fn this_mpidr() -> u64 {
    crate::arch::regs::mpidr_el1() & 0xff_00ff_ffff
}

/// Affinity of CPU `index`.
pub fn mpidr(index: usize) -> u64 {
    cpus().get(index).map_or(0, |cpu| cpu.mpidr)
}

/// A VM is off. When all are, there is nothing left to do.
pub fn vm_went_off() {
    if vms()
        .iter()
        .all(|vm| matches!(vm.life.phase().0, Phase::Off(_)))
    {
        log::info!("every VM is off: powering off");
        power_off();
    }
}

/// Switches the board off; where firmware cannot, says so and returns.
pub fn power_off() {
    super::report::lines();
    super::console::flush();
    if let Some(conduit) = firmware() {
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

//! The CPUs of the board, and the firmware that switches them.

use crate::arch::percpu::{self, PerCpu};
use crate::arch::smp::Conduit;
use alloc::vec::Vec;
use platform::facts;
use spin::Once;

static CPUS: Once<Vec<&'static PerCpu>> = Once::new();
static FIRMWARE: Once<Option<Conduit>> = Once::new();

/// Publishes the CPUs, the boot CPU first; once.
pub fn set(cpus: Vec<&'static PerCpu>) {
    CPUS.call_once(|| cpus);
}

/// Publishes how to reach firmware; once.
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
pub fn all() -> &'static [&'static PerCpu] {
    CPUS.get().map_or(&[], Vec::as_slice)
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
    all().get(index).map_or(0, |cpu| cpu.mpidr)
}

//! Firmware calls: starting CPUs and switching the board off, by PSCI.

use core::arch::asm;

/// How to reach PSCI firmware (`method` of the device tree's `/psci`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduit {
    Smc,
    Hvc,
}

/// `CPU_ON`, 64-bit (DEN0022, 5.6).
const CPU_ON: u64 = 0xc400_0003;
/// `SYSTEM_OFF` (DEN0022, 5.10).
const SYSTEM_OFF: u64 = 0x8400_0008;
/// `SYSTEM_RESET` (DEN0022, 5.11).
const SYSTEM_RESET: u64 = 0x8400_0009;

/// Makes an SMCCC call with up to three arguments and returns x0.
#[must_use]
pub fn call(conduit: Conduit, function: u64, args: [u64; 3]) -> u64 {
    let [a, b, c] = args;
    let result: u64;
    // SAFETY: SMCCC 1.1 keeps x4..x30 and may change x0..x3; x4..x17 are
    // declared lost for firmware that follows 1.0.
    unsafe {
        match conduit {
            Conduit::Smc => asm!("smc #0", inout("x0") function => result, inout("x1") a => _,
                inout("x2") b => _, inout("x3") c => _, clobber_abi("C")),
            Conduit::Hvc => asm!("hvc #0", inout("x0") function => result, inout("x1") a => _,
                inout("x2") b => _, inout("x3") c => _, clobber_abi("C")),
        }
    };
    result
}

/// Starts the CPU with affinity `mpidr` at the image's secondary entry with
/// `record` as its own.
///
/// # Errors
/// PSCI's negative error code.
pub fn cpu_on(conduit: Conduit, mpidr: u64, record: &'static super::percpu::PerCpu) -> Result<(), i32> {
    let context = core::ptr::from_ref(record) as u64;
    super::cache::clean(context, size_of::<super::percpu::PerCpu>() as u64);
    match call(conduit, CPU_ON, [mpidr, super::boot::secondary_entry_address(), context]) as i32 {
        0 => Ok(()),
        error => Err(error),
    }
}

/// Switches the board off. Returns only if firmware cannot.
pub fn system_off(conduit: Conduit) {
    let _ = call(conduit, SYSTEM_OFF, [0; 3]);
}

/// Resets the board. Returns only if firmware cannot.
pub fn system_reset(conduit: Conduit) {
    let _ = call(conduit, SYSTEM_RESET, [0; 3]);
}

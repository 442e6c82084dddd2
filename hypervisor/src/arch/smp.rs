//! Firmware calls: starting CPUs and switching the board off, by PSCI.

use core::arch::asm;

/// How to reach PSCI firmware (`method` of the device tree's `/psci`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduit {
    /// `smc #0`.
    Smc,
    /// `hvc #0`.
    Hvc,
}

/// `CPU_ON`, 64-bit (DEN0022, 5.6).
const CPU_ON: u64 = 0xc400_0003;
/// `SYSTEM_OFF` (DEN0022, 5.10).
const SYSTEM_OFF: u64 = 0x8400_0008;

/// Makes an SMCCC call with up to six arguments and returns x0 to x3.
#[must_use]
pub fn call(conduit: Conduit, function: u64, args: [u64; 6]) -> [u64; 4] {
    let mut x = [function, args[0], args[1], args[2]];
    macro_rules! invoke {
        ($instruction:literal) => {
            // SAFETY: SMCCC 1.1 keeps x4..x30; what a function of the C ABI may
            // change is declared lost for firmware that follows 1.0.
            unsafe {
                asm!($instruction, inout("x0") x[0], inout("x1") x[1], inout("x2") x[2], inout("x3") x[3],
                     inout("x4") args[3] => _, inout("x5") args[4] => _, inout("x6") args[5] => _, clobber_abi("C"));
            }
        };
    }
    match conduit {
        Conduit::Smc => invoke!("smc #0"),
        Conduit::Hvc => invoke!("hvc #0"),
    }
    x
}

/// Starts the CPU with affinity `mpidr` at the image's secondary entry with
/// `record` as its own.
///
/// # Errors
/// PSCI's negative error code.
pub fn cpu_on(
    conduit: Conduit,
    mpidr: u64,
    record: &'static super::percpu::PerCpu,
) -> Result<(), i32> {
    let context = core::ptr::from_ref(record) as u64;
    super::cache::clean(context, size_of::<super::percpu::PerCpu>() as u64);
    let args = [
        mpidr,
        super::boot::secondary_entry_address(),
        context,
        0,
        0,
        0,
    ];
    match call(conduit, CPU_ON, args)[0] as i32 {
        0 => Ok(()),
        error => Err(error),
    }
}

/// Switches the board off. Returns only if firmware cannot.
pub fn system_off(conduit: Conduit) {
    let _ = call(conduit, SYSTEM_OFF, [0; 6]);
}

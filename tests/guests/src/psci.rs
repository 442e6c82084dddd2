//! Firmware calls by HVC, as the guest's device tree says.

use core::arch::asm;

/// PSCI_VERSION.
pub const VERSION: u64 = 0x8400_0000;
/// CPU_SUSPEND, 64-bit form.
pub const CPU_SUSPEND: u64 = 0xc400_0001;
/// CPU_OFF.
pub const CPU_OFF: u64 = 0x8400_0002;
/// CPU_ON, 64-bit form.
pub const CPU_ON: u64 = 0xc400_0003;
/// CPU_ON, 32-bit form.
pub const CPU_ON_32: u64 = 0x8400_0003;
/// AFFINITY_INFO, 64-bit form.
pub const AFFINITY_INFO: u64 = 0xc400_0004;
/// AFFINITY_INFO, 32-bit form.
pub const AFFINITY_INFO_32: u64 = 0x8400_0004;
/// MIGRATE_INFO_TYPE.
pub const MIGRATE_INFO_TYPE: u64 = 0x8400_0006;
/// SYSTEM_OFF.
pub const SYSTEM_OFF: u64 = 0x8400_0008;
/// SYSTEM_RESET.
pub const SYSTEM_RESET: u64 = 0x8400_0009;
/// PSCI_FEATURES.
pub const FEATURES: u64 = 0x8400_000a;
/// SMCCC_VERSION.
pub const SMCCC_VERSION: u64 = 0x8000_0000;

/// NOT_SUPPORTED.
pub const NOT_SUPPORTED: i64 = -1;
/// INVALID_PARAMETERS.
pub const INVALID_PARAMETERS: i64 = -2;
/// ALREADY_ON.
pub const ALREADY_ON: i64 = -4;
/// ON_PENDING.
pub const ON_PENDING: i64 = -5;
/// INVALID_ADDRESS.
pub const INVALID_ADDRESS: i64 = -9;

/// Makes a call and returns x0 to x3.
pub fn call(function: u64, args: [u64; 5]) -> [u64; 4] {
    let (x0, x1, x2, x3): (u64, u64, u64, u64);
    unsafe {
        asm!("hvc #0",
            inout("x0") function => x0,
            inout("x1") args[0] => x1,
            inout("x2") args[1] => x2,
            inout("x3") args[2] => x3,
            inout("x4") args[3] => _,
            inout("x5") args[4] => _,
            clobber_abi("C"))
    };
    [x0, x1, x2, x3]
}

/// Makes a call that returns one status. 32-bit functions return 32 bits.
pub fn status(function: u64, a: u64, b: u64, c: u64) -> i64 {
    i64::from(call(function, [a, b, c, 0, 0])[0] as i32)
}

/// Starts a CPU; `context` arrives in its x0.
pub fn cpu_on(mpidr: u64, entry: u64, context: u64) -> i64 {
    status(CPU_ON, mpidr, entry, context)
}

/// Whether a CPU is on (0), off (1) or on its way (2).
pub fn affinity(mpidr: u64) -> i64 {
    status(AFFINITY_INFO, mpidr, 0, 0)
}

/// Turns this CPU off; returns only if that was refused.
pub fn cpu_off() -> i64 {
    status(CPU_OFF, 0, 0, 0)
}

/// Ends the machine.
pub fn system_off() -> ! {
    call(SYSTEM_OFF, [0; 5]);
    loop {
        crate::cpu::wfi();
    }
}

//! Registers, memory and barriers.

use core::arch::asm;

/// Reads a system register by name, known to the assembler or `S3_…`.
#[macro_export]
macro_rules! mrs {
    ($name:expr) => {{
        let value: u64;
        unsafe { core::arch::asm!(concat!("mrs {}, ", $name), out(reg) value) };
        value
    }};
}

/// Writes a system register.
#[macro_export]
macro_rules! msr {
    ($name:expr, $value:expr) => {{
        let value: u64 = $value;
        unsafe { core::arch::asm!(concat!("msr ", $name, ", {}"), "isb", in(reg) value) };
    }};
}

macro_rules! access {
    ($read:ident, $write:ident, $type:ty, $load:literal, $store:literal, $form:literal) => {
        /// Reads memory or a device register with one instruction.
        pub fn $read(address: u64) -> $type {
            let value: u64;
            unsafe { asm!(concat!($load, " {v:", $form, "}, [{a}]"), v = out(reg) value, a = in(reg) address) };
            value as $type
        }
        /// Writes memory or a device register with one instruction.
        pub fn $write(address: u64, value: $type) {
            let value = value as u64;
            unsafe { asm!(concat!($store, " {v:", $form, "}, [{a}]"), v = in(reg) value, a = in(reg) address) };
        }
    };
}
access!(read8, write8, u8, "ldrb", "strb", "w");
access!(read16, write16, u16, "ldrh", "strh", "w");
access!(read32, write32, u32, "ldr", "str", "w");
access!(read64, write64, u64, "ldr", "str", "x");

/// `dsb sy; isb`.
pub fn sync() {
    unsafe { asm!("dsb sy", "isb") };
}

/// Lets interrupts in.
pub fn irq_on() {
    unsafe { asm!("msr daifclr, #2", "isb") };
}

/// Keeps interrupts out.
pub fn irq_off() {
    unsafe { asm!("msr daifset, #2", "isb") };
}

/// Waits for an interrupt.
pub fn wfi() {
    unsafe { asm!("dsb sy", "wfi") };
}

/// The affinity fields of this CPU.
pub fn mpidr() -> u64 {
    mrs!("mpidr_el1") & 0xff_00ff_ffff
}

/// The virtual count.
pub fn count() -> u64 {
    unsafe { asm!("isb") };
    mrs!("cntvct_el0")
}

/// Ticks of the counter per second.
pub fn frequency() -> u64 {
    mrs!("cntfrq_el0")
}

/// Waits until `done`; false if that takes a minute. What is waited for takes
/// microseconds, but another CPU may have to do it, which on a busy computer
/// runs when it is its turn.
pub fn eventually(mut done: impl FnMut() -> bool) -> bool {
    until(60_000, &mut done)
}

/// Looks on for a short while, during which nothing should happen.
pub fn settle() {
    until(5, &mut || false);
}

/// Waits until `done` or until `milliseconds` have passed; says which.
fn until(milliseconds: u64, done: &mut dyn FnMut() -> bool) -> bool {
    let end = count() + frequency() / 1000 * milliseconds;
    while !done() {
        if count() > end {
            return done();
        }
        core::hint::spin_loop();
    }
    true
}

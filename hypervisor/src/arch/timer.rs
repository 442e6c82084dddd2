//! The generic timer: time since reset, and EL2's own alarm.

use core::arch::asm;

use crate::clock;

/// Ticks of the system counter since reset.
#[must_use]
#[inline]
pub fn ticks() -> u64 {
    let value: u64;
    // SAFETY: reads the counter; the barrier keeps it from being read early.
    unsafe {
        asm!("isb", "mrs {}, cntpct_el0", out(reg) value, options(nomem, nostack, preserves_flags))
    };
    value
}

/// Ticks in a second, as firmware wrote it.
#[must_use]
#[inline]
pub fn frequency() -> u32 {
    let value: u64;
    // SAFETY: reads a constant register.
    unsafe { asm!("mrs {}, cntfrq_el0", out(reg) value, options(nomem, nostack, preserves_flags)) };
    // Bits 63:32 are reserved.
    (value as u32).max(1)
}

/// Nanoseconds since the counter started.
#[must_use]
pub fn now_ns() -> u64 {
    clock::nanoseconds(ticks(), frequency())
}

/// Rings this CPU's EL2 timer (PPI 26) at `deadline_ns`, or never.
pub fn set_alarm(deadline_ns: Option<u64>) {
    let Some(deadline) = deadline_ns else {
        // SAFETY: disables EL2's own timer.
        unsafe {
            asm!(
                "msr cnthp_ctl_el2, xzr",
                "isb",
                options(nostack, preserves_flags)
            )
        };
        return;
    };
    let ticks = clock::ticks(deadline, frequency());
    // SAFETY: programs EL2's own timer.
    unsafe {
        asm!("msr cnthp_cval_el2, {}", "msr cnthp_ctl_el2, {}", "isb",
             in(reg) ticks, in(reg) 1u64, options(nostack, preserves_flags));
    };
}

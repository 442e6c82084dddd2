//! The private interrupts of each CPU, and the guest's timers behind two of
//! them.

use crate::arch::{cache, regs};
use spin::Once;

/// Private interrupts of the board, from its device tree.
#[derive(Clone, Copy)]
pub struct Private {
    /// EL1 virtual timer.
    pub virtual_timer: u32,
    /// EL1 physical timer.
    pub physical_timer: u32,
    /// EL2 timer.
    pub hyp_timer: u32,
    /// Virtual GIC maintenance.
    pub maintenance: u32,
}

static PRIVATE: Once<Private> = Once::new();

/// Publishes the numbers, once.
pub fn set(private: Private) {
    PRIVATE.call_once(|| private);
}

/// The numbers, once they are known.
#[inline]
pub fn get() -> Option<&'static Private> {
    PRIVATE.get()
}

/// Switches the guest's timers off. Afterwards their lines are low.
pub fn silence_timers() {
    regs::cntv_ctl_el0::write(0);
    regs::cntp_ctl_el0::write(0);
    cache::isb();
}

/// Whether the line of the guest's timer with this interrupt is high; `None`
/// for an interrupt that is no timer's.
pub fn timer_line(intid: u32) -> Option<bool> {
    /// ENABLE 0, IMASK 1, ISTATUS 2 (DDI 0487, D24.10).
    const ASSERTED: u64 = 0b101;
    let numbers = get()?;
    let control = match intid {
        _ if intid == numbers.virtual_timer => regs::cntv_ctl_el0::read(),
        _ if intid == numbers.physical_timer => regs::cntp_ctl_el0::read(),
        _ => return None,
    };
    Some(control & 0b111 == ASSERTED)
}

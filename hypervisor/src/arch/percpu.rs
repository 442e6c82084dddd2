//! What each CPU keeps for itself, found through `TPIDR_EL2`.

use core::arch::asm;

/// One CPU's own record. The first two words are read by assembly.
#[repr(C)]
pub struct PerCpu {
    /// Top of this CPU's stack: where each exit from the guest starts.
    pub stack_top: u64,
    /// Top of the stack for faults at EL2, which may come from a bad stack.
    pub emergency_top: u64,
    /// Index among the CPUs of the device tree, 0 is the boot CPU.
    pub index: usize,
    /// Affinity fields of `MPIDR_EL1`.
    pub mpidr: u64,
    /// Where this CPU counts its operations on translation tables.
    pub slot: pgtable::Slot,
    /// The vCPU that lives here, if any.
    pub vcpu: Option<crate::machine::vm::VcpuRef>,
}

/// Makes `record` this CPU's own.
pub fn set(record: &'static PerCpu) {
    let address = core::ptr::from_ref(record) as u64;
    // SAFETY: TPIDR_EL2 is EL2's own scratch register.
    unsafe { asm!("msr tpidr_el2, {}", in(reg) address, options(nostack, preserves_flags)) };
}

/// This CPU's record. `None` before [`set`].
#[must_use]
#[inline]
pub fn try_get() -> Option<&'static PerCpu> {
    let address: u64;
    // SAFETY: reads EL2's own register.
    unsafe {
        asm!("mrs {}, tpidr_el2", out(reg) address, options(nomem, nostack, preserves_flags))
    };
    // SAFETY: only `set` writes TPIDR_EL2 and it takes a `&'static PerCpu`;
    // boot clears the register before.
    unsafe { (address as *const PerCpu).as_ref() }
}

/// Clears the pointer, before anything may ask for it.
pub fn clear() {
    // SAFETY: TPIDR_EL2 is EL2's own scratch register.
    unsafe { asm!("msr tpidr_el2, xzr", options(nostack, preserves_flags)) };
}

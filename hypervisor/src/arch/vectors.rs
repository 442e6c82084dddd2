//! Exception vectors: what every exit from a guest passes through.
//!
//! An exit saves the 31 general registers at the top of this CPU's stack and
//! calls Rust; `ELR_EL2` and `SPSR_EL2` stay in their registers, because EL2
//! takes no nested exception that it returns from, but for the aborts of
//! [`super::guarded`], which sees to them itself. SIMD registers are never
//! touched: EL2 code is compiled without them.
//!
//! HVC #0 is answered with less where that is enough: x20 to x29 are saved only
//! if `guest_call`, which keeps them as every function does, does not answer.

use core::arch::global_asm;

/// The guest's general registers, as saved by an exit.
#[repr(C)]
#[derive(Debug)]
pub struct Frame {
    /// x0 to x30.
    pub x: [u64; 31],
    _pad: u64,
}

/// x0 to x17 of a guest that calls: all that a call may look at or change.
pub type CallFrame = [u64; 18];

impl Frame {
    /// All registers zero: a vCPU that starts knows nothing.
    pub fn clear(&mut self) {
        self.x = [0; 31];
    }

    /// Register `index` as an instruction names it: 31 is the zero register.
    #[must_use]
    #[inline]
    pub fn get(&self, index: u8) -> u64 {
        self.x.get(usize::from(index)).copied().unwrap_or(0)
    }

    /// Writes register `index`; a write to 31 is dropped.
    #[inline]
    pub fn set(&mut self, index: u8, value: u64) {
        if let Some(register) = self.x.get_mut(usize::from(index)) {
            *register = value;
        }
    }
}

global_asm!(
    r#"
    // What a function may change: x0 to x18 and x30. x19 makes a pair.
    .macro STORE_CHANGING
    stp     x0, x1, [sp]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    str     x30, [sp, #240]
    .endm

    .macro STORE_KEPT
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    .endm

    .macro STORE
    STORE_CHANGING
    STORE_KEPT
    .endm

    .macro SAVE
    sub     sp, sp, #256
    STORE
    .endm

    .macro LOAD_CHANGING
    ldp     x0, x1, [sp]
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x19, [sp, #144]
    ldr     x30, [sp, #240]
    .endm

    .macro RESTORE
    LOAD_CHANGING
    ldp     x20, x21, [sp, #160]
    ldp     x22, x23, [sp, #176]
    ldp     x24, x25, [sp, #192]
    ldp     x26, x27, [sp, #208]
    ldp     x28, x29, [sp, #224]
    add     sp, sp, #256
    .endm

    // A fault at EL2. The stack may be the fault: bit 16 of a good stack
    // pointer is set (guards are the lower halves), so test it without memory.
    .macro FATAL kind
    .balign 128
    sub     sp, sp, #256
    add     sp, sp, x0
    sub     x0, sp, x0
    tbz     x0, #{stack_bit}, 1f
    sub     x0, sp, x0
    sub     sp, sp, x0
    b       fatal_\kind
1:  // No stack: take the emergency one and lose x0.
    mrs     x0, tpidr_el2
    cbz     x0, park
    ldr     x0, [x0, #8]
    mov     sp, x0
    sub     sp, sp, #256
    b       fatal_\kind
    .endm

    .macro FATAL_BODY kind, number
fatal_\kind:
    STORE
    mov     x0, sp
    mov     x1, #\number
    bl      {el2_fault}
    b       park
    .endm

    // From a guest, asynchronously.
    .macro GUEST handler
    .balign 128
    SAVE
    mov     x0, sp
    bl      \handler
    b       return_to_guest
    .endm

    .section .text.vectors, "ax"
    .balign 2048
    .global vectors
vectors:
    FATAL   sync                    // current EL, SP_EL0
    FATAL   irq
    FATAL   fiq
    FATAL   serror
    FATAL   sync                    // current EL, SP_EL2
    FATAL   irq
    FATAL   fiq
    FATAL   serror
    .balign 128                     // from a guest, AArch64
    sub     sp, sp, #256
    STORE_CHANGING
    mrs     x1, esr_el2
    mov     w2, #{hvc_0} << 16
    cmp     w1, w2
    b.ne    1f
    mov     x0, sp
    bl      {guest_call}
    cbnz    w0, return_to_caller
    mrs     x1, esr_el2
1:  STORE_KEPT
    mov     x0, sp
    bl      {guest_sync}
    b       return_to_guest
    GUEST   {guest_irq}
    GUEST   {guest_irq}             // FIQ
    GUEST   {guest_serror}
    .balign 128                     // from a guest's AArch32 user space
    SAVE
    mrs     x1, esr_el2
    mov     x0, sp
    bl      {guest_sync}
    b       return_to_guest
    GUEST   {guest_irq}
    GUEST   {guest_irq}             // FIQ
    GUEST   {guest_serror}

    // An access that was allowed to fail goes on; its stack is a good one, and
    // below its stack pointer there was nothing.
fatal_sync:
    STORE
    mov     x0, sp
    bl      {recover}
    tbnz    w0, #0, return_to_guest
    mov     x0, sp
    mov     x1, #0
    bl      {el2_fault}
    b       park
    FATAL_BODY irq, 1
    FATAL_BODY fiq, 2
    FATAL_BODY serror, 3

    // Leaves boot for good: an empty frame at the top of the stack, filled in
    // by Rust when the vCPU is told to start.
    .global become_vcpu
become_vcpu:
    mrs     x1, tpidr_el2
    ldr     x1, [x1]
    mov     sp, x1
    sub     sp, sp, #256
    mov     x0, sp
    mov     x29, xzr
    mov     x30, xzr
    bl      {first_entry}
return_to_guest:                    // or to EL2, after `recover`
    RESTORE
    eret
return_to_caller:
    LOAD_CHANGING
    add     sp, sp, #256
    eret
    "#,
    guest_call = sym crate::machine::exits::run::guest_call,
    guest_sync = sym crate::machine::exits::run::guest_sync,
    guest_irq = sym crate::machine::exits::run::guest_irq,
    guest_serror = sym crate::machine::exits::run::guest_serror,
    first_entry = sym crate::machine::exits::run::first_entry,
    el2_fault = sym crate::machine::fault::el2_fault,
    recover = sym super::guarded::recover,
    hvc_0 = const crate::trap::esr::HVC_0 >> 16,
    stack_bit = const super::boot::STACK_SIZE.trailing_zeros(),
);

unsafe extern "C" {
    static vectors: u8;
    safe fn become_vcpu() -> !;
}

/// Points `VBAR_EL2` at the vectors.
pub fn install() {
    let address = (&raw const vectors) as u64;
    // SAFETY: the table is 2 KiB aligned code of this image.
    unsafe {
        core::arch::asm!("msr vbar_el2, {}", "isb", in(reg) address, options(nostack, preserves_flags))
    };
}

/// Turns this CPU into its vCPU. The boot stack is given up.
pub fn run_vcpu() -> ! {
    become_vcpu()
}

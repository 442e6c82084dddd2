//! The arm64 Image header, relocation, stacks, and the way into Rust.

use crate::{cases, exception, fdt, println, uart};
use core::arch::global_asm;

global_asm!(
    r#"
    .section .text.head, "ax"
    .global _start
_start:
    b       primary
    .long   0
    .quad   0
    .quad   _image_size
    .quad   0xa
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0

primary:
    msr     daifset, #0xf
    mov     x19, x0
    adrp    x0, _bss_start
    add     x0, x0, :lo12:_bss_start
    adrp    x1, _bss_end
    add     x1, x1, :lo12:_bss_end
1:  cmp     x0, x1
    b.hs    2f
    stp     xzr, xzr, [x0], #16
    b       1b
2:  adrp    x21, _start
    adrp    x0, _rela_start
    add     x0, x0, :lo12:_rela_start
    adrp    x1, _rela_end
    add     x1, x1, :lo12:_rela_end
3:  cmp     x0, x1
    b.hs    4f
    ldp     x2, x3, [x0], #16
    ldr     x4, [x0], #8
    cmp     w3, #1027               // R_AARCH64_RELATIVE
    b.ne    3b
    add     x4, x4, x21
    str     x4, [x21, x2]
    b       3b
4:  mov     x0, #0
    bl      set_stack
    mov     x0, x19
    bl      {main}
    b       .

    // A CPU that PSCI started: x0 is its context, here its index.
    .global secondary_entry
secondary_entry:
    msr     daifset, #0xf
    mov     x19, x0
    bl      set_stack
    mov     x0, x19
    bl      {secondary}
    b       .

    // x0: index. sp: top of that CPU's stack.
set_stack:
    adrp    x1, _stacks
    add     x0, x0, #1
    add     x0, x1, x0, lsl #16
    mov     sp, x0
    ret
    "#,
    main = sym main,
    secondary = sym crate::smp::secondary,
);

unsafe extern "C" {
    fn secondary_entry();
}

/// Address at which PSCI starts further CPUs.
pub fn secondary_address() -> u64 {
    secondary_entry as *const () as u64
}

extern "C" fn main(dtb: u64) -> ! {
    exception::install();
    let args = fdt::bootargs(dtb);
    uart::enable();
    println!("guest at EL1, arguments '{args}'");
    cases::run(args)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    println!("FAIL guest-panic {info}");
    crate::psci::system_off()
}

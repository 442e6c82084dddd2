//! The first instructions: arm64 Linux Image header, relocation, and the
//! tables that carry EL2 until it has read the device tree.
//!
//! Protocol: Linux `Documentation/arch/arm64/booting.rst`. MMU and data cache
//! are off, x0 holds the physical address of the device tree, and the image may
//! stand at any 4 KiB boundary.

use core::arch::global_asm;

/// Bytes of one CPU's stack; the same again below it is its guard.
pub const STACK_SIZE: usize = 0x1_0000;
/// CPUs that the image has stacks for.
pub const MAX_CPUS: usize = 8;

/// `MAIR_EL2`: index 0 Device-nGnRE, index 1 Normal write-back, index 2 Normal
/// non-cacheable, index 3 Device-nGnRnE (DDI 0487, D24.2.110).
pub const MAIR: u64 = 0x04 | 0xff << 8 | 0x44 << 16;

/// What a secondary CPU loads before it has a memory system.
#[repr(C)]
pub struct SecondaryRegisters {
    /// `TTBR0_EL2`.
    pub ttbr: u64,
    /// `TCR_EL2`.
    pub tcr: u64,
    /// `MAIR_EL2`.
    pub mair: u64,
    /// `SCTLR_EL2`.
    pub sctlr: u64,
}

global_asm!(
    r#"
    .section .text.head, "ax"
    .global _start
_start:
    ccmp    x18, #0, #0xd, pl       // harmless, and "MZ" to UEFI
    b       primary_entry
    .quad   0                       // text_offset
    .quad   _image_size
    .quad   0xa                     // little endian, 4 KiB pages, anywhere
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   _efi_header

    .section .text.boot, "ax"
    // Applies R_AARCH64_RELATIVE to an image that stands at x2: it is linked at
    // 0. Doing so again elsewhere is sound: addends are not touched.
    .global relocate
relocate:
    adrp    x9, _rela_start
    add     x9, x9, :lo12:_rela_start
    adrp    x10, _rela_end
    add     x10, x10, :lo12:_rela_end
2:  cmp     x9, x10
    b.hs    3f
    ldp     x11, x12, [x9], #16     // offset, info
    ldr     x13, [x9], #8           // addend
    cmp     w12, #1027
    b.ne    2b
    add     x13, x13, x2
    str     x13, [x2, x11]
    b       2b
3:  ret

primary_entry:
    msr     daifset, #0xf
    mov     x19, x0
    mrs     x20, CurrentEL
    lsr     x20, x20, #2

    // Zero what the loader did not bring.
    adrp    x0, _bss_start
    adrp    x1, _bss_end
1:  stp     xzr, xzr, [x0], #16
    cmp     x0, x1
    b.lo    1b

    adrp    x21, _start
    mov     x2, x21
    bl      relocate
    adrp    x0, _stacks_start
    mov     x1, #{stack_size} * 2
    add     x0, x0, x1
    mov     x22, x0                 // top of the boot CPU's stack

    cmp     x20, #2
    b.eq    4f
    mov     sp, x22
    mov     x0, x19
    mov     x1, x20
    bl      {wrong_level}
    b       park

4:  // EL2 with a memory map good enough to read a device tree: 512 blocks of
    // 1 GiB, device memory but for those that hold the image and the blob.
    mov     x0, #{hcr}
    msr     hcr_el2, x0
    mov     x0, #0x33ff             // CPTR_EL2: no traps to EL2 while we start
    msr     cptr_el2, x0
    isb
    adrp    x0, {boot_table}
    add     x0, x0, :lo12:{boot_table}
    mov     x1, #0
    movz    x2, #0x401
    movk    x2, #0x0040, lsl #48    // device, XN, AF
    orr     x2, x2, #0x40
    mov     x3, #0x745              // normal, inner shareable, AF
    lsr     x4, x21, #30
    adrp    x5, _end
    lsr     x5, x5, #30
    lsr     x6, x19, #30
    add     x7, x19, #0x200000      // a device tree is at most 2 MiB
    lsr     x7, x7, #30
5:  mov     x8, x2
    cmp     x1, x4
    ccmp    x1, x5, #2, hs
    csel    x8, x3, x8, ls
    cmp     x1, x6
    csel    x8, x3, x8, eq
    cmp     x1, x7
    csel    x8, x3, x8, eq
    orr     x8, x8, x1, lsl #30
    str     x8, [x0, x1, lsl #3]
    add     x1, x1, #1
    cmp     x1, #512
    b.lo    5b

    // What was written with caches off must not be hidden by stale lines.
    mov     x1, x21
    adrp    x2, _end
    mrs     x3, ctr_el0
    ubfx    x3, x3, #16, #4
    mov     x4, #4
    lsl     x3, x4, x3
6:  dc      ivac, x1
    add     x1, x1, x3
    cmp     x1, x2
    b.lo    6b
    dsb     sy

    ldr     x1, ={mair}
    msr     mair_el2, x1
    mrs     x1, id_aa64mmfr0_el1
    and     x1, x1, #0xf
    mov     x2, #5                  // 48 bits: as far as 4 KiB tables reach
    cmp     x1, x2
    csel    x1, x1, x2, ls
    movz    x2, #0x3519             // T0SZ 25, write-back, inner shareable
    movk    x2, #0x8080, lsl #16    // RES1
    orr     x2, x2, x1, lsl #16
    msr     tcr_el2, x2
    msr     ttbr0_el2, x0
    isb
    tlbi    alle2
    ic      iallu
    dsb     nsh
    isb
    ldr     x1, ={sctlr}
    msr     sctlr_el2, x1
    isb

    mov     sp, x22
    mov     x29, xzr
    mov     x30, xzr
    mov     x0, x19
    mov     x1, x21
    mov     x2, x22
    bl      {primary}
    .global park
park:
    wfe
    b       park

    // x0: the CPU's `PerCpu`, whose first word is the top of its stack.
    .global secondary_entry
secondary_entry:
    msr     daifset, #0xf
    mov     x19, x0
    mov     x0, #{hcr}
    msr     hcr_el2, x0
    mov     x0, #0x33ff
    msr     cptr_el2, x0
    isb
    adrp    x1, {secondary}
    add     x1, x1, :lo12:{secondary}
    ldp     x2, x3, [x1]
    ldp     x4, x5, [x1, #16]
    msr     ttbr0_el2, x2
    msr     tcr_el2, x3
    msr     mair_el2, x4
    isb
    tlbi    alle2
    ic      iallu
    dsb     nsh
    isb
    msr     sctlr_el2, x5
    isb
    ldr     x1, [x19]
    mov     sp, x1
    mov     x29, xzr
    mov     x30, xzr
    mov     x0, x19
    bl      {secondary_main}
    b       park
    "#,
    stack_size = const STACK_SIZE,
    // RW alone: EL1 is AArch64. The rest is set before a guest runs.
    hcr = const 1u64 << 31,
    mair = const MAIR,
    sctlr = const SCTLR,
    boot_table = sym BOOT_TABLE,
    secondary = sym SECONDARY,
    wrong_level = sym crate::machine::fault::wrong_exception_level,
    primary = sym crate::machine::start::boot::primary,
    secondary_main = sym crate::machine::start::boot::secondary,
);

/// `SCTLR_EL2` with MMU, caches and stack alignment checks on, and RES1 bits
/// set; WXN stays off because boot runs from a writable image (D24.2.152).
pub const SCTLR: u64 = 0x30c5_0830 | 1 | 1 << 2 | 1 << 3 | 1 << 12;

/// Level 1 table of the start: 512 entries of 1 GiB.
#[repr(C, align(4096))]
struct BootTable(core::cell::UnsafeCell<[u64; 512]>);
// SAFETY: only the boot CPU writes it, before it runs any Rust code; the MMU
// reads it.
unsafe impl Sync for BootTable {}
static BOOT_TABLE: BootTable = BootTable(core::cell::UnsafeCell::new([0; 512]));

/// Filled in once by the boot CPU, read by the others with their caches off.
#[repr(C, align(64))]
struct Secondary(core::cell::UnsafeCell<SecondaryRegisters>);
// SAFETY: written once by the boot CPU before it starts any other.
unsafe impl Sync for Secondary {}
static SECONDARY: Secondary = Secondary(core::cell::UnsafeCell::new(SecondaryRegisters {
    ttbr: 0,
    tcr: 0,
    mair: 0,
    sctlr: 0,
}));

/// Hands the other CPUs the registers they start with and cleans them to
/// memory, where a CPU without caches finds them.
pub fn publish_secondary_registers(registers: SecondaryRegisters) {
    // SAFETY: the boot CPU calls this before it starts another one, so nobody
    // reads the cell meanwhile.
    unsafe { SECONDARY.0.get().write(registers) };
    super::cache::clean(SECONDARY.0.get() as u64, 64);
}

unsafe extern "C" {
    static _start: u8;
    static _text_end: u8;
    static _rodata_end: u8;
    static _file_end: u8;
    static _stacks_start: u8;
    static _end: u8;
    fn secondary_entry();
}

/// Where the parts of the running image stand, in bytes of physical memory.
#[derive(Debug, Clone, Copy)]
pub struct ImageLayout {
    /// First byte, the Image header.
    pub start: u64,
    /// End of code.
    pub text_end: u64,
    /// End of constants.
    pub rodata_end: u64,
    /// End of what the boot loader brought.
    pub file_end: u64,
    /// Where the CPUs' stacks start, guards first.
    pub stacks_start: u64,
    /// End of everything the image needs.
    pub end: u64,
}

/// The image's own extent, as the linker laid it out.
#[must_use]
pub fn image() -> ImageLayout {
    ImageLayout {
        start: (&raw const _start) as u64,
        text_end: (&raw const _text_end) as u64,
        rodata_end: (&raw const _rodata_end) as u64,
        file_end: (&raw const _file_end) as u64,
        stacks_start: (&raw const _stacks_start) as u64,
        end: (&raw const _end) as u64,
    }
}

/// Physical address at which a secondary CPU starts.
#[must_use]
pub fn secondary_entry_address() -> u64 {
    secondary_entry as *const () as u64
}

/// Top of CPU `index`'s stack; `index` is below [`MAX_CPUS`].
#[must_use]
pub fn stack_top(index: usize) -> u64 {
    image().stacks_start + (index as u64 + 1) * 2 * STACK_SIZE as u64
}

//! Vectors. Interrupts go to the handler a case has set; synchronous
//! exceptions are either expected, then noted and stepped over, or fatal.

use crate::{cpu, gic, mrs, println, psci, smp};
use core::arch::global_asm;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};

global_asm!(
    r#"
    .macro  entry handler
    .balign 0x80
    sub     sp, sp, #192
    stp     x0, x1, [sp]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x30, [sp, #144]
    mrs     x0, elr_el1
    mrs     x1, spsr_el1
    stp     x0, x1, [sp, #160]
    bl      \handler
    b       leave
    .endm

    .section .text.vectors, "ax"
    .balign 0x800
    .global vectors
vectors:
    .rept 4
    entry {fatal}
    .endr
    entry {sync}
    entry {irq}
    entry {fatal}
    entry {fatal}
    .rept 8
    entry {fatal}
    .endr
leave:
    ldp     x0, x1, [sp, #160]
    msr     elr_el1, x0
    msr     spsr_el1, x1
    ldp     x0, x1, [sp]
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x30, [sp, #144]
    add     sp, sp, #192
    eret
    "#,
    fatal = sym fatal,
    sync = sym synchronous,
    irq = sym interrupt,
);

unsafe extern "C" {
    static vectors: u8;
}

/// What a CPU's vectors have seen.
pub struct Seen {
    expecting: AtomicBool,
    /// Synchronous exceptions stepped over.
    pub caught: AtomicU32,
    /// `ESR_EL1` of the last one.
    pub syndrome: AtomicU64,
    /// Interrupts taken.
    pub interrupts: AtomicU32,
    /// `INTID` of the last one.
    pub last: AtomicU32,
    /// The interrupt before the last, for cases that care about order.
    pub before: AtomicU32,
}

impl Seen {
    const fn new() -> Self {
        Self {
            expecting: AtomicBool::new(false),
            caught: AtomicU32::new(0),
            syndrome: AtomicU64::new(0),
            interrupts: AtomicU32::new(0),
            last: AtomicU32::new(u32::MAX),
            before: AtomicU32::new(u32::MAX),
        }
    }
}

static SEEN: [Seen; 8] = [const { Seen::new() }; 8];

/// A case's own work in the interrupt handler, between acknowledge and end.
static HOOK: AtomicU64 = AtomicU64::new(0);

/// Points this CPU at the vectors.
pub fn install() {
    let base = &raw const vectors as u64;
    crate::msr!("vbar_el1", base);
    // FP and SIMD registers are the guest's own to use.
    crate::msr!("cpacr_el1", 3 << 20);
}

/// What the CPU with this index has seen.
pub fn seen(index: usize) -> &'static Seen {
    &SEEN[index % SEEN.len()]
}

/// Forgets earlier interrupts and sets the work to do for the next ones.
pub fn on_interrupt(hook: Option<fn(u32)>) {
    for seen in &SEEN {
        seen.interrupts.store(0, SeqCst);
        seen.last.store(u32::MAX, SeqCst);
        seen.before.store(u32::MAX, SeqCst);
    }
    HOOK.store(hook.map_or(0, |f| f as usize as u64), SeqCst);
}

/// Runs something that may end in an exception; returns its exception class
/// (`ESR_EL1.EC`), or `None` if all went well.
pub fn catch(attempt: impl FnOnce()) -> Option<u64> {
    let seen = seen(smp::index());
    let before = seen.caught.load(SeqCst);
    seen.expecting.store(true, SeqCst);
    attempt();
    cpu::sync();
    seen.expecting.store(false, SeqCst);
    (seen.caught.load(SeqCst) != before).then(|| seen.syndrome.load(SeqCst) >> 26)
}

#[repr(C)]
struct Frame {
    _registers: [u64; 20],
    elr: u64,
    _spsr: u64,
}

#[unsafe(naked)]
extern "C" fn synchronous() {
    core::arch::naked_asm!("mov x0, sp", "b {0}", sym synchronous_frame)
}

extern "C" fn synchronous_frame(frame: &mut Frame) {
    let seen = seen(smp::index());
    let syndrome = mrs!("esr_el1");
    if !seen.expecting.load(SeqCst) {
        fatal_report(syndrome, frame.elr);
    }
    seen.syndrome.store(syndrome, SeqCst);
    seen.caught.fetch_add(1, SeqCst);
    frame.elr += 4;
}

extern "C" fn interrupt() {
    let intid = gic::acknowledge();
    let seen = seen(smp::index());
    if intid < 1020 {
        seen.before.store(seen.last.load(SeqCst), SeqCst);
        seen.last.store(intid, SeqCst);
        let hook = HOOK.load(SeqCst);
        if hook != 0 {
            let hook: fn(u32) = unsafe { core::mem::transmute(hook as usize) };
            hook(intid);
        }
        gic::end(intid);
        seen.interrupts.fetch_add(1, SeqCst);
    }
}

extern "C" fn fatal() -> ! {
    fatal_report(mrs!("esr_el1"), mrs!("elr_el1"))
}

fn fatal_report(syndrome: u64, at: u64) -> ! {
    println!(
        "FAIL guest-exception ESR {syndrome:#x} at {at:#x}, FAR {:#x}",
        mrs!("far_el1")
    );
    psci::system_off()
}

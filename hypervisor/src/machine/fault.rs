//! Reports of what must never happen, and stops.

use super::board::{console, packed};
use super::failed;
use crate::arch::{ram, regs, trace, vectors::Frame};
use crate::trap::esr;
use platform::symbols::Place;

/// Started by firmware at EL1 or EL3: says so and returns to be parked. Runs
/// without translation, caches or heap.
pub extern "C" fn wrong_exception_level(dtb: u64, level: u64) {
    let Some(early) = ram::device_tree(dtb).and_then(|blob| platform::early::scan(blob).ok())
    else {
        return;
    };
    let Some(uart) = early.console else { return };
    let remedy = if level == 1 {
        "start it at EL2 (QEMU: -M virt,virtualization=on; U-Boot: enable EL2 hand-over)"
    } else {
        "let EL3 firmware (TF-A) start it at EL2"
    };
    console::print_early(
        &uart,
        format_args!("[stagegate] error: started at EL{level}, needs EL2: {remedy}\n"),
    );
}

/// A fault taken at EL2: reports it and stops what depends on this CPU, which
/// the vectors park afterwards.
pub extern "C" fn el2_fault(frame: &Frame, kind: u64) {
    console::last_words();
    let kind = [
        "synchronous exception",
        "interrupt",
        "fast interrupt",
        "SError",
    ]
    .get(kind as usize)
    .unwrap_or(&"exception");
    let names = packed::symbols();
    let elr = regs::elr_el2::read();
    let base = crate::arch::boot::image().start;
    log::error!(
        "{kind} at EL2: {}: elr {elr:#x} ({}) far {:#x} spsr {:#x}",
        esr::describe(regs::esr_el2::read()),
        Place(elr.wrapping_sub(base), names),
        regs::far_el2::read(),
        regs::spsr_el2::read(),
    );
    for (i, pair) in frame.x.chunks(4).enumerate() {
        log::error!("  x{:<2} {:016x?}", i * 4, pair);
    }
    trace::backtrace(frame.x[29], |at| {
        log::error!("  called from {}", Place(at, names));
    });
    failed::abandon();
}

/// A Rust panic: a bug of ours. Reports it and stops what depends on this CPU;
/// the caller parks it.
pub fn panic(info: &core::panic::PanicInfo<'_>) {
    console::last_words();
    log::error!("panic: {info}");
    let names = packed::symbols();
    trace::backtrace(trace::frame_pointer(), |at| {
        log::error!("  called from {}", Place(at, names));
    });
    failed::abandon();
}

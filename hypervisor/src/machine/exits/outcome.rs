//! How a guest goes on after an exit: past the instruction, with an exception,
//! from its start, or not at all.

use crate::arch::regs::{self, elr_el2, far_el2, hpfar_el2, spsr_el2};
use crate::arch::vectors::Frame;
use crate::life::Ending;
use crate::machine::life;
use crate::machine::vm::VcpuRef;
use crate::trap::config;
use crate::trap::inject::{self, Exception, Interrupted};

/// Steps over the instruction that trapped.
#[inline]
pub fn skip() {
    elr_el2::write(config::next_pc(elr_el2::read(), regs::esr_el2::read()));
    spsr_el2::write(inject::executed(spsr_el2::read()));
}

/// The guest is to make its call once more, after what waits for this CPU. The
/// saved address points behind the instruction, HVC or SMC.
pub fn again() {
    elr_el2::write(elr_el2::read().wrapping_sub(4));
}

/// Makes the guest take an exception at EL1.
pub fn raise(exception: Exception) {
    let taken = inject::take(
        Interrupted {
            pc: elr_el2::read(),
            pstate: spsr_el2::read(),
            vbar_el1: regs::vbar_el1::read(),
            sctlr_el1: regs::sctlr_el1::read(),
        },
        exception,
    );
    elr_el2::write(taken.pc);
    spsr_el2::write(taken.pstate);
    regs::elr_el1::write(taken.elr_el1);
    regs::spsr_el1::write(taken.spsr_el1);
    regs::esr_el1::write(taken.esr_el1);
    if let Some(far) = taken.far_el1 {
        regs::far_el1::write(far);
    }
}

/// Ends the VM of a vCPU that did what no guest may, with a report.
#[cold]
pub fn crash(me: VcpuRef, frame: &Frame, why: core::fmt::Arguments<'_>) {
    log::error!("{} vCPU {}: {why}", me.vm.name, me.index);
    log::error!(
        "  pc {:#x} pstate {:#x} far {:#x} ipa page {:#x}",
        elr_el2::read(),
        spsr_el2::read(),
        far_el2::read(),
        (hpfar_el2::read() & 0xfff_ffff_fff0) << 8,
    );
    for (i, four) in frame.x.chunks(4).enumerate() {
        log::error!("  x{:<2} {four:016x?}", i * 4);
    }
    me.vm.request_end(Ending::Crash);
}

/// The VM ends, or this vCPU is off: waits until it starts again.
#[cold]
pub fn restart(me: VcpuRef, frame: &mut Frame) {
    let start = life::wait_for_start(me);
    me.enter(start, frame);
}

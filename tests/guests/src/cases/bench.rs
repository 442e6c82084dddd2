//! Costs in ticks of the counter. Under QEMU's `-icount shift=0` one
//! instruction takes one nanosecond, so with a 1 GHz counter (or after
//! scaling) these are instructions.

use super::{Case, Outcome, case};
use crate::{cpu, gic, println, psci};

pub const CASES: &[Case] = &[case("bench-all", all)];

const ROUNDS: u64 = 1000;

/// Nanoseconds (= instructions under `shift=0`) per round, without the loop.
fn measure(name: &str, work: impl Fn()) {
    let run = |work: &dyn Fn()| {
        let begin = cpu::count();
        for _ in 0..ROUNDS {
            work();
        }
        cpu::count() - begin
    };
    run(&work);
    let ticks = run(&work) - run(&|| ());
    let nanoseconds = ticks * 1_000_000_000 / cpu::frequency() / ROUNDS;
    println!("BENCH {name} {nanoseconds}");
}

fn all() -> Outcome {
    println!("BENCH counter_hz {}", cpu::frequency());
    measure("hvc_roundtrip_insns", || unsafe {
        core::arch::asm!("hvc #0", inout("x0") psci::VERSION => _,
            out("x1") _, out("x2") _, out("x3") _);
    });
    measure("vgic_read_insns", || {
        cpu::read32(gic::GICD + gic::reg::ISENABLER + 4);
    });
    measure("vgic_write_insns", || {
        cpu::write32(gic::GICD + gic::reg::ISENABLER + 4, 0)
    });
    Ok(())
}

//! Bad behaviour. The first group must not harm the guest itself; cases
//! marked `last` end with the VM's death or with a guest that never returns.

use super::{Case, Outcome, last, promised};
use crate::exception::catch;
use crate::{check, cpu, gic, msr, println, psci, smp};
use core::arch::asm;

pub const CASES: &[Case] = &[
    promised("bad-hvc-garbage", hvc_garbage),
    promised("bad-gic-garbage", gic_garbage),
    promised("bad-sgi-garbage", sgi_garbage),
    last("bad-read-nowhere", || {
        println!("ABOUT bad-read-nowhere");
        cpu::read64(NOWHERE);
        survived()
    }),
    last("bad-write-nowhere", || {
        println!("ABOUT bad-write-nowhere");
        cpu::write32(NOWHERE, 1);
        survived()
    }),
    last("bad-read-hypervisor", || {
        println!("ABOUT bad-read-hypervisor");
        // Just below this guest's RAM, where the board has its devices.
        cpu::read32(0x0905_0000);
        survived()
    }),
    last("bad-jump-nowhere", jump_nowhere),
    last("bad-pair-to-device", pair_to_device),
    last("bad-stack-nowhere", stack_nowhere),
    last("bad-vectors-nowhere", vectors_nowhere),
    last("bad-vectors-loop", vectors_loop),
    last("bad-spin", spin),
    last("bad-spin-all", spin_all),
    last("bad-interrupt-storm", interrupt_storm),
    last("bad-sleep-forever", sleep_forever),
];

/// An address where this platform has nothing.
const NOWHERE: u64 = 0x20_0000_0000;

fn survived() -> Outcome {
    check!(false, "the access went through", 0);
    Ok(())
}

/// xorshift64: the same garbage each time.
pub struct Garbage(pub u64);

impl Garbage {
    /// The next word.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Calls that would rightly stop the caller or start something.
fn stops(function: u64) -> bool {
    let id = function & 0xbffe_ffff;
    (0x8400_0000..=0x8400_001f).contains(&id)
}

fn hvc_garbage() -> Outcome {
    let mut garbage = Garbage(0x5747_4154_4531);
    for _ in 0..5000 {
        let mut args = [0; 5].map(|_: u64| garbage.next());
        let kind = garbage.next();
        // Half of the calls are to functions that exist or nearly do.
        let function = match kind % 4 {
            0 => kind >> 16,
            1 => 0xc600_0100 + (kind >> 8 & 0xf),
            2 => 0x8600_0000 | kind >> 8 & 0x4000_ffff,
            _ => 0xc600_0010,
        };
        if kind & 0x80 != 0 {
            args = args.map(|a| a & 0xffff);
        }
        if !stops(function & 0xffff_ffff) {
            psci::call(function, args);
        }
    }
    let version = psci::call(psci::VERSION, [0; 5])[0];
    check!(version >= 0x1_0001, "calls no longer work", version);
    Ok(())
}

/// All widths, everywhere in the distributor and redistributor, then order is
/// restored and an interrupt must still arrive.
fn gic_garbage() -> Outcome {
    let mut garbage = Garbage(0x6765_7473);
    let end = if gic::is_v3() {
        0x080c_0000
    } else {
        0x0801_0000
    };
    for _ in 0..5000 {
        let base = if garbage.next() & 1 == 0 {
            0x0800_0000
        } else {
            0x080a_0000
        };
        let base = if base < end { base } else { 0x0800_0000 };
        let at = base + garbage.next() % 0x1_0000;
        let value = garbage.next();
        let _ = catch(|| match value >> 60 & 7 {
            0 => drop(cpu::read8(at)),
            1 => cpu::write8(at, value as u8),
            2 => drop(cpu::read16(at & !1)),
            3 => cpu::write16(at & !1, value as u16),
            4 => drop(cpu::read64(at & !7)),
            5 => cpu::write64(at & !7, value),
            6 => drop(cpu::read32(at & !3)),
            _ => cpu::write32(at & !3, value as u32),
        });
    }
    for intid in 0..128 {
        gic::disable(intid);
        gic::poke(gic::reg::ICPENDR, intid);
        gic::poke(gic::reg::ICACTIVER, intid);
    }
    gic::init();
    gic::enable(1);
    gic::send_sgi(1, 1);
    cpu::irq_on();
    let seen = crate::exception::seen(0);
    let arrived = cpu::eventually(|| seen.last.load(core::sync::atomic::Ordering::SeqCst) == 1);
    check!(arrived, "no interrupt arrives after garbage", 0);
    Ok(())
}

/// SGIs to CPUs that do not exist.
fn sgi_garbage() -> Outcome {
    gic::send_sgi(1, 0xff00);
    if gic::is_v3() {
        msr!("S3_0_C12_C11_5", 0x00ff_00ff_00ff_ffff);
    } else {
        cpu::write32(gic::GICD + 0xf00, 3 << 24 | 0xff << 16 | 1);
    }
    Ok(())
}

fn jump_nowhere() -> Outcome {
    println!("ABOUT bad-jump-nowhere");
    unsafe { asm!("br {}", in(reg) NOWHERE) };
    survived()
}

/// A pair load tells the hypervisor nothing about itself (no syndrome).
fn pair_to_device() -> Outcome {
    println!("ABOUT bad-pair-to-device");
    unsafe { asm!("ldp x0, x1, [{}]", in(reg) gic::GICD, out("x0") _, out("x1") _) };
    survived()
}

fn stack_nowhere() -> Outcome {
    println!("ABOUT bad-stack-nowhere");
    unsafe { asm!("mov sp, {}", "udf #0", in(reg) NOWHERE) };
    survived()
}

fn vectors_nowhere() -> Outcome {
    println!("ABOUT bad-vectors-nowhere");
    msr!("vbar_el1", NOWHERE);
    unsafe { asm!("udf #0") };
    survived()
}

/// The vector itself is undefined: an endless chain inside the guest, which
/// only costs the guest's own CPU.
fn vectors_loop() -> Outcome {
    #[repr(align(2048))]
    struct Zeros(#[allow(dead_code)] [u8; 2048]);
    static ZEROS: Zeros = Zeros([0; 2048]);
    println!("ABOUT bad-vectors-loop");
    msr!("vbar_el1", &raw const ZEROS as u64);
    unsafe { asm!("udf #0") };
    survived()
}

fn spin() -> Outcome {
    println!("ABOUT bad-spin");
    loop {
        core::hint::spin_loop();
    }
}

fn spin_all() -> Outcome {
    println!("ABOUT bad-spin-all");
    smp::start(1);
    smp::post(1, || {
        loop {
            core::hint::spin_loop();
        }
    });
    spin()
}

/// Keeps the interrupt controller as busy as one can.
fn interrupt_storm() -> Outcome {
    println!("ABOUT bad-interrupt-storm");
    gic::enable(1);
    cpu::irq_on();
    loop {
        gic::send_sgi(1, 1);
    }
}

fn sleep_forever() -> Outcome {
    println!("ABOUT bad-sleep-forever");
    loop {
        cpu::wfi();
    }
}

//! PSCI 1.1 (DEN 0022) and SMCCC (DEN 0028).

use super::{Case, Outcome, case, last, need_three_cpus, promised};
use crate::psci::{self, status};
use crate::timer::Timer;
use crate::{check, cpu, gic, smp, start};
use core::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};

pub const CASES: &[Case] = &[
    case("psci-version", version),
    case("psci-features", features),
    promised("psci-smccc-version", smccc_version),
    case("psci-unknown-functions", unknown_functions),
    case("psci-affinity-info", affinity_info),
    promised("psci-affinity-info-errors", affinity_info_errors),
    case("psci-cpu-on-errors", cpu_on_errors),
    promised("psci-cpu-on-bad-address", cpu_on_bad_address),
    case("psci-cpu-on-off", cpu_on_off),
    case("psci-cpu-on-32", cpu_on_32),
    // QEMU's own PSCI lets both callers succeed.
    promised("psci-cpu-on-race", cpu_on_race),
    case("psci-migrate-info", migrate_info),
    case("psci-suspend-standby", suspend_standby),
    case("psci-registers-kept", registers_kept),
    promised("psci-other-immediates", other_immediates),
    last("psci-system-off", || psci::system_off()),
    last("psci-system-reset", system_reset),
    last("psci-reset-timers-ringing", reset_timers_ringing),
    last("psci-all-cpus-off", all_cpus_off),
    last("psci-cpus-off-at-once", cpus_off_at_once),
];

fn version() -> Outcome {
    let version = psci::call(psci::VERSION, [0; 5])[0];
    check!(
        (0x1_0001..0x2_0000).contains(&version),
        "PSCI_VERSION is not 1.1 or later",
        version
    );
    Ok(())
}

fn features() -> Outcome {
    for function in [
        psci::CPU_SUSPEND,
        psci::CPU_OFF,
        psci::CPU_ON,
        psci::CPU_ON_32,
        psci::AFFINITY_INFO,
        psci::SYSTEM_OFF,
        psci::SYSTEM_RESET,
        psci::FEATURES,
    ] {
        let status = status(psci::FEATURES, function, 0, 0);
        check!(
            status >= 0,
            "PSCI_FEATURES denies a mandatory function",
            function
        );
    }
    let unknown = status(psci::FEATURES, 0x8400_00ff, 0, 0);
    check!(
        unknown == psci::NOT_SUPPORTED,
        "an unknown function is said to exist",
        unknown
    );
    Ok(())
}

/// Linux uses SMCCC 1.1 only if both steps answer.
fn smccc_version() -> Outcome {
    let known = status(psci::FEATURES, psci::SMCCC_VERSION, 0, 0);
    check!(known == 0, "PSCI_FEATURES(SMCCC_VERSION)", known);
    let version = status(psci::SMCCC_VERSION, 0, 0, 0);
    check!(version >= 0x1_0001, "SMCCC_VERSION is below 1.1", version);
    // SMCCC_ARCH_FEATURES of itself, and of something that does not exist.
    let own = status(0x8000_0001, 0x8000_0001, 0, 0);
    check!(own >= 0, "SMCCC_ARCH_FEATURES denies itself", own);
    let none = status(0x8000_0001, 0x8000_7abc, 0, 0);
    check!(
        none == psci::NOT_SUPPORTED,
        "an unknown architecture call exists",
        none
    );
    Ok(())
}

fn unknown_functions() -> Outcome {
    for function in [
        0x8400_00ff,
        0xc400_00fe,
        0x8200_0001,
        0xc300_ffff,
        0x8500_0000,
    ] {
        let status = status(function, 1, 2, 3);
        check!(
            status == psci::NOT_SUPPORTED,
            "an unknown function did not return -1",
            function
        );
    }
    Ok(())
}

fn affinity_info() -> Outcome {
    check!(
        psci::affinity(cpu::mpidr()) == 0,
        "this CPU is not on",
        psci::affinity(cpu::mpidr())
    );
    check!(
        psci::affinity(1) == 1,
        "CPU 1 is not off",
        psci::affinity(1)
    );
    let short = status(psci::AFFINITY_INFO_32, 1, 0, 0);
    check!(short == 1, "the 32-bit form disagrees", short);
    let nobody = psci::affinity(0xff_ffff);
    check!(
        nobody == psci::INVALID_PARAMETERS,
        "a CPU that does not exist",
        nobody
    );
    Ok(())
}

fn affinity_info_errors() -> Outcome {
    let level = status(psci::AFFINITY_INFO, 0, 9, 0);
    check!(
        level == psci::INVALID_PARAMETERS,
        "an affinity level of 9",
        level
    );
    let high = status(psci::AFFINITY_INFO, 1 << 50, 0, 0);
    check!(
        high == psci::INVALID_PARAMETERS,
        "reserved bits in the affinity",
        high
    );
    Ok(())
}

fn cpu_on_errors() -> Outcome {
    let entry = start::secondary_address();
    let own = psci::cpu_on(cpu::mpidr(), entry, 0);
    check!(own == psci::ALREADY_ON, "CPU_ON of the caller", own);
    let nobody = psci::cpu_on(0xff_ffff, entry, 0);
    check!(
        nobody == psci::INVALID_PARAMETERS,
        "CPU_ON of a CPU that does not exist",
        nobody
    );
    Ok(())
}

fn cpu_on_bad_address() -> Outcome {
    for entry in [0x10, 0xffff_ffff_f000, 0x0900_0000] {
        let status = psci::cpu_on(1, entry, 0);
        check!(
            status == psci::INVALID_ADDRESS,
            "CPU_ON to an address that is no RAM",
            status
        );
    }
    check!(
        psci::affinity(1) == 1,
        "the refused CPU is not off",
        psci::affinity(1)
    );
    Ok(())
}

static CONTEXT: AtomicU64 = AtomicU64::new(0);

fn cpu_on_off() -> Outcome {
    for round in 0..30u64 {
        let before = smp::starts(1);
        let status = smp::start(1);
        check!(status == 0, "CPU_ON failed", status);
        check!(
            smp::starts(1) == before + 1,
            "the CPU started more than once",
            smp::starts(1)
        );
        let again = psci::cpu_on(1, start::secondary_address(), 1);
        check!(
            again == psci::ALREADY_ON,
            "CPU_ON of a CPU that is on",
            again
        );
        check!(
            psci::affinity(1) == 0,
            "AFFINITY_INFO of a CPU that is on",
            psci::affinity(1)
        );
        CONTEXT.store(u64::MAX, SeqCst);
        let ran = smp::run_on(1, || CONTEXT.store(cpu::mpidr(), SeqCst));
        check!(
            ran && CONTEXT.load(SeqCst) == 1,
            "MPIDR of CPU 1",
            CONTEXT.load(SeqCst)
        );
        check!(smp::stop(1), "CPU_OFF did not take effect in round", round);
    }
    Ok(())
}

fn cpu_on_32() -> Outcome {
    let before = smp::starts(1);
    let status = status(psci::CPU_ON_32, 1, start::secondary_address(), 1);
    check!(status == 0, "CPU_ON in its 32-bit form", status);
    check!(
        cpu::eventually(|| smp::starts(1) != before),
        "the CPU did not start",
        0
    );
    check!(smp::stop(1), "the CPU did not go off", 0);
    Ok(())
}

static GATE: AtomicU64 = AtomicU64::new(0);
static OTHER: AtomicI64 = AtomicI64::new(0);

/// Two CPUs start a third at once: one succeeds, the other is told so.
fn cpu_on_race() -> Outcome {
    need_three_cpus()?;
    check!(smp::start(1) == 0, "CPU 1 does not start", 0);
    for round in 0..40 {
        GATE.store(0, SeqCst);
        let before = smp::starts(2);
        smp::post(1, || {
            while GATE.load(SeqCst) == 0 {}
            OTHER.store(psci::cpu_on(2, start::secondary_address(), 2), SeqCst);
        });
        GATE.store(1, SeqCst);
        let own = psci::cpu_on(2, start::secondary_address(), 2);
        check!(smp::wait(1), "CPU 1 hangs", round);
        let other = OTHER.load(SeqCst);
        let refused = |s| s == psci::ALREADY_ON || s == psci::ON_PENDING;
        let one = (own == 0 && refused(other)) || (other == 0 && refused(own));
        check!(
            one,
            "both or none of two racing CPU_ON succeeded",
            own << 8 | (other & 0xff)
        );
        check!(
            cpu::eventually(|| smp::starts(2) == before + 1),
            "CPU 2 starts",
            smp::starts(2)
        );
        check!(smp::stop(2), "CPU 2 does not go off", round);
    }
    check!(smp::stop(1), "CPU 1 does not go off", 0);
    Ok(())
}

fn migrate_info() -> Outcome {
    let status = status(psci::MIGRATE_INFO_TYPE, 0, 0, 0);
    check!(
        status == 2 || status == psci::NOT_SUPPORTED,
        "MIGRATE_INFO_TYPE",
        status
    );
    Ok(())
}

/// A standby state returns when an interrupt is pending, even if masked.
fn suspend_standby() -> Outcome {
    let timer = crate::timer::Timer::Virtual;
    crate::gic::enable(timer.intid());
    let begin = cpu::count();
    timer.arm(cpu::frequency() / 100);
    let status = status(psci::CPU_SUSPEND, 0, start::secondary_address(), 0);
    let waited = cpu::count() - begin;
    timer.control(0);
    crate::gic::disable(timer.intid());
    check!(status == 0, "CPU_SUSPEND to standby", status);
    check!(
        waited >= cpu::frequency() / 100,
        "standby ended before its wake-up",
        waited
    );
    Ok(())
}

/// SMCCC 1.1: x4 to x17 survive, whatever the call; so do callee-saved ones.
fn registers_kept() -> Outcome {
    let mut changed: u64;
    unsafe {
        core::arch::asm!(
            "mov x4, #4", "mov x5, #5", "mov x6, #6", "mov x7, #7", "mov x8, #8",
            "mov x9, #9", "mov x10, #10", "mov x11, #11", "mov x12, #12", "mov x13, #13",
            "mov x14, #14", "mov x15, #15", "mov x16, #16", "mov x17, #17",
            "hvc #0",
            "sub x4, x4, #4", "sub x5, x5, #5", "sub x6, x6, #6", "sub x7, x7, #7", "sub x8, x8, #8",
            "sub x9, x9, #9", "sub x10, x10, #10", "sub x11, x11, #11", "sub x12, x12, #12",
            "sub x13, x13, #13", "sub x14, x14, #14", "sub x15, x15, #15", "sub x16, x16, #16",
            "sub x17, x17, #17",
            "orr x4, x4, x5", "orr x6, x6, x7", "orr x8, x8, x9", "orr x10, x10, x11",
            "orr x12, x12, x13", "orr x14, x14, x15", "orr x16, x16, x17",
            "orr x4, x4, x6", "orr x8, x8, x10", "orr x12, x12, x14", "orr x4, x4, x8",
            "orr x12, x12, x16", "orr x4, x4, x12",
            inout("x0") psci::VERSION => _, out("x1") _, out("x2") _, out("x3") _,
            out("x4") changed, out("x5") _, out("x6") _, out("x7") _, out("x8") _, out("x9") _,
            out("x10") _, out("x11") _, out("x12") _, out("x13") _, out("x14") _, out("x15") _,
            out("x16") _, out("x17") _,
        );
    }
    check!(changed == 0, "a call changed x4 to x17", changed);
    Ok(())
}

/// `HVC #1` is nobody's: undefined, or refused; never a crash.
fn other_immediates() -> Outcome {
    let mut status: u64 = psci::VERSION;
    let class = crate::exception::catch(|| unsafe {
        core::arch::asm!("hvc #1", inout("x0") status, clobber_abi("C"));
    });
    let refused = status as i64 == psci::NOT_SUPPORTED;
    check!(class == Some(0) || refused, "HVC #1 was answered", status);
    Ok(())
}

fn system_reset() -> Outcome {
    psci::call(psci::SYSTEM_RESET, [0; 5]);
    check!(false, "SYSTEM_RESET came back", 0);
    Ok(())
}

/// A reset while both timers of another CPU ring and that CPU does not listen.
fn reset_timers_ringing() -> Outcome {
    check!(smp::start(1) == 0, "CPU 1 does not start", 0);
    GATE.store(0, SeqCst);
    smp::post(1, || {
        for timer in [Timer::Virtual, Timer::Physical] {
            gic::enable(timer.intid());
            timer.arm(0);
            while timer.state() & 4 == 0 {}
        }
        GATE.store(1, SeqCst);
        loop {
            core::hint::spin_loop();
        }
    });
    let ringing = cpu::eventually(|| GATE.load(SeqCst) == 1);
    check!(ringing, "the timers of CPU 1 do not ring", 0);
    system_reset()
}

/// The last CPU that goes off takes its VM along.
fn all_cpus_off() -> Outcome {
    let status = psci::cpu_off();
    check!(false, "CPU_OFF came back", status);
    Ok(())
}

/// Three CPUs go off at the same time: one of them is the last.
fn cpus_off_at_once() -> Outcome {
    need_three_cpus()?;
    GATE.store(0, SeqCst);
    for index in 1..3 {
        check!(smp::start(index) == 0, "a CPU does not start", index);
        smp::post(index, || {
            GATE.fetch_add(1, SeqCst);
            while GATE.load(SeqCst) < 3 {}
            psci::cpu_off();
        });
    }
    check!(
        cpu::eventually(|| GATE.load(SeqCst) == 2),
        "CPUs are not ready",
        GATE.load(SeqCst)
    );
    GATE.store(3, SeqCst);
    all_cpus_off()
}

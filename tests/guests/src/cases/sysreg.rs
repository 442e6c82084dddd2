//! System registers and instructions that a hypervisor traps or hides.

use super::{Case, Outcome, case, promised};
use crate::exception::catch;
use crate::{check, cpu, mrs, msr, psci, smp};
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

pub const CASES: &[Case] = &[
    case("sysreg-identity", identity),
    promised("sysreg-features-hold", features_hold),
    promised("sysreg-hidden-features", hidden_features),
    case("sysreg-undefined", undefined),
    case("sysreg-el2-registers", el2_registers),
    case("sysreg-debug", debug),
    promised("sysreg-pmu", pmu),
    case("sysreg-smc", smc),
    case("sysreg-cache-maintenance", cache_maintenance),
    case("sysreg-fp-kept", fp_kept),
    case("sysreg-el1-state-kept", el1_state_kept),
];

/// Unknown reason: what an undefined instruction raises.
const EC_UNKNOWN: u64 = 0;
/// Trapped MSR, MRS or system instruction.
const EC_SYSREG: u64 = 0x18;

fn refused(class: Option<u64>) -> bool {
    class == Some(EC_UNKNOWN) || class == Some(EC_SYSREG)
}

static OTHER: AtomicU64 = AtomicU64::new(0);

fn identity() -> Outcome {
    check!(cpu::mpidr() == 0, "MPIDR of the boot CPU", cpu::mpidr());
    check!(mrs!("midr_el1") != 0, "MIDR", 0);
    check!(mrs!("CurrentEL") == 4, "exception level", mrs!("CurrentEL"));
    check!(smp::start(1) == 0, "CPU 1 does not start", 0);
    let ran = smp::run_on(1, || OTHER.store(mrs!("midr_el1"), SeqCst));
    check!(smp::stop(1), "CPU 1 does not go off", 0);
    check!(
        ran && OTHER.load(SeqCst) == mrs!("midr_el1"),
        "MIDR of CPU 1",
        OTHER.load(SeqCst)
    );
    Ok(())
}

/// What the id registers offer works.
fn features_hold() -> Outcome {
    let isar0 = mrs!("id_aa64isar0_el1");
    if isar0 >> 60 & 0xf != 0 {
        check!(
            catch(|| _ = mrs!("S3_3_C2_C4_0")).is_none(),
            "RNDR is offered but traps",
            isar0
        );
    }
    let pfr0 = mrs!("id_aa64pfr0_el1");
    check!(pfr0 & 0xf != 0, "no EL0", pfr0);
    Ok(())
}

/// What is hidden is really not there.
fn hidden_features() -> Outcome {
    let pfr0 = mrs!("id_aa64pfr0_el1");
    check!(pfr0 >> 8 & 0xf == 0, "EL2 is offered to a guest", pfr0);
    if pfr0 >> 32 & 0xf == 0 {
        msr!("cpacr_el1", 3 << 20 | 3 << 16);
        // RDVL x0, #1
        let class = catch(|| unsafe { asm!(".inst 0x04bf5020", out("x0") _) });
        msr!("cpacr_el1", 3 << 20);
        check!(class.is_some(), "SVE is hidden but works", 0);
    }
    Ok(())
}

fn undefined() -> Outcome {
    let class = catch(|| unsafe { asm!("udf #0") });
    check!(
        class == Some(EC_UNKNOWN),
        "class of UDF",
        class.unwrap_or(99)
    );
    let class = catch(|| _ = mrs!("S3_7_C15_C7_7"));
    check!(
        refused(class),
        "an implementation-defined register can be read",
        class.unwrap_or(99)
    );
    Ok(())
}

fn el2_registers() -> Outcome {
    for class in [
        catch(|| _ = mrs!("hcr_el2")),
        catch(|| _ = mrs!("vttbr_el2")),
        catch(|| _ = mrs!("cnthctl_el2")),
        catch(|| _ = mrs!("S3_4_C12_C11_0")), // ICH_HCR_EL2
    ] {
        check!(
            refused(class),
            "EL1 can read a register of EL2",
            class.unwrap_or(99)
        );
    }
    Ok(())
}

/// Linux writes these at start on every CPU.
fn debug() -> Outcome {
    let class = catch(|| {
        msr!("oslar_el1", 0);
        msr!("osdlr_el1", 0);
        msr!("mdscr_el1", 0);
    });
    check!(class.is_none(), "debug set-up traps", class.unwrap_or(99));
    let locked = mrs!("oslsr_el1") & 2;
    check!(locked == 0, "the OS lock stays on", locked);
    let breakpoints = mrs!("id_aa64dfr0_el1") >> 12 & 0xf;
    let class = catch(|| msr!("dbgbvr0_el1", 0));
    check!(class.is_none(), "breakpoint 0 traps", breakpoints);
    Ok(())
}

/// A PMU is either there or hidden and undefined.
fn pmu() -> Outcome {
    let version = mrs!("id_aa64dfr0_el1") >> 8 & 0xf;
    let class = catch(|| _ = mrs!("pmcr_el0"));
    if version == 0 || version == 0xf {
        check!(
            refused(class),
            "the PMU is hidden but works",
            class.unwrap_or(99)
        );
    } else {
        check!(
            class.is_none(),
            "the PMU is offered but traps",
            class.unwrap_or(99)
        );
    }
    Ok(())
}

/// There is no EL3 for a guest: SMC is undefined, refused, or served like HVC.
/// It never reaches the board's firmware, which would turn the board off.
fn smc() -> Outcome {
    let mut status = psci::VERSION;
    let class = catch(|| unsafe { asm!("smc #0", inout("x0") status, clobber_abi("C")) });
    let refused = class == Some(EC_UNKNOWN) || status as i64 == psci::NOT_SUPPORTED;
    let served = status == psci::call(psci::VERSION, [0; 5])[0];
    check!(refused || served, "SMC", status);
    Ok(())
}

fn cache_maintenance() -> Outcome {
    let word = 7u64;
    let at = &raw const word as u64;
    let class = catch(|| unsafe {
        asm!("dc civac, {0}", "dc cvau, {0}", "ic ivau, {0}", "dsb sy", "isb", in(reg) at);
        asm!("dc isw, {0}", "dc cisw, {0}", "dsb sy", in(reg) 0u64);
        asm!("ic iallu", "tlbi vmalle1", "dsb sy", "isb");
    });
    check!(
        class.is_none(),
        "cache maintenance traps",
        class.unwrap_or(99)
    );
    check!(
        unsafe { (at as *const u64).read_volatile() } == 7,
        "memory changed",
        0
    );
    Ok(())
}

/// FP and SIMD registers survive calls and device accesses.
fn fp_kept() -> Outcome {
    let mut sum: u64;
    unsafe {
        asm!(
            ".arch_extension fp", ".arch_extension simd",
            "movi v0.16b, #1", "movi v15.16b, #2", "movi v31.16b, #4",
            "hvc #0",
            "ldr w4, [x5]",
            "add v0.16b, v0.16b, v15.16b", "add v0.16b, v0.16b, v31.16b",
            "umov x4, v0.d[0]", "umov x6, v0.d[1]", "and x4, x4, x6",
            inout("x0") psci::VERSION => _, out("x4") sum, in("x5") crate::gic::GICD, out("x6") _,
            clobber_abi("C"),
        );
    }
    check!(sum == 0x0707_0707_0707_0707, "FP registers changed", sum);
    Ok(())
}

/// A guest's own system registers keep what it writes, on each CPU for itself.
fn el1_state_kept() -> Outcome {
    msr!("tpidr_el1", 0x1111);
    msr!("tpidr_el0", 0x2222);
    msr!("contextidr_el1", 0x3333);
    msr!("mair_el1", 0x44ff);
    check!(smp::start(1) == 0, "CPU 1 does not start", 0);
    smp::run_on(1, || {
        msr!("tpidr_el1", 0x9999);
        msr!("mair_el1", 0x99);
    });
    check!(smp::stop(1), "CPU 1 does not go off", 0);
    psci::call(psci::VERSION, [0; 5]);
    check!(mrs!("tpidr_el1") == 0x1111, "TPIDR_EL1", mrs!("tpidr_el1"));
    check!(mrs!("tpidr_el0") == 0x2222, "TPIDR_EL0", mrs!("tpidr_el0"));
    check!(
        mrs!("contextidr_el1") == 0x3333,
        "CONTEXTIDR_EL1",
        mrs!("contextidr_el1")
    );
    check!(mrs!("mair_el1") == 0x44ff, "MAIR_EL1", mrs!("mair_el1"));
    Ok(())
}

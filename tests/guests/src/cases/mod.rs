//! The cases, by group, and what runs them.

mod bad;
mod bench;
mod bound;
mod config;
mod dma;
mod gic;
mod hostile;
mod hypercall;
mod interrupted;
mod memory;
mod messages;
mod power;
mod power_bench;
mod psci;
mod sysreg;
mod timer;

use crate::{exception, gic as controller, println, psci as firmware};
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Why a case did not pass.
pub enum Why {
    /// What was not as it should be, and the value seen.
    Failed(&'static str, u64),
    /// It cannot be tried here.
    Skipped(&'static str),
}

/// A case's end.
pub type Outcome = Result<(), Why>;

/// One case.
pub struct Case {
    /// `group-name`.
    pub name: &'static str,
    /// What it does.
    pub run: fn() -> Outcome,
    /// Only Stagegate promises this; skipped on a bare machine.
    pub promised: bool,
    /// Ends the machine or worse: runs only when named.
    pub last: bool,
}

/// A case that holds on every machine of this kind.
pub const fn case(name: &'static str, run: fn() -> Outcome) -> Case {
    Case {
        name,
        run,
        promised: false,
        last: false,
    }
}

/// A case that holds under Stagegate.
pub const fn promised(name: &'static str, run: fn() -> Outcome) -> Case {
    Case {
        promised: true,
        ..case(name, run)
    }
}

/// A case that does not come back.
pub const fn last(name: &'static str, run: fn() -> Outcome) -> Case {
    Case {
        last: true,
        ..promised(name, run)
    }
}

/// Returns with a failure unless the condition holds.
#[macro_export]
macro_rules! check {
    ($holds:expr, $what:literal, $got:expr) => {
        if !$holds {
            return Err($crate::cases::Why::Failed($what, $got as u64));
        }
    };
}

static BARE: AtomicBool = AtomicBool::new(false);
static THREE_CPUS: AtomicBool = AtomicBool::new(false);

/// Returns unless the machine has at least three CPUs.
pub fn need_three_cpus() -> Outcome {
    match THREE_CPUS.load(SeqCst) {
        true => Ok(()),
        false => Err(Why::Skipped("needs three CPUs")),
    }
}

const GROUPS: [&[Case]; 16] = [
    psci::CASES,
    gic::CASES,
    timer::CASES,
    sysreg::CASES,
    hypercall::CASES,
    dma::CASES,
    bound::CASES,
    interrupted::CASES,
    messages::CASES,
    config::CASES,
    memory::CASES,
    power::CASES,
    power_bench::CASES,
    bad::CASES,
    hostile::CASES,
    bench::CASES,
];

/// Runs what the command line asks for, then ends the machine.
pub fn run(args: &str) -> ! {
    let wanted = option(args, "cases=");
    BARE.store(args.split_ascii_whitespace().any(|a| a == "bare"), SeqCst);
    THREE_CPUS.store(firmware::affinity(2) == 1, SeqCst);
    controller::init();
    let mut counts = [0; 3];
    for case in GROUPS.into_iter().flatten() {
        if selected(case, wanted) {
            counts[one(case)] += 1;
        }
    }
    println!(
        "DONE passed {} failed {} skipped {}",
        counts[0], counts[1], counts[2]
    );
    firmware::system_off()
}

fn option<'a>(args: &'a str, key: &str) -> &'a str {
    args.split_ascii_whitespace()
        .find_map(|a| a.strip_prefix(key))
        .unwrap_or("")
}

/// By name, or by group (what stands before the first dash) unless it does
/// not come back.
fn selected(case: &Case, wanted: &str) -> bool {
    let group = case.name.split('-').next().unwrap_or("");
    wanted
        .split(',')
        .any(|w| case.name == w || (group == w && !case.last))
}

fn one(case: &Case) -> usize {
    if case.promised && BARE.load(SeqCst) {
        println!("SKIP {} only Stagegate promises it", case.name);
        return 2;
    }
    exception::on_interrupt(None);
    let outcome = (case.run)();
    crate::cpu::irq_off();
    // A case that failed half-way may have left CPUs on.
    for index in 1..3 {
        crate::smp::stop_if_on(index);
    }
    match outcome {
        Ok(()) => println!("PASS {}", case.name),
        Err(Why::Failed(what, got)) => println!("FAIL {} {what}: {got:#x}", case.name),
        Err(Why::Skipped(why)) => println!("SKIP {} {why}", case.name),
    }
    match outcome {
        Ok(()) => 0,
        Err(Why::Failed(..)) => 1,
        Err(Why::Skipped(_)) => 2,
    }
}

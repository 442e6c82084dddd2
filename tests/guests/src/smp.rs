//! Further CPUs: started by PSCI, they take work from a mailbox until told to
//! go off.

use crate::{cpu, exception, gic, psci, start};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Work for each CPU: 0 nothing, 1 go off, otherwise a `fn()`.
static WORK: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];
/// How often each CPU has come up.
static STARTS: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];

const GO_OFF: u64 = 1;

/// This CPU's index: `Aff0`, as the platform numbers them.
pub fn index() -> usize {
    (cpu::mpidr() & 7) as usize
}

/// The affinity of the CPU with an index.
pub fn mpidr_of(index: usize) -> u64 {
    index as u64
}

/// How often a CPU has come up.
pub fn starts(index: usize) -> u64 {
    STARTS[index].load(SeqCst)
}

/// Starts a CPU and waits until it runs.
pub fn start(index: usize) -> i64 {
    let before = starts(index);
    WORK[index].store(0, SeqCst);
    let status = psci::cpu_on(mpidr_of(index), start::secondary_address(), index as u64);
    if status == 0 && !cpu::eventually(|| starts(index) != before) {
        return i64::MIN;
    }
    status
}

/// Lets a CPU do something and waits until it has.
pub fn run_on(index: usize, work: fn()) -> bool {
    post(index, work);
    wait(index)
}

/// Lets a CPU do something.
pub fn post(index: usize, work: fn()) {
    WORK[index].store(work as usize as u64, SeqCst);
}

/// Waits until a CPU has done its work.
pub fn wait(index: usize) -> bool {
    cpu::eventually(|| WORK[index].load(SeqCst) == 0)
}

/// Turns a CPU off and waits until PSCI says so.
pub fn stop(index: usize) -> bool {
    WORK[index].store(GO_OFF, SeqCst);
    cpu::eventually(|| psci::affinity(mpidr_of(index)) == 1)
}

/// Turns a CPU off if it is on.
pub fn stop_if_on(index: usize) {
    if psci::affinity(mpidr_of(index)) == 0 {
        stop(index);
    }
}

/// Where a started CPU lives.
pub extern "C" fn secondary(index: u64) -> ! {
    let index = index as usize & 7;
    exception::install();
    gic::init_cpu();
    STARTS[index].fetch_add(1, SeqCst);
    loop {
        match WORK[index].load(SeqCst) {
            0 => core::hint::spin_loop(),
            GO_OFF => {
                WORK[index].store(0, SeqCst);
                psci::cpu_off();
            }
            work => {
                let work: fn() = unsafe { core::mem::transmute(work as usize) };
                work();
                WORK[index].store(0, SeqCst);
            }
        }
    }
}

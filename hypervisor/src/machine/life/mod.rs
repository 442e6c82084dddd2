//! The life of a VM: starting, ending, and the meeting of its CPUs in between.
//!
//! A VM ends when its last CPU has left the guest for good. Whoever decides
//! that it ends ([`request_end`]) kicks the others; each one comes here by
//! itself, puts its interrupts aside and counts itself in; the last does the
//! rest alone. So nobody ever waits for another CPU, and a CPU that a guest
//! keeps busy is fetched by an interrupt it cannot mask.
//!
//! When the last CPU goes off by itself the VM is powered off: only its own
//! CPUs can start one another.

pub mod load;

use core::sync::atomic::{AtomicU32, Ordering};

use crate::machine::board::kick::kick;
use crate::machine::irq;
use crate::machine::vm::Vm;
use crate::machine::vm::vcpu::VcpuRef;
use crate::psci::{self, Start};

/// Why a VM ends or begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Not an end: the first start.
    PowerOn,
    /// The guest asked for a reset, or the operator.
    Reset,
    /// The guest switched itself off, or the operator did.
    PowerOff,
    /// It did what no guest may do.
    Crash,
}

/// Phase in the low byte, number of ends so far above it: one word, so that a
/// CPU that slept through an end and a start still tells them apart.
#[derive(Debug)]
pub struct Life {
    state: AtomicU32,
    arrived: AtomicU32,
    resets: AtomicU32,
}

/// What a VM is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Guest code may run.
    Running,
    /// Its CPUs are coming together.
    Ending(Ending),
    /// Off until the operator starts it.
    Off(Ending),
    /// Off for good: one of its CPUs has failed at EL2.
    Failed,
}

const RUNNING: u32 = 0;
const ENDING: u32 = 0x10;
const OFF: u32 = 0x20;
const FAILED: u32 = 0x30;

impl Ending {
    const fn code(self) -> u32 {
        match self {
            Self::PowerOn => 0,
            Self::Reset => 1,
            Self::PowerOff => 2,
            Self::Crash => 3,
        }
    }

    const fn from_code(code: u32) -> Self {
        match code & 3 {
            0 => Self::PowerOn,
            1 => Self::Reset,
            2 => Self::PowerOff,
            _ => Self::Crash,
        }
    }
}

impl Default for Life {
    fn default() -> Self {
        Self::new()
    }
}

impl Life {
    /// A VM that starts as soon as its CPUs have come together.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: AtomicU32::new(ENDING),
            arrived: AtomicU32::new(0),
            resets: AtomicU32::new(0),
        }
    }

    /// The phase, and which end this is or was the last.
    #[must_use]
    pub fn phase(&self) -> (Phase, u32) {
        let word = self.state.load(Ordering::Acquire);
        let ending = Ending::from_code(word);
        let phase = match word & 0xf0 {
            ENDING => Phase::Ending(ending),
            OFF => Phase::Off(ending),
            FAILED => Phase::Failed,
            _ => Phase::Running,
        };
        (phase, word >> 8)
    }

    /// Whether guest code may run.
    #[must_use]
    #[inline]
    pub fn runs(&self) -> bool {
        self.state.load(Ordering::Relaxed) & 0xf0 == RUNNING
    }

    /// How often it was reset.
    #[must_use]
    pub fn resets(&self) -> u32 {
        self.resets.load(Ordering::Relaxed)
    }

    /// Running → Ending; false if it was not running.
    fn end(&self, ending: Ending) -> bool {
        let update = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
                (word & 0xf0 == RUNNING)
                    .then(|| ((word >> 8).wrapping_add(1) << 8) | ENDING | ending.code())
            });
        update.is_ok()
    }

    /// Off → Ending(PowerOn): the operator starts it again.
    fn start(&self) -> bool {
        let update = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
                (word & 0xf0 == OFF).then(|| ((word >> 8).wrapping_add(1) << 8) | ENDING)
            });
        update.is_ok()
    }

    /// Whether one of its CPUs has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.phase().0 == Phase::Failed
    }

    /// The last step of an end or a beginning, unless a CPU has failed.
    fn set(&self, phase: u32) {
        let _kept = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
                (word & 0xf0 != FAILED).then_some(word & !0xff | phase)
            });
    }
}

/// Ends a running VM; returns at once. A VM that is ending already goes on as
/// it was told first. The caller, if it runs a vCPU of this VM, must then reach
/// [`wait_for_start`], which every exit handler does before it returns.
pub fn request_end(vm: &'static Vm, ending: Ending) {
    if vm.life.end(ending) {
        for vcpu in &vm.vcpus {
            kick(vcpu.cpu);
        }
    }
}

/// A VM's CPU has failed: the VM never runs again. Its other CPUs come out of
/// their guest and stay with [`wait_for_start`].
pub fn fail(vm: &'static Vm) {
    vm.life.set(FAILED);
    for vcpu in &vm.vcpus {
        kick(vcpu.cpu);
    }
}

/// Starts a VM that is off; false if it was not.
pub fn request_start(vm: &'static Vm) -> bool {
    let started = vm.life.start();
    if started {
        for vcpu in &vm.vcpus {
            kick(vcpu.cpu);
        }
    }
    started
}

/// Runs on a vCPU's own CPU whenever the vCPU does not: waits, asleep, until it
/// is told to start. Takes part in ends and beginnings of its VM meanwhile.
pub fn wait_for_start(me: VcpuRef) -> Start {
    me.leave();
    // Nobody is left who could start a CPU: for ever, if the VM runs.
    if psci::all_off(me.vm.vcpus.iter().map(|vcpu| &vcpu.power)) {
        request_end(me.vm, Ending::PowerOff);
    }
    let mut counted = None;
    loop {
        match me.vm.life.phase() {
            (Phase::Running, _) => {
                if let Some(start) = me.state().power.begin() {
                    return start;
                }
            }
            (Phase::Ending(ending), number) if counted != Some(number) => {
                counted = Some(number);
                // A start that was under way when the VM ended is void.
                me.state().power.off();
                if arrive(me.vm) {
                    conclude(me.vm, ending);
                    continue;
                }
            }
            _ => {}
        }
        irq::sleep();
    }
}

/// Counts a CPU in; true for the last.
fn arrive(vm: &Vm) -> bool {
    let all = vm.vcpus.len() as u32;
    let last = vm.life.arrived.fetch_add(1, Ordering::AcqRel) + 1 == all;
    if last {
        vm.life.arrived.store(0, Ordering::Release);
    }
    last
}

/// All CPUs of the VM are here: leaves nothing of the guest, then starts it
/// again or leaves it off.
fn conclude(vm: &'static Vm, ending: Ending) {
    let name = &vm.name;
    // A CPU that came late may have asked another to start after that one was
    // here: void, or it would start where the old kernel wanted.
    for vcpu in &vm.vcpus {
        vcpu.power.off();
    }
    vm.clean();
    if matches!(ending, Ending::PowerOn | Ending::Reset) {
        if ending == Ending::Reset {
            vm.life.resets.fetch_add(1, Ordering::Relaxed);
            log::info!("{name}: reset");
        }
        match vm.load() {
            Ok(start) => {
                let first = &vm.vcpus[0];
                let _ = first.power.request(start);
                vm.life.set(RUNNING);
                kick(first.cpu);
                return;
            }
            Err(error) => log::error!("{name}: cannot start: {error}"),
        }
    }
    vm.life.set(OFF | ending.code());
    // Said only now that it is so: its memory is zero, and it may be started.
    match ending {
        Ending::Crash => log::error!("{name}: stopped after a crash"),
        _ => log::info!("{name}: powered off"),
    }
    crate::machine::operator::console::release(vm);
    crate::machine::vms::vm_went_off();
}

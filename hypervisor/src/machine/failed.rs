//! A CPU that has failed at EL2: what stops with it, and what goes on without.
//!
//! Its VM stops for good, since nobody can say what state it was left in: its
//! other CPUs stay in EL2, its devices fall silent and their streams terminate,
//! its memory is given to nobody. The board's own interrupts move to a CPU that
//! works.
//!
//! The CPU does this itself, after its report. It may hold locks, which nobody
//! will ever release. If it needs one of those it waits here for ever, which
//! harms nobody: locks are taken in one order, so whatever it has taken on the
//! way belongs to its own VM, or to an SMMU that is lost to all.

use core::sync::atomic::{AtomicUsize, Ordering};

use super::board::{console, cpus};
use super::irq;
use super::operator::off;
use crate::arch::{percpu, timer};
use crate::psci::power::State;

/// CPUs that have failed, one bit each.
static FAILED: AtomicUsize = AtomicUsize::new(0);

/// How long the VM's other CPUs are given to leave their guest. What they may
/// be waiting for has bounds below this, unless it is a lock of this CPU.
const PATIENCE_NS: u64 = 2_000_000_000;

/// This CPU has failed and said so. Returns to be parked.
pub fn abandon() {
    let Some(cpu) = percpu::try_get() else { return };
    let own = 1 << cpu.index;
    if FAILED.fetch_or(own, Ordering::AcqRel) & own != 0 {
        // Failed again, by what is done below.
        return;
    }
    let Some(me) = cpu.vcpu else { return };
    me.state().power.off();
    me.vm.fail();
    let heir = cpus::all().iter().find(|cpu| works(cpu));
    if let Some(heir) = heir {
        irq::inherit(heir.index);
    }
    console::resume();
    log::error!("{}: stopped: its CPU {} failed", me.vm.name, cpu.index);
    let end = timer::now_ns().saturating_add(PATIENCE_NS);
    let others = || me.vm.vcpus.iter().filter(|vcpu| vcpu.cpu != cpu.index);
    while timer::now_ns() < end && others().any(|vcpu| vcpu.power.state() == State::On) {
        core::hint::spin_loop();
    }
    if let Some(pci) = &me.vm.devices.pci {
        pci.silence(&me.vm.pci_side(|| ()));
    }
    for master in &me.vm.masters {
        master.abandon();
    }
    // Only now may an SMMU have nobody left.
    if let Some(heir) = heir {
        irq::look_after_smmus(heir.index);
    }
    off::vm_went_off();
}

/// Whether a CPU can take over: it runs a vCPU, so it takes interrupts.
fn works(cpu: &percpu::PerCpu) -> bool {
    cpu.vcpu.is_some() && FAILED.load(Ordering::Acquire) & 1 << cpu.index == 0
}

//! Physical interrupts: who each one is for.
//!
//! Interrupts are masked while EL2 runs. They are taken when they interrupt a
//! guest, or here when a CPU sleeps. A guest's interrupts keep their physical
//! active state until the guest itself deactivates them through its list
//! register; ours are deactivated at once.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use litemap::LiteMap;
use platform::gic::its::LPI_BASE;
use spin::Once;

use super::board::gic;
use super::board::lists::Lrs;
use super::board::private::{self, Private};
use super::board::{console, cpus, its, kick, later, smmus};
use super::operator::{faults, monitor};
use super::probing::late;
use super::vm::VcpuRef;
use super::vm::{Vm, interrupts, messages};
use crate::arch::cache;
use crate::guest::map;

/// Whom a shared interrupt belongs to.
#[derive(Clone, Copy)]
pub enum Owner {
    /// The board's console.
    Console,
    /// A VM: its own number for the interrupt.
    Guest(&'static Vm, u32),
    /// An SMMU: its index.
    Smmu(usize),
}

/// Who owns what of the board's interrupts.
pub struct Owners {
    /// Shared interrupts, by interrupt id.
    pub shared: LiteMap<u32, Owner>,
    /// LPIs, by [`messages::block`].
    pub lpis: Vec<Option<&'static Vm>>,
}

static OWNERS: Once<Owners> = Once::new();

/// Says who owns what; once, before interrupts are enabled.
pub fn set_owners(private: Private, owners: Owners) {
    private::set(private);
    OWNERS.call_once(|| owners);
}

/// Enables this CPU's private interrupts.
///
/// # Errors
/// The interrupt controller has no part for this CPU.
pub fn init_cpu() -> Result<(), platform::gic::Error> {
    gic::init_cpu()?;
    its::init_cpu();
    gic::enable_private(kick::SGI);
    if let Some(private) = private::get() {
        for intid in [
            private.virtual_timer,
            private.physical_timer,
            private.hyp_timer,
            private.maintenance,
        ] {
            gic::enable_private(intid);
        }
    }
    Ok(())
}

/// Enables the board's own shared interrupts, at the boot CPU.
pub fn enable_own() {
    if cpus::this_cpu() == Some(0) {
        each_own(|intid, edge| gic::enable_shared(intid, 0, edge));
    }
}

/// The board's own shared interrupts, and whether they are edges.
fn each_own(act: impl Fn(u32, bool)) {
    for (&intid, owner) in OWNERS.get().iter().flat_map(|owners| &owners.shared) {
        match owner {
            Owner::Console => act(intid, false),
            // One that may come has nothing to say yet.
            Owner::Smmu(index) if smmus::unit(*index).is_some() => act(intid, true),
            Owner::Smmu(_) => {}
            Owner::Guest(..) => {}
        }
    }
}

/// SMMU `index` has come while guests run: its interrupts are this CPU's.
fn enable_smmu(index: usize) {
    let cpu = cpus::this_cpu().unwrap_or(0);
    for (&intid, owner) in OWNERS.get().iter().flat_map(|owners| &owners.shared) {
        if matches!(owner, Owner::Smmu(own) if *own == index) {
            gic::enable_shared(intid, cpu, true);
        }
    }
}

/// A CPU has failed: the board's own interrupts are CPU `heir`'s from now on.
pub fn inherit(heir: usize) {
    each_own(|intid, edge| {
        gic::disable_shared(intid);
        // The CPU that failed may have taken it and never given it back.
        gic::forget_shared(intid);
        gic::enable_shared(intid, heir, edge);
    });
    look_after_smmus(heir);
}

/// Tells CPU `heir` that SMMUs may have deadlines which only a CPU that failed
/// knew of.
pub fn look_after_smmus(heir: usize) {
    INHERITED.store(true, Ordering::Release);
    gic::send_sgi(kick::SGI, heir);
}

/// Set for the CPU that is kicked next.
static INHERITED: AtomicBool = AtomicBool::new(false);

/// Takes charge of what came from a CPU that failed, if anything did.
fn take_inheritance() {
    if INHERITED.load(Ordering::Relaxed) && INHERITED.swap(false, Ordering::Acquire) {
        // An edge may have been lost, and the alarm was the other CPU's own.
        console::interrupt(&mut monitor::key);
        for (index, _) in smmus::units() {
            smmus::interrupt(index, &mut faults::report);
        }
        later::inherit();
        smmus::arm();
    }
}

/// Handles every interrupt that is pending at this CPU.
pub fn handle_all() {
    while let Some(taken) = gic::acknowledge() {
        let keep = handle(taken.intid);
        gic::end(taken.raw);
        if !keep {
            gic::deactivate(taken.raw);
        }
    }
}

/// Sleeps until an interrupt is pending, then handles it.
pub fn sleep() {
    cache::wfi();
    handle_all();
}

/// `CPU_SUSPEND`: the vCPU waits for an interrupt, as WFI does. One that is
/// pending for the guest already, masked as it may be, does not wake EL2.
pub fn standby(me: &VcpuRef) {
    if !me.vm.vgic.has_pending(me.index, &Lrs::here()) {
        sleep();
    }
}

/// Handles one interrupt; true if there is nothing to deactivate now: a guest
/// will, or it is an LPI, which is never active.
fn handle(intid: u32) -> bool {
    match intid {
        0..=15 => {
            take_inheritance();
            false
        }
        16..=31 => private(intid),
        LPI_BASE.. => {
            message(intid);
            true
        }
        _ => shared(intid),
    }
}

fn private(intid: u32) -> bool {
    let Some(numbers) = private::get() else {
        return false;
    };
    let guest = |number| {
        let running = VcpuRef::here().filter(|me| me.vm.life.runs());
        if let Some(me) = running {
            let _own = me.vm.vgic.inject(me.index, number, Some(intid));
        } else {
            // The line stays high until the timer is off, and nobody but us
            // would switch it off: this CPU would take it for ever.
            private::silence_timers();
        }
        running.is_some()
    };
    if intid == numbers.virtual_timer {
        return guest(map::TIMER_VIRTUAL_PPI);
    }
    if intid == numbers.physical_timer {
        return guest(map::TIMER_PHYSICAL_PPI);
    }
    if intid == numbers.maintenance {
        // The line stays high until the list registers are looked after: at
        // once, or this CPU would take it for ever.
        if let Some(me) = VcpuRef::here() {
            let _own = me.vm.vgic.poke(me.index);
            interrupts::before_enter(&me);
        }
    } else if intid == numbers.hyp_timer {
        smmus::tick(&mut faults::report);
        late::tick(&mut enable_smmu);
        smmus::arm();
    }
    false
}

fn shared(intid: u32) -> bool {
    match OWNERS.get().and_then(|owners| owners.shared.get(&intid)) {
        Some(Owner::Guest(vm, number)) => {
            vm.kick(vm.vgic.inject(0, *number, Some(intid)));
            true
        }
        Some(Owner::Console) => {
            console::interrupt(&mut monitor::key);
            false
        }
        Some(Owner::Smmu(index)) => {
            smmus::interrupt(*index, &mut faults::report);
            false
        }
        None => {
            log::warn!("interrupt {intid} belongs to nobody: disabled");
            gic::disable_shared(intid);
            false
        }
    }
}

/// An LPI arrived at this CPU.
fn message(lpi: u32) {
    let (block, number) = messages::block(lpi);
    match OWNERS.get().and_then(|owners| *owners.lpis.get(block)?) {
        // One that was on its way when the VM ended concerns nobody.
        Some(vm) if vm.life.runs() => vm.kick(vm.vgic.inject(0, number, None)),
        Some(_) => {}
        None => log::warn!("LPI {lpi} belongs to nobody"),
    }
}

/// A read had to wait for other CPUs: lets kicks of this one through.
pub fn take_pending() {
    handle_all();
}

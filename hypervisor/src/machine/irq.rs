//! Physical interrupts: who each one is for, and how CPUs call each other.
//!
//! Interrupts are masked while EL2 runs. They are taken when they interrupt a
//! guest, or here when a CPU sleeps. A guest's interrupts keep their physical
//! active state until the guest itself deactivates them through its list
//! register; ours are deactivated at once.

use core::sync::atomic::{AtomicBool, Ordering};

use litemap::LiteMap;
use platform::gic::its::LPI_BASE;
use spin::Once;

use super::board::gic::{self, Lrs};
use super::board::private::{self, Private};
use super::board::{cpus, its, smmus};
use super::operator::console;
use super::vm::Vm;
use super::vm::messages;
use super::vm::vcpu::VcpuRef;
use super::vms;
use crate::arch::cache;
use crate::guest::map;
use crate::vgic::{Effects, Kick, SgiKind};

/// The SGI with which one CPU makes another leave its guest and look around.
const KICK_SGI: u32 = 1;

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

static OWNERS: Once<LiteMap<u32, Owner>> = Once::new();

/// Says who owns what; once, before interrupts are enabled.
pub fn set_owners(private: Private, shared: LiteMap<u32, Owner>) {
    private::set(private);
    OWNERS.call_once(|| shared);
}

/// Enables this CPU's private interrupts.
///
/// # Errors
/// The interrupt controller has no part for this CPU.
pub fn init_cpu() -> Result<(), platform::gic::Error> {
    gic::init_cpu()?;
    its::init_cpu();
    gic::enable_private(KICK_SGI);
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
    for (&intid, owner) in OWNERS.get().into_iter().flatten() {
        match owner {
            Owner::Console => act(intid, false),
            Owner::Smmu(_) => act(intid, true),
            Owner::Guest(..) => {}
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
    gic::send_sgi(KICK_SGI, heir);
}

/// Set for the CPU that is kicked next.
static INHERITED: AtomicBool = AtomicBool::new(false);

/// Takes charge of what came from a CPU that failed, if anything did.
fn take_inheritance() {
    if INHERITED.load(Ordering::Relaxed) && INHERITED.swap(false, Ordering::Acquire) {
        // An edge may have been lost, and the alarm was the other CPU's own.
        console::interrupt();
        for index in 0..smmus::units().len() {
            vms::smmu_interrupt(index);
        }
        smmus::arm();
    }
}

/// Makes CPU `index` leave its guest or its sleep, if it is not this one.
pub fn kick(index: usize) {
    if cpus::this_cpu() != Some(index) {
        gic::send_sgi(KICK_SGI, index);
    }
}

/// Kicks the CPUs of these vCPUs of `vm`.
#[inline]
pub fn kick_vcpus(vm: &Vm, which: Kick) {
    if which.any() {
        for vcpu in which.iter().filter_map(|index| vm.vcpus.get(index)) {
            kick(vcpu.cpu);
        }
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
            messages::received(intid);
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
            before_enter(&me);
        }
    } else if intid == numbers.hyp_timer {
        vms::alarm();
    }
    false
}

fn shared(intid: u32) -> bool {
    match OWNERS.get().and_then(|owners| owners.get(&intid)) {
        Some(Owner::Guest(vm, number)) => {
            kick_vcpus(vm, vm.vgic.inject(0, *number, Some(intid)));
            true
        }
        Some(Owner::Console) => {
            console::interrupt();
            false
        }
        Some(Owner::Smmu(index)) => {
            vms::smmu_interrupt(*index);
            false
        }
        None => {
            log::warn!("interrupt {intid} belongs to nobody: disabled");
            gic::disable_shared(intid);
            false
        }
    }
}

/// Brings this CPU's list registers up to date: the last step into the guest.
#[inline]
pub fn before_enter(me: &VcpuRef) {
    if me.vm.vgic.has_work(me.index) {
        refresh(me);
    }
}

#[inline(never)]
fn refresh(me: &VcpuRef) {
    let kick = me.vm.vgic.before_enter(me.index, &mut Lrs::here());
    kick_vcpus(me.vm, kick.without(me.index));
}

/// A read had to wait for other CPUs: lets kicks of this one through.
pub fn take_pending() {
    handle_all();
}

/// Acts on what a register write changed.
#[inline]
pub fn apply(me: &VcpuRef, effects: Effects) {
    kick_vcpus(me.vm, effects.kick.without(me.index));
    for number in effects.hw.iter() {
        forward(me.vm, number);
    }
}

/// Makes the physical side of assigned interrupt `number` what the guest wants.
fn forward(vm: &Vm, number: u32) {
    let Some(wish) = vm.vgic.hw_spi(number) else {
        return messages::route(vm, number);
    };
    match wish.vcpu.and_then(|index| vm.vcpus.get(index)) {
        Some(vcpu) if wish.enabled => gic::enable_shared(wish.physical, vcpu.cpu, wish.edge),
        _ => gic::disable_shared(wish.physical),
    }
}

/// A write to `ICC_SGI1R_EL1`.
pub fn send_guest_sgi(me: &VcpuRef, value: u64) {
    let kick = me.vm.vgic.sgi(me.index, SgiKind::Group1, value);
    kick_vcpus(me.vm, kick.without(me.index));
}

/// The vCPU leaves its CPU: its interrupts go back to memory.
pub fn park(me: &VcpuRef) {
    let kick = me.vm.vgic.park(me.index, &mut Lrs::here()) | me.vm.vgic.set_online(me.index, false);
    kick_vcpus(me.vm, kick.without(me.index));
}

/// The vCPU comes out of reset on this CPU.
pub fn unpark(me: &VcpuRef) {
    // An interrupt may have come since it was parked: what is reset while its
    // physical side is active would never be signalled again.
    let kick = me.vm.vgic.park(me.index, &mut Lrs::here());
    kick_vcpus(me.vm, kick.without(me.index));
    gic::reset_virtual_interface();
    me.vm.vgic.reset_vcpu(me.index);
    let kick = me.vm.vgic.set_online(me.index, true);
    kick_vcpus(me.vm, kick.without(me.index));
}

/// The VM has ended: none of its interrupts stays active or enabled.
pub fn release(vm: &Vm) {
    let all = || vm.vgic.hw_spis().filter_map(|n| vm.vgic.hw_spi(n));
    // First off, so that none is acknowledged any more; then inactive, also
    // what a CPU has acknowledged and not yet passed on; and what an edge left
    // pending is not for the next kernel. A line that is high stays pending.
    for wish in all() {
        gic::disable_shared(wish.physical);
    }
    vm.vgic.release_hw(|_| {});
    for wish in all() {
        gic::forget_shared(wish.physical);
    }
}

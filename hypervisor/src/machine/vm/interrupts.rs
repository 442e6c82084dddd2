//! A VM's interrupts on their way between its virtual controller, the list
//! registers of its CPUs, and the physical side of those that are hardware's.

use super::VcpuRef;
use super::Vm;
use crate::machine::board::gic;
use crate::machine::board::kick;
use crate::machine::board::lists::Lrs;
use crate::vgic::{Effects, Kick, SgiKind};

impl Vm {
    /// Kicks the CPUs of these vCPUs.
    #[inline]
    pub fn kick(&self, which: Kick) {
        if which.any() {
            for vcpu in which.iter().filter_map(|index| self.vcpus.get(index)) {
                kick::kick(vcpu.cpu);
            }
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
    me.vm.kick(kick.without(me.index));
}

/// Acts on what a register write changed.
#[inline]
pub fn apply(me: &VcpuRef, effects: Effects) {
    me.vm.kick(effects.kick.without(me.index));
    for number in effects.hw.iter() {
        forward(me.vm, number);
    }
}

/// Makes the physical side of assigned interrupt `number` what the guest wants.
fn forward(vm: &Vm, number: u32) {
    let Some(wish) = vm.vgic.hw_spi(number) else {
        return route_message(vm, number);
    };
    match wish.vcpu.and_then(|index| vm.vcpus.get(index)) {
        Some(vcpu) if wish.enabled => gic::enable_shared(wish.physical, vcpu.cpu, wish.edge),
        _ => gic::disable_shared(wish.physical),
    }
}

/// Sends the message behind interrupt `number`, if there is one, to the CPU that
/// the guest has routed it to.
fn route_message(vm: &Vm, number: u32) {
    let target = vm.vgic.spi_target(number);
    let vcpu = target.and_then(|index| vm.vcpus.get(index));
    if let (Some(messages), Some(vcpu)) = (&vm.messages, vcpu) {
        messages.route(number, vcpu.cpu as u16);
    }
}

/// A write to `ICC_SGI1R_EL1`.
pub fn send_guest_sgi(me: &VcpuRef, value: u64) {
    let kick = me.vm.vgic.sgi(me.index, SgiKind::Group1, value);
    me.vm.kick(kick.without(me.index));
}

/// The vCPU leaves its CPU: its interrupts go back to memory.
pub fn park(me: &VcpuRef) {
    let kick = me.vm.vgic.park(me.index, &mut Lrs::here()) | me.vm.vgic.set_online(me.index, false);
    me.vm.kick(kick.without(me.index));
}

/// The vCPU comes out of reset on this CPU.
pub fn unpark(me: &VcpuRef) {
    // An interrupt may have come since it was parked: what is reset while its
    // physical side is active would never be signalled again.
    let kick = me.vm.vgic.park(me.index, &mut Lrs::here());
    me.vm.kick(kick.without(me.index));
    gic::reset_virtual_interface();
    me.vm.vgic.reset_vcpu(me.index);
    let kick = me.vm.vgic.set_online(me.index, true);
    me.vm.kick(kick.without(me.index));
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

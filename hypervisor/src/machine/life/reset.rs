//! What is done to a VM between two lives, while none of its CPUs runs it.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use super::load::{LoadError, load};
use crate::arch::{heap, timer};
use crate::machine::board::console;
use crate::machine::irq;
use crate::machine::vm::scmi::Scmi;
use crate::machine::vm::{Vm, interrupts};
use crate::power::evidence::{Event, VmLife};
use crate::psci::Start;
use crate::viommu::Viommu;

/// Leaves nothing of the guest behind: devices quiet, interrupts forgotten,
/// memory zero.
pub fn clean(vm: &Vm) {
    let name = vm.name;
    // This CPU may be the one that SMMUs, console and alarms call.
    let between = irq::take_pending;
    reset_devices(vm, between);
    let cpus: Vec<u16> = vm.vcpus.iter().map(|vcpu| vcpu.cpu as u16).collect();
    vm.messages.iter().for_each(|messages| messages.stop(&cpus));
    if let Some(dma) = vm.dma.get() {
        if dma.core.stop(between).is_err() {
            log::error!("{name}: an SMMU does not let go of a device");
        }
        dma.viommu.iter().for_each(Viommu::reset);
        let (_, heap) = heap::usage();
        let tables = dma.core.outside().table_bytes();
        log::info!("{name}: left behind: {tables} bytes of DMA tables; heap: {heap} bytes in use");
    }
    vm.scmi.iter().for_each(Scmi::reset);
    for master in &vm.masters {
        master.after(Event::Vm(VmLife::Stopped));
    }
    interrupts::release(vm);
    vm.vgic.reset();
    vm.space.ram.scrub(between);
}

/// Emulated and assigned devices, and the console's line: as at power-on.
fn reset_devices(vm: &Vm, between: fn()) {
    if let Some(pci) = &vm.devices.pci {
        pci.reset(&mut vm.pci_side(between));
    }
    let outcome = vm.devices.uart.reset(|high| vm.uart_line(high));
    vm.kick(outcome.line.unwrap_or_default());
    console::pump();
}

/// Puts kernel, RAM disk and device tree into the VM's RAM, and lets its devices
/// wake.
///
/// # Errors
/// An image is damaged or does not fit; nothing may run.
pub fn prepare(vm: &Vm) -> Result<Start, LoadError> {
    let name = vm.name;
    vm.epoch.store(timer::ticks(), Ordering::Relaxed);
    let start = load(vm)?;
    if vm.dma.get().is_some_and(|dma| dma.core.start().is_err()) {
        log::error!("{name}: an SMMU does not take a device: it has no DMA");
    }
    if let (Some(messages), Some(first)) = (&vm.messages, vm.vcpus.first()) {
        messages.start(&vm.vgic, first.cpu as u16);
    }
    for master in &vm.masters {
        if master.before(Event::Vm(VmLife::Running)).is_err() {
            log::error!("{name}: {} starts without DMA", master.name);
        }
    }
    Ok(start)
}

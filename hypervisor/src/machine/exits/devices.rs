//! Accesses to a VM's emulated devices, by address. The interrupt controller's
//! are in `mmio`.

use crate::guest::{Range, map};
use crate::machine::board::console;
use crate::machine::irq;
use crate::machine::vm::VcpuRef;
use crate::machine::vm::Vm;
use crate::machine::vm::guest_dma::Side;
use crate::machine::vm::ram::GuestRam;
use crate::viommu::{Viommu, Written};

/// Outcome of a load.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// What was read.
    Value(u64),
    /// Others are in the way: the guest runs the instruction again.
    Again,
    /// No device there.
    Nothing,
}

/// Outcome of a store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The device took it.
    Done,
    /// There is more to do, or others are in the way: the guest runs the
    /// instruction again.
    Again,
    /// No device there.
    Nothing,
}

/// Reads `size` bytes at `ipa`. Out of line, as [`write()`]: the interrupt
/// controller's accesses, which come first, need less of the stack.
#[inline(never)]
pub fn read(me: VcpuRef, ipa: u64, size: u8) -> Loaded {
    let vm = me.vm;
    if let (Some(pci), Some(offset)) = (&vm.devices.pci, within(map::PCI_ECAM, ipa)) {
        let value = pci.load(offset as u64, size);
        return value.map_or(Loaded::Again, Loaded::Value);
    }
    if let (Some(viommu), Some(offset)) = (viommu(vm), within(map::VIRTIO_IOMMU, ipa)) {
        let line = |high| vm.kick(vm.viommu_line(high).without(me.index));
        let value = viommu.read(offset as u64, size, line);
        return value.map_or(Loaded::Again, Loaded::Value);
    }
    if let (Some(messages), Some(offset)) = (&vm.messages, within(map::GICV2M, ipa)) {
        return Loaded::Value(messages.frame.read(offset).into());
    }
    let Some(offset) = within(map::UART, ipa) else {
        return Loaded::Nothing;
    };
    let (value, outcome) = vm.devices.uart.read(offset, |high| vm.uart_line(high));
    vm.kick(outcome.line.unwrap_or_default().without(me.index));
    Loaded::Value(value.into())
}

/// Writes `size` bytes at `ipa`.
#[inline(never)]
pub fn write(me: VcpuRef, ipa: u64, size: u8, value: u64) -> Stored {
    let vm = me.vm;
    if let (Some(pci), Some(offset)) = (&vm.devices.pci, within(map::PCI_ECAM, ipa)) {
        let mut side = vm.pci_side(irq::take_pending);
        return match pci.store(&mut side, offset as u64, size, value) {
            Some(()) => Stored::Done,
            None => Stored::Again,
        };
    }
    if let (Some(viommu), Some(offset)) = (viommu(vm), within(map::VIRTIO_IOMMU, ipa)) {
        let line = |high| vm.kick(vm.viommu_line(high).without(me.index));
        return match viommu.write(offset as u64, size, value, line) {
            Written::Again => Stored::Again,
            Written::Done => Stored::Done,
        };
    }
    if let (Some(messages), Some(offset)) = (&vm.messages, within(map::GICV2M, ipa)) {
        let kick = messages.frame.write(&vm.vgic, offset, value as u32);
        vm.kick(kick.without(me.index));
        return Stored::Done;
    }
    let Some(offset) = within(map::UART, ipa) else {
        return Stored::Nothing;
    };
    let outcome = vm
        .devices
        .uart
        .write(offset, value as u32, |high| vm.uart_line(high));
    vm.kick(outcome.line.unwrap_or_default().without(me.index));
    if outcome.output && vm.devices.is_worth_moving(vm.id, value as u8) {
        console::pump();
    }
    Stored::Done
}

/// The VM's virtio-iommu, if it has one.
fn viommu(vm: &'static Vm) -> Option<&'static Viommu<'static, Side, GuestRam>> {
    vm.dma.get()?.viommu.as_ref()
}

/// Offset of `ipa` in `range`.
fn within(range: Range, ipa: u64) -> Option<usize> {
    let offset = ipa.checked_sub(range.base)?;
    (offset < range.size).then_some(offset as usize)
}

//! A VM's emulated devices, by address.

use core::sync::atomic::{AtomicU32, Ordering};

use super::Vm;
use super::guest_dma::Side;
use super::pci::VmHost;
use super::ram::GuestRam;
use super::vcpu::VcpuRef;
use crate::guest::map;
use crate::machine::operator::console;
use crate::viommu::Viommu;
use crate::vuart::Pl011;

/// Outcome of a store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The device took it.
    Done,
    /// There is more to do: the guest runs the instruction again.
    Again,
    /// No device there.
    Nothing,
}

/// Everything but the interrupt controller.
pub struct Devices {
    /// Console.
    pub uart: Pl011,
    /// PCI functions.
    pub pci: Option<VmHost>,
    /// Writes to the console since it was last moved on.
    said: AtomicU32,
}

impl Devices {
    /// Devices as after reset.
    #[must_use]
    pub const fn new(pci: Option<VmHost>) -> Self {
        Self {
            uart: Pl011::new(),
            pci,
            said: AtomicU32::new(0),
        }
    }

    /// Reads `size` bytes at `ipa`; `None` if nothing is there.
    pub fn read(&self, me: VcpuRef, ipa: u64, size: u8) -> Option<u64> {
        let vm = me.vm;
        if let (Some(pci), Some(offset)) = (&self.pci, within(map::PCI_ECAM, ipa)) {
            return Some(pci.load(offset as u64, size));
        }
        if let (Some(viommu), Some(offset)) = (viommu(vm), within(map::VIRTIO_IOMMU, ipa)) {
            return Some(viommu.read(offset as u64, size));
        }
        if let (Some(messages), Some(offset)) = (&vm.messages, within(map::GICV2M, ipa)) {
            return Some(messages.frame.read(offset).into());
        }
        let offset = within(map::UART, ipa)?;
        let (value, outcome) = self.uart.read(offset, |high| vm.uart_line(high));
        vm.kick(outcome.line.unwrap_or_default().without(me.index));
        Some(u64::from(value))
    }

    /// Writes `size` bytes at `ipa`.
    pub fn write(&self, me: VcpuRef, ipa: u64, size: u8, value: u64) -> Stored {
        let vm = me.vm;
        if let (Some(pci), Some(offset)) = (&self.pci, within(map::PCI_ECAM, ipa)) {
            pci.store(vm, offset as u64, size, value);
            return Stored::Done;
        }
        if let (Some(viommu), Some(offset)) = (viommu(vm), within(map::VIRTIO_IOMMU, ipa)) {
            let written = viommu.write(offset as u64, size, value);
            vm.kick(vm.viommu_line(written.line).without(me.index));
            return if written.again {
                Stored::Again
            } else {
                Stored::Done
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
        let outcome = self
            .uart
            .write(offset, value as u32, |high| vm.uart_line(high));
        vm.kick(outcome.line.unwrap_or_default().without(me.index));
        if outcome.output && self.is_worth_moving(vm, value as u8) {
            console::pump();
        }
        Stored::Done
    }

    /// Whether what the guest has said is to be moved on now. A VM that nobody
    /// types to is shown by lines, so there is nothing to gain before a line
    /// ends or many bytes wait.
    fn is_worth_moving(&self, vm: &Vm, byte: u8) -> bool {
        const MANY: u32 = 64;
        let waiting = self.said.fetch_add(1, Ordering::Relaxed) + 1;
        let now = byte == b'\n' || waiting >= MANY || console::has_focus(vm);
        if now {
            self.said.store(0, Ordering::Relaxed);
        }
        now
    }

    /// Back to power-on.
    pub fn reset(&self, vm: &Vm) {
        if let Some(pci) = &self.pci {
            pci.reset(vm);
        }
        let outcome = self.uart.reset(|high| vm.uart_line(high));
        vm.kick(outcome.line.unwrap_or_default());
        console::pump();
    }
}

/// The VM's virtio-iommu, if it has one.
fn viommu(vm: &'static Vm) -> Option<&'static Viommu<'static, Side, GuestRam>> {
    vm.dma.get()?.viommu.as_ref()
}

/// Offset of `ipa` in `range`.
fn within(range: crate::guest::Range, ipa: u64) -> Option<usize> {
    let offset = ipa.checked_sub(range.base)?;
    (offset < range.size).then_some(offset as usize)
}

//! A VM's emulated devices, by address.

use super::pci::VmHost;
use super::vcpu::VcpuRef;
use super::vm::Vm;
use super::{console, irq};
use crate::guest::map;
use crate::vuart::Pl011;

/// Everything but the interrupt controller.
pub struct Devices {
    /// Console.
    pub uart: Pl011,
    /// PCI functions.
    pub pci: Option<VmHost>,
}

impl Devices {
    /// Devices as after reset.
    #[must_use]
    pub const fn new(pci: Option<VmHost>) -> Self {
        Self { uart: Pl011::new(), pci }
    }

    /// Reads `size` bytes at `ipa`; `None` if nothing is there.
    pub fn read(&self, me: VcpuRef, ipa: u64, size: u8) -> Option<u64> {
        let vm = me.vm;
        if let (Some(pci), Some(offset)) = (&self.pci, within(map::PCI_ECAM, ipa)) {
            return Some(pci.load(offset as u64, size));
        }
        let offset = within(map::UART, ipa)?;
        let (value, outcome) = self.uart.read(offset, |high| vm.uart_line(high));
        irq::kick_vcpus(vm, outcome.line.unwrap_or_default().without(me.index));
        Some(u64::from(value))
    }

    /// Writes; false if nothing is there.
    pub fn write(&self, me: VcpuRef, ipa: u64, size: u8, value: u64) -> bool {
        let vm = me.vm;
        if let (Some(pci), Some(offset)) = (&self.pci, within(map::PCI_ECAM, ipa)) {
            pci.store(vm, offset as u64, size, value);
            return true;
        }
        let Some(offset) = within(map::UART, ipa) else { return false };
        let outcome = self.uart.write(offset, value as u32, |high| vm.uart_line(high));
        irq::kick_vcpus(vm, outcome.line.unwrap_or_default().without(me.index));
        if outcome.output {
            console::pump();
        }
        true
    }

    /// Back to power-on.
    pub fn reset(&self, vm: &Vm) {
        if let Some(pci) = &self.pci {
            pci.reset(vm);
        }
        let outcome = self.uart.reset(|high| vm.uart_line(high));
        irq::kick_vcpus(vm, outcome.line.unwrap_or_default());
        console::pump();
    }
}

/// Offset of `ipa` in `range`.
fn within(range: crate::guest::Range, ipa: u64) -> Option<usize> {
    let offset = ipa.checked_sub(range.base)?;
    (offset < range.size).then_some(offset as usize)
}

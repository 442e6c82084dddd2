//! A VM's emulated devices, by address.

use super::vcpu::VcpuRef;
use super::vm::Vm;
use super::{console, irq};
use crate::guest::map;
use crate::vuart::Pl011;

/// Everything but the interrupt controller.
pub struct Devices {
    /// Console.
    pub uart: Pl011,
}

impl Devices {
    /// Devices as after reset.
    #[must_use]
    pub const fn new() -> Self {
        Self { uart: Pl011::new() }
    }

    /// Reads `size` bytes at `ipa`; `None` if nothing is there.
    pub fn read(&self, me: VcpuRef, ipa: u64, _size: u8) -> Option<u64> {
        let vm = me.vm;
        let offset = within(map::UART, ipa)?;
        let (value, outcome) = self.uart.read(offset, |high| vm.uart_line(high));
        irq::kick_vcpus(vm, outcome.line.unwrap_or_default().without(me.index));
        Some(u64::from(value))
    }

    /// Writes; false if nothing is there.
    pub fn write(&self, me: VcpuRef, ipa: u64, _size: u8, value: u64) -> bool {
        let vm = me.vm;
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

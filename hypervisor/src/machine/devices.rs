//! A VM's emulated devices, by address.


use super::vcpu::VcpuRef;
use super::vm::Vm;

/// Everything but the interrupt controller.
pub struct Devices {}

impl Devices {
    /// None yet.
    pub fn new() -> Self {
        Self {}
    }

    /// Reads `size` bytes at `ipa`; `None` if nothing is there.
    pub fn read(&self, _me: VcpuRef, _ipa: u64, _size: u8) -> Option<u64> {
        None
    }

    /// Writes; false if nothing is there.
    pub fn write(&self, _me: VcpuRef, _ipa: u64, _size: u8, _value: u64) -> bool {
        false
    }

    /// Back to power-on.
    pub fn reset(&self, _vm: &Vm) {}
}

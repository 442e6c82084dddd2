//! Fills a VM's memory with what it boots from.

use super::ram::GuestRam;
use super::vm::{LoadError, Vm};
use crate::guest::Range;
use crate::guest::image::{self, GuestMemory, OutsideRam};
use crate::psci::Start;

/// A VM's RAM as the loader writes it.
struct Destination<'a>(&'a GuestRam);

impl GuestMemory for Destination<'_> {
    fn write(&mut self, ipa: u64, bytes: &[u8]) -> Result<(), OutsideRam> {
        self.0.write(ipa, bytes).map_err(|error| OutsideRam(error.0))
    }
}

/// Puts kernel, RAM disk and device tree into `vm`'s RAM.
pub fn load(vm: &Vm) -> Result<Start, LoadError> {
    let ram = Range { base: super::ram::GUEST_RAM, size: vm.ram.len() };
    let mut memory = Destination(&vm.ram);
    let layout = image::load(vm.images.kernel, vm.images.ramdisk, ram, &mut memory)?;
    Ok(Start { entry: layout.entry, context: layout.dtb.base })
}

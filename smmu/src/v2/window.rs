//! The register window, or several that are programmed alike.

use super::features::Features;
use super::spec::Page;
use crate::outside::Registers;
use crate::power::Powered;
use alloc::vec::Vec;

pub(super) struct Window<R> {
    instances: Vec<R>,
    page_shift: u32,
    global_pages: usize,
    /// 64-bit registers are accessed by halves, the high one first.
    halves: bool,
}

impl<R: Registers> Window<R> {
    pub fn new(instances: Vec<R>, features: &Features, halves: bool) -> Self {
        Self {
            instances,
            page_shift: features.page_shift.into(),
            global_pages: features.global_pages as usize,
            halves,
        }
    }

    /// Offset of a register in the window (IHI 0062, 8.1).
    pub fn at(&self, page: Page, register: usize) -> usize {
        let number = match page {
            Page::Gr0 => 0,
            Page::Gr1 => 1,
            Page::Bank(n) => self.global_pages.wrapping_add(n.into()),
        };
        number.wrapping_shl(self.page_shift).wrapping_add(register)
    }

    /// The instance that answers for all.
    pub fn first(&self) -> Option<&R> {
        self.instances.first()
    }

    /// Instances that are programmed alike.
    pub fn instances(&self) -> usize {
        self.instances.len()
    }

    /// Reads where all instances agree.
    pub fn read(&self, power: &Powered, page: Page, register: usize) -> u32 {
        self.read_of(power, 0, page, register)
    }

    /// Reads one instance.
    pub fn read_of(&self, _: &Powered, instance: usize, page: Page, register: usize) -> u32 {
        let regs = self.instances.get(instance);
        regs.map_or(0, |r| r.read32(self.at(page, register)))
    }

    /// A bit is set if any instance has it set.
    pub fn read_any(&self, _: &Powered, page: Page, register: usize) -> u32 {
        let at = self.at(page, register);
        self.instances.iter().fold(0, |all, r| all | r.read32(at))
    }

    /// Reads an address of one instance.
    pub fn read64_of(&self, _: &Powered, instance: usize, page: Page, register: usize) -> u64 {
        let at = self.at(page, register);
        self.instances.get(instance).map_or(0, |r| {
            if self.halves {
                let high = u64::from(r.read32(at.wrapping_add(4)));
                high << 32 | u64::from(r.read32(at))
            } else {
                r.read64(at)
            }
        })
    }

    /// Writes all instances.
    pub fn write(&self, _: &Powered, page: Page, register: usize, value: u32) {
        let at = self.at(page, register);
        self.instances.iter().for_each(|r| r.write32(at, value));
    }

    /// Writes one instance.
    pub fn write_of(&self, _: &Powered, instance: usize, page: Page, register: usize, value: u32) {
        if let Some(regs) = self.instances.get(instance) {
            regs.write32(self.at(page, register), value);
        }
    }

    /// Writes a 64-bit register of all instances.
    pub fn write64(&self, _: &Powered, page: Page, register: usize, value: u64) {
        let at = self.at(page, register);
        for regs in &self.instances {
            if self.halves {
                regs.write32(at.wrapping_add(4), (value >> 32) as u32);
                regs.write32(at, value as u32);
            } else {
                regs.write64(at, value);
            }
        }
    }
}

//! This CPU's list registers, whichever version of the GIC has them.

use platform::mmio::Window;

use super::{gic, private};
use crate::arch::gic_cpu;
use crate::vgic::{GichRegisters, ListRegisters, Lr, Maintenance};

/// This CPU's list registers.
pub enum Lrs {
    /// In system registers.
    V3,
    /// In memory.
    V2(GichRegisters<'static, Window>),
}

impl Lrs {
    /// This CPU's.
    #[inline]
    #[must_use]
    pub fn here() -> Self {
        match gic::v2() {
            None => Self::V3,
            Some(v2) => Self::V2(GichRegisters {
                gich: &v2.lists,
                gicc: &v2.cpu,
                signals_again: v2.signals_again,
            }),
        }
    }
}

/// `ICH_HCR_EL2` (IHI 0069, 12.4.5).
mod ich_hcr {
    pub const EN: u64 = 1;
    pub const LRENPIE: u64 = 1 << 2;
    pub const NPIE: u64 = 1 << 3;
    pub const EOI_COUNT_SHIFT: u32 = 27;
    pub const EOI_COUNT: u64 = 0x1f << EOI_COUNT_SHIFT;
}

impl ListRegisters for Lrs {
    fn count(&self) -> usize {
        match self {
            Self::V3 => gic_cpu::list_registers(),
            Self::V2(v2) => v2.count(),
        }
    }

    fn read(&self, index: usize) -> Lr {
        match self {
            Self::V3 => Lr(gic_cpu::read_lr(index)),
            Self::V2(v2) => v2.read(index),
        }
    }

    fn write(&mut self, index: usize, value: Lr) {
        match self {
            Self::V3 => gic_cpu::write_lr(index, value.0),
            Self::V2(v2) => v2.write(index, value),
        }
    }

    fn empty(&self) -> u32 {
        match self {
            Self::V3 => gic_cpu::elrsr() as u32,
            Self::V2(v2) => v2.empty(),
        }
    }

    fn set_maintenance(&mut self, wanted: Maintenance) {
        match self {
            Self::V3 => {
                let none = if wanted.no_pending { ich_hcr::NPIE } else { 0 };
                let missing = if wanted.entry_not_present {
                    ich_hcr::LRENPIE
                } else {
                    0
                };
                gic_cpu::set_hcr(
                    gic_cpu::hcr() & ich_hcr::EOI_COUNT | ich_hcr::EN | none | missing,
                );
            }
            Self::V2(v2) => v2.set_maintenance(wanted),
        }
    }

    fn take_eoi_count(&mut self) -> u32 {
        match self {
            Self::V3 => {
                let hcr = gic_cpu::hcr();
                if hcr & ich_hcr::EOI_COUNT != 0 {
                    gic_cpu::set_hcr(hcr & !ich_hcr::EOI_COUNT);
                }
                ((hcr & ich_hcr::EOI_COUNT) >> ich_hcr::EOI_COUNT_SHIFT) as u32
            }
            Self::V2(v2) => v2.take_eoi_count(),
        }
    }

    fn deactivate(&mut self, physical: u32) {
        match self {
            Self::V3 => gic_cpu::deactivate(physical),
            Self::V2(v2) => v2.deactivate(physical),
        }
    }

    fn is_asserted(&self, physical: u32) -> bool {
        private::timer_line(physical).unwrap_or(true)
    }

    fn signals_again(&self) -> bool {
        match self {
            Self::V3 => true,
            Self::V2(v2) => v2.signals_again(),
        }
    }
}

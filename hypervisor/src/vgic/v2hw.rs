//! List registers of a GICv2, as [`ListRegisters`].

use super::{ListRegisters, Lr, Maintenance};
use platform::gic::{CpuInterface, Gich, HCR_EOI_COUNT_SHIFT, HCR_LRENPIE, HCR_NPIE};
use platform::mmio::Mmio;

/// The calling CPU's GICH and the GICC that deactivates for it.
#[derive(Debug, Clone, Copy)]
pub struct GichRegisters<'a, M> {
    /// Virtual interface control.
    pub gich: &'a Gich<M>,
    /// Physical CPU interface.
    pub gicc: &'a CpuInterface<M>,
    /// See [`ListRegisters::signals_again`].
    pub signals_again: bool,
}

impl<M: Mmio> ListRegisters for GichRegisters<'_, M> {
    fn count(&self) -> usize {
        self.gich.count()
    }

    fn read(&self, index: usize) -> Lr {
        Lr::from_v2(self.gich.read_lr(index))
    }

    fn write(&mut self, index: usize, value: Lr) {
        self.gich.write_lr(index, value.to_v2());
    }

    fn empty(&self) -> u32 {
        self.gich.empty()
    }

    fn set_maintenance(&mut self, wanted: Maintenance) {
        let mut hcr = self.gich.hcr() & !(HCR_NPIE | HCR_LRENPIE);
        if wanted.no_pending {
            hcr |= HCR_NPIE;
        }
        if wanted.entry_not_present {
            hcr |= HCR_LRENPIE;
        }
        self.gich.set_hcr(hcr);
    }

    fn take_eoi_count(&mut self) -> u32 {
        let hcr = self.gich.hcr();
        let count = hcr >> HCR_EOI_COUNT_SHIFT;
        if count != 0 {
            let below = 1_u32.wrapping_shl(HCR_EOI_COUNT_SHIFT).wrapping_sub(1);
            self.gich.set_hcr(hcr & below);
        }
        count
    }

    fn deactivate(&mut self, physical: u32) {
        self.gicc.deactivate(physical);
    }

    fn signals_again(&self) -> bool {
        self.signals_again
    }
}

//! Physical interrupt lines that belong to a VM.

use crate::vgic::Vgic;

/// A physical interrupt line that belongs to a VM.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Interrupt id of the board.
    pub physical: u32,
    /// The VM's own interrupt id for it.
    pub number: u32,
}

impl Line {
    /// Binds the VM's interrupt to the physical one in its interrupt controller.
    ///
    /// # Errors
    /// One of the two is taken, or not a shared interrupt.
    pub fn assign(self, vgic: &Vgic) -> Result<(), &'static str> {
        vgic.assign_hw_spi(self.number, self.physical)
            .map_err(|_| "its interrupt cannot be given away")
    }
}

//! A VM's emulated devices.

use core::sync::atomic::{AtomicU32, Ordering};

use super::pci::VmHost;
use crate::machine::board::console;
use crate::vuart::Pl011;

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

    /// Whether what guest `vm` has said, `byte` the last, is to be moved on now. A VM that nobody
    /// types to is shown by lines, so there is nothing to gain before a line
    /// ends or many bytes wait.
    pub fn is_worth_moving(&self, vm: u16, byte: u8) -> bool {
        const MANY: u32 = 64;
        let waiting = self.said.fetch_add(1, Ordering::Relaxed) + 1;
        let now = byte == b'\n' || waiting >= MANY || console::has_focus(vm);
        if now {
            self.said.store(0, Ordering::Relaxed);
        }
        now
    }
}

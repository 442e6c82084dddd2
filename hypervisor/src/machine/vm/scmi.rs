//! A VM's SCMI server: power domains of its masters, by shared memory.

use alloc::vec::Vec;

use platform::mmio::{Mmio, Window};
use spin::mutex::SpinMutex;

use super::masters::Master;
use crate::arch::cache;
use crate::arch::ram::{self, Extent};
use crate::power::evidence::{Event, Word};
use crate::scmi::{Devices, Page, Status, Switch, serve};

/// Rate that clocks report, in hertz: nothing depends on it.
const RATE: u64 = 100_000_000;

/// A VM's channel and what it last set.
pub struct Scmi {
    page: Extent,
    window: Window,
    devices: SpinMutex<Devices>,
    /// Masters behind the power domains, by index in the VM.
    masters: Vec<usize>,
}

impl Scmi {
    /// A server for these masters of a VM: (index, name), in the order of their
    /// domains. `page` becomes the shared memory.
    #[must_use]
    pub fn new(page: Extent, masters: &[(usize, &str)]) -> Self {
        Self {
            page,
            window: ram::shared(page),
            devices: SpinMutex::new(Devices::new(masters.iter().map(|(_, name)| *name), RATE)),
            masters: masters.iter().map(|&(index, _)| index).collect(),
        }
    }

    /// Physical address of the shared page.
    #[must_use]
    pub const fn page(&self) -> u64 {
        self.page.start()
    }

    /// The domain (and clock) number of the VM's master `index`.
    #[must_use]
    pub fn domain_of(&self, index: usize) -> Option<u32> {
        self.masters
            .iter()
            .position(|&m| m == index)
            .and_then(|n| u32::try_from(n).ok())
    }

    /// The guest rang: serves the message in the page. `masters` are all of the
    /// VM's.
    ///
    /// The guest maps the page as device memory, EL2 as cacheable: lines are
    /// dropped before reading and cleaned after writing.
    pub fn serve(&self, masters: &[Master]) {
        let mut devices = self.devices.lock();
        cache::clean_invalidate(self.page.start(), self.page.len());
        serve(
            &Page::new(&self.window),
            &mut devices.with(&mut Domains {
                masters,
                indices: &self.masters,
            }),
        );
        cache::clean_invalidate(self.page.start(), self.page.len());
    }

    /// The VM starts anew: everything off, the channel free.
    pub fn reset(&self) {
        self.devices.lock().reset();
        for offset in (0..self.page.len() as usize).step_by(8) {
            self.window.write64(offset, 0);
        }
        Page::new(&self.window).init();
        cache::clean_invalidate(self.page.start(), self.page.len());
    }
}

/// Whom the power domains switch.
struct Domains<'a> {
    /// All masters of the VM.
    masters: &'a [Master],
    /// Which of them each domain is.
    indices: &'a [usize],
}

impl Domains<'_> {
    fn master(&self, device: u16) -> Option<&Master> {
        let index = *self.indices.get(usize::from(device))?;
        self.masters.get(index)
    }
}

impl Switch for Domains<'_> {
    fn wake(&mut self, device: u16) -> Result<(), Status> {
        self.master(device).map_or(Ok(()), |master| {
            master
                .before(Event::Scmi(Word::Active))
                .map_err(|_| Status::HardwareError)
        })
    }

    fn sleep(&mut self, device: u16) {
        if let Some(master) = self.master(device) {
            master.after(Event::Scmi(Word::Idle));
        }
    }
}

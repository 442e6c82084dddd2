//! Interrupts from outside: devices, timers, lines, and their physical side.

use super::bank::{Bank, take};
use super::refill::choose_maintenance;
use super::types::bits;
use super::{Error, HwSpi, Kick, ListRegisters, SPI_BASE, Vgic};
use core::sync::atomic::Ordering::SeqCst;

impl Vgic {
    /// Makes `intid` pending: a private interrupt (16–31) of `vcpu`, or an SPI
    /// (then `vcpu` is ignored).
    ///
    /// With `physical`, it stands for that physical interrupt, which was
    /// acknowledged but not deactivated; the guest's own deactivation will
    /// deactivate it. Without, it is an edge or message (MSI). An `intid` the
    /// VM does not have is dropped.
    pub fn inject(&self, vcpu: usize, intid: u32, physical: Option<u32>) -> Kick {
        let Some((bank, bit)) = self.locate(vcpu, intid) else {
            return Kick::NONE;
        };
        let mask = 1_u32.wrapping_shl(bit);
        if let Some(physical) = physical {
            if bank.physical(bit) != Some(physical) {
                bank.bind(bit, physical);
            }
            // Before the latch: whoever takes the latch must see the debt.
            bank.owed.fetch_or(mask, SeqCst);
        }
        bank.latch.fetch_or(mask, SeqCst);
        self.offer(vcpu, intid, bank, bit)
    }

    /// Drives the input line of `intid` (PPI of `vcpu`, or SPI). While a
    /// level-sensitive interrupt's line is high it is pending again each time
    /// the guest deactivates it.
    pub fn set_level(&self, vcpu: usize, intid: u32, high: bool) -> Kick {
        let Some((bank, bit)) = self.locate(vcpu, intid) else {
            return Kick::NONE;
        };
        let mask = 1_u32.wrapping_shl(bit);
        if high {
            if bank.level.fetch_or(mask, SeqCst) & mask != 0 {
                return Kick::NONE;
            }
            if bank.edge.load(SeqCst) & mask != 0 {
                bank.latch.fetch_or(mask, SeqCst);
            }
        } else if take(&bank.level, mask) == 0 {
            return Kick::NONE;
        }
        self.touch(vcpu, intid, bank, bit)
    }

    /// Binds SPI `intid` to a physical SPI passed through to this VM. The
    /// guest's enable, target and trigger then show in
    /// [`Effects::hw`](super::Effects) and [`Vgic::hw_spi`].
    ///
    /// # Errors
    /// [`Error::Intid`] if this VM has no such SPI, [`Error::Physical`] if no
    /// list register can name the physical one.
    pub fn assign_hw_spi(&self, intid: u32, physical: u32) -> Result<(), Error> {
        if !(SPI_BASE..1020).contains(&physical) {
            return Err(Error::Physical(physical));
        }
        let (bank, bit) = Some(intid)
            .filter(|i| *i >= SPI_BASE)
            .and_then(|i| self.locate(0, i))
            .ok_or(Error::Intid(intid))?;
        bank.bind(bit, physical);
        Ok(())
    }

    /// Lets a GICv3 guest's new routes of SPI `intid` show in
    /// [`Effects::hw`](super::Effects): for messages, which have no physical
    /// SPI but come to some CPU. An `intid` the VM does not have is ignored.
    pub fn watch_spi(&self, intid: u32) {
        let found = self.locate(0, intid).filter(|_| intid >= SPI_BASE);
        if let Some((bank, bit)) = found {
            bank.watched.fetch_or(1_u32.wrapping_shl(bit), SeqCst);
        }
    }

    /// The vCPU that SPI `intid` goes to, by the guest's routing.
    #[must_use]
    pub fn spi_target(&self, intid: u32) -> Option<usize> {
        let (bank, bit) = self.locate(0, intid).filter(|_| intid >= SPI_BASE)?;
        self.target(bank, bit)
    }

    /// What the guest wants of SPI `intid`; `None` if it is not bound to a
    /// physical one.
    #[must_use]
    pub fn hw_spi(&self, intid: u32) -> Option<HwSpi> {
        let (bank, bit) = self.locate(0, intid).filter(|_| intid >= SPI_BASE)?;
        let mask = 1_u32.wrapping_shl(bit);
        let groups = self.groups();
        Some(HwSpi {
            physical: bank.physical(bit)?,
            enabled: bank.enable.load(SeqCst) & bank.open(groups) & mask != 0,
            edge: bank.edge.load(SeqCst) & mask != 0,
            vcpu: self.target(bank, bit),
        })
    }

    /// All SPIs bound to physical ones, as virtual interrupt ids.
    pub fn hw_spis(&self) -> impl Iterator<Item = u32> {
        self.spis.iter().zip(1_u32..).flat_map(|(bank, word)| {
            bits(bank.bound.load(SeqCst)).map(move |bit| word.wrapping_shl(5) | bit)
        })
    }

    /// Gives up the list registers of a vCPU that is about to stop (`CPU_OFF`,
    /// VM reset or death), on its own CPU: everything it had in hand goes back
    /// to memory, and physical interrupts behind its private interrupts are
    /// deactivated. The result names vCPUs that can take over its SPIs.
    pub fn park<L: ListRegisters>(&self, vcpu: usize, lrs: &mut L) -> Kick {
        let Some(state) = self.vcpus.get(vcpu) else {
            return Kick::NONE;
        };
        let kick = self.fold(vcpu, state, lrs);
        self.empty_hardware(state, lrs);
        choose_maintenance(state, 0, lrs);
        for bit in bits(take(&state.bank.owed, u32::MAX)) {
            if let Some(physical) = state.bank.physical(bit) {
                lrs.deactivate(physical);
            }
        }
        state.work.store(true, SeqCst);
        kick
    }

    /// Hands each physical SPI that is still active on this VM's behalf to
    /// `deactivate`, after all its vCPUs were [parked](Vgic::park) and before
    /// [`Vgic::reset`].
    pub fn release_hw(&self, mut deactivate: impl FnMut(u32)) {
        for bank in &self.spis {
            for bit in bits(take(&bank.owed, u32::MAX)) {
                if let Some(physical) = bank.physical(bit) {
                    deactivate(physical);
                }
            }
        }
    }

    /// Pokes whoever can take this interrupt, if it can be delivered.
    pub(super) fn offer(&self, vcpu: usize, intid: u32, bank: &Bank, bit: u32) -> Kick {
        if bank.deliverable(self.groups()) & 1_u32.wrapping_shl(bit) == 0 {
            return Kick::NONE;
        }
        if intid < SPI_BASE {
            return self.poke(vcpu);
        }
        // An SPI in hand comes back by itself when its owner lets go; but the
        // owner's list register must learn that it is pending once more.
        match bank.owner(bit).checked_sub(1) {
            Some(owner) => self.poke(owner.into()),
            None => self.target(bank, bit).map_or(Kick::NONE, |t| self.poke(t)),
        }
    }

    /// Pokes whoever has this interrupt in hand, and whoever can take it.
    pub(super) fn touch(&self, vcpu: usize, intid: u32, bank: &Bank, bit: u32) -> Kick {
        if intid < SPI_BASE {
            return self.poke(vcpu);
        }
        match bank.owner(bit).checked_sub(1) {
            Some(owner) => self.poke(owner.into()),
            None => self.offer(vcpu, intid, bank, bit),
        }
    }
}

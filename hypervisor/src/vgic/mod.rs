//! The virtual interrupt controller: what a guest sees as GICv2 or GICv3.
//!
//! The distributor and redistributors are emulated here, the CPU interface is
//! hardware's (list registers). Nothing takes a lock. See
//! `docs/interrupts.md` for the life of an interrupt and the argument why none
//! is lost.
//!
//! How a caller uses it, on the physical CPU that runs vCPU n:
//! - before every entry into the guest: [`Vgic::before_enter`]. One load and a
//!   branch when nothing happened; list registers are then left alone. There
//!   is nothing to do after an exit.
//! - on a trapped access to a register frame: [`Vgic::read`], [`Vgic::write`];
//!   on a trapped `ICC_SGI1R_EL1` write: [`Vgic::sgi`].
//! - on a physical interrupt of a guest: drop its priority but do not
//!   deactivate it, then [`Vgic::inject`].
//! - on the maintenance interrupt: [`Vgic::poke`] for this vCPU.
//! - after each of them: make the CPUs in the returned [`Kick`] leave their
//!   guest. A kick needs no message, passing `before_enter` is all.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod bank;
mod flush;
mod inject;
mod lr;
mod read;
mod refill;
mod sgi;
mod types;
mod v2hw;
pub mod v2m;
mod write;

pub use lr::{ListRegisters, Lr, Maintenance, State};
pub use sgi::SgiKind;
pub use types::{Config, Effects, Error, HwChanges, HwSpi, Kick, Read, Region, Version};
pub use v2hw::GichRegisters;

use alloc::boxed::Box;
use bank::{Bank, Groups};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64};

/// Most vCPUs a GICv3 guest can have here (one affinity-0 cluster).
pub const MAX_VCPUS: usize = 16;
/// Most vCPUs a GICv2 can have.
pub const MAX_VCPUS_V2: usize = 8;
/// Most list registers any GIC has.
const MAX_LRS: usize = 16;
/// First shared peripheral interrupt.
pub const SPI_BASE: u32 = 32;
/// Most SPIs: INTIDs 32 to 991, whole words only.
const MAX_SPIS: usize = 960;

/// What one vCPU has of its own.
#[derive(Debug, Default)]
struct Vcpu {
    /// Something changed that may concern the list registers.
    work: AtomicBool,
    /// SGIs (0–15) and PPIs (16–31).
    bank: Bank,
    /// GICv2: which CPUs have each SGI pending here (`GICD_SPENDSGIR`).
    sgi_sources: [AtomicU8; 16],
    /// GICv2: the sender of each SGI that is active and not in a list register.
    sgi_active_source: [AtomicU8; 16],
    /// GICv3: `GICR_WAKER.ProcessorSleep`.
    sleep: AtomicBool,
    /// Counts passes of the list registers into memory.
    folds: AtomicU32,
    /// vCPUs to kick at the next entry, on behalf of a call that could not.
    kick_later: AtomicU32,
    /// Register reads waiting for other vCPUs, and their `folds` at the time.
    wait: read::Wait,
    // The rest is touched by the vCPU's own CPU only.
    /// Bit n: list register n was last written with a valid interrupt.
    used: AtomicU32,
    /// Bit n: list register n in hardware holds something already in memory.
    stale: AtomicU32,
    /// What was written there (where `used`).
    shadow: [AtomicU64; MAX_LRS],
    /// Bit n: its pending state came from `latch`, not from a level line.
    latched: AtomicU32,
    /// Bit n: bound to a physical interrupt, but written without HW.
    by_hand: AtomicU32,
    /// Maintenance conditions now chosen: bit 0 no pending, bit 1 not present.
    maintenance: AtomicU32,
}

/// One VM's interrupt controller. Shared by reference between its CPUs.
#[derive(Debug)]
pub struct Vgic {
    version: Version,
    /// `GICD_CTLR` group enables.
    ctlr: AtomicU32,
    /// `GICD_TYPER`.
    typer: u32,
    vcpus: Box<[Vcpu]>,
    /// SPIs 32.., one bank per word.
    spis: Box<[Bank]>,
    /// vCPUs that are running, for interrupts any CPU may take.
    online: AtomicU32,
    /// Accesses to registers that are not there.
    unknown: AtomicU32,
}

impl Vgic {
    /// A controller in its reset state.
    ///
    /// # Errors
    /// [`Error::Vcpus`] or [`Error::Spis`] if the GIC of that version does not
    /// come in this size.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let most = match config.version {
            Version::V2 => MAX_VCPUS_V2,
            Version::V3 => MAX_VCPUS,
        };
        if config.vcpus == 0 || config.vcpus > most {
            return Err(Error::Vcpus(config.vcpus));
        }
        if config.spis > MAX_SPIS {
            return Err(Error::Spis(config.spis));
        }
        let words = config.spis.div_ceil(32);
        let vgic = Self {
            version: config.version,
            ctlr: AtomicU32::new(0),
            typer: read::typer(config.version, config.vcpus, words),
            vcpus: (0..config.vcpus).map(|_| Vcpu::default()).collect(),
            spis: (0..words).map(|_| Bank::default()).collect(),
            online: AtomicU32::new(u32::MAX),
            unknown: AtomicU32::new(0),
        };
        vgic.reset();
        Ok(vgic)
    }

    /// Back to the state a guest finds at power-on. No vCPU may be running,
    /// and each must have been [parked](Self::park), so that no list register
    /// still holds a physical interrupt. Input lines and bindings stay.
    pub fn reset(&self) {
        self.ctlr.store(0, SeqCst);
        for vcpu in 0..self.vcpus.len() {
            self.reset_vcpu(vcpu);
        }
        let (group, route) = match self.version {
            Version::V2 => (0, 1),
            Version::V3 => (u32::MAX, 0),
        };
        self.spis
            .iter()
            .for_each(|bank| bank.reset(group, 0, route));
    }

    /// Resets the private interrupts of one vCPU, as `CPU_ON` does. It must be
    /// [parked](Self::park).
    pub fn reset_vcpu(&self, vcpu: usize) {
        let Some(state) = self.vcpus.get(vcpu) else {
            return;
        };
        let group = if self.version == Version::V3 {
            u32::MAX
        } else {
            0
        };
        // SGIs are edge-triggered, PPIs level-sensitive until told otherwise.
        state.bank.reset(group, 0xffff, 0);
        if self.version == Version::V2 {
            // SGIs are always enabled (IHI 0048, 4.3.5).
            state.bank.enable.store(0xffff, SeqCst);
        }
        state.sgi_sources.iter().for_each(|s| s.store(0, SeqCst));
        state.sleep.store(true, Relaxed);
        state.work.store(true, SeqCst);
    }

    /// Tells whether a vCPU runs. Only interrupts that name several CPUs care:
    /// they go to the lowest-numbered one that does.
    pub fn set_online(&self, vcpu: usize, online: bool) -> Kick {
        let bit = Kick::one(vcpu).0;
        if online {
            self.online.fetch_or(bit, SeqCst);
        } else {
            self.online.fetch_and(!bit, SeqCst);
        }
        self.poke_all()
    }

    /// How many accesses hit no register.
    #[must_use]
    pub fn unknown_accesses(&self) -> u32 {
        self.unknown.load(Relaxed)
    }

    /// Number of vCPUs.
    #[must_use]
    pub fn vcpus(&self) -> usize {
        self.vcpus.len()
    }

    /// Whether [`before_enter`](Self::before_enter) has anything to do.
    #[inline]
    pub fn has_work(&self, vcpu: usize) -> bool {
        self.vcpus
            .get(vcpu)
            .is_some_and(|state| state.work.load(Relaxed))
    }

    /// To be called before each entry of the guest, on its own CPU with
    /// interrupts masked. Brings the list registers up to date if anything
    /// changed since; the result names other vCPUs to kick.
    #[inline]
    pub fn before_enter<L: ListRegisters>(&self, vcpu: usize, lrs: &mut L) -> Kick {
        match self.vcpus.get(vcpu) {
            Some(state) if state.work.load(Relaxed) => self.flush(vcpu, state, lrs),
            _ => Kick::NONE,
        }
    }

    /// Makes `vcpu` look at its interrupts anew before it next enters its
    /// guest.
    pub fn poke(&self, vcpu: usize) -> Kick {
        match self.vcpus.get(vcpu) {
            Some(state) => {
                state.work.store(true, SeqCst);
                Kick::one(vcpu)
            }
            None => Kick::NONE,
        }
    }

    fn poke_all(&self) -> Kick {
        let mut kick = Kick::NONE;
        for vcpu in 0..self.vcpus.len() {
            kick |= self.poke(vcpu);
        }
        kick
    }

    fn groups(&self) -> Groups {
        Groups::from_ctlr(self.ctlr.load(Relaxed))
    }

    /// The bank and bit that hold `intid` as seen by `vcpu`.
    fn locate(&self, vcpu: usize, intid: u32) -> Option<(&Bank, u32)> {
        let bank = match intid.checked_sub(SPI_BASE) {
            None => &self.vcpus.get(vcpu)?.bank,
            Some(spi) => self.spis.get((spi >> 5) as usize)?,
        };
        Some((bank, intid & 31))
    }

    /// The vCPU that is to take SPI `bit` of `bank`, by the guest's routing.
    fn target(&self, bank: &Bank, bit: u32) -> Option<usize> {
        let route = bank.route.get(bit as usize)?.load(SeqCst);
        let mask = match self.version {
            Version::V2 => route as u32,
            Version::V3 if route & bank::ROUTE_ANY != 0 => u32::MAX,
            Version::V3 if route < self.vcpus.len() as u64 => return Some(route as usize),
            Version::V3 => return None,
        };
        let mask = mask & self.present();
        let running = mask & self.online.load(Relaxed);
        let choice = if running != 0 { running } else { mask };
        types::bits(choice).next().map(|n| n as usize)
    }

    /// One bit per vCPU there is.
    fn present(&self) -> u32 {
        Kick::one(self.vcpus.len()).0.wrapping_sub(1)
    }
}

#[cfg(test)]
mod tests;

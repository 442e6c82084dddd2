//! The distributor, `GICD_*`.

use super::fields::{
    Frame, ICACTIVER, ICENABLER, ICFGR, ICPENDR, IGROUPR, IGRPMODR, ISACTIVER, ISENABLER, ISPENDR,
};
use super::its::LPI_BASE;
use super::{Error, POLLS, SPI_BASE, Target, Version};
use crate::mmio::Mmio;

const CTLR: usize = 0x000;
const TYPER: usize = 0x004;
const IIDR: usize = 0x008;
const ITARGETSR: usize = 0x800;
const SGIR: usize = 0xf00;
const IROUTER: usize = 0x6000;

/// Register write pending.
const CTLR_RWP: u32 = 1 << 31;
/// ARE 4, and both group enables. Seen by EL2 of a machine with two security
/// states these are ARE_NS, EnableGrp1A and EnableGrp1; where there is one
/// state (`GICD_CTLR.DS`) bit 0 is EnableGrp0, which is harmless: all
/// interrupts are put into group 1.
const CTLR_V3: u32 = 1 << 4 | 0b11;
/// Non-secure view, and a GICv2 without security: the group interrupts are in.
const CTLR_V2: u32 = 1;

/// Shared interrupts, and on GICv2 each CPU's private ones.
#[derive(Debug, Clone, Copy)]
pub struct Distributor<M> {
    regs: M,
    version: Version,
    lines: u32,
}

impl<M: Mmio> Distributor<M> {
    /// The distributor behind `regs` (4 KiB for GICv2, 64 KiB for GICv3).
    pub fn new(regs: M, version: Version) -> Self {
        // ITLinesNumber 4:0; INTIDs 1020 to 1023 are special.
        let lines = ((regs.read32(TYPER) & 0x1f) + 1) * 32;
        Self {
            regs,
            version,
            lines: lines.min(1020),
        }
    }

    /// Architecture version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether it names a product (`GICD_IIDR` besides its implementer). Arm's
    /// GIC-400 is 0x0200_143b; QEMU's GICv2 only claims to be Arm's, as the
    /// one inside a Cortex-A15 did.
    pub fn names_product(&self) -> bool {
        self.regs.read32(IIDR) & !0xfff != 0
    }

    /// First interrupt id beyond the LPIs, if there are any: `GICD_TYPER.LPIS`
    /// 17, `.IDbits` 23:19, and `.num_LPIs` 15:11 unless zero.
    pub fn lpi_end(&self) -> Option<u32> {
        let typer = self.regs.read32(TYPER);
        if self.version == Version::V2 || typer & 1 << 17 == 0 {
            return None;
        }
        let by_bits = 1_u32.checked_shl((typer >> 19 & 0x1f) + 1);
        let by_number = match typer >> 11 & 0x1f {
            0 => None,
            n => 1_u32
                .checked_shl(n + 1)
                .map(|count| count.saturating_add(LPI_BASE)),
        };
        Some(
            by_bits
                .unwrap_or(u32::MAX)
                .min(by_number.unwrap_or(u32::MAX)),
        )
    }

    /// First interrupt id that is not implemented, 32 to 1020.
    pub fn lines(&self) -> u32 {
        self.lines
    }

    /// Takes over the distributor, once, on the boot CPU: all shared
    /// interrupts off, inactive, level-sensitive and routed to `boot`; then
    /// forwarding on.
    ///
    /// # Errors
    /// [`Error::Timeout`] if the distributor does not take the settings.
    pub fn init(&self, boot: Target) -> Result<(), Error> {
        self.regs.write32(
            CTLR,
            if self.version == Version::V3 {
                1 << 4
            } else {
                0
            },
        );
        self.settle()?;
        for intid in (SPI_BASE..self.lines).step_by(32) {
            self.frame().quiet(intid);
            let word = (intid as usize >> 5) * 4;
            self.regs.write32(ICFGR + word * 2, 0);
            self.regs.write32(ICFGR + word * 2 + 4, 0);
            if self.version == Version::V3 {
                self.regs.write32(IGROUPR + word, u32::MAX);
                self.regs.write32(IGRPMODR + word, 0);
            }
        }
        self.settle()?;
        for intid in SPI_BASE..self.lines {
            self.set_route(intid, boot);
        }
        let on = if self.version == Version::V3 {
            CTLR_V3
        } else {
            CTLR_V2
        };
        self.regs.write32(CTLR, on);
        self.settle()
    }

    /// GICv2: quiets the calling CPU's own interrupts.
    pub(super) fn init_private(&self) {
        self.frame().quiet(0);
    }

    fn frame(&self) -> Frame<'_, M> {
        Frame {
            regs: &self.regs,
            base: 0,
        }
    }

    /// Waits until changes took effect (`GICD_CTLR.RWP`; a GICv2 has no such
    /// bit and is in time).
    fn settle(&self) -> Result<(), Error> {
        if self.version == Version::V2 {
            return Ok(());
        }
        for _ in 0..POLLS {
            if self.regs.read32(CTLR) & CTLR_RWP == 0 {
                return Ok(());
            }
            core::hint::spin_loop();
        }
        Err(Error::Timeout(CTLR))
    }

    /// Checks that `intid` is a shared interrupt that exists.
    ///
    /// # Errors
    /// [`Error::Intid`] if not.
    pub fn check_spi(&self, intid: u32) -> Result<(), Error> {
        match (SPI_BASE..self.lines).contains(&intid) {
            true => Ok(()),
            false => Err(Error::Intid(intid)),
        }
    }

    /// Lets `intid` be forwarded, or no longer; when this returns, no CPU takes
    /// a disabled one any more unless it had been acknowledged.
    ///
    /// # Errors
    /// [`Error::Timeout`] if turning it off does not take effect.
    pub fn set_enabled(&self, intid: u32, on: bool) -> Result<(), Error> {
        self.frame().set(on, ISENABLER, ICENABLER, intid);
        if on { Ok(()) } else { self.settle() }
    }

    /// Whether `intid` is enabled.
    pub fn is_enabled(&self, intid: u32) -> bool {
        self.frame().get(ISENABLER, intid)
    }

    /// Makes `intid` pending, or no longer.
    pub fn set_pending(&self, intid: u32, on: bool) {
        self.frame().set(on, ISPENDR, ICPENDR, intid);
    }

    /// Whether `intid` is pending.
    pub fn is_pending(&self, intid: u32) -> bool {
        self.frame().get(ISPENDR, intid)
    }

    /// Makes `intid` active, or no longer: from any CPU, what an
    /// acknowledge and a deactivation do on the one that took it.
    pub fn set_active(&self, intid: u32, on: bool) {
        self.frame().set(on, ISACTIVER, ICACTIVER, intid);
    }

    /// Makes `intid`, which is disabled, inactive, and no longer pending unless
    /// its line is high and level-sensitive.
    pub fn forget(&self, intid: u32) {
        self.set_active(intid, false);
        self.set_pending(intid, false);
    }

    /// Whether `intid` is active.
    pub fn is_active(&self, intid: u32) -> bool {
        self.frame().get(ISACTIVER, intid)
    }

    /// Sets the priority; lower is more urgent.
    pub fn set_priority(&self, intid: u32, priority: u8) {
        self.frame().set_priority(intid, priority);
    }

    /// Makes shared interrupt `intid` edge-triggered or level-sensitive. Only
    /// while it is disabled (IHI 0069, 12.9.9), and not from two CPUs at once.
    pub fn set_edge(&self, intid: u32, edge: bool) {
        self.frame().set_edge(intid, edge);
    }

    /// Sends shared interrupt `intid` to `target` from now on.
    pub fn set_route(&self, intid: u32, target: Target) {
        match self.version {
            Version::V2 => self.regs.write8(ITARGETSR + intid as usize, target.mask),
            Version::V3 => {
                let affinity = target.mpidr & 0xff_00ff_ffff;
                self.regs.write64(IROUTER + intid as usize * 8, affinity);
            }
        }
    }

    /// GICv2: the calling CPU's bit in target masks. Private interrupts'
    /// target fields read as just that (IHI 0048, 4.3.12); which of the first
    /// words are implemented varies.
    pub fn own_mask(&self) -> u8 {
        let words = (0..32)
            .step_by(4)
            .map(|offset| self.regs.read32(ITARGETSR + offset));
        let found = words.fold(0, |all, word| all | word);
        // A GIC with one CPU reads as zero.
        found
            .to_ne_bytes()
            .iter()
            .fold(0, |all, byte| all | byte)
            .max(1)
    }

    /// GICv2: sends SGI `intid` (0–15) to the CPUs in `mask`. The caller has
    /// ordered its earlier stores (`dsb ishst`). GICv3 sends through
    /// `ICC_SGI1R_EL1` instead.
    pub fn send_sgi(&self, mask: u8, intid: u32) {
        if self.version == Version::V2 {
            self.regs.write32(SGIR, u32::from(mask) << 16 | intid & 0xf);
        }
    }
}

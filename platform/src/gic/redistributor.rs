//! A GICv3 CPU's redistributor, `GICR_*`.

use super::fields::{
    Frame, ICACTIVER, ICENABLER, ICPENDR, IGROUPR, IGRPMODR, ISACTIVER, ISENABLER, ISPENDR,
};
use super::lpi::CpuLpis;
use super::memory::Caching;
use super::{Error, POLLS};
use crate::mmio::Mmio;

const CTLR: usize = 0x0000;
const TYPER: usize = 0x0008;
const WAKER: usize = 0x0014;
const PROPBASER: usize = 0x0070;
const PENDBASER: usize = 0x0078;
const SGI_FRAME: usize = 0x1_0000;

const CTLR_ENABLE_LPIS: u32 = 1;
const CTLR_RWP: u32 = 1 << 3;
/// `Shareability` of `GICR_PROPBASER` and `GICR_PENDBASER`.
const SHAREABILITY: u64 = 0b11 << 10;
const TYPER_PLPIS: u64 = 1;
const TYPER_VLPIS: u64 = 1 << 1;
const TYPER_LAST: u64 = 1 << 4;
const WAKER_PROCESSOR_SLEEP: u32 = 1 << 1;
const WAKER_CHILDREN_ASLEEP: u32 = 1 << 2;

/// The SGIs and PPIs of one CPU.
#[derive(Debug, Clone, Copy)]
pub struct Redistributor<M> {
    regs: M,
    base: usize,
}

impl<M: Mmio> Redistributor<M> {
    /// Finds the redistributor of the CPU with this `MPIDR_EL1` in a region of
    /// them, `len` bytes long. `stride` is the device tree's
    /// `redistributor-stride`; without it each says itself how long it is.
    ///
    /// # Errors
    /// [`Error::NoRedistributor`] if it is not in this region (there may be
    /// others to search).
    pub fn find(regs: M, len: usize, stride: Option<usize>, mpidr: u64) -> Result<Self, Error> {
        let affinity = (mpidr & 0xff_ffff | mpidr >> 8 & 0xff00_0000) as u32;
        let mut base = 0_usize;
        while base
            .checked_add(2 * SGI_FRAME)
            .is_some_and(|end| end <= len)
        {
            let typer = regs.read64(base + TYPER);
            if (typer >> 32) as u32 == affinity {
                return Ok(Self { regs, base });
            }
            if typer & TYPER_LAST != 0 {
                break;
            }
            // A GICv4 redistributor has two more frames.
            let own = if typer & TYPER_VLPIS != 0 { 4 } else { 2 } * SGI_FRAME;
            base += stride.filter(|s| *s >= own).unwrap_or(own);
        }
        Err(Error::NoRedistributor(affinity))
    }

    /// Offset of the redistributor from the start of its region.
    pub fn offset(&self) -> usize {
        self.base
    }

    /// `GICR_TYPER`.
    pub fn typer(&self) -> u64 {
        self.regs.read64(self.base + TYPER)
    }

    /// Wakes the redistributor and quiets the CPU's private interrupts, all in
    /// group 1.
    ///
    /// # Errors
    /// [`Error::Timeout`] if it does not wake up or settle.
    pub fn init(&self) -> Result<(), Error> {
        let waker = self.regs.read32(self.base + WAKER);
        self.regs
            .write32(self.base + WAKER, waker & !WAKER_PROCESSOR_SLEEP);
        self.wait(WAKER, WAKER_CHILDREN_ASLEEP)?;
        self.regs.write32(self.base + SGI_FRAME + IGROUPR, u32::MAX);
        self.regs.write32(self.base + SGI_FRAME + IGRPMODR, 0);
        self.sgi_frame().quiet(0);
        self.wait(CTLR, CTLR_RWP)
    }

    /// Whether it takes physical LPIs, and nobody before us keeps it from
    /// being told where their tables are: once enabled they may stay so for
    /// ever (IHI 0069, 12.11.2). Stops those of firmware if it can.
    ///
    /// # Errors
    /// [`Error::Lpis`] if not.
    pub fn prepare_lpis(&self) -> Result<(), Error> {
        if self.typer() & TYPER_PLPIS == 0 {
            return Err(Error::Lpis);
        }
        let control = self.regs.read32(self.base + CTLR);
        if control & CTLR_ENABLE_LPIS != 0 {
            self.regs
                .write32(self.base + CTLR, control & !CTLR_ENABLE_LPIS);
            self.wait(CTLR, CTLR_RWP)?;
        }
        match self.regs.read32(self.base + CTLR) & CTLR_ENABLE_LPIS {
            0 => Ok(()),
            _ => Err(Error::Lpis),
        }
    }

    /// Tells the redistributor, which is awake, where the tables of LPIs are,
    /// and takes LPIs from now on.
    ///
    /// # Errors
    /// As [`prepare_lpis`](Self::prepare_lpis), and [`Error::Timeout`].
    pub fn enable_lpis(&self, tables: &CpuLpis) -> Result<(), Error> {
        self.prepare_lpis()?;
        for (register, value) in [
            (PROPBASER, CpuLpis::propbaser as fn(&_, _) -> u64),
            (PENDBASER, CpuLpis::pendbaser),
        ] {
            let at = self.base + register;
            self.regs.write64(at, value(tables, tables.caching()));
            if tables.caching() == Caching::Coherent && self.regs.read64(at) & SHAREABILITY == 0 {
                self.regs.write64(at, value(tables, Caching::Uncached));
            }
        }
        let control = self.regs.read32(self.base + CTLR);
        self.regs
            .write32(self.base + CTLR, control | CTLR_ENABLE_LPIS);
        self.wait(CTLR, CTLR_RWP)
    }

    fn wait(&self, register: usize, busy: u32) -> Result<(), Error> {
        for _ in 0..POLLS {
            if self.regs.read32(self.base + register) & busy == 0 {
                return Ok(());
            }
            core::hint::spin_loop();
        }
        Err(Error::Timeout(register))
    }

    fn sgi_frame(&self) -> Frame<'_, M> {
        Frame {
            regs: &self.regs,
            base: self.base + SGI_FRAME,
        }
    }

    /// Lets private interrupt `intid` (0–31) reach the CPU, or no longer.
    ///
    /// # Errors
    /// [`Error::Timeout`] if turning it off does not take effect.
    pub fn set_enabled(&self, intid: u32, on: bool) -> Result<(), Error> {
        self.sgi_frame().set(on, ISENABLER, ICENABLER, intid & 31);
        if on {
            Ok(())
        } else {
            self.wait(CTLR, CTLR_RWP)
        }
    }

    /// Sets the priority; lower is more urgent.
    pub fn set_priority(&self, intid: u32, priority: u8) {
        self.sgi_frame().set_priority(intid & 31, priority);
    }

    /// Makes `intid` pending, or no longer.
    pub fn set_pending(&self, intid: u32, on: bool) {
        self.sgi_frame().set(on, ISPENDR, ICPENDR, intid & 31);
    }

    /// Makes `intid` active, or no longer.
    pub fn set_active(&self, intid: u32, on: bool) {
        self.sgi_frame().set(on, ISACTIVER, ICACTIVER, intid & 31);
    }
}

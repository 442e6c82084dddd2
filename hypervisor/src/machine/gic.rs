//! The board's interrupt controller, whichever version it is.
//!
//! GICv3's CPU interface is system registers, GICv2's is memory; both are used
//! with end of interrupt split from deactivation.

use platform::facts;
use platform::mmio::{Mmio, Window};
use spin::Once;

use super::board;
use crate::arch::{gic_cpu, mmio};
use crate::vgic::{ListRegisters, Lr, Maintenance};

struct Gic {
    dist: Window,
    redist: alloc::vec::Vec<Window>,
}

static GIC: Once<Gic> = Once::new();

/// Sets the distributor up; on the boot CPU, once.
pub fn init(facts: &facts::Gic) {
    GIC.call_once(|| {
        let dist = mmio::window(facts.distributor.base, facts.distributor.size);
        dist.write32(0, 0);
        let lines = ((dist.read32(4) & 0x1f) + 1) * 32;
        for i in 1..lines / 32 {
            dist.write32(0x180 + 4 * i as usize, !0);
            dist.write32(0x380 + 4 * i as usize, !0);
            dist.write32(0x80 + 4 * i as usize, !0);
        }
        for i in 8..lines / 4 {
            dist.write32(0x400 + 4 * i as usize, 0xa0a0_a0a0);
        }
        dist.write32(0, 0x32);
        Gic { dist, redist: facts.redistributors.iter().map(|r| mmio::window(r.base, r.size)).collect() }
    });
}

fn my_redist() -> Option<(Window, usize)> {
    let gic = GIC.get()?;
    let me = board::this_mpidr();
    let aff = (me & 0xff_ffff) | (me >> 32 & 0xff) << 24;
    for window in &gic.redist {
        let mut at = 0;
        while at < window.len() {
            let typer = window.read64(at + 8);
            if typer >> 32 == aff {
                return Some((*window, at));
            }
            at += if typer & 2 != 0 { 0x4_0000 } else { 0x2_0000 };
        }
    }
    None
}

/// Wakes this CPU's part.
pub fn init_cpu() {
    if let Some((w, at)) = my_redist() {
        w.write32(at + 0x14, 0);
        while w.read32(at + 0x14) & 4 != 0 {}
        let sgi = at + 0x1_0000;
        w.write32(sgi + 0x80, !0);
        w.write32(sgi + 0x180, !0);
        w.write32(sgi + 0x380, !0);
        for i in 0..8 {
            w.write32(sgi + 0x400 + 4 * i, 0xa0a0_a0a0);
        }
    }
    gic_cpu::init();
}

/// Enables a private interrupt of this CPU.
pub fn enable_private(intid: u32) {
    if let Some((w, at)) = my_redist() {
        w.write32(at + 0x1_0100, 1 << intid);
    }
}

/// Enables a shared interrupt, routed to CPU `cpu`.
pub fn enable_shared(intid: u32, cpu: usize, edge: bool) {
    let Some(gic) = GIC.get() else { return };
    let i = intid as usize;
    let mpidr = board::mpidr(cpu);
    gic.dist.write64(0x6000 + 8 * i, mpidr);
    let shift = (i % 16) * 2;
    let cfg = gic.dist.read32(0xc00 + 4 * (i / 16)) & !(3 << shift);
    gic.dist.write32(0xc00 + 4 * (i / 16), cfg | u32::from(edge) << (shift + 1));
    gic.dist.write32(0x100 + 4 * (i / 32), 1 << (i % 32));
}

/// Disables a shared interrupt.
pub fn disable_shared(intid: u32) {
    let Some(gic) = GIC.get() else { return };
    gic.dist.write32(0x180 + 4 * (intid as usize / 32), 1 << (intid % 32));
}

/// Deactivates a shared interrupt from any CPU.
pub fn deactivate_shared(intid: u32) {
    gic_cpu::deactivate(intid);
}

/// Takes the most urgent interrupt, in the CPU interface's own terms.
pub fn acknowledge() -> Option<u32> {
    let raw = gic_cpu::acknowledge();
    (raw < 1020).then_some(raw)
}

/// The interrupt id in what [`acknowledge`] returned.
pub fn intid(raw: u32) -> u32 {
    raw
}

/// Drops the running priority.
pub fn end(raw: u32) {
    gic_cpu::end(raw);
}

/// Deactivates.
pub fn deactivate(raw: u32) {
    gic_cpu::deactivate(raw);
}

/// Sends an SGI to CPU `index`.
pub fn send_sgi(intid: u32, index: usize) {
    gic_cpu::send_sgi(intid, board::mpidr(index));
}

/// Virtual interface as out of reset.
pub fn reset_virtual_interface() {
    gic_cpu::reset_virtual();
}

/// This CPU's list registers.
pub struct Lrs;

impl Lrs {
    /// This CPU's.
    #[inline]
    pub fn here() -> Self {
        Self
    }
}

impl ListRegisters for Lrs {
    fn count(&self) -> usize {
        gic_cpu::list_registers()
    }
    fn read(&self, index: usize) -> Lr {
        Lr(gic_cpu::read_lr(index))
    }
    fn write(&mut self, index: usize, value: Lr) {
        gic_cpu::write_lr(index, value.0);
    }
    fn empty(&self) -> u32 {
        gic_cpu::elrsr() as u32
    }
    fn set_maintenance(&mut self, wanted: Maintenance) {
        let bits = 1 | u64::from(wanted.no_pending) << 3 | u64::from(wanted.entry_not_present) << 2;
        gic_cpu::set_hcr(bits | gic_cpu::hcr() & (0x1f << 27));
    }
    fn take_eoi_count(&mut self) -> u32 {
        let hcr = gic_cpu::hcr();
        gic_cpu::set_hcr(hcr & !(0x1f << 27));
        (hcr >> 27 & 0x1f) as u32
    }
    fn deactivate(&mut self, physical: u32) {
        gic_cpu::deactivate(physical);
    }
}

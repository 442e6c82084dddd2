//! The board's interrupt controller, whichever version it is.
//!
//! GICv3's CPU interface is system registers, GICv2's is memory; both are used
//! with end of interrupt split from deactivation.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, Ordering};

use platform::facts::{self, GicKind};
use platform::gic::its::RedistributorId;
use platform::gic::{
    CpuInterface, CpuLpis, Distributor, Error, Gich, Local, Redistributor, Target, Version,
    is_strided,
};
use platform::mmio::Window;
use spin::Once;
use spin::mutex::SpinMutex;

use super::cpus;
use crate::arch::boot::MAX_CPUS;
use crate::arch::{cache, gic_cpu, mmio};

struct Gic {
    distributor: Distributor<Window>,
    /// Where this CPU's GICv3 redistributor is looked for, with the address.
    redistributors: Vec<(u64, Window)>,
    stride: Option<usize>,
    /// GICv2's memory-mapped interfaces; banked, so one for all CPUs.
    v2: Option<V2>,
    locals: [Once<Local<Window>>; MAX_CPUS],
    /// GICv2: each CPU's bit in target masks.
    masks: [AtomicU8; MAX_CPUS],
    /// Trigger configuration is read, changed and written back.
    configuring: SpinMutex<()>,
}

pub(super) struct V2 {
    pub cpu: CpuInterface<Window>,
    pub lists: Gich<Window>,
    /// What guests see as their CPU interface.
    virtual_cpu: u64,
    /// QEMU's GICv2 clears the active state when a guest ends a hardware
    /// interrupt, but does not look at the line again until something else
    /// happens. It is the one that names no product.
    pub signals_again: bool,
}

static GIC: Once<Gic> = Once::new();

/// The memory-mapped interfaces, if it is a GICv2.
#[inline]
pub(super) fn v2() -> Option<&'static V2> {
    GIC.get()?.v2.as_ref()
}

/// Finds the controller and sets its distributor up; on the boot CPU, once.
///
/// # Errors
/// The distributor does not answer, or registers that guests need are missing.
pub fn init(facts: &facts::Gic) -> Result<(), Error> {
    let window = |region: &platform::region::Region| mmio::window(region.base, region.size);
    let version = match facts.kind {
        GicKind::V2 => Version::V2,
        GicKind::V3 => Version::V3,
    };
    let distributor = Distributor::new(window(&facts.distributor), version);
    let gic = Gic {
        distributor,
        redistributors: facts
            .redistributors
            .iter()
            .map(|region| (region.base, window(region)))
            .collect(),
        stride: facts.stride.and_then(|s| usize::try_from(s).ok()),
        v2: (version == Version::V2)
            .then(|| find_v2(facts, distributor.names_product()))
            .flatten(),
        locals: [const { Once::new() }; MAX_CPUS],
        masks: [const { AtomicU8::new(0) }; MAX_CPUS],
        configuring: SpinMutex::new(()),
    };
    let boot = Target {
        mpidr: cpus::this_mpidr(),
        mask: gic.distributor.own_mask(),
    };
    gic.distributor.init(boot)?;
    GIC.call_once(|| gic);
    Ok(())
}

fn find_v2(facts: &facts::Gic, signals_again: bool) -> Option<V2> {
    let (cpu, lists, virtual_cpu) = (facts.cpu_interface?, facts.hypervisor?, facts.virtual_cpu?);
    let cpu_window = mmio::window(cpu.base, cpu.size);
    let len = usize::try_from(cpu.size).ok()?;
    // With 64 KiB steps each 4 KiB page has 16 copies; the last copy of the
    // first page and the first of the second are neighbours.
    let skip = if is_strided(&cpu_window, len) {
        0xf000
    } else {
        0
    };
    Some(V2 {
        cpu: CpuInterface::new(cpu_window, len),
        lists: Gich::new(mmio::window(lists.base, lists.size)),
        virtual_cpu: virtual_cpu.base + skip,
        signals_again,
    })
}

/// Wakes this CPU's part and opens its interface.
///
/// # Errors
/// There is no redistributor for this CPU, or it does not answer.
pub fn init_cpu() -> Result<(), Error> {
    let (Some(gic), Some(index)) = (GIC.get(), cpus::this_cpu()) else {
        return Ok(());
    };
    let local = local(gic)?;
    local.init()?;
    if let (Some(slot), Some(mask)) = (gic.locals.get(index), gic.masks.get(index)) {
        slot.call_once(|| local);
        mask.store(gic.distributor.own_mask(), Ordering::Release);
    }
    if gic.v2.is_none() {
        gic_cpu::init();
    }
    Ok(())
}

fn local(gic: &Gic) -> Result<Local<Window>, Error> {
    if let Some(v2) = &gic.v2 {
        return Ok(Local::V2(gic.distributor, v2.cpu));
    }
    redistributor(gic).map(|(_, found)| Local::V3(found))
}

/// This CPU's redistributor and the address of its first frame.
fn redistributor(gic: &Gic) -> Result<(u64, Redistributor<Window>), Error> {
    let mpidr = cpus::this_mpidr();
    let find = |&(base, window): &(u64, Window)| {
        let found = Redistributor::find(window, window.len(), gic.stride, mpidr).ok()?;
        Some((base + found.offset() as u64, found))
    };
    let found = gic.redistributors.iter().find_map(find);
    found.ok_or(Error::NoRedistributor(mpidr as u32))
}

/// First interrupt id beyond the LPIs, if there are any and this CPU's
/// redistributor can take them.
pub fn lpi_end() -> Option<u32> {
    let gic = GIC.get()?;
    let end = gic.distributor.lpi_end()?;
    let (_, redistributor) = redistributor(gic).ok()?;
    match redistributor.prepare_lpis() {
        Ok(()) => Some(end),
        Err(error) => {
            log::warn!("no LPIs: {error:?}");
            None
        }
    }
}

/// Lets this CPU, whose redistributor is awake, take LPIs by these tables.
///
/// # Errors
/// It has no redistributor, or that one refuses.
pub fn enable_lpis(tables: &CpuLpis) -> Result<RedistributorId, Error> {
    let gic = GIC.get().ok_or(Error::Lpis)?;
    let (address, redistributor) = redistributor(gic)?;
    redistributor.enable_lpis(tables)?;
    let number = (redistributor.typer() >> 8) as u16;
    Ok(RedistributorId { address, number })
}

/// Whether `intid` is a shared interrupt of the board.
pub fn is_shared(intid: u32) -> bool {
    GIC.get()
        .is_some_and(|gic| gic.distributor.check_spi(intid).is_ok())
}

/// Enables a private interrupt of this CPU.
pub fn enable_private(intid: u32) {
    let local = GIC
        .get()
        .and_then(|gic| gic.locals.get(cpus::this_cpu()?)?.get());
    if local.is_none_or(|local| local.set_enabled(intid, true).is_err()) {
        log::error!("private interrupt {intid} cannot be enabled");
    }
}

/// Enables shared interrupt `intid`, routed to CPU `cpu`. Its trigger is
/// changed only if it was off.
pub fn enable_shared(intid: u32, cpu: usize, edge: bool) {
    let Some(gic) = GIC.get() else { return };
    let mask = gic
        .masks
        .get(cpu)
        .map_or(0, |mask| mask.load(Ordering::Acquire));
    gic.distributor.set_route(
        intid,
        Target {
            mpidr: cpus::mpidr(cpu),
            mask,
        },
    );
    if !gic.distributor.is_enabled(intid) {
        let _serial = gic.configuring.lock();
        gic.distributor.set_edge(intid, edge);
    }
    let _ = gic.distributor.set_enabled(intid, true);
}

/// Disables shared interrupt `intid`.
pub fn disable_shared(intid: u32) {
    if let Some(gic) = GIC.get()
        && gic.distributor.set_enabled(intid, false).is_err()
    {
        log::error!("interrupt {intid} cannot be disabled: the distributor does not answer");
    }
}

/// Forgets a disabled shared interrupt: neither active at a CPU that
/// acknowledged it, nor pending by an edge that came since.
pub fn forget_shared(intid: u32) {
    if let Some(gic) = GIC.get() {
        gic.distributor.forget(intid);
    }
}

/// An interrupt that this CPU has taken.
#[derive(Clone, Copy)]
pub struct Taken {
    /// What [`end`] and [`deactivate`] want to hear.
    pub raw: u32,
    /// The interrupt id: GICv2 adds the sender to it.
    pub intid: u32,
}

/// Takes the most urgent interrupt.
pub fn acknowledge() -> Option<Taken> {
    let (raw, intid) = match &GIC.get()?.v2 {
        None => {
            let intid = gic_cpu::acknowledge();
            (intid, intid)
        }
        Some(v2) => {
            let raw = v2.cpu.acknowledge();
            (raw, raw & 0x3ff)
        }
    };
    // 1020 to 1023: there is none.
    (!(1020..1024).contains(&intid)).then_some(Taken { raw, intid })
}

/// Drops the running priority.
pub fn end(raw: u32) {
    match v2() {
        None => gic_cpu::end(raw),
        Some(v2) => v2.cpu.end(raw),
    }
}

/// Deactivates an interrupt of this CPU, or a shared one it acknowledged.
pub fn deactivate(raw: u32) {
    match v2() {
        None => gic_cpu::deactivate(raw),
        Some(v2) => v2.cpu.deactivate(raw),
    }
}

/// Sends SGI `intid` to CPU `index`.
pub fn send_sgi(intid: u32, index: usize) {
    let Some(gic) = GIC.get() else { return };
    if gic.v2.is_none() {
        return gic_cpu::send_sgi(intid, cpus::mpidr(index));
    }
    cache::dsb_ish();
    let mask = gic
        .masks
        .get(index)
        .map_or(0, |mask| mask.load(Ordering::Acquire));
    gic.distributor.send_sgi(mask, intid);
}

/// The virtual interface of this CPU, as a vCPU finds it after reset.
pub fn reset_virtual_interface() {
    match v2() {
        None => gic_cpu::reset_virtual(),
        Some(v2) => v2.lists.reset(),
    }
}

/// GICv2: physical address of what guests see as their CPU interface.
#[must_use]
pub fn virtual_cpu_interface() -> Option<u64> {
    Some(v2()?.virtual_cpu)
}

//! Silencing and resetting a physical function.

use super::config::{ConfigSpace, Delay};
use super::error::PciError;
use super::regs::{self, af, bridge, cap, command, msi, pcie, pm};
use super::rid::Rid;
use super::topology::{Function, Topology};

/// How a function was reset, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetMethod {
    /// Function-level reset by the PCI Express capability (PCIe base 5.0, 6.6.2).
    Function,
    /// Function-level reset of conventional PCI (advanced features ECN).
    Advanced,
    /// D3hot and back, where that resets (no `No_Soft_Reset`).
    Power,
    /// Secondary bus reset: the function is alone behind its bridge.
    Bus,
    /// None offered. The function is quiet and its interrupts are off, but its
    /// internal state is what its last owner left.
    None,
}

/// Wait for outstanding transactions: this many steps of 1 ms.
const PENDING_STEPS: u32 = 100;
/// Wait after a function-level reset (6.6.2: 100 ms).
const FLR_US: u32 = 100_000;
/// After that, wait for the function to answer: this many steps of 10 ms.
const READY_STEPS: u32 = 100;
/// Hold a secondary bus in reset (Trst 1 ms; 2 ms as others do).
const BUS_RESET_US: u32 = 2_000;

/// Stops a function: no bus mastering, no decoding, no INTx. Reads the command
/// register back, which also pushes posted writes ahead of it out.
///
/// # Errors
/// [`PciError::Stuck`] if bus mastering reads back as enabled.
pub fn quiesce(cfg: &impl ConfigSpace, rid: Rid) -> Result<(), PciError> {
    cfg.write16(rid, regs::COMMAND, command::INTX_DISABLE);
    match cfg.read16(rid, regs::COMMAND) & command::BUS_MASTER {
        0 => Ok(()),
        _ => Err(PciError::Stuck {
            rid,
            offset: regs::COMMAND,
        }),
    }
}

/// Quiesces and resets a function by the best method it has, then restores its
/// BARs. Afterwards it is in D0, decodes nothing, masters nothing and signals
/// nothing, whatever the method.
///
/// # Errors
/// [`PciError::Stuck`] if it does not stop mastering, or does not answer within
/// a second after its reset. It must then not be given to anybody.
pub fn reset(
    cfg: &impl ConfigSpace,
    topology: &Topology,
    function: &Function,
    delay: &impl Delay,
) -> Result<ResetMethod, PciError> {
    let pending = begin(cfg, topology, function, delay)?;
    delay.delay_us(pending.wait_us());
    pending.finish(cfg, function, delay)
}

/// A reset that has been started. Several functions can wait together.
#[must_use = "a reset that is not finished leaves the function without its BARs"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    method: ResetMethod,
}

/// Starts a reset: the first half of [`reset`].
///
/// # Errors
/// [`PciError::Stuck`] if the function does not stop mastering.
pub fn begin(
    cfg: &impl ConfigSpace,
    topology: &Topology,
    function: &Function,
    delay: &impl Delay,
) -> Result<Pending, PciError> {
    quiesce(cfg, function.rid)?;
    wake(cfg, function, delay);
    let method = choose(cfg, topology, function);
    wait_pending(cfg, function, delay);
    match method {
        ResetMethod::Function => flr(cfg, function),
        ResetMethod::Advanced => advanced(cfg, function),
        ResetMethod::Power => set_state(cfg, function, pm::D3HOT),
        ResetMethod::Bus => bus(cfg, topology, function, delay),
        ResetMethod::None => {}
    }
    Ok(Pending { method })
}

impl Pending {
    /// Microseconds to wait before [`Self::finish`], during which nobody may
    /// access the function.
    #[must_use]
    pub const fn wait_us(self) -> u32 {
        match self.method {
            ResetMethod::Function | ResetMethod::Advanced | ResetMethod::Bus => FLR_US,
            ResetMethod::Power => pm::D3HOT_DELAY_US,
            ResetMethod::None => 0,
        }
    }

    /// The second half of [`reset`].
    ///
    /// # Errors
    /// As [`reset`].
    pub fn finish(
        self,
        cfg: &impl ConfigSpace,
        function: &Function,
        delay: &impl Delay,
    ) -> Result<ResetMethod, PciError> {
        let rid = function.rid;
        if self.method == ResetMethod::Power {
            set_state(cfg, function, 0);
            delay.delay_us(pm::D3HOT_DELAY_US);
        }
        if self.method != ResetMethod::None {
            ready(cfg, rid, delay)?;
        }
        silence_messages(cfg, function);
        quiesce(cfg, rid)?;
        function.context().restore(cfg);
        Ok(self.method)
    }
}

/// Which method a function offers. Reads only.
#[must_use]
pub fn choose(cfg: &impl ConfigSpace, topology: &Topology, function: &Function) -> ResetMethod {
    let rid = function.rid;
    let at = |id, offset: u16| function.caps.find(id).map(|cap| cap.saturating_add(offset));
    let has_flr = |at| cfg.read32(rid, at) & pcie::DEVCAP_FLR != 0;
    if at(cap::PCIE, pcie::DEVCAP).is_some_and(has_flr) {
        return ResetMethod::Function;
    }
    let has_af = |at| cfg.read8(rid, at) & af::CAP_FLR == af::CAP_FLR;
    if at(cap::AF, af::CAP).is_some_and(has_af) {
        return ResetMethod::Advanced;
    }
    let soft = |at| cfg.read16(rid, at) & pm::NO_SOFT_RESET == 0;
    if at(cap::PM, pm::PMCSR).is_some_and(soft) {
        return ResetMethod::Power;
    }
    let behind = |f: &&Function| f.parent == function.parent;
    let alone = topology.functions.iter().filter(behind).count() == 1;
    match function.parent.is_some() && alone {
        true => ResetMethod::Bus,
        false => ResetMethod::None,
    }
}

/// Brings a function to D0.
fn wake(cfg: &impl ConfigSpace, function: &Function, delay: &impl Delay) {
    let Some(at) = function.caps.find(cap::PM) else {
        return;
    };
    let pmcsr = at.saturating_add(pm::PMCSR);
    if cfg.read16(function.rid, pmcsr) & pm::STATE != 0 {
        cfg.write16(function.rid, pmcsr, 0);
        delay.delay_us(pm::D3HOT_DELAY_US);
    }
}

/// Waits until the function has no transaction outstanding. If it keeps one,
/// the reset happens all the same: the bound matters more.
fn wait_pending(cfg: &impl ConfigSpace, function: &Function, delay: &impl Delay) {
    let Some(at) = function.caps.find(cap::PCIE) else {
        return;
    };
    for _ in 0..PENDING_STEPS {
        let status = cfg.read16(function.rid, at.saturating_add(pcie::DEVSTA));
        if status & pcie::DEVSTA_PENDING == 0 || status == 0xffff {
            return;
        }
        delay.delay_us(1_000);
    }
}

fn flr(cfg: &impl ConfigSpace, function: &Function) {
    let Some(at) = function.caps.find(cap::PCIE) else {
        return;
    };
    let devctl = at.saturating_add(pcie::DEVCTL);
    let old = cfg.read16(function.rid, devctl);
    cfg.write16(function.rid, devctl, old | pcie::DEVCTL_FLR);
}

fn advanced(cfg: &impl ConfigSpace, function: &Function) {
    let Some(at) = function.caps.find(cap::AF) else {
        return;
    };
    cfg.write8(function.rid, at.saturating_add(af::CONTROL), 1);
}

fn set_state(cfg: &impl ConfigSpace, function: &Function, state: u16) {
    let Some(at) = function.caps.find(cap::PM) else {
        return;
    };
    cfg.write16(function.rid, at.saturating_add(pm::PMCSR), state);
}

fn bus(cfg: &impl ConfigSpace, topology: &Topology, function: &Function, delay: &impl Delay) {
    let Some(above) = topology.bridges_above(function).next() else {
        return;
    };
    let old = cfg.read16(above.rid, bridge::CONTROL);
    cfg.write16(above.rid, bridge::CONTROL, old | bridge::CONTROL_RESET);
    delay.delay_us(BUS_RESET_US);
    cfg.write16(above.rid, bridge::CONTROL, old & !bridge::CONTROL_RESET);
}

/// Waits until the function answers again.
fn ready(cfg: &impl ConfigSpace, rid: Rid, delay: &impl Delay) -> Result<(), PciError> {
    for _ in 0..READY_STEPS {
        // All ones: no answer. 0x0001: retry status (PCIe base 5.0, 2.3.2).
        if !matches!(cfg.read16(rid, regs::VENDOR), 0xffff | 0x0001) {
            return Ok(());
        }
        delay.delay_us(10_000);
    }
    Err(PciError::Stuck {
        rid,
        offset: regs::VENDOR,
    })
}

/// Turns off MSI and MSI-X: a reset does that, its absence does not.
fn silence_messages(cfg: &impl ConfigSpace, function: &Function) {
    for (id, writable) in [
        (cap::MSI, msi::MSI_WRITABLE),
        (cap::MSIX, msi::MSIX_WRITABLE),
    ] {
        let Some(at) = function.caps.find(id) else {
            continue;
        };
        let control = at.saturating_add(msi::CONTROL);
        let old = cfg.read16(function.rid, control);
        cfg.write16(function.rid, control, old & !writable);
    }
}

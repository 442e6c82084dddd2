//! The PCI host bridge that one VM sees: a flat virtual bus 0 with the VM's
//! own functions on it, and nothing else.
//!
//! The guest never touches physical configuration space. Each access is
//! answered from a shadow, or passed on register by register where that is
//! safe; BAR addresses are the guest's to choose and only decide where in its
//! own address space its own devices appear.

mod caps;
mod function;
mod lifecycle;
mod placing;
mod plan;
mod slots;
mod vbar;

pub use lifecycle::ResetReport;
pub use plan::Plan;

use super::config::{ConfigSpace, Width};
use super::effects::{Effects, PowerDenied};
use super::error::PciError;
use super::rid::Rid;
use super::topology::Topology;
use alloc::vec::Vec;
use arrayvec::ArrayVec;
use function::VirtualFunction;

/// Functions that one virtual host carries at most. Bounds the work of one
/// configuration write, which looks at every BAR of the VM.
pub const MAX_FUNCTIONS: usize = 32;

/// Interrupt lines of a host bridge.
pub const LINES: usize = 4;

/// Whether functions may signal interrupts by messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MsiPolicy {
    /// MSI and MSI-X capabilities are hidden; interrupts are INTx.
    None,
    /// The capabilities are shown; guests write the address of a GICv2m frame,
    /// which the SMMU translates to the ITS doorbell.
    V2m {
        /// Guest-physical address of the frame.
        frame_ipa: u64,
        /// First SPI of the frame.
        first_spi: u32,
        /// Number of SPIs of the frame.
        count: u32,
    },
}

/// What the board and the guest platform decide about a virtual host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostConfig {
    /// First address of the guest's MMIO window, the same on its bus.
    pub window_ipa: u64,
    /// Bytes of that window. BARs appear inside it or not at all.
    pub window_size: u64,
    /// Stage-2 page, the same that placed the physical BARs.
    pub page: u64,
    /// Virtual SPI of line 0; those of the other lines follow.
    pub first_spi: u32,
    /// Message interrupts.
    pub msi: MsiPolicy,
}

/// One access to the virtual ECAM window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The virtual function addressed.
    pub rid: Rid,
    /// Register offset, below 4096, aligned to the width.
    pub offset: u16,
    /// Width.
    pub width: Width,
}

impl Access {
    /// Decodes a load or store of `bytes` bytes at `offset` in the window.
    /// `None` for what configuration space has no access for; such a load
    /// reads as all ones and such a store writes nothing.
    #[must_use]
    pub fn decode(offset: u64, bytes: usize) -> Option<Self> {
        let width = Width::from_bytes(bytes)?;
        let rid = Rid(u16::try_from(offset >> 12).ok()?);
        let offset = (offset & 0xfff) as u16;
        let aligned = offset.is_multiple_of(width.bytes());
        aligned.then_some(Self { rid, offset, width })
    }

    /// The register's 32-bit word.
    const fn word(self) -> u16 {
        self.offset & !3
    }

    /// Bits to shift between the word and the accessed lanes.
    const fn shift(self) -> u32 {
        ((self.offset & 3) as u32).wrapping_mul(8)
    }
}

/// One physical interrupt line and the virtual one that stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntxRoute {
    /// Physical SPI, level-triggered.
    pub physical_spi: u32,
    /// Virtual SPI, to be injected with the physical interrupt behind it, so
    /// that the guest's end-of-interrupt deactivates that.
    pub virtual_spi: u32,
}

/// A VM's function, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionInfo {
    /// Physical requester id: the stream.
    pub physical: Rid,
    /// Where the guest sees it.
    pub virtual_rid: Rid,
    /// Whether it can master the bus: D0 and bus-master enable.
    pub active: bool,
    /// D-state 0–3.
    pub d_state: u8,
}

/// The virtual host bridge of one VM.
#[derive(Debug)]
pub struct VirtualHost {
    config: HostConfig,
    functions: Vec<VirtualFunction>,
    routes: ArrayVec<IntxRoute, LINES>,
    /// The VM has written something since the last reset, or there was none.
    touched: bool,
    /// What the last reset said.
    last: ResetReport,
}

impl VirtualHost {
    /// Builds the host for the functions `rids`. `spi(slot, pin)` looks a pin
    /// (1–4) of a slot on the root bus up in the physical host bridge's
    /// `interrupt-map`; `None` leaves that function without INTx.
    ///
    /// Nothing is reset or mapped yet: call [`Self::reset`] before the VM runs.
    ///
    /// # Errors
    /// Says which function cannot be given and why.
    pub fn new(
        cfg: &impl ConfigSpace,
        config: HostConfig,
        topology: &Topology,
        rids: &[Rid],
        spi: impl Fn(u8, u8) -> Option<u32>,
    ) -> Result<Self, PciError> {
        check(&config)?;
        let seats = slots::seats(topology, rids)?;
        let mut host = Self {
            config,
            functions: Vec::new(),
            routes: ArrayVec::new(),
            touched: true,
            last: ResetReport::default(),
        };
        for seat in seats {
            let function = topology.get(seat.physical)?;
            let interrupt = topology
                .intx(function)
                .and_then(|(slot, pin)| spi(slot, pin));
            let pin = match interrupt {
                Some(spi) => host.route(&seat, function.pin, spi)?,
                None => 0,
            };
            let built = VirtualFunction::new(cfg, function, &seat, pin, &config)?;
            host.functions.push(built);
        }
        placing::preassign(&mut host.functions, &config);
        Ok(host)
    }

    /// Reads a register.
    #[must_use]
    pub fn read(&self, cfg: &impl ConfigSpace, access: Access) -> u32 {
        let mut shown = self.functions.iter().filter(|f| !f.hidden);
        let Some(function) = shown.find(|f| f.rid == access.rid) else {
            return access.width.ones();
        };
        (function.read(cfg, access.word()) >> access.shift()) & access.width.ones()
    }

    /// Decides what a write means. Nothing changes until [`Plan::commit`].
    pub fn prepare(&mut self, access: Access, value: u32) -> Plan<'_> {
        Plan::new(self, access, value)
    }

    /// Performs a write: supplier first when a function wakes, last when it
    /// goes idle.
    ///
    /// # Errors
    /// [`PowerDenied`] from [`Effects::become_active`]: the write was not
    /// performed, and the guest reads the old value back.
    pub fn write(
        &mut self,
        cfg: &impl ConfigSpace,
        access: Access,
        value: u32,
        effects: &mut impl Effects,
    ) -> Result<(), PowerDenied> {
        let plan = self.prepare(access, value);
        if let Some(rid) = plan.wakes() {
            effects.become_active(rid)?;
        }
        plan.commit(cfg, effects);
        Ok(())
    }

    /// A load of `bytes` bytes at `offset` in the virtual ECAM window: what the
    /// trap handler puts into the guest's register.
    #[must_use]
    pub fn load(&self, cfg: &impl ConfigSpace, offset: u64, bytes: usize) -> u64 {
        match Access::decode(offset, bytes) {
            Some(access) => u64::from(self.read(cfg, access)),
            None => Width::from_bytes(bytes).map_or(u64::MAX, |width| u64::from(width.ones())),
        }
    }

    /// A store of the low `bytes` bytes of `value` at `offset` in the window.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn store(
        &mut self,
        cfg: &impl ConfigSpace,
        offset: u64,
        bytes: usize,
        value: u64,
        effects: &mut impl Effects,
    ) -> Result<(), PowerDenied> {
        match Access::decode(offset, bytes) {
            Some(access) => self.write(cfg, access, value as u32, effects),
            None => Ok(()),
        }
    }

    /// Hides a physical function from the VM, as if its slot were empty, or shows
    /// it. It keeps its place, and is reset with the others.
    pub fn hide(&mut self, physical: Rid, hidden: bool) {
        let mut all = self.functions.iter_mut();
        if let Some(function) = all.find(|f| f.physical == physical) {
            function.hidden = hidden;
        }
    }

    /// The interrupt lines in use, one physical SPI per virtual one.
    #[must_use]
    pub fn routes(&self) -> &[IntxRoute] {
        &self.routes
    }

    /// The VM's functions.
    pub fn functions(&self) -> impl Iterator<Item = FunctionInfo> + '_ {
        self.functions.iter().map(|f| FunctionInfo {
            physical: f.physical,
            virtual_rid: f.rid,
            active: f.active,
            d_state: f.d_state,
        })
    }

    /// The physical function behind a virtual requester id.
    #[must_use]
    pub fn physical(&self, virtual_rid: Rid) -> Option<Rid> {
        self.functions()
            .find(|f| f.virtual_rid == virtual_rid)
            .map(|f| f.physical)
    }

    /// The configuration that the host was built with.
    #[must_use]
    pub const fn config(&self) -> &HostConfig {
        &self.config
    }
}

fn check(config: &HostConfig) -> Result<(), PciError> {
    let bad = |value| Err(PciError::BadWindow { value });
    if !config.page.is_power_of_two() || config.page < 4096 {
        return bad(config.page);
    }
    let offset_in_page = config.page.wrapping_sub(1);
    if config.window_ipa & offset_in_page != 0
        || config.window_ipa.checked_add(config.window_size).is_none()
    {
        return bad(config.window_ipa);
    }
    Ok(())
}

//! A VM's virtual host bridge, joined to its address space and its masters'
//! power.

use alloc::vec::Vec;

use pgtable::Attrs;
use platform::facts::Board;
use spin::mutex::SpinMutex;

use super::lines::Line;
use super::masters::Master;
use super::space::AddressSpace;
use crate::arch::timer;
use crate::guest::map;
use crate::machine::board::pci::{self, Host};
use crate::pci::{
    BarMapping, Delay, Effects, HostConfig, MapDenied, MsiPolicy, PciError, PowerDenied, Rid,
    VirtualHost, reset,
};
use crate::power::evidence::{Event, Word};
use crate::vgic::SPI_BASE;

/// A VM's virtual host bridge.
pub struct VmHost {
    /// Index of the board's host bridge behind it.
    host: usize,
    /// Its interrupt lines.
    lines: Vec<Line>,
    /// Its functions: physical and virtual requester id.
    rids: Vec<(Rid, Rid)>,
    /// Held over waits in which interrupts are taken: locked by accesses of the
    /// guest and by its end alone, never where an interrupt may come from.
    bridge: SpinMutex<VirtualHost>,
}

impl VmHost {
    /// A bridge with the functions `rids` of host bridge `host`.
    ///
    /// # Errors
    /// Which function cannot be given, and why.
    pub fn new(board: &Board, host: usize, rids: &[Rid], msi: MsiPolicy) -> Result<Self, PciError> {
        let first = rids.first().copied().unwrap_or(Rid(0));
        let absent = PciError::NoFunction { rid: first };
        let physical = pci::host(host).ok_or(absent)?;
        let facts = board.pci_hosts.get(host).ok_or(absent)?;
        let config = HostConfig {
            window_ipa: map::PCI_MMIO.base,
            window_size: map::PCI_MMIO.size,
            page: 4096,
            first_spi: SPI_BASE + map::PCI_INTX_SPI,
            msi,
        };
        let line = |slot: u8, pin: u8| {
            facts
                .pin(Rid::new(facts.buses.0, slot, 0).0, pin)
                .map(|irq| irq.intid)
        };
        let bridge = VirtualHost::new(&physical.ecam, config, &physical.topology, rids, line)?;
        let routes = bridge.routes().iter();
        let lines = routes.map(|route| Line {
            physical: route.physical_spi,
            number: route.virtual_spi,
        });
        let functions = bridge.functions();
        Ok(Self {
            host,
            lines: lines.collect(),
            rids: functions.map(|f| (f.physical, f.virtual_rid)).collect(),
            bridge: SpinMutex::new(bridge),
        })
    }

    fn physical(&self) -> Option<&'static Host> {
        pci::host(self.host)
    }

    /// Its interrupt lines.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.clone()
    }

    /// The requester id under which the VM sees a physical function.
    pub fn virtual_rid(&self, rid: Rid) -> Option<Rid> {
        let mut rids = self.rids.iter();
        rids.find(|(own, _)| *own == rid).map(|(_, seen)| *seen)
    }

    /// Hides a physical function from the VM, or shows it; false if another access
    /// is at work in the bridge. May be called where an interrupt comes from.
    pub fn hide(&self, rid: Rid, hidden: bool) -> bool {
        let bridge = self.bridge.try_lock();
        bridge.map(|mut bridge| bridge.hide(rid, hidden)).is_some()
    }

    /// A load in the configuration window. `None` while another CPU of the VM
    /// is at work there, which may take long if a function is waited for.
    pub fn load(&self, offset: u64, size: u8) -> Option<u64> {
        let Some(host) = self.physical() else {
            return Some(u64::MAX);
        };
        let bridge = self.bridge.try_lock()?;
        Some(bridge.load(&host.ecam, offset, size.into()))
    }

    /// A store in the configuration window. One that would wake a master whose
    /// supplier does not come up is not performed; the guest reads that back.
    /// `None` as for a load.
    pub fn store(&self, side: &mut Side<'_>, offset: u64, size: u8, value: u64) -> Option<()> {
        if let Some(host) = self.physical() {
            let mut bridge = self.bridge.try_lock()?;
            let _denied = bridge.store(&host.ecam, offset, size.into(), value, side);
        }
        Some(())
    }

    /// The VM does not run: every function quiet, reset, and as at power-on.
    pub fn reset(&self, side: &mut Side<'_>) {
        let Some(host) = self.physical() else { return };
        let mut bridge = self.bridge.lock();
        let report = bridge.reset(&host.ecam, &host.topology, side);
        drop(bridge);
        for (rid, error) in report
            .functions
            .iter()
            .filter_map(|(rid, result)| Some((rid, result.as_ref().err()?)))
        {
            log::error!("{}: PCI function {rid}: {error}", side.space.owner());
        }
    }

    /// The VM stops for good and the lock of this bridge may be lost: its
    /// functions master nothing any more.
    pub fn silence(&self, side: &Side<'_>) {
        let Some(host) = self.physical() else { return };
        for rid in side.masters.iter().filter_map(|master| master.rid) {
            if let Err(error) = reset::quiesce(&host.ecam, rid) {
                log::error!("{}: PCI function {rid}: {error}", side.space.owner());
            }
        }
    }
}

/// The VM around the bridge, which configuration writes have effects on.
pub struct Side<'a> {
    /// BARs appear in it.
    pub space: &'a AddressSpace,
    /// The functions among them wake and sleep.
    pub masters: &'a [Master],
    /// Called again and again while a function is waited for. It must not look
    /// at the bridge, which is locked then.
    pub meanwhile: fn(),
}

impl Side<'_> {
    fn master(&self, rid: Rid) -> Option<&Master> {
        self.masters.iter().find(|master| master.rid == Some(rid))
    }
}

impl Delay for Side<'_> {
    fn delay_us(&self, micros: u32) {
        let end = timer::now_ns().saturating_add(u64::from(micros) * 1000);
        while timer::now_ns() < end {
            (self.meanwhile)();
            core::hint::spin_loop();
        }
    }
}

impl Effects for Side<'_> {
    fn become_active(&mut self, rid: Rid) -> Result<(), PowerDenied> {
        self.master(rid)
            .map_or(Ok(()), |master| master.before(Event::Pci(Word::Active)))
    }

    fn become_idle(&mut self, rid: Rid) {
        if let Some(master) = self.master(rid) {
            master.after(Event::Pci(Word::Idle));
        }
    }

    fn map_bar(&mut self, bar: BarMapping) -> Result<(), MapDenied> {
        self.space
            .map(bar.ipa, bar.pa, bar.size, Attrs::DEVICE)
            .map_err(|_| MapDenied)
    }

    fn unmap_bar(&mut self, bar: BarMapping) {
        if let Err(error) = self.space.unmap(bar.ipa, bar.size) {
            log::error!(
                "{}: a BAR at {:#x} cannot be unmapped: {error}",
                self.space.owner(),
                bar.ipa
            );
        }
    }
}

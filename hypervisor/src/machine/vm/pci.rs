//! PCI: the board's host bridges, and each VM's virtual one joined to its
//! tables and its masters' power.

use alloc::string::String;
use alloc::vec::Vec;

use pgtable::Attrs;
use platform::facts::{self, Board, WindowKind};
use spin::Once;
use spin::mutex::SpinMutex;

use super::Vm;
use super::lines::Line;
use super::masters::Master;
use crate::arch::guarded::Guarded;
use crate::arch::timer;
use crate::guest::map;
use crate::machine::operator::console::print;
use crate::pci::{
    Aborted, BarMapping, Delay, Ecam, Effects, HostConfig, HostWindow, HostWindows, Losses, Lost,
    MapDenied, MsiPolicy, PciError, PowerDenied, Registers, Rid, Topology, VirtualHost, Width, acs,
    bring_up, place, reset,
};
use crate::power::evidence::{Event, Word};
use crate::vgic::SPI_BASE;

/// A host bridge of the board.
struct Host {
    ecam: Ecam<Bus>,
    topology: Topology,
    /// Names of the VMs that have groups of its functions.
    owners: SpinMutex<acs::Owners<String>>,
}

/// The way to a host bridge's configuration space, and what got lost on it.
struct Bus {
    path: String,
    registers: Guarded,
    losses: Losses,
}

impl Registers for Bus {
    fn read(&self, at: usize, width: Width) -> Result<u32, Aborted> {
        self.registers.read(at, width)
    }

    fn write(&self, at: usize, width: Width, value: u32) -> Result<(), Aborted> {
        self.registers.write(at, width, value)
    }

    fn lost(&self, lost: Lost) {
        let turn = self.losses.note(lost, timer::now_ns());
        if turn.left_out > 0 {
            let (path, times) = (&self.path, turn.left_out);
            log::warn!("{path}: {times} more configuration accesses aborted");
        }
        if turn.shown {
            log::warn!("{}: {lost}", self.path);
        }
    }
}

static HOSTS: Once<Vec<Option<Host>>> = Once::new();

/// Finds every function behind the board's ECAM host bridges, places BARs and
/// leaves all endpoints quiet: none can start a transaction.
pub fn probe(board: &Board) {
    HOSTS.call_once(|| board.pci_hosts.iter().map(host).collect());
}

fn host(facts: &facts::PciHost) -> Option<Host> {
    if !facts.enabled || !facts.generic {
        return None;
    }
    let registers = facts.registers?;
    let ecam = Ecam::new(
        Bus {
            path: facts.path.clone(),
            registers: Guarded::new(registers.base, registers.size),
            losses: Losses::new(),
        },
        facts.buses.0,
        facts.buses.1,
    );
    let found = windows(facts)
        .ok_or(PciError::BadWindow { value: 0 })
        .and_then(|w| bring_up(&ecam, facts.buses, &w, 4096));
    match found {
        Ok(topology) => {
            log::info!("{}: {} functions", facts.path, topology.functions.len());
            for error in place::unplaced(&topology) {
                log::warn!("{}: {error}", facts.path);
            }
            Some(Host {
                ecam,
                topology,
                owners: SpinMutex::new(acs::Owners::default()),
            })
        }
        Err(error) => {
            log::error!("{}: {error}: its devices are given to nobody", facts.path);
            None
        }
    }
}

/// Configuration accesses that aborted, by function, for the monitor.
pub fn list_losses() {
    for host in HOSTS.get().into_iter().flatten().flatten() {
        let bus = host.ecam.registers();
        let counts = bus.losses.counts();
        let path = &bus.path;
        for (rid, count) in counts.functions {
            print(format_args!(
                "{path}: {count} configuration accesses to {rid} aborted\n"
            ));
        }
        if counts.others > 0 {
            let count = counts.others;
            print(format_args!("{path}: {count} to other functions\n"));
        }
    }
}

/// The windows that BARs are placed in.
fn windows(facts: &facts::PciHost) -> Option<HostWindows> {
    let find = |kind| facts.windows.iter().find(|w| w.kind == kind);
    let window = |w: &facts::Window| HostWindow {
        pa: w.cpu.base,
        bus: w.pci,
        size: w.cpu.size,
    };
    Some(HostWindows {
        low: window(find(WindowKind::Memory32)?),
        high: find(WindowKind::Memory64).map(window),
    })
}

/// Every requester id under which DMA of `rid` behind host bridge `host` may
/// arrive.
#[must_use]
pub fn requesters(host: usize, rid: u16) -> Vec<u16> {
    let Some(host) = HOSTS.get().and_then(|hosts| hosts.get(host)?.as_ref()) else {
        return Vec::new();
    };
    let function = host.topology.get(Rid(rid));
    function.map_or(Vec::new(), |f| {
        host.topology
            .requesters(f)
            .iter()
            .map(|rid| rid.0)
            .collect()
    })
}

/// Gives a function of host bridge `host` to the VM of this name, and with it
/// all that it can reach without passing the SMMU.
///
/// # Errors
/// Another VM has one of those, in words.
pub fn give(host: usize, rid: u16, vm: &str) -> Result<(), String> {
    let Some(host) = HOSTS.get().and_then(|hosts| hosts.get(host)?.as_ref()) else {
        // Its devices are given to nobody.
        return Ok(());
    };
    let given = host
        .owners
        .lock()
        .give(&host.topology, Rid(rid), String::from(vm));
    given.map_err(|other| {
        alloc::format!(
            "function {} can reach function {} of {} without passing the SMMU; \
             give both to one VM, or put one behind a port with access control",
            Rid(rid),
            other.function,
            other.owner
        )
    })
}

/// A VM's virtual host bridge.
pub struct VmHost {
    /// Index of the board's host bridge behind it.
    host: usize,
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
        let physical = HOSTS
            .get()
            .and_then(|hosts| hosts.get(host)?.as_ref())
            .ok_or(absent)?;
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
        Ok(Self {
            host,
            bridge: SpinMutex::new(bridge),
        })
    }

    fn physical(&self) -> Option<&'static Host> {
        HOSTS.get()?.get(self.host)?.as_ref()
    }

    /// Its interrupt lines.
    pub fn lines(&self) -> Vec<Line> {
        let bridge = self.bridge.lock();
        let lines = bridge.routes().iter().map(|route| Line {
            physical: route.physical_spi,
            number: route.virtual_spi,
        });
        lines.collect()
    }

    /// The requester id under which the VM sees a physical function.
    pub fn virtual_rid(&self, rid: Rid) -> Option<Rid> {
        self.bridge
            .lock()
            .functions()
            .find(|f| f.physical == rid)
            .map(|f| f.virtual_rid)
    }

    /// A load in the configuration window.
    pub fn load(&self, offset: u64, size: u8) -> u64 {
        self.physical().map_or(u64::MAX, |host| {
            self.bridge.lock().load(&host.ecam, offset, size.into())
        })
    }

    /// A store in the configuration window. One that would wake a master whose
    /// supplier does not come up is not performed; the guest reads that back.
    pub fn store(&self, vm: &Vm, offset: u64, size: u8, value: u64) {
        if let Some(host) = self.physical() {
            let _denied =
                self.bridge
                    .lock()
                    .store(&host.ecam, offset, size.into(), value, &mut Side { vm });
        }
    }

    /// The VM does not run: every function quiet, reset, and as at power-on.
    pub fn reset(&self, vm: &Vm) {
        let Some(host) = self.physical() else { return };
        let report = self
            .bridge
            .lock()
            .reset(&host.ecam, &host.topology, &mut Side { vm });
        for (rid, error) in report
            .functions
            .iter()
            .filter_map(|(rid, result)| Some((rid, result.as_ref().err()?)))
        {
            log::error!("{}: PCI function {rid}: {error}", vm.name);
        }
    }
}

/// A VM stops for good and the lock of its bridge may be lost: its functions
/// master nothing any more.
pub fn silence(vm: &Vm) {
    let Some(host) = vm.devices.pci.as_ref().and_then(VmHost::physical) else {
        return;
    };
    for rid in vm.masters.iter().filter_map(|master| master.rid) {
        if let Err(error) = reset::quiesce(&host.ecam, rid) {
            log::error!("{}: PCI function {rid}: {error}", vm.name);
        }
    }
}

/// What configuration writes do to the VM around the bridge.
struct Side<'a> {
    vm: &'a Vm,
}

impl Side<'_> {
    fn master(&self, rid: Rid) -> Option<&Master> {
        self.vm
            .masters
            .iter()
            .find(|master| master.rid == Some(rid))
    }
}

impl Delay for Side<'_> {
    fn delay_us(&self, micros: u32) {
        let end = timer::now_ns().saturating_add(u64::from(micros) * 1000);
        while timer::now_ns() < end {
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
        self.vm
            .space
            .map(bar.ipa, bar.pa, bar.size, Attrs::DEVICE)
            .map_err(|_| MapDenied)
    }

    fn unmap_bar(&mut self, bar: BarMapping) {
        if let Err(error) = self.vm.space.unmap(bar.ipa, bar.size) {
            log::error!(
                "{}: a BAR at {:#x} cannot be unmapped: {error}",
                self.vm.name,
                bar.ipa
            );
        }
    }
}

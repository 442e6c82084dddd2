//! The board's host bridges: what is behind them, and whom it is given to.

use alloc::string::String;
use alloc::vec::Vec;

use platform::facts::{self, Board, WindowKind};
use spin::Once;
use spin::mutex::SpinMutex;

use crate::arch::guarded::Guarded;
use crate::arch::timer;
use crate::pci::{
    Aborted, Counts, Ecam, HostWindow, HostWindows, Losses, Lost, PciError, Registers, Rid,
    Topology, Width, acs, bring_up, place,
};

/// A host bridge of the board.
pub struct Host {
    /// Its configuration space.
    pub ecam: Ecam<Bus>,
    /// What is behind it.
    pub topology: Topology,
    /// Names of the VMs that have groups of its functions.
    owners: SpinMutex<acs::Owners<String>>,
}

/// The way to a host bridge's configuration space, and what got lost on it.
pub struct Bus {
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
/// leaves all endpoints quiet: none can start a transaction. Configuration space
/// of a host bridge that is not `powered` is not touched.
pub fn probe(board: &Board, powered: impl Fn(usize) -> bool) {
    let each = board.pci_hosts.iter().enumerate();
    let each = each.map(|(index, facts)| powered(index).then(|| bring_up_host(facts)).flatten());
    HOSTS.call_once(|| each.collect());
}

fn bring_up_host(facts: &facts::PciHost) -> Option<Host> {
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

/// Host bridge `index`, if it works.
#[must_use]
pub fn host(index: usize) -> Option<&'static Host> {
    HOSTS.get()?.get(index)?.as_ref()
}

/// Configuration accesses that aborted: the path of each host bridge, and how
/// many by function.
pub fn losses() -> impl Iterator<Item = (&'static str, Counts)> {
    let hosts = HOSTS.get().into_iter().flatten().flatten();
    hosts.map(|host| {
        let bus = host.ecam.registers();
        (bus.path.as_str(), bus.losses.counts())
    })
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
    let Some(host) = self::host(host) else {
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
    let Some(host) = self::host(host) else {
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

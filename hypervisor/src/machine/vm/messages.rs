//! Message-signalled interrupts of PCI functions.
//!
//! A guest sees a GICv2m frame and writes its address and an interrupt number
//! into its functions' MSI and MSI-X entries. Devices' tables translate that
//! page to the board's own doorbell:
//!
//! - *An ITS* tells by DeviceID who wrote. For each of the VM's DeviceIDs the
//!   numbers of the frame are mapped, as events, to LPIs of the VM; any other
//!   number is dropped. An LPI becomes an edge of the VM's interrupt.
//! - *A GICv2m frame of the board* cannot tell writers apart, so it is given to
//!   one VM, with its interrupts under the same numbers.
//!
//! `docs/interrupts.md` argues why no VM can signal for another.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use pgtable::{Access, Attrs, Execute, MemoryType, Pa};
use platform::facts::interrupt::interrupts;
use platform::facts::{self, Board, PciHost};
use platform::gic::its::{Events, LPI_BASE};
use platform::tree::{NodeId, Tree};
use spin::mutex::SpinMutex;

use super::lines::Line;
use super::masters::Master;
use super::space::AddressSpace;
use crate::arch::mmio;
use crate::dma::Fixed;
use crate::guest::{Range, map};
use crate::machine::board::{gic, its, pci};
use crate::pci::{MsiPolicy, Rid};
use crate::vgic::v2m::{MSI_TYPER, V2m, typer_range};
use crate::vgic::{SPI_BASE, Vgic};

/// Devices write here, and do nothing else; CPUs fault and are emulated.
const DOORBELL: Attrs = Attrs::new(MemoryType::Device, Access::Write, Execute::None).devices_only();
/// First interrupt id of a frame in front of an ITS.
const FIRST: u32 = SPI_BASE + map::MSI_SPI_BASE;
/// Interrupts of such a frame: LPIs of each DeviceID.
const COUNT: u32 = map::MSI_SPI_COUNT;

/// What a VM has of messages.
pub struct Messages {
    /// What its CPUs see of the frame.
    pub frame: V2m,
    doorbell: Pa,
    way: Way,
}

enum Way {
    Frame,
    Its(Translated),
}

/// Events at an ITS.
struct Translated {
    /// Label of the VM, for the operator.
    owner: &'static str,
    unit: usize,
    /// One for each DeviceID.
    events: Vec<Events>,
    /// The CPU that each event goes to.
    at: [AtomicU16; COUNT as usize],
    /// They are mapped: the VM runs.
    mapped: AtomicBool,
}

/// Why a VM's functions signal by INTx.
#[derive(Clone, Copy)]
enum Why {
    Nowhere,
    Unconfined,
    Several,
    Dead,
    Taken,
    Shared,
    Exhausted,
    Numbers,
    Tables,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nowhere => "the host bridge's messages go nowhere",
            Self::Unconfined => "a function of its is not confined by an SMMU",
            Self::Several => "its functions' messages go to different controllers",
            Self::Dead => "the message controller does not work",
            Self::Taken => "another VM has the GICv2m frame, which cannot tell two apart",
            Self::Shared => "a function of another VM has the same DeviceID",
            Self::Exhausted => "there are no LPIs left",
            Self::Numbers => "the GICv2m frame's interrupts have no place in a VM",
            Self::Tables => "the doorbell cannot be mapped",
        })
    }
}

/// What has been given out; boot alone looks.
static GIVEN: SpinMutex<Vec<(NodeId, Option<u32>)>> = SpinMutex::new(Vec::new());

/// Finds a way for messages of the functions `rids` behind host bridge `host`,
/// and maps the doorbell for the VM's devices, which `masters` are. `None`: they
/// have INTx only.
pub fn offer(
    (tree, board): (&Tree<'_>, &Board),
    space: &AddressSpace,
    masters: &[Master],
    (host, rids): (usize, &[Rid]),
) -> Option<Messages> {
    let confined = |m: &Master| m.rid.is_none() || m.is_confined() || m.is_waiting();
    let found = match masters.iter().all(confined) {
        true => find((tree, board), space.owner(), host, rids),
        false => Err(Why::Unconfined),
    };
    let messages = found.and_then(|messages| {
        // A mirror with larger pages would leave it out.
        if space.dma_shape().page_size() != map::GICV2M.size {
            return Err(Why::Tables);
        }
        let Range { base, size } = map::GICV2M;
        let mapped = space.keep(base, messages.doorbell.0, size, DOORBELL);
        mapped.map(|()| messages).map_err(|_| Why::Tables)
    });
    match messages {
        Ok(messages) => Some(messages),
        Err(why) => {
            log::info!("{}: {why}: no MSI for its PCI functions", space.owner());
            None
        }
    }
}

fn find(
    (tree, board): (&Tree<'_>, &Board),
    owner: &'static str,
    host: usize,
    rids: &[Rid],
) -> Result<Messages, Why> {
    let facts = board.pci_hosts.get(host).ok_or(Why::Nowhere)?;
    let gic = board.gic.as_ref().ok_or(Why::Nowhere)?;
    let (node, devices) = device_ids(facts, host, rids)?;
    if let Some(frame) = gic.v2m.iter().find(|frame| frame.node == node) {
        return by_frame(tree, frame);
    }
    its::init(gic);
    by_its(owner, node, &devices)
}

/// The controller that the functions' messages go to, and every DeviceID under
/// which they may arrive there.
fn device_ids(facts: &PciHost, host: usize, rids: &[Rid]) -> Result<(NodeId, Vec<u32>), Why> {
    let mut ids = Vec::new();
    let mut target = None;
    for rid in rids.iter().flat_map(|rid| pci::requesters(host, rid.0)) {
        let (node, id) = facts.message_id(rid).ok_or(Why::Nowhere)?;
        if *target.get_or_insert(node) != node {
            return Err(Why::Several);
        }
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    target.map(|node| (node, ids)).ok_or(Why::Nowhere)
}

fn by_its(owner: &'static str, node: NodeId, devices: &[u32]) -> Result<Messages, Why> {
    let index = its::at(node).ok_or(Why::Dead)?;
    let unit = its::unit(index).ok_or(Why::Dead)?;
    let mut given = GIVEN.lock();
    if devices.iter().any(|&id| given.contains(&(node, Some(id)))) {
        return Err(Why::Shared);
    }
    let mut events = Vec::new();
    for &device in devices {
        let first_lpi = its::take_lpis(COUNT).ok_or(Why::Exhausted)?;
        given.push((node, Some(device)));
        events.push(Events {
            device,
            events: FIRST..FIRST + COUNT,
            first_lpi,
        });
    }
    Ok(Messages {
        frame: V2m::new(FIRST, COUNT).ok_or(Why::Numbers)?,
        doorbell: unit.doorbell,
        way: Way::Its(Translated {
            owner,
            unit: index,
            events,
            at: [const { AtomicU16::new(0) }; COUNT as usize],
            mapped: AtomicBool::new(false),
        }),
    })
}

fn by_frame(tree: &Tree<'_>, facts: &facts::V2mFrame) -> Result<Messages, Why> {
    let registers = facts.registers;
    let (first, count) = facts.spis.unwrap_or_else(|| {
        use platform::mmio::Mmio;
        let window = mmio::window(registers.base, registers.size);
        typer_range(window.read32(MSI_TYPER))
    });
    // Between the guest's own interrupts and those of platform devices. The
    // board may have wired devices to some of them: QEMU's SMMU is.
    let end = first.saturating_add(count);
    let range = first.max(64)..end.min(SPI_BASE + map::PASSED_SPI_BASE);
    let wired = wired(tree);
    let free = |number: u32| gic::is_shared(number) && !wired.contains(&number);
    let frame = V2m::of_free(range, free).ok_or(Why::Numbers)?;
    if !registers.base.is_multiple_of(4096) {
        return Err(Why::Numbers);
    }
    let mut given = GIVEN.lock();
    if given.contains(&(facts.node, None)) {
        return Err(Why::Taken);
    }
    given.push((facts.node, None));
    Ok(Messages {
        frame,
        doorbell: Pa(registers.base),
        way: Way::Frame,
    })
}

/// Every interrupt that some device of the board has.
fn wired(tree: &Tree<'_>) -> Vec<u32> {
    let of = |id| interrupts(tree, id).into_iter().flatten();
    tree.ids().flat_map(of).map(|irq| irq.intid).collect()
}

impl Messages {
    /// What the virtual host bridge is told.
    pub fn policy(&self) -> MsiPolicy {
        MsiPolicy::V2m {
            frame_ipa: map::GICV2M.base,
            first_spi: self.frame.first(),
            count: self.frame.count(),
        }
    }

    /// The doorbell as every DMA domain of the VM has it.
    pub fn doorbell(&self) -> Fixed {
        Fixed {
            iova: map::GICV2M.base,
            pa: self.doorbell,
            size: map::GICV2M.size,
        }
    }

    /// Physical interrupt lines that became the VM's.
    pub fn lines(&self) -> impl Iterator<Item = Line> + '_ {
        let own = matches!(self.way, Way::Frame).then(|| self.frame.numbers());
        own.into_iter().flatten().map(|number| Line {
            physical: number,
            number,
        })
    }

    /// The VM starts: its devices can signal, at CPU `first` until it says
    /// otherwise.
    pub fn start(&self, vgic: &Vgic, first: u16) {
        if let Some(translated) = self.translated() {
            translated.start(vgic, first);
        }
    }

    /// The VM has ended and its devices are quiet: nothing of them is pending at
    /// its CPUs.
    pub fn stop(&self, cpus: &[u16]) {
        if let Some(translated) = self.translated() {
            translated.stop(cpus);
        }
    }

    /// The guest has routed interrupt `number`: the message behind it, if there
    /// is one, comes to the CPU that will take it.
    pub fn route(&self, number: u32, cpu: u16) {
        if let Some(translated) = self.translated() {
            translated.route(number, cpu);
        }
    }

    /// The blocks of LPIs that are the VM's, by [`block`].
    pub fn blocks(&self) -> impl Iterator<Item = usize> + '_ {
        let events = self.translated().into_iter().flat_map(|own| &own.events);
        events.map(|events| block(events.first_lpi).0)
    }

    fn translated(&self) -> Option<&Translated> {
        match &self.way {
            Way::Frame => None,
            Way::Its(translated) => Some(translated),
        }
    }
}

impl Translated {
    fn start(&self, vgic: &Vgic, first: u16) {
        let Some(unit) = its::unit(self.unit) else {
            return;
        };
        self.mapped.store(true, Ordering::Relaxed);
        self.at
            .iter()
            .for_each(|cpu| cpu.store(first, Ordering::Relaxed));
        (FIRST..FIRST + COUNT).for_each(|number| vgic.watch_spi(number));
        let mut its = unit.its.lock();
        for events in &self.events {
            if let Err(error) = its.map(events, first) {
                log::error!(
                    "{}: DeviceID {:#x} signals nothing: {error}",
                    self.owner,
                    events.device
                );
            }
        }
    }

    fn stop(&self, cpus: &[u16]) {
        let Some(unit) = its::unit(self.unit) else {
            return;
        };
        if !self.mapped.swap(false, Ordering::Relaxed) {
            return;
        }
        let mut its = unit.its.lock();
        for events in &self.events {
            if let Err(error) = its.discard(events, cpus) {
                log::error!(
                    "{}: messages of DeviceID {:#x} may be left over: {error}",
                    self.owner,
                    events.device
                );
            }
        }
    }

    fn route(&self, number: u32, cpu: u16) {
        let slot = number
            .checked_sub(FIRST)
            .and_then(|n| self.at.get(n as usize));
        let (Some(slot), Some(unit)) = (slot, its::unit(self.unit)) else {
            return;
        };
        // The lock makes the record and the ITS agree.
        let mut its = unit.its.lock();
        let from = slot.load(Ordering::Relaxed);
        if from != cpu {
            let devices = self.events.iter().map(|events| events.device);
            if its.move_event(devices, number, (from, cpu)).is_ok() {
                slot.store(cpu, Ordering::Relaxed);
            }
        }
    }
}

/// The block that an LPI is in, and the number of the frame that it stands for.
#[must_use]
pub const fn block(lpi: u32) -> (usize, u32) {
    let index = lpi.saturating_sub(LPI_BASE);
    ((index / COUNT) as usize, FIRST + index % COUNT)
}

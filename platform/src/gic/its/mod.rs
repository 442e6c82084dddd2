//! The interrupt translation service of a GICv3 (IHI 0069, chapter 5).
//!
//! A device signals by writing an *event* to the ITS's doorbell; the fabric
//! adds who wrote it, the *DeviceID*. The ITS translates the pair into an LPI
//! and a CPU. A pair that is not mapped is dropped, so a device signals what
//! was mapped for its own DeviceID and nothing else, whatever it writes.
//!
//! Nothing here locks: one caller at a time. Every wait is bounded, and an ITS
//! that once failed to answer is not asked again.

mod command;
mod queue;
mod spec;
mod tables;

pub use command::RdBase;

use super::POLLS;
use super::memory::{Caching, TableMemory};
use crate::mmio::Mmio;
use alloc::vec::Vec;
use command::Command;
use core::fmt;
use core::ops::Range;
use litemap::LiteMap;
use queue::Queue;
use spec::Features;
use tables::Table;

/// Offset from the base of an ITS of the 4 KiB page that devices write to;
/// nothing but `GITS_TRANSLATER` is in it.
pub const DOORBELL_PAGE: u64 = spec::TRANSLATION_PAGE;
/// First LPI.
pub const LPI_BASE: u32 = 8192;

/// Why an ITS did not do as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// It serves no physical LPIs.
    NotPhysical,
    /// There is no memory for its tables, or none where it can reach it.
    Memory,
    /// The register at this offset never reported completion.
    Timeout(usize),
    /// It stopped at the command at this offset of its queue.
    Stalled(u64),
    /// It does not take a table in this `GITS_BASER`.
    Table(usize),
    /// It has no room for this DeviceID, or does not know it.
    Device(u32),
    /// It cannot tell this EventID.
    Event(u32),
    /// The collection is not mapped.
    Collection(u16),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPhysical => f.write_str("it serves no physical interrupts"),
            Self::Memory => f.write_str("no memory for its tables"),
            Self::Timeout(register) => write!(f, "it does not answer at register {register:#x}"),
            Self::Stalled(at) => write!(f, "it stopped at the command at {at:#x}"),
            Self::Table(index) => write!(f, "it takes no table in GITS_BASER{index}"),
            Self::Device(id) => write!(f, "no room for DeviceID {id:#x}"),
            Self::Event(id) => write!(f, "no room for EventID {id}"),
            Self::Collection(id) => write!(f, "collection {id} leads to no CPU"),
        }
    }
}

/// A CPU's redistributor, in both ways an ITS may want it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedistributorId {
    /// Physical address of its first frame.
    pub address: u64,
    /// `GICR_TYPER.Processor_Number`.
    pub number: u16,
}

/// Events of one device that are mapped alike: event n of `events` to LPI
/// `first_lpi` + n.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    /// DeviceID.
    pub device: u32,
    /// EventIDs.
    pub events: Range<u32>,
    /// LPI of the first.
    pub first_lpi: u32,
}

/// An ITS.
#[derive(Debug)]
pub struct Its<M, T> {
    regs: M,
    memory: T,
    features: Features,
    queue: Queue,
    devices: Table,
    /// Devices with an interrupt translation table: bits of EventID.
    itts: LiteMap<u32, u32>,
    collections: Vec<Option<RdBase>>,
}

impl<M: Mmio, T: TableMemory> Its<M, T> {
    /// Takes over the ITS behind `regs` (its first 64 KiB) for up to
    /// `collections` collections: tables, an empty queue, and on. Not
    /// `coherent`: its accesses do not snoop caches, whatever it says.
    ///
    /// # Errors
    /// What it does not do or take.
    pub fn new(regs: M, memory: T, collections: u16, coherent: bool) -> Result<Self, Error> {
        let typer = regs.read64(spec::TYPER);
        if typer & spec::TYPER_PHYSICAL == 0 {
            return Err(Error::NotPhysical);
        }
        disable(&regs)?;
        let features = Features::read(typer);
        let caching = match coherent {
            true => Caching::Coherent,
            false => Caching::Uncached,
        };
        let ids = 1u64 << features.device_bits;
        let index = find(&regs, spec::TYPE_DEVICES).ok_or(Error::Table(spec::BASERS))?;
        let devices = Table::new(&regs, index, &memory, caching, ids)?;
        if u64::from(collections) > features.own_collections {
            let index = find(&regs, spec::TYPE_COLLECTIONS).ok_or(Error::Table(spec::BASERS))?;
            Table::new(&regs, index, &memory, caching, collections.into())?;
        }
        let queue = Queue::new(&regs, &memory, caching)?;
        regs.write32(spec::CTLR, spec::CTLR_ENABLED);
        Ok(Self {
            regs,
            memory,
            features,
            queue,
            devices,
            itts: LiteMap::new(),
            collections: alloc::vec![None; collections.into()],
        })
    }

    /// Lets interrupts of `collection` go to a CPU, whose redistributor has
    /// LPIs enabled.
    ///
    /// # Errors
    /// The ITS does not answer, or has no such collection.
    pub fn map_collection(&mut self, collection: u16, cpu: RedistributorId) -> Result<(), Error> {
        let target = RdBase(if self.features.by_address {
            cpu.address & 0x0007_ffff_ffff_0000
        } else {
            u64::from(cpu.number) << 16
        });
        let slot = self.collections.get_mut(usize::from(collection));
        *slot.ok_or(Error::Collection(collection))? = Some(target);
        self.run(&[
            Command::MapCollection { collection, target },
            Command::InvalidateAll { collection },
            Command::Sync { target },
        ])
    }

    /// Maps events to LPIs of `collection`, which must be configured already.
    /// When this returns the device can signal them, and no others.
    ///
    /// # Errors
    /// The ITS does not answer or has no room.
    pub fn map(&mut self, wanted: &Events, collection: u16) -> Result<(), Error> {
        let target = self.target(collection)?;
        let last = wanted.events.end.saturating_sub(1);
        let bits = (u32::BITS - last.leading_zeros()).max(1);
        if bits > self.features.event_bits {
            return Err(Error::Event(last));
        }
        let mut commands = Vec::new();
        commands.extend(self.open(wanted.device, bits)?);
        let Events {
            device, first_lpi, ..
        } = *wanted;
        commands.extend(wanted.events.clone().zip(first_lpi..).map(|(event, lpi)| {
            Command::MapEvent {
                device,
                event,
                lpi,
                collection,
            }
        }));
        commands.push(Command::InvalidateAll { collection });
        commands.push(Command::Sync { target });
        self.run(&commands)
    }

    /// Makes sure that the device has a table for `bits` bits of EventID; the
    /// command to run if it was made just now.
    fn open(&mut self, device: u32, bits: u32) -> Result<Option<Command>, Error> {
        if let Some(&room) = self.itts.get(&device) {
            return match bits <= room {
                true => Ok(None),
                false => Err(Error::Event(1 << (bits - 1))),
            };
        }
        self.devices.provide(device, &self.memory)?;
        let size = (self.features.itt_entry << bits).max(256);
        let itt = self.memory.take(size, 256).ok_or(Error::Memory)?;
        self.itts.insert(device, bits);
        Ok(Some(Command::MapDevice { device, bits, itt }))
    }

    /// Removes events that may be mapped to any of `collections`; none of them
    /// is pending any more, at any CPU, when this returns.
    ///
    /// # Errors
    /// The ITS does not answer.
    pub fn discard(&mut self, mapped: &Events, collections: &[u16]) -> Result<(), Error> {
        let device = mapped.device;
        if !self.itts.contains_key(&device) {
            return Err(Error::Device(device));
        }
        let discard = |event| Command::Discard { device, event };
        let mut commands: Vec<Command> = mapped.events.clone().map(discard).collect();
        for &collection in collections {
            let target = self.target(collection)?;
            commands.push(Command::Sync { target });
        }
        self.run(&commands)
    }

    /// Moves one event of each of `devices` from one collection to another,
    /// pending or not.
    ///
    /// # Errors
    /// The ITS does not answer.
    pub fn move_event(
        &mut self,
        devices: impl Iterator<Item = u32>,
        event: u32,
        (from, to): (u16, u16),
    ) -> Result<(), Error> {
        let (old, _) = (self.target(from)?, self.target(to)?);
        let step = |device| Command::Move {
            device,
            event,
            collection: to,
        };
        let mut commands: Vec<Command> = devices.map(step).collect();
        commands.push(Command::Sync { target: old });
        self.run(&commands)
    }

    fn target(&self, collection: u16) -> Result<RdBase, Error> {
        let slot = self.collections.get(usize::from(collection));
        slot.copied().flatten().ok_or(Error::Collection(collection))
    }

    fn run(&mut self, commands: &[Command]) -> Result<(), Error> {
        self.queue.run(&self.regs, &self.memory, commands)
    }
}

/// Stops the ITS, whoever used it before, and waits until it is idle.
fn disable<M: Mmio>(regs: &M) -> Result<(), Error> {
    regs.write32(spec::CTLR, 0);
    for _ in 0..POLLS {
        if regs.read32(spec::CTLR) & spec::CTLR_QUIESCENT != 0 {
            return Ok(());
        }
        core::hint::spin_loop();
    }
    Err(Error::Timeout(spec::CTLR))
}

/// The `GITS_BASER` for tables of this type.
fn find<M: Mmio>(regs: &M, kind: u64) -> Option<usize> {
    (0..spec::BASERS).find(|index| spec::table_type(regs.read64(spec::BASER + index * 8)) == kind)
}

#[cfg(test)]
pub(super) mod model;
#[cfg(test)]
mod tests;

//! Enumeration: which functions exist, and under which bus numbers.
//!
//! Firmware's bus numbers are kept if they are sound as a whole, so that
//! requester ids in the operator's overlay mean what firmware's tools show.
//! Otherwise, as on QEMU without firmware, all bridges are numbered afresh,
//! depth first in slot order.

use super::bars;
use super::config::ConfigSpace;
use super::error::PciError;
use super::regs::{self, bridge, command, pcie};
use super::rid::Rid;
use super::topology::{Buses, Function, Topology};

/// Finds every function behind the host bridge that decodes the buses
/// `first..=last`. Leaves all endpoints quiet (no decoding, no bus mastering)
/// and all bridges closed but for configuration accesses; sizes all BARs.
///
/// # Errors
/// [`PciError::NoBus`], [`PciError::TooDeep`]; the machine is then quiet as far
/// as the scan came.
pub fn scan(cfg: &impl ConfigSpace, first: u8, last: u8) -> Result<Topology, PciError> {
    let kept = Scan::new(cfg, Numbers::Keep, first, last).run();
    let mut topology = match kept {
        Ok(topology) => topology,
        Err(Stop::Unsound) => match Scan::new(cfg, Numbers::Assign, first, last).run() {
            Ok(topology) => topology,
            Err(Stop::Error(error)) => return Err(error),
            // Assigned numbers are sound; nothing else says so.
            Err(Stop::Unsound) => {
                return Err(PciError::NoBus {
                    bridge: Rid::new(first, 0, 0),
                });
            }
        },
        Err(Stop::Error(error)) => return Err(error),
    };
    for function in &mut topology.functions {
        function.bars = bars::size(cfg, function.rid, function.layout);
    }
    Ok(topology)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Numbers {
    Keep,
    Assign,
}

enum Stop {
    /// Firmware's numbers do not hold together.
    Unsound,
    Error(PciError),
}

struct Scan<'a, C> {
    cfg: &'a C,
    numbers: Numbers,
    first: u8,
    last: u8,
    /// Highest bus number used so far.
    highest: u8,
    topology: Topology,
}

impl<'a, C: ConfigSpace> Scan<'a, C> {
    fn new(cfg: &'a C, numbers: Numbers, first: u8, last: u8) -> Self {
        Self {
            cfg,
            numbers,
            first,
            last,
            highest: first,
            topology: Topology::default(),
        }
    }

    fn run(mut self) -> Result<Topology, Stop> {
        self.bus(self.first, self.last, None, 0)?;
        Ok(self.topology)
    }

    /// Scans bus `bus`, behind which numbers up to `limit` may be used.
    fn bus(&mut self, bus: u8, limit: u8, parent: Option<usize>, depth: usize) -> Result<(), Stop> {
        let start = self.topology.functions.len();
        for slot in 0..self.slots(parent) {
            self.slot(bus, slot, parent);
        }
        let end = self.topology.functions.len();
        // Old numbers must not answer while new ones are handed out.
        if self.numbers == Numbers::Assign {
            self.bridges(start, end).for_each(|(_, rid)| {
                self.cfg.write32(rid, bridge::BUSES, 0);
            });
        }
        let mut at = start;
        while let Some((index, rid)) = self.bridge(at, end) {
            self.behind(index, rid, limit, depth)?;
            at = index.saturating_add(1);
        }
        Ok(())
    }

    fn bridges(&self, start: usize, end: usize) -> impl Iterator<Item = (usize, Rid)> + '_ {
        let all = self.topology.functions.iter().enumerate();
        all.take(end)
            .skip(start)
            .filter(|(_, function)| function.layout == 1)
            .map(|(index, function)| (index, function.rid))
    }

    /// The first bridge found at or after `start`.
    fn bridge(&self, start: usize, end: usize) -> Option<(usize, Rid)> {
        self.bridges(start, end).next()
    }

    /// A PCI Express link has one device at its end (PCIe base 5.0, 7.3.1).
    fn slots(&self, parent: Option<usize>) -> u8 {
        let port = parent.and_then(|index| self.topology.functions.get(index)?.port);
        match port {
            Some(pcie::ROOT_PORT | pcie::DOWNSTREAM) => 1,
            _ => 32,
        }
    }

    fn slot(&mut self, bus: u8, slot: u8, parent: Option<usize>) {
        let mut functions = 1;
        for number in 0..8 {
            let rid = Rid::new(bus, slot, number);
            if number >= functions {
                return;
            }
            if self.cfg.read16(rid, regs::VENDOR) == 0xffff {
                if number == 0 {
                    return;
                }
                continue;
            }
            if number == 0 && self.cfg.read8(rid, regs::HEADER_TYPE) & 0x80 != 0 {
                functions = 8;
            }
            let function = Function::read(self.cfg, rid, parent);
            // Decoding and mastering off; a bridge still passes configuration.
            self.cfg.write16(rid, regs::COMMAND, command::INTX_DISABLE);
            self.topology.functions.push(function);
        }
    }

    fn behind(&mut self, index: usize, rid: Rid, limit: u8, depth: usize) -> Result<(), Stop> {
        if depth >= super::MAX_DEPTH {
            return Err(Stop::Error(PciError::TooDeep { bridge: rid }));
        }
        let buses = match self.numbers {
            Numbers::Keep => self.kept(rid, limit).ok_or(Stop::Unsound)?,
            Numbers::Assign => self.assign(rid, limit).map_err(Stop::Error)?,
        };
        self.highest = buses.secondary;
        self.bus(
            buses.secondary,
            buses.subordinate,
            Some(index),
            depth.saturating_add(1),
        )?;
        self.highest = match self.numbers {
            Numbers::Keep => buses.subordinate,
            Numbers::Assign => self.highest,
        };
        let buses = Buses {
            secondary: buses.secondary,
            subordinate: self.highest,
        };
        self.write(rid, buses);
        if let Some(function) = self.topology.functions.get_mut(index) {
            function.buses = Some(buses);
        }
        Ok(())
    }

    /// Firmware's numbers: above all handed out before, within the parent's.
    fn kept(&self, rid: Rid, limit: u8) -> Option<Buses> {
        let [primary, secondary, subordinate, _] =
            self.cfg.read32(rid, bridge::BUSES).to_le_bytes();
        let sound = primary == rid.bus()
            && secondary > self.highest
            && subordinate >= secondary
            && subordinate <= limit;
        sound.then_some(Buses {
            secondary,
            subordinate,
        })
    }

    /// The next free number, open to `limit` until the scan behind has ended.
    fn assign(&self, rid: Rid, limit: u8) -> Result<Buses, PciError> {
        let secondary = self.highest.checked_add(1).filter(|&bus| bus <= limit);
        let secondary = secondary.ok_or(PciError::NoBus { bridge: rid })?;
        let buses = Buses {
            secondary,
            subordinate: limit,
        };
        self.write(rid, buses);
        Ok(buses)
    }

    fn write(&self, rid: Rid, buses: Buses) {
        let word = u32::from_le_bytes([rid.bus(), buses.secondary, buses.subordinate, 0]);
        self.cfg.write32(rid, bridge::BUSES, word);
    }
}

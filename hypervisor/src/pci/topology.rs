//! What the scan found.

use super::bars::{self, Bar};
use super::caps::Caps;
use super::config::ConfigSpace;
use super::error::PciError;
use super::regs::{self, cap, pcie};
use super::rid::Rid;
use alloc::vec::Vec;
use arrayvec::ArrayVec;

/// Bus numbers behind a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buses {
    /// The bus right behind the bridge.
    pub secondary: u8,
    /// The highest bus behind it.
    pub subordinate: u8,
}

/// One physical function.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its requester id, valid with the bus numbers that the scan left.
    pub rid: Rid,
    /// The bridge in front of it, as an index; `None` on the root bus.
    pub parent: Option<usize>,
    /// Vendor id 15:0, device id 31:16.
    pub id: u32,
    /// Revision 7:0, class code 31:8.
    pub class: u32,
    /// Header layout: 0 endpoint, 1 bridge, 2 CardBus.
    pub layout: u8,
    /// What lies behind, for a bridge.
    pub buses: Option<Buses>,
    /// Memory BARs, by BAR number.
    pub bars: [Option<Bar>; 6],
    /// Capabilities.
    pub caps: Caps,
    /// Interrupt pin: 0 none, 1–4 INTA–INTD.
    pub pin: u8,
    /// PCI Express port type; `None` for conventional PCI.
    pub port: Option<u8>,
    /// Payload size that firmware or reset set for its path: device control
    /// bits 7:5.
    pub payload: u16,
    /// Isolating access control is in force (see `acs.rs`).
    pub acs: bool,
}

impl Function {
    /// Whether a VM can own it.
    #[must_use]
    pub fn is_endpoint(&self) -> bool {
        self.layout == 0 && self.class >> 24 != 0x06
    }

    /// What a reset loses and the hypervisor puts back.
    #[must_use]
    pub fn context(&self) -> Context {
        let devctl = self
            .caps
            .find(cap::PCIE)
            .map(|at| at.saturating_add(pcie::DEVCTL));
        Context {
            rid: self.rid,
            bars: self.bars,
            devctl,
            payload: self.payload,
        }
    }

    /// Reads what does not change about `rid`. BARs and ACS follow later.
    #[must_use]
    pub fn read(cfg: &impl ConfigSpace, rid: Rid, parent: Option<usize>) -> Self {
        let caps = Caps::walk(cfg, rid);
        let payload = caps.find(cap::PCIE).map_or(0, |at| {
            cfg.read16(rid, at.saturating_add(pcie::DEVCTL)) & pcie::DEVCTL_PAYLOAD
        });
        let port = caps
            .find(cap::PCIE)
            .map(|at| (cfg.read16(rid, at.saturating_add(pcie::FLAGS)) >> 4) as u8 & 0xf);
        Self {
            rid,
            parent,
            id: cfg.read32(rid, regs::VENDOR),
            class: cfg.read32(rid, regs::REVISION),
            layout: cfg.read8(rid, regs::HEADER_TYPE) & 0x7f,
            buses: None,
            bars: [None; 6],
            caps,
            pin: match cfg.read8(rid, regs::INTERRUPT_PIN) {
                pin @ 1..=4 => pin,
                _ => 0,
            },
            port,
            payload,
            acs: false,
        }
    }
}

/// The part of a function's configuration that is the hypervisor's: where it
/// decodes, and the payload size of its path.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    rid: Rid,
    bars: [Option<Bar>; 6],
    devctl: Option<u16>,
    payload: u16,
}

impl Context {
    /// Writes it, after a reset or a return from D3hot. The function must not
    /// decode.
    pub fn restore(&self, cfg: &impl ConfigSpace) {
        bars::write(cfg, self.rid, &self.bars);
        if let Some(at) = self.devctl {
            let rest = cfg.read16(self.rid, at) & !pcie::DEVCTL_PAYLOAD;
            cfg.write16(self.rid, at, rest | self.payload);
        }
    }
}

/// Everything behind one host bridge, parents before children.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    /// The functions. Indices are what [`Function::parent`] refers to.
    pub functions: Vec<Function>,
}

impl Topology {
    /// The function `rid`.
    ///
    /// # Errors
    /// [`PciError::NoFunction`].
    pub fn get(&self, rid: Rid) -> Result<&Function, PciError> {
        self.functions
            .iter()
            .find(|function| function.rid == rid)
            .ok_or(PciError::NoFunction { rid })
    }

    /// The bridges in front of a function, nearest first.
    pub fn bridges_above<'a>(
        &'a self,
        function: &'a Function,
    ) -> impl Iterator<Item = &'a Function> + 'a {
        let up = |f: &'a Function| f.parent.and_then(|index| self.functions.get(index));
        core::iter::successors(up(function), move |bridge| up(bridge)).take(super::MAX_DEPTH)
    }

    /// Where a function's INTx arrives on the root bus: (slot, pin 1–4), after
    /// the swizzle of each bridge (PCI-to-PCI bridge 1.2, 9.1). Look this up in
    /// the host bridge's `interrupt-map`. `None` if the function has no pin.
    #[must_use]
    pub fn intx(&self, function: &Function) -> Option<(u8, u8)> {
        if function.pin == 0 {
            return None;
        }
        let start = (function.rid.device(), function.pin);
        let root = self
            .bridges_above(function)
            .fold(start, |(slot, pin), bridge| {
                let line = pin.wrapping_sub(1).wrapping_add(slot) & 3;
                (bridge.rid.device(), line.wrapping_add(1))
            });
        Some(root)
    }

    /// Every requester id under which the function's DMA may arrive: its own,
    /// and those that bridges to conventional PCI put in its place (PCI Express
    /// to PCI bridge 1.0, 2.3). Streams of all of them belong to its owner.
    #[must_use]
    pub fn requesters(&self, function: &Function) -> ArrayVec<Rid, 4> {
        let mut ids = ArrayVec::new();
        ids.push(function.rid);
        for bridge in self.bridges_above(function) {
            let alias = match (bridge.port, bridge.buses) {
                (Some(pcie::TO_PCI), Some(buses)) => Rid::new(buses.secondary, 0, 0),
                (None, _) => bridge.rid,
                _ => continue,
            };
            if !ids.contains(&alias) {
                // More than three such bridges in a row: the nearest to the
                // root decide, so the oldest alias makes room.
                if ids.is_full() {
                    ids.remove(1);
                }
                ids.push(alias);
            }
        }
        ids
    }
}

//! The capabilities that a guest sees.
//!
//! Shown, at their physical offsets: power management, MSI and MSI-X if the
//! policy has them, PCI Express, and vendor-specific ones (virtio finds its
//! registers by those). Everything else is skipped in the list and reads as
//! zero. Writes reach the registers named here and no other.

use super::MsiPolicy;
use crate::pci::caps::{Cap, MAX_CAPS};
use crate::pci::config::ConfigSpace;
use crate::pci::regs::{cap, msi, pcie, pm};
use crate::pci::rid::Rid;
use crate::pci::topology::Function;
use arrayvec::ArrayVec;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Capabilities register of the physical function.
    Power {
        pmc: u16,
    },
    /// Message control.
    Msi {
        control: u16,
    },
    Msix,
    /// `inside`: shown as an endpoint inside the root complex, because the
    /// virtual bus 0 has no root port above it.
    Express {
        inside: bool,
    },
    Vendor,
}

#[derive(Clone, Copy, Debug)]
struct VirtualCap {
    kind: Kind,
    offset: u16,
    /// Bytes, a multiple of 4.
    len: u16,
    next: u8,
}

/// The filtered list.
#[derive(Clone, Debug, Default)]
pub struct VirtualCaps(ArrayVec<VirtualCap, MAX_CAPS>);

/// What a write to a capability means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapWrite {
    /// The D-state shall change.
    Power(u8),
    /// Bits of a physical register.
    Merge(Merge),
}

/// A read-modify-write of one physical word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merge {
    /// Offset of the word.
    pub offset: u16,
    /// Bits to take from `value`.
    pub mask: u32,
    /// Bits cleared by writing one: written as zero unless in `mask`.
    pub w1c: u32,
    pub value: u32,
}

impl Merge {
    pub fn apply(&self, cfg: &impl ConfigSpace, rid: Rid) {
        let old = cfg.read32(rid, self.offset) & !self.w1c;
        let new = (old & !self.mask) | (self.value & self.mask);
        cfg.write32(rid, self.offset, new);
    }
}

impl VirtualCaps {
    pub fn new(cfg: &impl ConfigSpace, function: &Function, policy: MsiPolicy) -> Self {
        let mut shown = Self::default();
        for cap in function.caps.iter() {
            let Some((kind, len)) = kind(cfg, function.rid, cap, policy) else {
                continue;
            };
            // What is longer than the room to its neighbour would show that.
            let len = len.min(function.caps.room(cap.offset)) & !3;
            let offset = u16::from(cap.offset);
            if let Some(last) = shown.0.last_mut() {
                last.next = cap.offset;
            }
            // Room for as many as the physical list had.
            let _ = shown.0.try_push(VirtualCap {
                kind,
                offset,
                len,
                next: 0,
            });
        }
        shown
    }

    /// Offset of the first capability, 0 if there is none.
    pub fn first(&self) -> u8 {
        self.0.first().map_or(0, |cap| cap.offset as u8)
    }

    fn find(&self, offset: u16) -> Option<(&VirtualCap, u16)> {
        self.0.iter().find_map(|cap| {
            let at = offset.checked_sub(cap.offset)?;
            (at < cap.len).then_some((cap, at))
        })
    }

    /// Where PMCSR is.
    pub fn pmcsr(&self) -> Option<u16> {
        let power = |cap: &&VirtualCap| matches!(cap.kind, Kind::Power { .. });
        let cap = self.0.iter().find(power)?;
        Some(cap.offset.saturating_add(pm::PMCSR))
    }

    /// Reads the word at `offset`.
    pub fn read(&self, cfg: &impl ConfigSpace, rid: Rid, offset: u16) -> u32 {
        let Some((cap, at)) = self.find(offset) else {
            return 0;
        };
        let real = || cfg.read32(rid, offset);
        // Id, link, and the 16 bits beside them.
        let header =
            |upper: u16| (real() & 0xff) | (u32::from(cap.next) << 8) | (u32::from(upper) << 16);
        let upper = || (real() >> 16) as u16;
        match (cap.kind, at) {
            (Kind::Power { pmc }, 0) => header(pmc & !pm::PMC_PME),
            (Kind::Power { .. }, 4) => real() & u32::from(pm::STATE | pm::NO_SOFT_RESET),
            (Kind::Power { .. }, _) => 0,
            (Kind::Express { inside }, 0) => header(express_flags(upper(), inside)),
            (Kind::Express { inside }, _) => express(at, real, inside),
            (_, 0) => header(upper()),
            _ => real(),
        }
    }

    /// What writing `value` to the `lanes` of the word at `offset` means.
    /// `None`: nothing.
    pub fn write(&self, offset: u16, value: u32, lanes: u32, d_state: u8) -> Option<CapWrite> {
        let (cap, at) = self.find(offset)?;
        let (writable, w1c) = match (cap.kind, at) {
            (Kind::Power { pmc }, 4) => {
                let state = (value as u16 & pm::STATE) as u8;
                let asked = lanes & u32::from(pm::STATE) != 0;
                return (asked && legal(d_state, state, pmc)).then_some(CapWrite::Power(state));
            }
            (Kind::Msi { control }, _) => (msi_writable(at, control), 0),
            (Kind::Msix, 0) => (u32::from(msi::MSIX_WRITABLE) << 16, 0),
            (Kind::Express { .. }, pcie::DEVCTL) => {
                let w1c = u32::from(pcie::DEVSTA_W1C) << 16;
                (u32::from(pcie::DEVCTL_WRITABLE) | w1c, w1c)
            }
            (Kind::Express { .. }, pcie::DEVCTL2) => (u32::from(pcie::DEVCTL2_WRITABLE), 0),
            _ => (0, 0),
        };
        let mask = writable & lanes;
        (mask != 0).then_some(CapWrite::Merge(Merge {
            offset,
            mask,
            w1c,
            value,
        }))
    }
}

fn kind(cfg: &impl ConfigSpace, rid: Rid, cap: Cap, policy: MsiPolicy) -> Option<(Kind, u16)> {
    let upper = cfg.read16(rid, u16::from(cap.offset).saturating_add(2));
    let messages = policy != MsiPolicy::None;
    match cap.id {
        cap::PM => Some((Kind::Power { pmc: upper }, 8)),
        cap::MSI if messages => Some((Kind::Msi { control: upper }, msi_len(upper))),
        cap::MSIX if messages => Some((Kind::Msix, 12)),
        cap::PCIE => {
            let inside = (upper >> 4) as u8 & 0xf == pcie::ENDPOINT;
            let len = if upper & 0xf >= 2 { 0x3c } else { 0x14 };
            Some((Kind::Express { inside }, len))
        }
        // Length in the third byte (PCIe base 5.0, 7.9.4).
        cap::VENDOR => Some((Kind::Vendor, (upper & 0xff).saturating_add(3))),
        _ => None,
    }
}

const fn msi_len(control: u16) -> u16 {
    match (
        control & msi::ADDRESS_64 != 0,
        control & msi::PER_VECTOR_MASK != 0,
    ) {
        (false, false) => 12,
        (true, false) => 16,
        (false, true) => 20,
        (true, true) => 24,
    }
}

/// Writable bits of the word `at` of an MSI capability (7.7.1). Addresses are
/// the guest's own: the SMMU translates the write that they cause.
const fn msi_writable(at: u16, control: u16) -> u32 {
    let wide = control & msi::ADDRESS_64 != 0;
    let masks = control & msi::PER_VECTOR_MASK != 0;
    match (at, wide) {
        (0, _) => (msi::MSI_WRITABLE as u32) << 16,
        (4, _) => !3,
        (8, true) => !0,
        (8, false) | (12, true) => 0xffff,
        (12, false) | (16, true) if masks => !0,
        _ => 0,
    }
}

/// Legal changes of D-state (PCI PM 1.2, 5.4): down to a supported state, or
/// back to D0.
fn legal(from: u8, to: u8, pmc: u16) -> bool {
    let supported = match to {
        1 => pmc & pm::PMC_D1 != 0,
        2 => pmc & pm::PMC_D2 != 0,
        _ => true,
    };
    supported && (to == 0 || to > from)
}

/// Capabilities register: without a port above there is no slot, and an
/// endpoint stands inside the root complex.
fn express_flags(flags: u16, inside: bool) -> u16 {
    let flags = flags & !0x3f00;
    match inside {
        true => (flags & !0xf0) | (u16::from(pcie::RC_ENDPOINT) << 4),
        false => flags,
    }
}

/// The other words of the PCI Express capability. No function-level reset by
/// the guest, which would lose the physical BARs; no phantom functions, whose
/// DMA would carry other requester ids. Links and slots belong to the host.
fn express(at: u16, real: impl Fn() -> u32, inside: bool) -> u32 {
    match at {
        pcie::DEVCAP => real() & !(pcie::DEVCAP_FLR | pcie::DEVCAP_PHANTOM),
        pcie::DEVCTL | pcie::DEVCAP2 | pcie::DEVCTL2 => real(),
        0x0c | 0x10 | 0x2c | 0x30 if !inside => real(),
        _ => 0,
    }
}

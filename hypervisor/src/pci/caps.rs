//! Capability lists of physical functions.

use super::config::ConfigSpace;
use super::regs;
use super::rid::Rid;
use arrayvec::ArrayVec;

/// Capabilities that the walk follows at most; a list that is longer, or runs
/// in a circle, is cut there.
pub const MAX_CAPS: usize = 24;

/// One capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Capability id.
    pub id: u8,
    /// Offset of its header, a multiple of 4 in 0x40..=0xfc.
    pub offset: u8,
}

/// The capabilities of one function, in list order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caps(ArrayVec<Cap, MAX_CAPS>);

impl Caps {
    /// Walks the list of `rid` (PCIe base 5.0, 7.5.3).
    #[must_use]
    pub fn walk(cfg: &impl ConfigSpace, rid: Rid) -> Self {
        let mut caps = Self::default();
        if cfg.read16(rid, regs::STATUS) & regs::status::CAPABILITIES == 0 {
            return caps;
        }
        let mut next = cfg.read8(rid, regs::CAPABILITIES) & !3;
        while next >= 0x40 && !caps.0.is_full() {
            if caps.iter().any(|cap| cap.offset == next) {
                break;
            }
            let header = cfg.read16(rid, u16::from(next)).to_le_bytes();
            let [id, link] = header;
            if id == 0xff {
                break;
            }
            caps.0.push(Cap { id, offset: next });
            next = link & !3;
        }
        caps
    }

    /// All capabilities, in list order.
    pub fn iter(&self) -> impl Iterator<Item = Cap> + '_ {
        self.0.iter().copied()
    }

    /// Offset of the first capability `id`.
    #[must_use]
    pub fn find(&self, id: u8) -> Option<u16> {
        self.iter()
            .find(|cap| cap.id == id)
            .map(|cap| u16::from(cap.offset))
    }

    /// Bytes from `offset` to the next capability or the end of the 256-byte
    /// space: no capability is longer than that.
    #[must_use]
    pub fn room(&self, offset: u8) -> u16 {
        let after = self.iter().map(|cap| cap.offset).filter(|&o| o > offset);
        let end = after.min().map_or(0x100, u16::from);
        end.saturating_sub(u16::from(offset))
    }
}

/// Finds the extended capability `id` of a PCI Express function.
#[must_use]
pub fn find_extended(cfg: &impl ConfigSpace, rid: Rid, id: u16) -> Option<u16> {
    let mut at = regs::ext::START;
    // 960 is the number of 4-byte registers; a circular list ends there.
    for _ in 0..960 {
        let header = cfg.read32(rid, at);
        if header == 0 || header == u32::MAX {
            return None;
        }
        if header as u16 == id {
            return Some(at);
        }
        at = (header >> 20) as u16 & !3;
        if at < regs::ext::START {
            return None;
        }
    }
    None
}

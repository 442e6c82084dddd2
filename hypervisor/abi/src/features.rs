//! The answer of FEATURES.

use crate::{Function, LIST_MAX, Reply};

bitflags::bitflags! {
    /// Groups of functions that are offered.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct FeatureFlags: u64 {
        /// Domains, attach, map, unmap, sync.
        const MAP = 1 << 0;
        /// MAP_SG and UNMAP_SG.
        const SG = 1 << 1;
        /// BATCH.
        const BATCH = 1 << 2;
        /// POWER_SET and POWER_GET.
        const POWER = 1 << 3;
        /// EVENT_GET and its virtual interrupt.
        const EVENTS = 1 << 4;
        /// STATS.
        const STATS = 1 << 5;
    }
}

/// Bit of a function in the bitmap in x0: n for function 0x100 + n, `None` outside that sub-range.
#[must_use]
pub const fn function_bit(function: Function) -> Option<u32> {
    let id = function.id();
    if id >> 8 == 0x00c6_0001 {
        Some(id & 0xff)
    } else {
        None
    }
}

/// What FEATURES (word 0) says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// Bit n: function 0xc6000100 + n is there. Bit 63 is never set, so x0 is not negative.
    pub functions: u64,
    /// Groups.
    pub flags: FeatureFlags,
    /// Mapping sizes the tables can hold, one bit per power of two (as Linux's `pgsize_bitmap`).
    pub page_sizes: u64,
    /// Width of an IOVA in bits.
    pub iova_bits: u8,
    /// Most entries of a list page.
    pub list_max: u16,
}

impl Features {
    /// All functions of this version, for tables with these sizes.
    #[must_use]
    pub const fn all(page_sizes: u64, iova_bits: u8) -> Self {
        Self {
            functions: 0xffff,
            flags: FeatureFlags::all(),
            page_sizes,
            iova_bits,
            list_max: LIST_MAX as u16,
        }
    }

    /// As returned in x0..x3.
    #[must_use]
    pub const fn to_reply(self) -> Reply {
        Reply([
            self.functions & !(1 << 63),
            self.flags.bits(),
            self.page_sizes,
            (self.iova_bits as u64) | ((self.list_max as u64) << 16),
        ])
    }

    /// From x0..x3.
    #[must_use]
    pub const fn from_reply(reply: Reply) -> Self {
        let Reply([functions, flags, page_sizes, limits]) = reply;
        Self {
            functions,
            flags: FeatureFlags::from_bits_truncate(flags),
            page_sizes,
            iova_bits: limits as u8,
            list_max: (limits >> 16) as u16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::FUNCTIONS;

    #[test]
    fn bitmap_names_every_function_of_the_sub_range() {
        let bits = FUNCTIONS
            .iter()
            .filter_map(|(function, _)| function_bit(*function))
            .fold(0u64, |bits, bit| bits | 1 << bit);
        assert_eq!(Features::all(0x4020_1000, 39).functions, bits);
        assert_eq!(function_bit(Function::CallUid), None);
    }

    #[test]
    fn golden_reply_and_round_trip() {
        let features = Features::all(0x4020_1000, 39);
        assert_eq!(
            features.to_reply(),
            Reply([0xffff, 0x3f, 0x4020_1000, 0x0100_0027])
        );
        assert_eq!(Features::from_reply(features.to_reply()), features);
    }
}

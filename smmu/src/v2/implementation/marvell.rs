//! Marvell Armada AP806, erratum 582743: the interconnect splits no 64-bit
//! access. Registers are written by halves, the high one first, and AArch64
//! tables, whose invalidations by address are 64 bits wide, are not used
//! (Linux, Documentation/arch/arm64/silicon-errata.rst).

use super::{Quirks, mmu500};

pub(super) const QUIRKS: Quirks = Quirks {
    narrow: true,
    halves: true,
    ..mmu500::QUIRKS
};

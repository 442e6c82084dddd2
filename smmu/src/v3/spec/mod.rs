//! The SMMUv3 architecture as types: offsets, fields and layouts, to be held
//! against Arm IHI 0070 side by side. No behaviour lives here.

pub mod command;
pub mod event;
pub mod regs;
pub mod ste;

/// `value`'s bits `hi..=lo`, shifted down.
pub(crate) const fn bits(value: u64, hi: u32, lo: u32) -> u64 {
    let width = hi.saturating_sub(lo).saturating_add(1);
    let mask = if width >= 64 {
        u64::MAX
    } else {
        1u64.wrapping_shl(width).wrapping_sub(1)
    };
    value.wrapping_shr(lo) & mask
}

/// `value` placed at bits `hi..=lo`; bits that do not fit are cut off.
pub(crate) const fn place(value: u64, hi: u32, lo: u32) -> u64 {
    bits(value, hi.saturating_sub(lo), 0).wrapping_shl(lo)
}

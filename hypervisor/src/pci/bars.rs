//! Base address registers of physical functions: finding sizes, writing places.

use super::config::ConfigSpace;
use super::regs::{self, bar};
use super::rid::Rid;

/// A memory BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Bytes that it decodes, a power of two of at least 16.
    pub size: u64,
    /// 64-bit; the next BAR number is its upper half.
    pub wide: bool,
    /// Prefetchable.
    pub prefetchable: bool,
    /// Where the placement put it.
    pub place: Option<Place>,
}

/// A place in a host bridge window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Address on the bus, as written to the BAR.
    pub bus: u64,
    /// Physical address by which the CPU reaches it.
    pub pa: u64,
}

/// Offset of BAR `number` (0–5).
#[must_use]
pub const fn offset(number: u8) -> u16 {
    regs::BAR0.saturating_add((number as u16).saturating_mul(4))
}

/// Sizes the memory BARs of a function with this header layout by writing all
/// ones (PCIe base 5.0, 7.5.1.2.1) and leaves them zero. The function must not
/// decode. I/O BARs and the expansion ROM are left disabled: nobody gets them.
pub fn size(cfg: &impl ConfigSpace, rid: Rid, layout: u8) -> [Option<Bar>; 6] {
    let mut bars = [None; 6];
    let (count, rom) = match layout {
        0 => (6, regs::ROM),
        1 => (2, regs::BRIDGE_ROM),
        _ => return bars,
    };
    cfg.write32(rid, rom, 0);
    let mut number = 0;
    while number < count {
        let found = probe(cfg, rid, number, count);
        let step = if found.is_some_and(|bar| bar.wide) {
            2
        } else {
            1
        };
        if let Some(slot) = bars.get_mut(usize::from(number)) {
            *slot = found;
        }
        number = number.saturating_add(step);
    }
    bars
}

fn probe(cfg: &impl ConfigSpace, rid: Rid, number: u8, count: u8) -> Option<Bar> {
    let low = ones(cfg, rid, number);
    if low & bar::IO != 0 || low == 0 || low == u32::MAX {
        return None;
    }
    let wide = low & bar::TYPE == bar::TYPE_64 && number.saturating_add(1) < count;
    let high = match wide {
        true => ones(cfg, rid, number.saturating_add(1)),
        // A 32-bit BAR decodes nothing above; its mask continues with ones.
        false => u32::MAX,
    };
    let mask = (u64::from(high) << 32) | u64::from(low & !bar::FLAGS);
    let size = mask.wrapping_neg();
    // A hole in the mask is a broken function: leave it without this BAR.
    size.is_power_of_two().then_some(Bar {
        size,
        wide,
        prefetchable: low & bar::PREFETCH != 0,
        place: None,
    })
}

fn ones(cfg: &impl ConfigSpace, rid: Rid, number: u8) -> u32 {
    cfg.write32(rid, offset(number), u32::MAX);
    let value = cfg.read32(rid, offset(number));
    cfg.write32(rid, offset(number), 0);
    value
}

/// Writes the places of a function's BARs, and zero to those without one. The
/// function must not decode.
pub fn write(cfg: &impl ConfigSpace, rid: Rid, bars: &[Option<Bar>; 6]) {
    for (number, bar) in (0u8..).zip(bars) {
        let Some(bar) = bar else { continue };
        let bus = bar.place.map_or(0, |place| place.bus);
        cfg.write32(rid, offset(number), bus as u32);
        if bar.wide {
            let upper = offset(number.saturating_add(1));
            cfg.write32(rid, upper, (bus >> 32) as u32);
        }
    }
}

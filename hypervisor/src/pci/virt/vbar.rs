//! Virtual BARs: the registers that a guest writes addresses to.

use crate::pci::bars::{Bar, Place};
use crate::pci::regs::bar;

/// Shadows of a function's BARs, by BAR number.
pub type VirtualBars = [Option<VirtualBar>; 6];

/// Shadow of a memory BAR.
#[derive(Clone, Copy, Debug)]
pub struct VirtualBar {
    /// Bytes as the guest sees them: whole pages.
    pub size: u64,
    pub pa: u64,
    pub wide: bool,
    pub prefetchable: bool,
    /// Address that the guest wrote, a multiple of the size.
    pub address: u64,
    /// Address after reset.
    pub initial: u64,
    /// Where it is mapped now.
    pub mapped: Option<u64>,
    /// Where it shall be.
    pub want: Option<u64>,
}

impl VirtualBar {
    /// Shows a placed BAR; `None` if it has no place.
    pub fn new(bar: &Bar, page: u64) -> Option<Self> {
        let Place { pa, .. } = bar.place?;
        Some(Self {
            size: bar.size.max(page),
            pa,
            wide: bar.wide,
            prefetchable: bar.prefetchable,
            address: 0,
            initial: 0,
            mapped: None,
            want: None,
        })
    }

    /// The low register.
    pub fn low(&self) -> u32 {
        let wide = if self.wide { bar::TYPE_64 } else { 0 };
        let prefetch = if self.prefetchable { bar::PREFETCH } else { 0 };
        self.address as u32 | wide | prefetch
    }

    /// The high register of a 64-bit BAR.
    pub const fn high(&self) -> u32 {
        (self.address >> 32) as u32
    }

    /// Takes a new address, as far as the size leaves bits for one.
    pub fn set(&mut self, address: u64) {
        let limit = if self.wide { u64::MAX } else { 0xffff_ffff };
        self.address = address & limit & self.size.wrapping_neg();
    }

    /// Back to the address after reset.
    pub fn reset(&mut self) {
        self.address = self.initial;
    }
}

/// Writes one of the six BAR registers, `lanes` of it.
pub fn write(bars: &mut VirtualBars, index: usize, value: u32, lanes: u32) {
    let merge = |old: u32| u64::from((old & !lanes) | (value & lanes));
    if let Some(Some(bar)) = bars.get_mut(index) {
        let low = merge(bar.low() & !bar::FLAGS);
        bar.set((u64::from(bar.high()) << 32) | (low & !u64::from(bar::FLAGS)));
    } else if let Some(bar) = upper(bars, index) {
        let high = merge(bar.high());
        bar.set((high << 32) | u64::from(bar.low() & !bar::FLAGS));
    }
}

/// Reads one of the six BAR registers.
pub fn read(bars: &VirtualBars, index: usize) -> u32 {
    let at = |index: usize| bars.get(index).and_then(Option::as_ref);
    if let Some(bar) = at(index) {
        return bar.low();
    }
    match index.checked_sub(1).and_then(at) {
        Some(bar) if bar.wide => bar.high(),
        _ => 0,
    }
}

/// The 64-bit BAR whose upper half is register `index`.
fn upper(bars: &mut VirtualBars, index: usize) -> Option<&mut VirtualBar> {
    let bar = bars.get_mut(index.checked_sub(1)?)?.as_mut()?;
    bar.wide.then_some(bar)
}

//! Virtual BARs: guest-chosen addresses of hypervisor-chosen memory.
//!
//! A BAR is mapped while its function decodes memory in D0 and its address
//! lies wholly in the guest's window, clear of every BAR before it. Whatever
//! the guest writes, the physical side of a mapping is the BAR's own pages.

use super::function::VirtualFunction;
use super::{HostConfig, MAX_FUNCTIONS};
use crate::pci::effects::{BarMapping, Effects};
use crate::pci::place::align_up;
use crate::pci::regs::{bar, command};
use crate::pci::topology::{Bar, Place};
use alloc::vec::Vec;
use arrayvec::ArrayVec;

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
    initial: u64,
    /// Where it is mapped now.
    pub mapped: Option<u64>,
    /// Where it shall be.
    want: Option<u64>,
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
pub fn write(function: &mut VirtualFunction, index: usize, value: u32, lanes: u32) {
    let merge = |old: u32| u64::from((old & !lanes) | (value & lanes));
    if let Some(Some(bar)) = function.bars.get_mut(index) {
        let low = merge(bar.low() & !bar::FLAGS);
        bar.set((u64::from(bar.high()) << 32) | (low & !u64::from(bar::FLAGS)));
    } else if let Some(bar) = upper(function, index) {
        let high = merge(bar.high());
        bar.set((high << 32) | u64::from(bar.low() & !bar::FLAGS));
    }
}

/// Reads one of the six BAR registers.
pub fn read(function: &VirtualFunction, index: usize) -> u32 {
    let at = |index: usize| function.bars.get(index).and_then(Option::as_ref);
    if let Some(bar) = at(index) {
        return bar.low();
    }
    match index.checked_sub(1).and_then(at) {
        Some(bar) if bar.wide => bar.high(),
        _ => 0,
    }
}

/// The 64-bit BAR whose upper half is register `index`.
fn upper(function: &mut VirtualFunction, index: usize) -> Option<&mut VirtualBar> {
    let bar = function.bars.get_mut(index.checked_sub(1)?)?.as_mut()?;
    bar.wide.then_some(bar)
}

/// Gives all BARs addresses in the window, as firmware would, largest first.
/// Guests are free to move them.
pub fn preassign(functions: &mut [VirtualFunction], config: &HostConfig) {
    let mut bars: Vec<&mut VirtualBar> = functions
        .iter_mut()
        .flat_map(|f| f.bars.iter_mut().flatten())
        .collect();
    bars.sort_by_key(|bar| core::cmp::Reverse(bar.size));
    let end = config.window_ipa.saturating_add(config.window_size);
    let mut cursor = config.window_ipa;
    for bar in bars {
        let Some(base) = align_up(cursor, bar.size) else {
            continue;
        };
        let Some(next) = base.checked_add(bar.size).filter(|&next| next <= end) else {
            continue;
        };
        bar.set(base);
        bar.initial = bar.address;
        cursor = next;
    }
}

/// Decides anew where each BAR of the VM shall be.
pub fn decide(functions: &mut [VirtualFunction], config: &HostConfig) {
    let mut accepted: ArrayVec<(u64, u64), { MAX_FUNCTIONS * 6 }> = ArrayVec::new();
    for function in functions {
        let decodes = function.command & command::MEMORY != 0 && function.d_state == 0;
        for bar in function.bars.iter_mut().flatten() {
            let place = decodes.then(|| within(bar, config)).flatten();
            bar.want = place.filter(|_| {
                let last = bar.address.saturating_add(bar.size.wrapping_sub(1));
                accepted
                    .iter()
                    .all(|&(from, to)| to < bar.address || last < from)
                    && accepted.try_push((bar.address, last)).is_ok()
            });
        }
    }
}

/// The BAR's address if it lies wholly in the window.
fn within(bar: &VirtualBar, config: &HostConfig) -> Option<u64> {
    let end = config.window_ipa.checked_add(config.window_size)?;
    let fits = bar.address >= config.window_ipa && bar.address.checked_add(bar.size)? <= end;
    fits.then_some(bar.address)
}

/// Unmaps what shall not be where it is.
pub fn unmap(functions: &mut [VirtualFunction], effects: &mut impl Effects) {
    each(functions, |bar, mut mapping| {
        if let Some(ipa) = bar.mapped.filter(|_| bar.mapped != bar.want) {
            mapping.ipa = ipa;
            effects.unmap_bar(mapping);
            bar.mapped = None;
        }
    });
}

/// Maps what shall be somewhere and is not.
pub fn map(functions: &mut [VirtualFunction], effects: &mut impl Effects) {
    each(functions, |bar, mut mapping| {
        if let Some(ipa) = bar.want.filter(|_| bar.mapped.is_none()) {
            mapping.ipa = ipa;
            bar.mapped = effects.map_bar(mapping).ok().map(|()| ipa);
        }
    });
}

fn each(functions: &mut [VirtualFunction], mut act: impl FnMut(&mut VirtualBar, BarMapping)) {
    for function in functions {
        let rid = function.physical;
        for (number, bar) in (0u8..).zip(&mut function.bars) {
            let Some(bar) = bar else { continue };
            let VirtualBar {
                pa,
                size,
                prefetchable,
                ..
            } = *bar;
            act(
                bar,
                BarMapping {
                    rid,
                    bar: number,
                    ipa: 0,
                    pa,
                    size,
                    prefetchable,
                },
            );
        }
    }
}

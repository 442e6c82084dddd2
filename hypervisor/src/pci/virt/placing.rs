//! Where virtual BARs are: guest-chosen addresses of hypervisor-chosen memory.
//!
//! A BAR is mapped while its function decodes memory in D0 and its address
//! lies wholly in the guest's window, clear of every BAR before it. Whatever
//! the guest writes, the physical side of a mapping is the BAR's own pages.

use super::function::VirtualFunction;
use super::vbar::VirtualBar;
use super::{HostConfig, MAX_FUNCTIONS};
use crate::pci::effects::{BarMapping, Effects};
use crate::pci::place::align_up;
use crate::pci::regs::command;
use alloc::vec::Vec;
use arrayvec::ArrayVec;

/// Gives all BARs addresses in the window, as firmware would, largest first.
/// Guests are free to move them.
pub fn preassign(functions: &mut [VirtualFunction], config: &HostConfig) {
    let mut bars: Vec<&mut VirtualBar> = functions
        .iter_mut()
        .flat_map(|f| f.bars.iter_mut().flatten())
        .collect();
    platform::sort::by_key(&mut bars, |bar| core::cmp::Reverse(bar.size));
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

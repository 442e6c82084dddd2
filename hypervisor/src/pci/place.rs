//! Placement: every memory BAR once, each on pages of its own.
//!
//! The hypervisor places all BARs at boot and never moves them. Each gets
//! whole stage-2 pages, so that mapping one into a VM shows nothing else.
//! Within a window items go by falling alignment, which packs powers of two
//! without gaps; a bridge's window is one item that holds those behind it.

use super::bars::{self, Bar, Place};
use super::config::ConfigSpace;
use super::error::PciError;
use super::regs::{self, bridge, command};
use super::topology::{Function, Topology};
use alloc::vec::Vec;
use core::cmp::Reverse;

/// One MMIO window of the host bridge (an entry of its `ranges`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostWindow {
    /// First address on the bus.
    pub bus: u64,
    /// The same place as the CPU sees it.
    pub pa: u64,
    /// Bytes.
    pub size: u64,
}

/// The host bridge's MMIO windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostWindows {
    /// Below 4 GiB on the bus: holds everything that must be there.
    pub low: HostWindow,
    /// Anywhere: holds prefetchable 64-bit BARs. Without it they go low.
    pub high: Option<HostWindow>,
}

/// Which window an item goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Low,
    High,
}

/// What is laid out on one bus: a BAR, or the window of a bridge.
#[derive(Clone, Copy)]
struct Item {
    size: u64,
    align: u64,
    function: usize,
    /// `None`: the bridge's window.
    bar: Option<usize>,
}

/// Bytes and alignment that a bus needs.
#[derive(Clone, Copy, Default)]
struct Need {
    size: u64,
    align: u64,
}

/// Places all BARs, writes them and the bridges' windows, and opens the
/// bridges. Endpoints stay quiet. `page` is the stage-2 page size.
///
/// What finds no room is left closed and reported with [`Bar::place`] `None`;
/// everything else is placed, so that one oversized device does not take the
/// others down. [`unplaced`] lists them.
///
/// # Errors
/// [`PciError::BadWindow`]: a page size that is none, or a window that is not
/// aligned to it or wraps around; nothing was written.
pub fn place(
    cfg: &impl ConfigSpace,
    topology: &mut Topology,
    windows: &HostWindows,
    page: u64,
) -> Result<(), PciError> {
    check(windows, page)?;
    let open = high_path(cfg, topology, windows.high.is_some());
    let mut layout = Layout {
        topology,
        open,
        page,
        opened: Vec::new(),
    };
    layout.window(Class::Low, &windows.low);
    if let Some(high) = &windows.high {
        layout.window(Class::High, high);
    }
    let opened = layout.opened;
    for (index, function) in topology.functions.iter().enumerate() {
        bars::write(cfg, function.rid, &function.bars);
        if function.layout == 1 {
            write_bridge(cfg, function, index, &opened);
        }
    }
    Ok(())
}

/// The BARs that found no room.
pub fn unplaced(topology: &Topology) -> impl Iterator<Item = PciError> + '_ {
    topology.functions.iter().flat_map(|function| {
        let rid = function.rid;
        (0u8..)
            .zip(&function.bars)
            .filter_map(move |(number, bar)| match bar {
                Some(Bar {
                    place: None, size, ..
                }) => Some(PciError::Unplaced {
                    rid,
                    bar: number,
                    size: *size,
                }),
                _ => None,
            })
    })
}

fn check(windows: &HostWindows, page: u64) -> Result<(), PciError> {
    let bad = |value| Err(PciError::BadWindow { value });
    if !page.is_power_of_two() || page < 4096 {
        return bad(page);
    }
    for window in core::iter::once(&windows.low).chain(&windows.high) {
        let ends = window
            .bus
            .checked_add(window.size)
            .zip(window.pa.checked_add(window.size));
        // BARs are placed by bus address and mapped by physical address: both
        // must agree on what a page is.
        if ends.is_none() || (window.bus | window.pa) & page.wrapping_sub(1) != 0 {
            return bad(window.bus);
        }
    }
    match windows.low.bus.checked_add(windows.low.size) {
        Some(end) if end <= 1 << 32 => Ok(()),
        _ => bad(windows.low.bus),
    }
}

/// For each function, whether a 64-bit prefetchable BAR there reaches the high
/// window: each bridge on the way must have a 64-bit prefetchable window.
fn high_path(cfg: &impl ConfigSpace, topology: &Topology, any: bool) -> Vec<bool> {
    let mut wide: Vec<bool> = Vec::with_capacity(topology.functions.len());
    for function in &topology.functions {
        let above = match function
            .parent
            .and_then(|index| topology.functions.get(index))
        {
            None => any,
            Some(bridge) => {
                let parent_open = function.parent.and_then(|i| wide.get(i).copied());
                let bits = cfg.read32(bridge.rid, bridge::PREFETCH) & 0xf;
                parent_open == Some(true) && bits == bridge::PREFETCH_64
            }
        };
        wide.push(above);
    }
    wide
}

/// A bridge window that was laid out.
struct Opened {
    function: usize,
    class: Class,
    base: u64,
    /// Last byte.
    last: u64,
}

struct Layout<'a> {
    topology: &'a mut Topology,
    open: Vec<bool>,
    page: u64,
    opened: Vec<Opened>,
}

impl Layout<'_> {
    fn window(&mut self, class: Class, window: &HostWindow) {
        self.fill(
            None,
            class,
            window,
            window.bus,
            window.bus.saturating_add(window.size),
        );
    }

    /// Lays out the bus behind `parent` in `cursor..end`.
    fn fill(
        &mut self,
        parent: Option<usize>,
        class: Class,
        window: &HostWindow,
        mut cursor: u64,
        end: u64,
    ) {
        for item in self.items(parent, class) {
            let Some(base) = align_up(cursor, item.align) else {
                continue;
            };
            let Some(next) = base.checked_add(item.size).filter(|&next| next <= end) else {
                continue;
            };
            cursor = next;
            match item.bar {
                Some(bar) => self.put(item.function, bar, window, base),
                None => {
                    let last = next.saturating_sub(1);
                    self.opened.push(Opened {
                        function: item.function,
                        class,
                        base,
                        last,
                    });
                    self.fill(Some(item.function), class, window, base, next);
                }
            }
        }
    }

    fn put(&mut self, function: usize, bar: usize, window: &HostWindow, bus: u64) {
        let pa = window.pa.saturating_add(bus.saturating_sub(window.bus));
        let function = self.topology.functions.get_mut(function);
        if let Some(Some(bar)) = function.and_then(|f| f.bars.get_mut(bar)) {
            bar.place = Some(Place { bus, pa });
        }
    }

    /// What the bus behind `parent` holds, by falling alignment.
    fn items(&self, parent: Option<usize>, class: Class) -> Vec<Item> {
        let mut items = Vec::new();
        for (index, function) in self.topology.functions.iter().enumerate() {
            if function.parent != parent {
                continue;
            }
            for (number, bar) in function.bars.iter().enumerate() {
                let Some(bar) = bar else { continue };
                if self.class(index, bar) == class {
                    let size = bar.size.max(self.page);
                    items.push(Item {
                        size,
                        align: size,
                        function: index,
                        bar: Some(number),
                    });
                }
            }
            let need = self.need(index, function, class);
            if need.size != 0 {
                let Need { size, align } = need;
                items.push(Item {
                    size,
                    align,
                    function: index,
                    bar: None,
                });
            }
        }
        platform::sort::by_key(&mut items, |item| Reverse((item.align, item.size)));
        items
    }

    fn class(&self, index: usize, bar: &Bar) -> Class {
        let high = bar.wide && bar.prefetchable && self.open.get(index) == Some(&true);
        if high { Class::High } else { Class::Low }
    }

    /// What a bridge needs for those behind it, in whole megabytes.
    fn need(&self, index: usize, function: &Function, class: Class) -> Need {
        if function.layout != 1 {
            return Need::default();
        }
        let items = self.items(Some(index), class);
        let Some(first) = items.first() else {
            return Need::default();
        };
        let align = first.align.max(bridge::GRANULE);
        let mut size: u64 = 0;
        for item in &items {
            // What does not fit the address space does not fit a window either.
            let at = align_up(size, item.align).unwrap_or(u64::MAX);
            size = at.saturating_add(item.size);
        }
        Need {
            size: align_up(size, bridge::GRANULE).unwrap_or(u64::MAX),
            align,
        }
    }
}

/// `value` rounded up to the power of two `align`, unless that overflows.
pub(super) fn align_up(value: u64, align: u64) -> Option<u64> {
    let mask = align.wrapping_sub(1);
    value.checked_add(mask).map(|sum| sum & !mask)
}

/// Programs a bridge's windows and lets it forward both ways. Whoever sits
/// behind it is quiet, and the SMMU stands before memory.
fn write_bridge(cfg: &impl ConfigSpace, function: &Function, index: usize, opened: &[Opened]) {
    let rid = function.rid;
    let find = |class| {
        opened
            .iter()
            .find(|o| o.function == index && o.class == class)
    };
    let low = find(Class::Low).map_or(bridge::CLOSED, |o| window_word(o.base, o.last));
    let high = find(Class::High);
    let word = high.map_or(bridge::CLOSED, |o| window_word(o.base, o.last));
    let upper = |pick: fn(&Opened) -> u64| high.map_or(0, |o| (pick(o) >> 32) as u32);
    cfg.write32(rid, bridge::MEMORY, low);
    // Closed first, upper halves next: no moment with a mixed window.
    cfg.write32(rid, bridge::PREFETCH, bridge::CLOSED);
    cfg.write32(rid, bridge::PREFETCH_BASE_HIGH, upper(|o| o.base));
    cfg.write32(rid, bridge::PREFETCH_LIMIT_HIGH, upper(|o| o.last));
    cfg.write32(rid, bridge::PREFETCH, word);
    cfg.write16(rid, bridge::IO, bridge::IO_CLOSED);
    cfg.write32(rid, bridge::IO_HIGH, 0);
    cfg.write16(rid, bridge::CONTROL, 0);
    let forward = command::MEMORY | command::BUS_MASTER | command::INTX_DISABLE;
    cfg.write16(rid, regs::COMMAND, forward);
}

/// Base and limit registers of a memory window (PCI-to-PCI bridge 1.2,
/// 3.2.5.8): address bits 31:20 in 15:4 and 31:20.
fn window_word(base: u64, last: u64) -> u32 {
    let field = |address: u64| (address >> 16) as u32 & 0xfff0;
    field(base) | (field(last) << 16)
}

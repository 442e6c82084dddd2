//! The first look at the board, before there is a heap: where memory is, what
//! of it is taken, and where to print.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]
use crate::fdt::{Blob, FdtError, MAX_DEPTH, Node};
use crate::region::{Region, pairs, registers};
use crate::uart::UartKind;
use arrayvec::ArrayVec;

/// Most regions of each sort kept. More are dropped and counted in
/// [`Early::dropped`], so that the boot path can refuse instead of guessing.
pub const MAX_REGIONS: usize = 64;

/// A list of regions without a heap.
pub type Regions = ArrayVec<Region, MAX_REGIONS>;

/// What can be told before there is a heap.
#[derive(Debug, Clone, Default)]
pub struct Early {
    /// RAM, as the enabled memory nodes list it.
    pub memory: Regions,
    /// Parts of RAM that must not be used: `/memreserve/` entries and
    /// `/reserved-memory` children with a `reg`.
    pub reserved: Regions,
    /// Files a boot loader put into RAM and described below `/chosen`
    /// (`multiboot,module`), and the initial RAM disk.
    pub modules: Regions,
    /// The console named by `/chosen/stdout-path`.
    pub console: Option<EarlyConsole>,
    /// Number of regions that did not fit into a list.
    pub dropped: usize,
}

/// The console's registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlyConsole {
    /// Which driver it needs.
    pub kind: UartKind,
    /// Physical address and length of the registers.
    pub registers: Region,
    /// `reg-shift`: registers are `1 << shift` bytes apart.
    pub reg_shift: u32,
    /// `reg-io-width`: bytes per register access.
    pub io_width: u32,
}

/// Scans a device tree for memory, reservations, modules and the console.
///
/// # Errors
/// [`FdtError`] when the blob is not a well-formed tree.
pub fn scan(bytes: &[u8]) -> Result<Early, FdtError> {
    Ok(scan_checked(&Blob::check(bytes)?))
}

/// As [`scan`], for a blob already checked.
#[must_use]
pub fn scan_checked(blob: &Blob<'_>) -> Early {
    let mut early = Early::default();
    memory(blob, &mut early);
    reserved(blob, &mut early);
    if let Some(chosen) = blob.root().child("chosen") {
        modules(&chosen, &mut early);
        initrd(&chosen, &mut early);
        early.console = console(blob, &chosen);
    }
    early
}

fn keep(list: &mut Regions, region: Region, dropped: &mut usize) {
    if region.size > 0 && list.try_push(region).is_err() {
        *dropped = dropped.saturating_add(1);
    }
}

fn memory(blob: &Blob<'_>, early: &mut Early) {
    let root = blob.root();
    for node in root.children() {
        let is_memory = node.property("device_type").and_then(|p| p.string()) == Some("memory");
        if is_memory && node.is_enabled() {
            for region in registers(&[root], &node).flatten() {
                keep(&mut early.memory, region, &mut early.dropped);
            }
        }
    }
}

fn reserved(blob: &Blob<'_>, early: &mut Early) {
    for (base, size) in blob.reservations() {
        keep(
            &mut early.reserved,
            Region::new(base, size),
            &mut early.dropped,
        );
    }
    let root = blob.root();
    let Some(parent) = root.child("reserved-memory") else {
        return;
    };
    for node in parent.children().filter(Node::is_enabled) {
        for region in registers(&[root, parent], &node).flatten() {
            keep(&mut early.reserved, region, &mut early.dropped);
        }
    }
}

/// Modules stand directly below `/chosen` or one or two levels deeper, inside
/// a VM's node. Their addresses are physical at every level.
fn modules(node: &Node<'_>, early: &mut Early) {
    let (address_cells, size_cells) = (node.address_cells(), node.size_cells());
    for child in node.children() {
        if child.is_compatible("multiboot,module") {
            let reg = child.property("reg").into_iter();
            for region in reg.flat_map(|p| pairs(p, address_cells, size_cells)) {
                keep(&mut early.modules, region, &mut early.dropped);
            }
        } else {
            modules(&child, early);
        }
    }
}

fn initrd(chosen: &Node<'_>, early: &mut Early) {
    let number = |name| chosen.property(name).and_then(|p| p.number());
    if let (Some(start), Some(end)) = (number("linux,initrd-start"), number("linux,initrd-end")) {
        let size = end.saturating_sub(start);
        keep(
            &mut early.modules,
            Region::new(start, size),
            &mut early.dropped,
        );
    }
}

fn console(blob: &Blob<'_>, chosen: &Node<'_>) -> Option<EarlyConsole> {
    let named = chosen
        .property("stdout-path")
        .or_else(|| chosen.property("linux,stdout-path"))?;
    let name = named.string()?.split(':').next()?;
    let path = if name.starts_with('/') {
        name
    } else {
        blob.find("/aliases")?.property(name)?.string()?
    };
    let mut ancestors = ArrayVec::<Node<'_>, MAX_DEPTH>::new();
    let mut node = blob.root();
    for part in path.strip_prefix('/')?.split('/').filter(|p| !p.is_empty()) {
        ancestors.try_push(node).ok()?;
        node = node.child(part)?;
    }
    let registers = registers(&ancestors, &node).next()??;
    let number = |name| node.property(name).and_then(|p| p.u32());
    Some(EarlyConsole {
        kind: UartKind::of(&node)?,
        registers,
        reg_shift: number("reg-shift").unwrap_or(0),
        io_width: number("reg-io-width").unwrap_or(1),
    })
}

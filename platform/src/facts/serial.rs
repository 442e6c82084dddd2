//! Serial ports.
use super::interrupt::{Irq, interrupts};
use super::regions;
use crate::region::Region;
use crate::report::Report;
use crate::tree::{NodeId, Tree};
use crate::uart::UartKind;
use alloc::string::String;
use alloc::vec::Vec;

/// A serial port with a known programming interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uart {
    /// Its node.
    pub node: NodeId,
    /// Its path.
    pub path: String,
    /// Which driver it needs.
    pub kind: UartKind,
    /// Its registers.
    pub registers: Region,
    /// Its interrupt.
    pub irq: Option<Irq>,
    /// `reg-shift`: registers are `1 << shift` bytes apart.
    pub reg_shift: u32,
    /// `reg-io-width`: bytes per register access.
    pub io_width: u32,
    /// Enabled, with all nodes above it.
    pub enabled: bool,
}

pub(super) fn uarts(tree: &Tree<'_>) -> Vec<Uart> {
    let known = tree
        .ids()
        .filter_map(|id| Some((id, UartKind::of(&tree.node(id))?)));
    known
        .filter_map(|(id, kind)| {
            let node = tree.node(id);
            let number = |name| node.property(name).and_then(|p| p.u32());
            Some(Uart {
                node: id,
                path: tree.path(id),
                kind,
                registers: regions(tree, id).first().copied().flatten()?,
                irq: interrupts(tree, id).first().copied().flatten(),
                reg_shift: number("reg-shift").unwrap_or(0),
                io_width: number("reg-io-width").unwrap_or(1),
                enabled: tree.is_enabled(id),
            })
        })
        .collect()
}

/// The port that `stdout-path` names.
pub(super) fn console(tree: &Tree<'_>, uarts: &[Uart], report: &mut Report) -> Option<usize> {
    let chosen = tree.node(tree.find("/chosen")?);
    let named = chosen
        .property("stdout-path")
        .or_else(|| chosen.property("linux,stdout-path"))?;
    let place = ("/chosen", "stdout-path");
    let name = named.string().unwrap_or_default();
    let Some(id) = tree.find(name) else {
        let what = alloc::format!("{name} names no node");
        report.warning(
            "console-path",
            place,
            what,
            "name a serial port or its alias",
        );
        return None;
    };
    let index = uarts.iter().position(|u| u.node == id);
    if index.is_none() {
        let what = alloc::format!("no console driver for {}", tree.path(id));
        report.warning(
            "console-driver",
            place,
            what,
            "name a port with a known driver",
        );
    }
    index
}

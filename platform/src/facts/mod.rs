//! Facts about the board, all from its device tree; no address is compiled in.
//!
//! [`Board::read`] takes down what the tree says and reports what it says
//! wrongly; [`Board::require`] reports what is missing before anything can
//! boot.
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
pub mod cpu;
pub mod gic;
pub mod interrupt;
pub mod memory;
pub mod pci;
pub mod reference;
pub mod serial;
pub mod smmu;
pub mod stream;
#[cfg(test)]
mod tests;

pub use cpu::{Conduit, Cpu, Timers};
pub use gic::{Gic, GicKind, Its, V2mFrame};
pub use interrupt::Irq;
pub use memory::{Memory, Reserved};
pub use pci::{PciHost, Window, WindowKind};
pub use reference::Supply;
pub use serial::Uart;
pub use smmu::{Smmu, SmmuKind, SmmuModel, SplitStream, Tbu};
pub use stream::StreamId;

use crate::fdt::Node;
use crate::region::{Region, registers};
use crate::report::Report;
use crate::tree::{NodeId, Tree};
use alloc::string::String;
use alloc::vec::Vec;

/// What the device tree says about the board.
#[derive(Debug, Clone)]
pub struct Board {
    /// The root's `model`, or its first `compatible` string.
    pub model: String,
    /// RAM and what of it is taken.
    pub memory: Memory,
    /// Enabled CPUs in the order of the tree.
    pub cpus: Vec<Cpu>,
    /// How to call PSCI firmware.
    pub psci: Option<Conduit>,
    /// The interrupt controller of the CPUs.
    pub gic: Option<Gic>,
    /// Interrupts of the architected timer.
    pub timers: Timers,
    /// Serial ports with a known programming interface.
    pub uarts: Vec<Uart>,
    /// Index into `uarts` of the port `/chosen/stdout-path` names.
    pub console: Option<usize>,
    /// Every Arm SMMU, disabled ones included.
    pub smmus: Vec<Smmu>,
    /// Every PCI host bridge, disabled ones included.
    pub pci_hosts: Vec<PciHost>,
}

impl Board {
    /// Reads all facts. What is malformed is reported and left out.
    #[must_use]
    pub fn read(tree: &Tree<'_>, report: &mut Report) -> Self {
        duplicate_phandles(tree, report);
        let root = tree.node(NodeId::ROOT);
        let model = root
            .property("model")
            .or_else(|| root.property("compatible"));
        let uarts = serial::uarts(tree);
        let console = serial::console(tree, &uarts, report);
        Self {
            model: model
                .and_then(|p| p.string())
                .unwrap_or("unnamed board")
                .into(),
            memory: memory::read(tree),
            cpus: cpu::cpus(tree, report),
            psci: cpu::psci(tree, report),
            gic: gic::read(tree, report),
            timers: cpu::timers(tree),
            uarts,
            console,
            smmus: smmu::read(tree, report),
            pci_hosts: pci::read(tree, report),
        }
    }

    /// Reports every fact without which nothing can boot.
    pub fn require(&self, report: &mut Report) {
        if self.memory.ram.is_empty() {
            report.error(
                "no-memory",
                ("/memory", "reg"),
                "no RAM is described",
                "let the boot loader fill in the memory node, or write it into the tree",
            );
        }
        if self.cpus.is_empty() {
            let remedy = "describe the CPUs as nodes with device_type = \"cpu\" and reg";
            report.error(
                "no-cpu",
                ("/cpus", ""),
                "no enabled CPU is described",
                remedy,
            );
        }
        if self.gic.is_none() {
            let remedy = "add a node compatible with arm,gic-v3 or arm,gic-400";
            report.error(
                "no-gic",
                ("/", ""),
                "no GICv2 or GICv3 is described",
                remedy,
            );
        }
        if self.psci.is_none() && self.cpus.len() > 1 {
            let remedy = "add a psci node with method = \"smc\"";
            report.error(
                "no-psci",
                ("/psci", ""),
                "no PSCI firmware is described",
                remedy,
            );
        }
        if self.console.is_none() && self.uarts.is_empty() {
            let remedy = "name a serial port in /chosen/stdout-path";
            let what = "no serial port with a known driver";
            report.warning("no-console", ("/chosen", "stdout-path"), what, remedy);
        }
        if self.timers.hyp.is_none() {
            let remedy = "list the timer's interrupts, the hypervisor's as the fourth";
            let what = "the hypervisor timer has no interrupt";
            report.error("no-timer", ("/timer", "interrupts"), what, remedy);
        }
    }

    /// Index of the SMMU at `node`.
    #[must_use]
    pub fn smmu_at(&self, node: NodeId) -> Option<usize> {
        self.smmus.iter().position(|s| s.node == node)
    }

    /// Index of the PCI host bridge at `node`.
    #[must_use]
    pub fn pci_host_at(&self, node: NodeId) -> Option<usize> {
        self.pci_hosts.iter().position(|h| h.node == node)
    }
}

fn duplicate_phandles(tree: &Tree<'_>, report: &mut Report) {
    for &(phandle, first, second) in tree.duplicate_phandles() {
        report.error(
            "duplicate-phandle",
            (&tree.path(second), "phandle"),
            alloc::format!(
                "phandle {phandle:#x} already belongs to {}",
                tree.path(first)
            ),
            "give the node a phandle in the base tree before an overlay refers to it",
        );
    }
}

/// A node's ancestors, root first.
pub(crate) fn ancestors<'a>(tree: &Tree<'a>, id: NodeId) -> Vec<Node<'a>> {
    let mut chain = Vec::new();
    let mut at = tree.parent(id);
    while let Some(here) = at {
        chain.push(tree.node(here));
        at = tree.parent(here);
    }
    chain.reverse();
    chain
}

/// The physical regions of a node's `reg`; `None` for an entry that no
/// `ranges` translates.
#[must_use]
pub fn regions(tree: &Tree<'_>, id: NodeId) -> Vec<Option<Region>> {
    registers(&ancestors(tree, id), &tree.node(id)).collect()
}

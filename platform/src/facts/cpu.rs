//! CPUs, PSCI and the architected timer.
use super::interrupt::{self, Irq, interrupts};
use crate::region::read_cells;
use crate::report::Report;
use crate::tree::{NodeId, Tree};
use alloc::string::String;
use alloc::vec::Vec;

/// A CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpu {
    /// Its node.
    pub node: NodeId,
    /// Its path.
    pub path: String,
    /// Affinity fields of MPIDR_EL1, as `reg` gives them.
    pub mpidr: u64,
    /// Started by PSCI (`enable-method = "psci"`).
    pub psci: bool,
}

/// The instruction that calls PSCI firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conduit {
    /// `smc #0`.
    Smc,
    /// `hvc #0`.
    Hvc,
}

/// Interrupts of the architected timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timers {
    /// EL1 physical timer (non-secure), INTID 30 by custom.
    pub phys: Option<Irq>,
    /// EL1 virtual timer, INTID 27 by custom.
    pub virt: Option<Irq>,
    /// EL2 physical timer, INTID 26 by custom.
    pub hyp: Option<Irq>,
    /// Frequency in Hz where firmware does not program CNTFRQ_EL0.
    pub frequency: Option<u32>,
}

/// Enabled CPUs in the order of the tree.
pub(super) fn cpus(tree: &Tree<'_>, report: &mut Report) -> Vec<Cpu> {
    let Some(parent) = tree.find("/cpus") else {
        return Vec::new();
    };
    let cells = tree.node(parent).address_cells();
    let mut list: Vec<Cpu> = Vec::new();
    for id in tree.children(parent) {
        let node = tree.node(id);
        let is_cpu = node.property("device_type").and_then(|p| p.string()) == Some("cpu");
        if !is_cpu || !node.is_enabled() {
            continue;
        }
        let path = tree.path(id);
        let Some(mpidr) = node
            .property("reg")
            .and_then(|p| read_cells(p.value, 0, cells))
        else {
            let remedy = "give the CPU's affinity, as MPIDR_EL1 reads, in reg";
            report.error("cpu-reg", (&path, "reg"), "no readable CPU number", remedy);
            continue;
        };
        if let Some(twin) = list.iter().find(|c| c.mpidr == mpidr) {
            let what = alloc::format!("{} has the same number {mpidr:#x}", twin.path);
            report.error(
                "cpu-twice",
                (&path, "reg"),
                what,
                "give each CPU its own number",
            );
            continue;
        }
        let method = node.property("enable-method").and_then(|p| p.string());
        list.push(Cpu {
            node: id,
            path,
            mpidr,
            psci: method == Some("psci"),
        });
    }
    list
}

/// The PSCI conduit, without complaints.
#[must_use]
pub fn conduit(tree: &Tree<'_>) -> Option<Conduit> {
    psci(tree, &mut Report::new())
}

/// The PSCI conduit.
pub(super) fn psci(tree: &Tree<'_>, report: &mut Report) -> Option<Conduit> {
    let id = tree.ids().find(|&id| {
        let node = tree.node(id);
        ["arm,psci-1.0", "arm,psci-0.2", "arm,psci"]
            .iter()
            .any(|c| node.is_compatible(c))
    })?;
    match tree.node(id).property("method").and_then(|p| p.string()) {
        Some("smc") => Some(Conduit::Smc),
        Some("hvc") => Some(Conduit::Hvc),
        other => {
            let what = alloc::format!("method is {}", other.unwrap_or("missing"));
            let place = (tree.path(id), "method");
            report.error(
                "psci-method",
                (&place.0, place.1),
                what,
                "write \"smc\" or \"hvc\"",
            );
            None
        }
    }
}

/// Interrupts by name, or in the binding's order: secure, non-secure, virtual,
/// hypervisor.
pub(super) fn timers(tree: &Tree<'_>) -> Timers {
    let found = tree.ids().find(|&id| {
        let node = tree.node(id);
        node.is_compatible("arm,armv8-timer") || node.is_compatible("arm,armv7-timer")
    });
    let Some(id) = found else {
        return Timers::default();
    };
    let all = interrupts(tree, id);
    let named = tree.node(id).property("interrupt-names").is_some();
    let pick = |name, index: usize| match named {
        true => interrupt::named(tree, id, name),
        false => all.get(index).copied().flatten(),
    };
    Timers {
        phys: pick("phys", 1),
        virt: pick("virt", 2),
        hyp: pick("hyp-phys", 3),
        frequency: tree
            .node(id)
            .property("clock-frequency")
            .and_then(|p| p.u32()),
    }
}

//! The operator's configuration: what `/chosen/stagegate` asks for, checked
//! against the board.
//!
//! [`plan`] reads the merged tree and returns what the hypervisor is to build.
//! Every mistake becomes a finding with node, property and remedy; a plan from
//! a report with errors must not be started.
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
mod device;
mod driving;
mod limits;
mod module;
mod needs;
mod ownership;
mod power;
mod smmu;
mod streams;
#[cfg(test)]
mod tests;
mod vm;

pub use device::{DeviceConfig, DeviceKind};
pub use driving::Driving;
pub use module::{Module, Source};
pub use needs::{Passing, passing};
pub use power::PowerSource;
pub use smmu::{SmmuConfig, TbuConfig};
pub use vm::{GuestIommu, VmConfig};

use crate::facts::Board;
use crate::region::Region;
use crate::report::Report;
use crate::tree::{NodeId, Tree};
use alloc::string::String;
use alloc::vec::Vec;

/// Delay between the last activity behind an SMMU and its clocks stopping, in
/// microseconds, where the operator sets none.
pub const DEFAULT_IDLE_DELAY_US: u64 = 20_000;

/// Longest delay accepted, in microseconds: one hour.
pub const MAX_DELAY_US: u64 = 3_600_000_000;

/// How long the start waits for suppliers that do not answer yet, in
/// microseconds, where the operator sets nothing.
pub const DEFAULT_PROBE_TIMEOUT_US: u64 = 2_000_000;

/// Memory is given to VMs in pieces of this size, in bytes.
pub const MEMORY_GRANULE: u64 = 2 << 20;

/// Highest VM number. VM 0 is the hypervisor itself.
pub const MAX_VM_ID: u32 = 255;

/// What there is besides the tree.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inputs<'a> {
    /// Named files packed with the hypervisor and where they lie. `None` when
    /// they are not known yet, as in a check before packing: any name passes.
    pub files: Option<&'a [(&'a str, Region)]>,
    /// RAM the hypervisor holds for itself.
    pub held: &'a [Region],
}

const PROBE_TIMEOUT: &str = "stagegate,probe-timeout-us";

/// What is to be built.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The VMs by ascending number.
    pub vms: Vec<VmConfig>,
    /// Every enabled SMMU of the board, masters or none: one without masters
    /// still has all its streams terminated.
    pub smmus: Vec<SmmuConfig>,
    /// How long the start waits for suppliers that do not answer yet.
    pub probe_timeout_us: u64,
}

/// Reads the configuration and checks it against the board.
#[must_use]
pub fn plan(tree: &Tree<'_>, board: &Board, inputs: Inputs<'_>, report: &mut Report) -> Plan {
    let mut reader = Reader {
        tree,
        board,
        inputs,
        report,
    };
    let Some(config) = reader.config_node() else {
        return Plan::default();
    };
    let mut vms: Vec<VmConfig> = Vec::new();
    for child in tree.children(config) {
        if let Some(vm) = vm::read(&mut reader, child, &vms) {
            vms.push(vm);
        }
    }
    crate::sort::by_key(&mut vms, |vm| vm.id);
    if vms.is_empty() && !reader.report.has_errors() {
        let remedy = "add a node with compatible = \"stagegate,vm-v1\"";
        reader.error("no-vm", (config, ""), "no VM is described", remedy);
    }
    let smmus = smmu::read(&mut reader, &vms);
    let probe_timeout_us = reader.probe_timeout(config);
    limits::check(&mut reader, config, &vms);
    ownership::check(&mut reader, &vms);
    Plan {
        vms,
        smmus,
        probe_timeout_us,
    }
}

/// What reading needs everywhere.
struct Reader<'t, 'a> {
    tree: &'t Tree<'a>,
    board: &'t Board,
    inputs: Inputs<'t>,
    report: &'t mut Report,
}

impl Reader<'_, '_> {
    fn config_node(&mut self) -> Option<NodeId> {
        let Some(id) = self.tree.find("/chosen/stagegate") else {
            self.report.error(
                "no-config",
                ("/chosen/stagegate", ""),
                "there is no configuration",
                "apply an overlay that describes the VMs",
            );
            return None;
        };
        if !self.tree.node(id).is_compatible("stagegate,config-v1") {
            let remedy = "write compatible = \"stagegate,config-v1\"";
            self.error(
                "config-version",
                (id, "compatible"),
                "unknown version",
                remedy,
            );
            return None;
        }
        self.check_names(
            id,
            &["compatible", "#address-cells", "#size-cells", PROBE_TIMEOUT],
        );
        Some(id)
    }

    fn probe_timeout(&mut self, config: NodeId) -> u64 {
        let given = self.cell(config, PROBE_TIMEOUT).map(u64::from);
        let timeout = given.unwrap_or(DEFAULT_PROBE_TIMEOUT_US);
        if timeout > MAX_DELAY_US {
            let what = alloc::format!("{timeout} µs are more than an hour");
            let remedy = "choose less: guests wait meanwhile";
            self.error("delay", (config, PROBE_TIMEOUT), what, remedy);
        }
        timeout
    }

    fn error(
        &mut self,
        code: &'static str,
        (id, property): (NodeId, &str),
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.report
            .error(code, (&self.tree.path(id), property), what, remedy);
    }

    fn warning(
        &mut self,
        code: &'static str,
        (id, property): (NodeId, &str),
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.report
            .warning(code, (&self.tree.path(id), property), what, remedy);
    }

    /// Whether the node counts, with a finding if not: a warning where its
    /// `status` is no word for that.
    fn counts(&mut self, id: NodeId) -> bool {
        let node = self.tree.node(id);
        if node.is_enabled() {
            return true;
        }
        let status = node.property("status").and_then(|p| p.string());
        let status = status.unwrap_or_default();
        let what = alloc::format!("left out: its status is \"{status}\"");
        if matches!(status, "disabled" | "reserved") || status.starts_with("fail") {
            self.report
                .note("left-out", (&self.tree.path(id), "status"), what);
        } else {
            let remedy = "write okay, or disabled";
            self.warning("left-out", (id, "status"), what, remedy);
        }
        false
    }

    /// Warns of our properties that nobody reads in a node of the board, where
    /// others may read what is not ours.
    fn check_own_names(&mut self, id: NodeId, known: &[&str]) {
        let own = |name: &str| name.starts_with("stagegate,");
        let names: Vec<&str> = self.tree.node(id).properties().map(|p| p.name).collect();
        let others = names.into_iter().filter(|name| !own(name));
        let known: Vec<&str> = others.chain(known.iter().copied()).collect();
        self.check_names(id, &known);
    }

    /// Warns of properties nobody reads: most are misspelt.
    fn check_names(&mut self, id: NodeId, known: &[&str]) {
        const ALWAYS: [&str; 4] = ["phandle", "linux,phandle", "name", "status"];
        for property in self.tree.node(id).properties() {
            if !known.contains(&property.name) && !ALWAYS.contains(&property.name) {
                let remedy = match near(property.name, known) {
                    Some(meant) => alloc::format!("did you mean {meant}?"),
                    None => String::from("remove it"),
                };
                self.warning(
                    "unknown-property",
                    (id, property.name),
                    "nobody reads it",
                    remedy,
                );
            }
        }
    }

    /// A one-cell property; an error where it has another size.
    fn cell(&mut self, id: NodeId, name: &str) -> Option<u32> {
        let property = self.tree.node(id).property(name)?;
        if property.u32().is_none() {
            let what = alloc::format!("{} bytes are not one cell", property.value.len());
            self.error("not-a-cell", (id, name), what, "write one number: <n>");
        }
        property.u32()
    }

    fn flag(&self, id: NodeId, name: &str) -> bool {
        self.tree.node(id).property(name).is_some()
    }
}

/// The known name closest to `name`, if one differs by no more than two
/// letters or only by the vendor prefix.
fn near<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let bare = |s: &str| String::from(s.rsplit(',').next().unwrap_or(s));
    known
        .iter()
        .copied()
        .map(|k| (distance(&bare(name), &bare(k)), k))
        .filter(|&(d, _)| d <= 2)
        .min_by_key(|&(d, _)| d)
        .map(|(_, k)| k)
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i.saturating_add(1);
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let substituted = diagonal.saturating_add(usize::from(x != y));
            diagonal = *cell;
            left = substituted.min(left.min(*cell).saturating_add(1));
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

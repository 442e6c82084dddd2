//! The results as `docs/boards.md` has them: a row for each most specific
//! `compatible`.

use crate::rig::shape;
use platform::facts::Smmu;
use platform::tree::Tree;
use smmu::v2::Implementation;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

#[derive(Default)]
struct Row {
    nodes: usize,
    windows: BTreeSet<(u64, bool)>,
    interrupts: BTreeSet<(usize, usize)>,
    clocks: BTreeSet<usize>,
    domains: BTreeSet<usize>,
    masters: usize,
    most_streams: usize,
}

/// All rows, and what is counted beside them.
#[derive(Default)]
pub struct Table {
    rows: BTreeMap<(&'static str, String), Row>,
    with_smmu: usize,
}

impl Table {
    /// One SMMU that was examined; `streams` are those of each master.
    pub fn add(
        &mut self,
        tree: &Tree<'_>,
        facts: &Smmu,
        part: Option<Implementation>,
        streams: &[usize],
    ) {
        let compatible = tree.node(facts.node).property("compatible");
        let first = compatible.and_then(|p| p.strings().next()).unwrap_or("");
        let name = match facts.adreno {
            true => format!("`{first}`, GPU"),
            false => format!("`{first}`"),
        };
        let driver = part.map_or("SMMUv3", |part| part.name());
        let row = self.rows.entry((driver, name)).or_default();
        row.nodes += 1;
        row.windows
            .insert((facts.registers[0].size, part.is_some()));
        let global = facts.global_interrupts;
        row.interrupts.insert((global, facts.irqs.len() - global));
        row.clocks.insert(facts.clocks.len());
        row.domains.insert(facts.power_domains.len());
        row.masters += streams.len();
        row.most_streams = row
            .most_streams
            .max(streams.iter().copied().max().unwrap_or(0));
    }

    /// One tree was read.
    pub fn tree(&mut self, with_smmu: bool) {
        self.with_smmu += usize::from(with_smmu);
    }

    /// SMMUs in all.
    pub fn nodes(&self) -> usize {
        self.rows.values().map(|row| row.nodes).sum()
    }

    /// Trees that have one.
    pub fn with_smmu(&self) -> usize {
        self.with_smmu
    }
}

fn list<T>(values: &BTreeSet<T>, one: impl Fn(&T) -> String) -> String {
    values.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn window(&(size, banks): &(u64, bool)) -> String {
    let (page_shift, _) = shape(size);
    let page = if banks && page_shift == 16 {
        " (64K pages)"
    } else {
        ""
    };
    format!("{} K{page}", size >> 10)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| driven as | `compatible` | nodes | window | interrupts, global + others | clocks | power domains | masters | streams of one |\n\
             |---|---|---|---|---|---|---|---|---|"
        )?;
        let mut masters = 0;
        for ((driver, name), row) in &self.rows {
            masters += row.masters;
            writeln!(
                f,
                "| {driver} | {name} | {} | {} | {} | {} | {} | {} | {} |",
                row.nodes,
                list(&row.windows, window),
                list(&row.interrupts, |(a, b)| format!("{a} + {b}")),
                list(&row.clocks, ToString::to_string),
                list(&row.domains, ToString::to_string),
                row.masters,
                row.most_streams,
            )?;
        }
        let nodes = self.nodes();
        writeln!(f, "| **all** | | {nodes} | | | | | {masters} | |")
    }
}

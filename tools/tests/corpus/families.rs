//! What a SoC's boards have and lack: a row for each SoC with an SMMU.
use crate::{is_driven, kind};
use platform::supply::SupplyKind;
use stagegate::command::Survey;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Default)]
struct Row {
    trees: usize,
    smmus: BTreeMap<&'static str, usize>,
    /// Masters, and those of them behind an enabled SMMU.
    masters: [usize; 2],
    /// Clocks and domains of the SMMUs: those with a driver, and all.
    supplies: [usize; 2],
    /// Providers that keep the others from being switched.
    lacking: BTreeMap<String, usize>,
}

/// All rows.
#[derive(Default)]
pub struct Families(BTreeMap<String, Row>);

/// The SoC: the last and most general `compatible` of the root.
fn soc(survey: &Survey<'_>) -> String {
    let compatible = survey.tree.blob().root().property("compatible");
    let last = compatible.and_then(|p| p.strings().last());
    last.unwrap_or("?").into()
}

impl Families {
    /// One tree; `masters` are its masters, and those behind an enabled SMMU.
    pub fn add(&mut self, survey: &Survey<'_>, masters: [usize; 2]) {
        if survey.board.smmus.is_empty() {
            return;
        }
        let row = self.0.entry(soc(survey)).or_default();
        row.trees += 1;
        row.masters
            .iter_mut()
            .zip(masters)
            .for_each(|(sum, n)| *sum += n);
        for smmu in &survey.board.smmus {
            *row.smmus.entry(kind(smmu)).or_default() += 1;
            let clocks = smmu.clocks.iter().map(|s| (SupplyKind::Clock, s));
            let domains = smmu
                .power_domains
                .iter()
                .map(|s| (SupplyKind::PowerDomain, s));
            for (which, supply) in clocks.chain(domains) {
                row.supplies[1] += 1;
                if is_driven(survey, which, supply) {
                    row.supplies[0] += 1;
                    continue;
                }
                let provider = survey.tree.node(supply.provider);
                let compatible = provider.property("compatible");
                let name = compatible.and_then(|p| p.strings().next()).unwrap_or("?");
                *row.lacking.entry(name.into()).or_default() += 1;
            }
        }
    }
}

/// "name × n", most frequent first.
fn counted<K: AsRef<str>>(counts: &BTreeMap<K, usize>, mark: &str) -> String {
    let mut list: Vec<_> = counts
        .iter()
        .map(|(name, n)| (Reverse(*n), name.as_ref()))
        .collect();
    list.sort_unstable();
    let each = list
        .iter()
        .map(|(n, name)| format!("{mark}{name}{mark} × {}", n.0));
    each.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| SoC | trees | SMMUs | masters | behind an enabled SMMU | clocks and domains of the SMMUs | with a driver | without: provider |\n\
             |---|---|---|---|---|---|---|---|"
        )?;
        let mut sum = Row::default();
        for (soc, row) in &self.0 {
            row.line(f, &format!("`{soc}`"))?;
            sum.take(row);
        }
        sum.line(f, "**all**")
    }
}

impl Row {
    fn line(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        writeln!(
            f,
            "| {name} | {} | {} | {} | {} | {} | {} | {} |",
            self.trees,
            counted(&self.smmus, ""),
            self.masters[0],
            self.masters[1],
            self.supplies[1],
            self.supplies[0],
            counted(&self.lacking, "`"),
        )
    }

    fn take(&mut self, other: &Self) {
        self.trees += other.trees;
        for i in 0..2 {
            self.masters[i] += other.masters[i];
            self.supplies[i] += other.supplies[i];
        }
        for (name, n) in &other.smmus {
            *self.smmus.entry(name).or_default() += n;
        }
        for (name, n) in &other.lacking {
            *self.lacking.entry(name.clone()).or_default() += n;
        }
    }
}

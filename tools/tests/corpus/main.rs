//! The checker on every board tree of Debian's arm64 kernel package.
//!
//! `STAGEGATE_DTBS` names a directory with the trees; without it the test only
//! says that it did nothing. With `STAGEGATE_BOARDS_TABLE` the tables of
//! results are written to that file, for `docs/boards.md`, which must have them.
#[path = "../common/mod.rs"]
mod common;
mod families;

use families::Families;
use platform::config::Inputs;
use platform::facts::{Smmu, SmmuKind, SmmuModel, Supply};
use platform::fdt::Blob;
use platform::probe::driver_of;
use platform::region::Region;
use platform::supply::{SupplyKind, lacks};
use stagegate::command::Survey;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn trees(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for path in entries.flatten().map(|e| e.path()) {
        if path.is_dir() {
            trees(&path, found);
        } else if path.extension().is_some_and(|e| e == "dtb") {
            found.push(path);
        }
    }
}

/// What is counted over all SMMUs of one kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    nodes: usize,
    clocks: usize,
    domains: usize,
    coherent: usize,
    masks: usize,
    disabled: usize,
}

impl Count {
    /// `dma-coherent` is counted where it stands, not where it is inherited,
    /// to compare with a plain search of the trees.
    fn add(&mut self, smmu: &Smmu, own_coherent: bool) {
        self.nodes += 1;
        self.clocks += usize::from(!smmu.clocks.is_empty());
        self.domains += usize::from(!smmu.power_domains.is_empty());
        self.coherent += usize::from(own_coherent);
        self.masks += usize::from(smmu.stream_match_mask != 0);
        self.disabled += usize::from(!smmu.enabled);
    }
}

#[derive(Default)]
struct Totals {
    files: usize,
    with_smmu: usize,
    kinds: BTreeMap<&'static str, Count>,
    global_interrupts: usize,
    /// Per directory: boards, boards that could boot, SMMUs, switchable ones,
    /// those of them with a driver for every clock and domain, masters, masters
    /// that stand behind an enabled SMMU.
    vendors: BTreeMap<String, [usize; 7]>,
    families: Families,
    codes: BTreeMap<&'static str, usize>,
    slowest: Duration,
}

fn kind(smmu: &Smmu) -> &'static str {
    match (smmu.kind, smmu.model, smmu.adreno) {
        (SmmuKind::V3, ..) => "SMMUv3",
        (_, SmmuModel::Mmu400, _) => "MMU-400",
        (_, SmmuModel::Mmu401, _) => "MMU-401",
        (_, SmmuModel::MarvellAp806, _) => "Marvell MMU-500",
        (_, SmmuModel::Mmu500, _) => "MMU-500",
        (_, SmmuModel::QcomMmu500, false) => "Qualcomm MMU-500",
        (_, SmmuModel::QcomMmu500, true) => "Qualcomm MMU-500, GPU",
        (_, SmmuModel::QcomV2, false) => "Qualcomm SMMUv2",
        (_, SmmuModel::QcomV2, true) => "Qualcomm SMMUv2, GPU",
        _ => "other",
    }
}

/// Whether each clock and domain has a driver that knows it.
fn has_drivers(survey: &Survey<'_>, smmu: &Smmu) -> bool {
    let clocks = smmu.clocks.iter().map(|s| (SupplyKind::Clock, s));
    let domains = smmu
        .power_domains
        .iter()
        .map(|s| (SupplyKind::PowerDomain, s));
    clocks
        .chain(domains)
        .all(|(kind, supply)| is_driven(survey, kind, supply))
}

/// Whether this clock or domain has a driver that knows it.
fn is_driven(survey: &Survey<'_>, kind: SupplyKind, supply: &Supply) -> bool {
    let number = supply.args.first().copied().unwrap_or(0);
    let lacking = lacks(&survey.tree, supply.provider, kind, number);
    driver_of(&survey.tree, supply.provider).is_some() && !lacking
}

fn survey(path: &Path, vendor: &str, totals: &mut Totals) {
    let bytes = std::fs::read(path).unwrap();
    let blob = Blob::check(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let survey = Survey::new(
        blob,
        Inputs {
            files: None,
            held: &[Region::new(0, 0)],
        },
    );
    totals.files += 1;
    totals.with_smmu += usize::from(!survey.board.smmus.is_empty());
    let row = totals.vendors.entry(vendor.into()).or_default();
    row[0] += 1;
    row[1] += usize::from(!survey.report.has_errors());
    for smmu in &survey.board.smmus {
        let own = survey
            .tree
            .node(smmu.node)
            .property("dma-coherent")
            .is_some();
        totals.kinds.entry(kind(smmu)).or_default().add(smmu, own);
        totals.global_interrupts += usize::from(
            survey
                .tree
                .node(smmu.node)
                .property("#global-interrupts")
                .is_some(),
        );
        assert!(
            !smmu.registers.is_empty(),
            "{}: {} has no registers",
            path.display(),
            smmu.path
        );
        row[2] += 1;
        row[3] += usize::from(smmu.is_switchable());
        row[4] += usize::from(smmu.is_switchable() && has_drivers(&survey, smmu));
    }
    let mut masters = [0; 2];
    for id in platform::facts::stream::masters(&survey.tree) {
        masters[0] += 1;
        let streams = platform::facts::stream::iommus(&survey.tree, id).unwrap_or_default();
        let host = survey
            .board
            .pci_host_at(id)
            .and_then(|h| survey.board.pci_hosts.get(h));
        let targets = streams.iter().map(|s| s.smmu);
        let mut all = targets.chain(
            host.into_iter()
                .flat_map(|h| &h.iommu_map)
                .map(|r| r.target),
        );
        let behind = all.any(|t| {
            let smmu = survey
                .board
                .smmu_at(t)
                .and_then(|i| survey.board.smmus.get(i));
            smmu.is_some_and(|s| s.enabled)
        });
        masters[1] += usize::from(behind);
    }
    row[5] += masters[0];
    row[6] += masters[1];
    totals.families.add(&survey, masters);
    for finding in &survey.report.findings {
        *totals.codes.entry(finding.code).or_default() += 1;
    }
}

fn table(totals: &Totals) -> String {
    let mut text = String::from(
        "| boards of | trees | could boot | SMMUs | with a switch | and its driver | masters | behind an enabled SMMU |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let mut sum = [0; 7];
    for (vendor, row) in &totals.vendors {
        let cells: Vec<String> = row.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "| {vendor} | {} |", cells.join(" | "));
        sum.iter_mut().zip(row).for_each(|(s, r)| *s += r);
    }
    let cells: Vec<String> = sum.iter().map(ToString::to_string).collect();
    let _ = writeln!(text, "| **all** | {} |", cells.join(" | "));
    text
}

/// Counts of Debian's kernel 6.12.95: nodes, clocks, power domains, own
/// `dma-coherent`, stream masks, disabled.
const KNOWN: [(&str, [usize; 6]); 9] = [
    ("MMU-400", [6, 0, 6, 6, 0, 6]),
    ("MMU-401", [46, 0, 6, 34, 0, 2]),
    ("MMU-500", [71, 0, 0, 39, 25, 24]),
    ("Marvell MMU-500", [20, 0, 0, 20, 0, 20]),
    ("Qualcomm MMU-500", [155, 0, 1, 43, 0, 0]),
    ("Qualcomm MMU-500, GPU", [73, 73, 73, 60, 0, 1]),
    ("Qualcomm SMMUv2", [124, 88, 81, 0, 0, 35]),
    ("Qualcomm SMMUv2, GPU", [88, 88, 88, 0, 0, 7]),
    ("SMMUv3", [65, 0, 0, 7, 0, 57]),
];

#[test]
fn every_board_tree_is_read() {
    let Some(directory) = common::board_trees() else {
        return;
    };
    let mut paths = Vec::new();
    trees(&directory, &mut paths);
    paths.sort();
    assert!(!paths.is_empty(), "no .dtb below {}", directory.display());
    let mut totals = Totals::default();
    for path in &paths {
        let vendor = path
            .parent()
            .and_then(Path::file_name)
            .and_then(|n| n.to_str());
        let start = Instant::now();
        survey(path, vendor.unwrap_or("?"), &mut totals);
        totals.slowest = totals.slowest.max(start.elapsed());
    }
    println!(
        "{} trees, slowest {:?}\n{:#?}",
        totals.files, totals.slowest, totals.codes
    );
    println!("{:#?}", totals.kinds);
    let tables = [table(&totals), totals.families.to_string()];
    if let Some(path) = std::env::var_os("STAGEGATE_BOARDS_TABLE") {
        std::fs::write(path, tables.join("\n")).unwrap();
    }
    let version = std::fs::read_to_string(directory.join("version")).unwrap_or_default();
    if !version.starts_with("6.12.95+deb12-") {
        eprintln!("not Debian's 6.12.95 set: counts are not compared");
        return;
    }
    assert_eq!(totals.files, 1023);
    assert_eq!(totals.with_smmu, 315);
    assert_eq!(totals.global_interrupts, 583);
    let found: Vec<_> = totals
        .kinds
        .iter()
        .map(|(k, c)| {
            (
                *k,
                [
                    c.nodes, c.clocks, c.domains, c.coherent, c.masks, c.disabled,
                ],
            )
        })
        .collect();
    assert_eq!(found, KNOWN);
    let page = include_str!("../../../docs/boards.md");
    for table in tables {
        assert!(page.contains(&table), "docs/boards.md lacks:\n{table}");
    }
}

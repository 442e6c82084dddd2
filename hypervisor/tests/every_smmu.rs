//! The hypervisor's own choice and probing of a driver, for every SMMU node of
//! Debian's arm64 board trees, with registers played by the hostile models.
//!
//! `STAGEGATE_DTBS` names a directory with the trees (`make test` has one);
//! without it the test only says that it did nothing. With
//! `STAGEGATE_SMMU_TABLE` the table of results goes to that file, for
//! `docs/boards.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hypervisor::drivers::{self, Ask};
use pgtable::{Attrs, Config, Granule, Ipa, Pa, Walks};
use platform::config::Driving;
use platform::facts::{Board, Smmu as Facts, stream};
use platform::fdt::Blob;
use platform::report::Report;
use platform::tree::Tree;
use smmu::model::v2::{Kind, ModelV2};
use smmu::model::v3::ModelV3;
use smmu::model::{Device, Dma, Nature, Ram, SimTime, TableMemory, Unit, new_table};
use smmu::v2::Implementation;
use smmu::{Smmu, SmmuConfig, Stage2, StreamId};

fn trees(directory: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = path.path();
        if path.is_dir() {
            trees(&path, found);
        } else if path.extension().is_some_and(|e| e == "dtb") {
            found.push(path);
        }
    }
}

/// Which part a node's names say it is: read off the bindings
/// (Documentation/devicetree/bindings/iommu/arm,smmu.yaml), not off our code.
/// `None`: an SMMUv3.
fn part(names: &[String]) -> Option<Implementation> {
    let has = |name: &str| names.iter().any(|n| n == name);
    let qualcomm = names.iter().any(|n| n.starts_with("qcom,"));
    let table = [
        (has("arm,smmu-v3"), None),
        (
            has("marvell,ap806-smmu-500"),
            Some(Implementation::MarvellAp806),
        ),
        (has("nvidia,smmu-500"), Some(Implementation::NvidiaMmu500)),
        (has("cavium,smmu-v2"), Some(Implementation::Cavium)),
        (
            qualcomm && has("qcom,smmu-v2"),
            Some(Implementation::QcomV2),
        ),
        (qualcomm, Some(Implementation::QcomMmu500)),
        (has("arm,mmu-500"), Some(Implementation::Mmu500)),
        (has("arm,mmu-401"), Some(Implementation::Mmu401)),
        (has("arm,mmu-400"), Some(Implementation::Mmu400)),
        (has("arm,smmu-v2"), Some(Implementation::GenericV2)),
        (has("arm,smmu-v1"), Some(Implementation::GenericV1)),
    ];
    let found = table.into_iter().find(|(applies, _)| *applies);
    found
        .unwrap_or_else(|| panic!("{names:?} is no known part"))
        .1
}

/// Registers of this size, as a part of this kind has them.
fn kind(part: Implementation, facts: &Facts) -> Kind {
    let mut kind = Kind::of(part);
    let size = facts.registers[0].size;
    let pages = |shift: u32| (size >> shift) / 2;
    // No more than ID1 can say: 256 pages (IHI 0062, 10.5.2).
    kind.page_shift = if pages(12) > 256 { 16 } else { kind.page_shift };
    kind.pages_log = pages(kind.page_shift).min(256).ilog2();
    kind.banks = kind.banks.min(1 << kind.pages_log).min(12);
    kind
}

/// What is counted over the nodes of one part and one set of names.
#[derive(Default)]
struct Row {
    nodes: usize,
    boards: BTreeSet<PathBuf>,
    windows: BTreeSet<u64>,
    global: BTreeSet<usize>,
    interrupts: BTreeSet<usize>,
    clocks: BTreeSet<usize>,
    domains: BTreeSet<usize>,
    streams: usize,
}

/// Streams that the tree's masters have at the SMMU, at most as many as the
/// models have entries for, masks left out.
fn streams(tree: &Tree<'_>, facts: &Facts) -> Vec<u32> {
    let all = stream::masters(tree).into_iter();
    let lists = all.filter_map(|id| stream::iommus(tree, id).ok());
    let own = lists.flatten().filter(|s| s.smmu == facts.node);
    let ids: BTreeSet<u32> = own.filter(|s| s.mask == 0).map(|s| s.id).collect();
    ids.into_iter().take(16).collect()
}

/// A page, for the master and in memory.
const IPA: u64 = 0x4000_0000;
const PA: u64 = 0x1_2345_6000;

/// Probes the node, and lets each of its streams do DMA before, while and after it is attached.
/// Returns what the driver says of itself.
fn drive(facts: &Facts, part: Option<Implementation>, ids: &[u32]) -> String {
    let nature = Nature {
        coherent: facts.coherent,
        messages: false,
        ..Nature::default()
    };
    let time: &'static SimTime = Box::leak(Box::default());
    let ram = Arc::new(Ram::new(nature.coherent));
    let memory: &'static Arc<Ram> = Box::leak(Box::new(ram.clone()));
    let ask = Ask {
        facts,
        driving: &Driving::default(),
        memory: &**memory,
        time,
        first_vmid: 1,
    };
    let config = SmmuConfig {
        name: &facts.path,
        ..SmmuConfig::default()
    };
    let walks = if facts.coherent {
        Walks::Coherent
    } else {
        Walks::NonCoherent
    };
    let shape = Config::new(Granule::K4, 40, 44).unwrap();
    let shape = shape.with_contiguous(false).with_walks(walks);
    let table = new_table(shape, Pa(0x8000_0000), 0x10_0000);
    let shared = table.clone() as Arc<dyn TableMemory>;
    let powered = |device: &dyn Device| {
        device.power(true);
        device.clock(Unit::Smmu, true);
        device.add_tables(shared.clone());
    };
    table.map(Ipa(IPA), Pa(PA), 4096, Attrs::DMA).unwrap();
    let (smmu, model): (_, Box<dyn Device>) = match part {
        None => {
            let model = ModelV3::new(nature, ram);
            powered(&model);
            let registers = model.clone();
            let made = Smmu::probe(&config, time, |power| {
                drivers::make(power, &ask, &|_| Some(registers.clone()))
            });
            (made, Box::new(model))
        }
        Some(part) => {
            let model = ModelV2::new(nature, kind(part, facts));
            powered(&model);
            let windows = model.windows();
            let made = Smmu::probe(&config, time, |power| {
                drivers::make(power, &ask, &|region| {
                    let at = facts.registers.iter().position(|r| *r == region)?;
                    windows.get(at).cloned()
                })
            });
            (made, Box::new(model))
        }
    };
    let smmu = smmu.unwrap_or_else(|error| panic!("{}: {error}", facts.path));
    let tables = Stage2::of(table.root(), table.config());
    let domain = smmu.create_domain(&tables, None).unwrap();
    let ids: Vec<StreamId> = ids.iter().map(|id| StreamId(*id)).collect();
    if !ids.is_empty() {
        let link = smmu.link(&ids, None);
        let link = link.unwrap_or_else(|e| panic!("{}: {e}", facts.path));
        let all = |wanted: Dma| {
            for id in &ids {
                let went = model.dma(id.0, IPA, true);
                assert_eq!(went, wanted, "{}: stream {:#x}", facts.path, id.0);
            }
        };
        all(Dma::Terminated);
        smmu.attach(link, domain).unwrap();
        all(Dma::Reached(PA));
        smmu.detach(link).unwrap();
        all(Dma::Terminated);
    }
    assert_eq!(model.violations(), [], "{}", facts.path);
    let mut text = String::new();
    smmu.describe(&mut text).unwrap();
    text
}

fn node(tree: &Tree<'_>, facts: &Facts, board: &Path, rows: &mut BTreeMap<String, Row>) {
    let names = tree.node(facts.node).property("compatible").unwrap();
    let names: Vec<String> = names.strings().map(String::from).collect();
    let part = part(&names);
    let ids = streams(tree, facts);
    let told = drive(facts, part, &ids);
    let name = match part {
        None => "SMMUv3",
        Some(part) => part.name(),
    };
    assert!(told.starts_with(name), "{}: {told}", facts.path);
    if let Some(part) = part {
        assert_eq!(drivers::model(facts), part, "{}", facts.path);
        // Every interrupt reaches somebody: some are global, the rest for banks.
        assert!(
            facts.global_interrupts <= facts.irqs.len(),
            "{}",
            facts.path
        );
        assert!(facts.irqs.iter().all(Option::is_some), "{}", facts.path);
    }
    let row = rows.entry(name.to_string()).or_default();
    row.nodes += 1;
    row.boards.insert(board.to_path_buf());
    row.windows.insert(facts.registers[0].size);
    row.global.insert(facts.global_interrupts);
    row.interrupts.insert(facts.irqs.len());
    row.clocks.insert(facts.clocks.len());
    row.domains.insert(facts.power_domains.len());
    row.streams += ids.len();
}

fn range<T: Copy + Ord + std::fmt::Display>(set: &BTreeSet<T>) -> String {
    match (set.first(), set.last()) {
        (Some(a), Some(b)) if a != b => format!("{a}–{b}"),
        (Some(a), _) => a.to_string(),
        _ => String::new(),
    }
}

fn table(rows: &BTreeMap<String, Row>) -> String {
    let mut text = String::from(
        "| driver | nodes | trees | registers (KiB) | interrupts | of them global | clocks | power domains | streams driven |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for (name, row) in rows {
        let windows: BTreeSet<u64> = row.windows.iter().map(|size| size >> 10).collect();
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} |",
            row.nodes,
            row.boards.len(),
            range(&windows),
            range(&row.interrupts),
            range(&row.global),
            range(&row.clocks),
            range(&row.domains),
            row.streams,
        );
    }
    text
}

#[test]
fn every_node_gets_its_driver() {
    let Some(directory) = std::env::var_os("STAGEGATE_DTBS").map(PathBuf::from) else {
        eprintln!("SKIPPED: set STAGEGATE_DTBS to a directory of board trees");
        return;
    };
    let mut paths = Vec::new();
    trees(&directory, &mut paths);
    assert!(!paths.is_empty(), "no .dtb below {}", directory.display());
    let mut rows = BTreeMap::new();
    for path in &paths {
        let bytes = std::fs::read(path).unwrap();
        let tree = Tree::new(Blob::check(&bytes).unwrap());
        let board = Board::read(&tree, &mut Report::new());
        for facts in &board.smmus {
            node(&tree, facts, path, &mut rows);
        }
    }
    let table = table(&rows);
    println!("{table}");
    if let Some(path) = std::env::var_os("STAGEGATE_SMMU_TABLE") {
        std::fs::write(path, &table).unwrap();
    }
    let nodes: usize = rows.values().map(|row| row.nodes).sum();
    if paths.len() == 1023 {
        // Debian's 6.12.95.
        assert_eq!(nodes, 648);
    }
    assert!(nodes > 0);
}

//! Every SMMU of every board tree of Debian's arm64 kernel package: the facts,
//! the driver that is chosen for it and what that is told are the hypervisor's
//! own; the registers are a model's, made as large as the node says.
//!
//! `STAGEGATE_DTBS` names a directory with the trees; without it the test says
//! that it did nothing. With `STAGEGATE_SMMU_TABLE` the table of results is
//! written to that file, for `docs/boards.md`.

#[path = "../../../tools/tests/common/mod.rs"]
mod common;
mod oracle;
mod rig;
mod table;

use hypervisor::drivers;
use platform::facts::{Board, Smmu, StreamId, stream};
use platform::fdt::Blob;
use platform::report::Report;
use platform::tree::{NodeId, Tree};
use rig::Rig;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use table::Table;

fn trees(directory: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            trees(&path, found);
        } else if path.extension().is_some_and(|e| e == "dtb") {
            found.push(path);
        }
    }
}

/// The streams of `master` at `smmu` as the hypervisor finds them.
fn found(tree: &Tree<'_>, master: NodeId, smmu: NodeId) -> Vec<StreamId> {
    let mut list = stream::iommus(tree, master).unwrap_or_default();
    let lines = stream::rid_map(tree, master, "iommu-map").unwrap_or_default();
    for line in lines.iter().filter(|line| line.count > 0) {
        for rid in [line.rid, line.rid + line.count - 1] {
            let rid = u16::try_from(rid).expect("a requester id");
            let (smmu, id) = stream::lookup(&lines, u32::MAX, rid).expect("its own line");
            list.push(StreamId { smmu, id, mask: 0 });
        }
    }
    // What an SMMUv2 has no bits for, it refuses.
    let three = tree.node(smmu).is_compatible("arm,smmu-v3");
    list.retain(|stream| stream.smmu == smmu && (three || stream.id < 0x8000));
    list
}

/// What is wrong with one SMMU, and its row in the table.
fn examine(tree: &Tree<'_>, facts: &Smmu, table: &Mutex<Table>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |right: bool, what: &str| {
        if !right {
            wrong.push(what.to_string());
        }
    };
    let part = oracle::implementation(tree, facts.node).expect("an SMMU");
    check(rig::same_part(facts, part), "another implementation");
    let clocks = oracle::references(tree, facts.node, "clocks", "#clock-cells");
    check(rig::plain(&facts.clocks) == clocks, "other clocks");
    let domains = "#power-domain-cells";
    let domains = oracle::references(tree, facts.node, "power-domains", domains);
    check(rig::plain(&facts.power_domains) == domains, "other domains");
    let irqs = facts
        .irqs
        .iter()
        .map(|irq| irq.map(|irq| (irq.intid, irq.edge)));
    let meant = oracle::interrupts(tree, facts.node);
    check(irqs.eq(meant.iter().copied()), "other interrupts");
    let global = tree.node(facts.node).property("#global-interrupts");
    let global = global.and_then(|p| p.u32()).unwrap_or(0) as usize;
    check(facts.global_interrupts == global, "other global interrupts");
    check(
        facts.irqs.len() >= global,
        "fewer interrupts than global ones",
    );
    let rig = match Rig::new(facts, part) {
        Ok(rig) => rig,
        Err(error) => {
            wrong.push(format!("probe: {error}"));
            return wrong;
        }
    };
    let described = rig.describe();
    let name = part.map_or("SMMUv3", |part| part.name());
    check(described.contains(name), "described as something else");
    let mut streams = Vec::new();
    for master in stream::masters(tree) {
        let meant = oracle::streams(tree, master, facts.node);
        if meant.is_empty() {
            continue;
        }
        let ids: Vec<_> = found(tree, master, facts.node)
            .iter()
            .map(drivers::stream)
            .collect();
        if let Err(error) = rig.master(&ids, &meant) {
            let path = tree.path(master);
            wrong.push(format!("{path}: {error} ({ids:x?}, {meant:x?})"));
        }
        streams.push(meant.len());
    }
    if let Err(error) = rig.sleeps() {
        wrong.push(error);
    }
    let mut table = table.lock().expect("a test that goes on");
    table.add(tree, facts, part, &streams);
    wrong
}

/// All findings of one tree.
fn examine_tree(path: &Path, table: &Mutex<Table>) -> Vec<String> {
    let bytes = std::fs::read(path).expect("a readable file");
    let tree = Tree::new(Blob::check(&bytes).expect("a device tree"));
    let board = Board::read(&tree, &mut Report::new());
    let mut wrong = Vec::new();
    for facts in &board.smmus {
        let found = examine(&tree, facts, table);
        let place = |what| format!("{}: {}: {what}", path.display(), facts.path);
        wrong.extend(found.into_iter().map(place));
    }
    let mut table = table.lock().expect("a test that goes on");
    table.tree(!board.smmus.is_empty());
    wrong
}

/// All trees, on all CPUs: the table, and what is wrong.
fn examine_all(paths: &[PathBuf]) -> (Table, Vec<String>) {
    let (table, next) = (Mutex::default(), AtomicUsize::new(0));
    let some = || {
        let mut wrong = Vec::new();
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            wrong.extend(examine_tree(path, &table));
        }
        wrong
    };
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let wrong = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cpus).map(|_| scope.spawn(some)).collect();
        let all = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        all.flat_map(|found| found.expect("a thread that ends"))
            .collect()
    });
    (table.into_inner().expect("nobody else has it"), wrong)
}

#[test]
fn every_smmu_of_every_board_is_driven_as_what_it_is() {
    let Some(directory) = common::board_trees() else {
        return;
    };
    let mut paths = Vec::new();
    trees(&directory, &mut paths);
    paths.sort();
    assert!(!paths.is_empty(), "no .dtb below {}", directory.display());
    let (table, wrong) = examine_all(&paths);
    println!("{table}");
    assert!(table.nodes() > 0, "no SMMU in {} trees", paths.len());
    if let Some(path) = std::env::var_os("STAGEGATE_SMMU_TABLE") {
        std::fs::write(path, table.to_string()).expect("a file to write to");
    }
    assert!(
        wrong.is_empty(),
        "{} findings:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    let version = std::fs::read_to_string(directory.join("version")).unwrap_or_default();
    if version.starts_with("6.12.95+deb12-") {
        assert_eq!(paths.len(), 1023);
        assert_eq!((table.nodes(), table.with_smmu()), (648, 315));
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/boards.md");
        let page = std::fs::read_to_string(page).expect("the page on boards");
        assert!(
            page.contains(&table.to_string()),
            "docs/boards.md has another table"
        );
    }
}

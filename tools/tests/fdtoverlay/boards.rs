//! The same comparison over Debian's board trees.
use super::{Plain, read, scratch};
use crate::common::{board_trees, installed};
use crate::generate::{Random, overlays};
use platform::fdt::Blob;
use platform::overlay::{Named, merge};
use platform::report::Report;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// What `fdtoverlay` makes of a tree and overlays, in this order.
fn fdtoverlay(directory: &Path, base: &Path, overlays: &[PathBuf]) -> Vec<u8> {
    let merged = directory.join("merged.dtb");
    let output = Command::new("fdtoverlay")
        .args([Path::new("-i"), base, Path::new("-o"), &merged])
        .args(overlays)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", base.display());
    std::fs::read(&merged).unwrap()
}

/// Where two trees first differ.
fn difference(ours: &Plain, theirs: &Plain, path: &str) -> Option<String> {
    let names: BTreeSet<_> = ours
        .properties
        .keys()
        .chain(theirs.properties.keys())
        .collect();
    for name in names {
        let (a, b) = (ours.properties.get(name), theirs.properties.get(name));
        if a != b {
            return Some(format!("{path}:{name} is {a:?}, of fdtoverlay {b:?}"));
        }
    }
    let names: BTreeSet<_> = ours.children.keys().chain(theirs.children.keys()).collect();
    names.into_iter().find_map(|name| {
        let path = format!("{path}/{name}");
        match (ours.children.get(name), theirs.children.get(name)) {
            (Some(a), Some(b)) => difference(a, b, &path),
            (a, _) => Some(format!(
                "{path}: only {}",
                ["theirs", "ours"][usize::from(a.is_some())]
            )),
        }
    })
}

/// A blob from a source, by our compiler or by the reference's.
fn compile(source: &str, to: &Path, by_dtc: bool) -> Vec<u8> {
    if !by_dtc {
        let blob = platform::dts::compile(source).unwrap_or_else(|e| panic!("{e}\n{source}"));
        std::fs::write(to, &blob).unwrap();
        return blob;
    }
    let text = to.with_extension("dtso");
    std::fs::write(&text, source).unwrap();
    let output = Command::new("dtc")
        .args(["-@", "-q", "-f", "-I", "dts", "-O", "dtb", "-o"])
        .args([to, &text])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{source}");
    std::fs::read(to).unwrap()
}

/// Compiles `sources`, applies them both ways, and compares node by node.
fn compare(base: &Path, bytes: &[u8], sources: &[String], directory: &Path, by_dtc: bool) {
    std::fs::create_dir_all(directory).unwrap();
    let (mut blobs, mut paths) = (Vec::new(), Vec::new());
    for (index, source) in sources.iter().enumerate() {
        paths.push(directory.join(format!("{index}.dtbo")));
        blobs.push(compile(source, &paths[index], by_dtc));
    }
    let named: Vec<_> = blobs
        .iter()
        .map(|bytes| Named { name: "o", bytes })
        .collect();
    let mut report = Report::new();
    let ours = merge(&Blob::check(bytes).unwrap(), &named, &mut report);
    let ours = ours.unwrap_or_else(|| panic!("{}: {report:?}", base.display()));
    let theirs = fdtoverlay(directory, base, &paths);
    let (ours, theirs) = (read(&ours), read(&theirs));
    if ours != theirs {
        let what = difference(&ours.0, &theirs.0, "");
        panic!("{}: {what:?} ({})", base.display(), directory.display());
    }
    assert!(ours != read(bytes), "{}: nothing changed", base.display());
}

fn all_trees(directory: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(directory)
        .unwrap()
        .flatten()
        .map(|e| e.path())
    {
        if path.is_dir() {
            all_trees(&path, found);
        } else if path.extension().is_some_and(|e| e == "dtb") {
            found.push(path);
        }
    }
}

/// Made-up overlays on each of `trees`, on all CPUs.
fn on_each(root: &Path, trees: &[PathBuf]) {
    let next = Mutex::new(trees.iter());
    let work = |worker: usize| {
        let directory = scratch("boards").join(worker.to_string());
        loop {
            let Some(path) = next.lock().unwrap().next() else {
                break;
            };
            let name = path.strip_prefix(root).unwrap().to_string_lossy();
            let mut random = Random::new(&name);
            let bytes = std::fs::read(path).unwrap();
            let sources = overlays(&Blob::check(&bytes).unwrap(), &mut random);
            compare(path, &bytes, &sources, &directory, random.below(2) == 0);
        }
    };
    std::thread::scope(|scope| {
        for worker in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(move || work(worker));
        }
    });
}

/// One tree in sixty-four; `STAGEGATE_ALL_BOARDS` asks for all.
#[test]
fn made_up_overlays_on_real_boards_give_the_same_trees() {
    let tools = ["fdtoverlay", "dtc"].map(|tool| installed(tool, "device-tree-compiler"));
    let Some(root) = board_trees().filter(|_| tools == [true; 2]) else {
        return;
    };
    let mut trees = Vec::new();
    all_trees(&root, &mut trees);
    trees.sort();
    let step = if std::env::var_os("STAGEGATE_ALL_BOARDS").is_some() {
        1
    } else {
        64
    };
    let sample: Vec<PathBuf> = trees.into_iter().step_by(step).collect();
    assert!(!sample.is_empty(), "no trees below {}", root.display());
    on_each(&root, &sample);
    println!("{} trees compared", sample.len());
}

/// The overlays that the documentation offers, on the boards they are for.
#[test]
fn the_boards_overlays_give_the_same_trees() {
    let tool = installed("fdtoverlay", "device-tree-compiler");
    let Some(trees) = board_trees().filter(|_| tool) else {
        return;
    };
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/boards");
    let entries = std::fs::read_dir(&docs).unwrap().flatten();
    let mut left: BTreeSet<String> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".dtso"))
        .collect();
    for (tree, overlays) in [
        (
            "xilinx/zynqmp-zcu102-rev1.0.dtb",
            &["xlnx-zcu102-names.dtso", "xlnx-zcu102.dtso"][..],
        ),
        ("qcom/sdm845-db845c.dtb", &["qcom-sdm845.dtso"]),
        (
            "amd/amd-overdrive-rev-b1.dtb",
            &["amd-overdrive-rev-b1.dtso"],
        ),
        (
            "freescale/fsl-ls1088a-rdb.dtb",
            &["fsl-ls1088a-names.dtso", "fsl-ls1088a.dtso"],
        ),
    ] {
        let source = |name: &&str| {
            left.remove(*name);
            std::fs::read_to_string(docs.join(name)).unwrap()
        };
        let sources: Vec<String> = overlays.iter().map(source).collect();
        let base = trees.join(tree);
        let bytes = std::fs::read(&base).unwrap();
        compare(
            &base,
            &bytes,
            &sources,
            &scratch(&format!("docs/{}", overlays[0])),
            false,
        );
    }
    assert!(left.is_empty(), "not compared: {left:?}");
}

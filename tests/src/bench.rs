//! Figures: instructions counted by QEMU (`-icount shift=0`: one instruction
//! takes one nanosecond of the machine's time), so that they repeat exactly
//! on any computer, and sizes.

pub mod nvme;
pub mod power;
mod registers;
pub mod size;
pub mod smmu;

use crate::cases;
use crate::console::Line;
use crate::image;
use crate::machine::{Finished, Machine, Running};
use crate::paths::Kernel;
use crate::setup::{Setup, VmSpec, bootargs};
use crate::timeline::epoch_us;
use crate::trace::Event;
use crate::{Result, context, initramfs, paths};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(400);
const NAME: &str = "bench";
const MEMORY_MIB: u32 = 512;

/// Takes all figures, prints them, writes `target/bench/report.json`.
pub fn run() -> Result<()> {
    let dir = paths::fresh_dir("bench")?;
    let mut report = json!({});
    report["image"] = image_size()?;
    println!("image: {}", report["image"]);
    for (name, value) in traps()? {
        println!("{name}: {value}");
        report[name] = json!(value);
    }
    report["power"] = power::figures()?;
    report["boot"] = boot()?;
    println!("boot: {}", report["boot"]);
    report["nvme_read"] = nvme::reads()?;
    println!("nvme_read: {}", report["nvme_read"]);
    report["pgtable"] = tables(&dir);
    report["smmu"] = smmu::figures();
    let path = dir.join("report.json");
    fs::write(&path, format!("{report:#}\n")).map_err(context(path.display()))?;
    println!("written to {}", path.display());
    Ok(())
}

/// The image's sections, and its code by area.
pub fn size() -> Result<()> {
    println!("{}", image_size()?);
    print!("{}", size::table(&size::by_area(&paths::hypervisor()?)?));
    Ok(())
}

/// What the image takes, in bytes.
pub fn image_size() -> Result<Value> {
    let path = paths::hypervisor()?;
    let elf = fs::read(&path).map_err(context(path.display()))?;
    let sizes = image::sizes(&elf)?;
    Ok(
        json!({"text": sizes.text, "rodata": sizes.rodata, "data": sizes.data, "bss": sizes.bss,
              "file": image::flat_bytes(&elf)?.len()}),
    )
}

fn counting(machine: Machine) -> Machine {
    Machine {
        icount: Some(0),
        ..machine
    }
}

/// The bare-metal guest's own measurements.
pub fn traps() -> Result<Vec<(String, u64)>> {
    let machine = counting(Machine::virt(1, 1024));
    let dir = paths::fresh_dir("bench-traps")?;
    let cases = "bench,dmabench,dma-interrupted,msgbench";
    let mut running = cases::start_with_device(machine, 1, cases, &dir)?;
    let verdicts = cases::listen(&mut running);
    if let Err(error) = verdicts.all_passed() {
        println!("incomplete: {error}");
    }
    Ok(verdicts.figures)
}

/// Instructions from reset to the guest's `/init`, with and without
/// Stagegate. Without it the kernel starts at EL1, as a guest does. How long a
/// kernel takes depends on its random numbers, by some parts in a hundred:
/// these are means over several.
pub fn boot() -> Result<Value> {
    const SEEDS: u32 = 4;
    let kernel = paths::kernel("6.12")?;
    let (mut with, mut without) = (0, 0);
    for seed in 0..SEEDS {
        with += boot_hosted(&kernel, seed)?;
        without += boot_bare(&kernel, seed)?;
    }
    let ratio = (with as f64 / without as f64 * 1000.0).round() / 1000.0;
    let mean = |sum: u64| sum / u64::from(SEEDS);
    Ok(json!({"with_insns": mean(with), "without_insns": mean(without), "ratio": ratio}))
}

fn boot_bare(kernel: &Kernel, seed: u32) -> Result<u64> {
    let mut bare = counting(Machine::bare(1, MEMORY_MIB));
    bare.seed = Some(seed);
    bare.kernel = Some(kernel.image.clone());
    bare.initrd = Some(initramfs::build(kernel)?);
    bare.bootargs = Some(bootargs(NAME, 1, MEMORY_MIB, ""));
    bare.traces.push("arm_gt_recalc".into());
    reset_to_init(bare.start(&paths::fresh_dir("bench-bare")?)?)
}

fn boot_hosted(kernel: &Kernel, seed: u32) -> Result<u64> {
    let mut setup = Setup::new(counting(Machine::virt(1, 1024)))?;
    setup.machine.seed = Some(seed);
    setup.machine.traces.push("arm_gt_recalc".into());
    let linux = setup.linux(kernel)?;
    setup.vms(&[VmSpec {
        name: NAME,
        cpus: 1,
        memory_mib: MEMORY_MIB,
        modules: linux.nodes(&bootargs(NAME, 1, MEMORY_MIB, "")),
        more: String::new(),
    }]);
    reset_to_init(setup.start(&paths::fresh_dir("bench-hosted")?)?)
}

/// The machine's own time in nanoseconds when the guest says hello. QEMU
/// traces each timer that is set, with the absolute count (1 GHz on the CPU
/// `max`); kernels set one every few milliseconds. Idle time is included:
/// QEMU skips it on the host, but not on this clock.
fn reset_to_init(mut running: Running) -> Result<u64> {
    let hello = running.console.expect("@sg hello", LIMIT)?;
    let finished = running.finish(Duration::from_secs(60))?;
    last_timer(&finished, &hello).ok_or_else(|| "no timer event in QEMU's trace".into())
}

/// The newest count before the line; a timer without a deadline is set to
/// the end of time.
fn last_timer(finished: &Finished, hello: &Line) -> Option<u64> {
    let until = epoch_us(hello.at);
    let before = |e: &&Event| e.at_us <= until && e.name == "arm_gt_recalc";
    let counts = finished.trace.iter().filter(before);
    counts
        .filter_map(|e| e.number("next tick"))
        .filter(|count| *count < 1 << 62)
        .max()
}

/// Instructions of page-table operations, this project's and its peers',
/// counted by valgrind on the host.
fn tables(dir: &Path) -> Value {
    let path = dir.join("pgtable.json");
    let status = Command::new("cargo")
        .args([
            "bench",
            "--quiet",
            "-p",
            "pgtable",
            "--bench",
            "instructions",
        ])
        .env("PGTABLE_JSON", &path)
        .current_dir(paths::root())
        .status();
    if !status.is_ok_and(|s| s.success()) {
        println!("pgtable: no figures (is valgrind there?)");
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    value["pgtable"].take()
}

//! The demonstration behind `make run`: two VMs with stock Debian kernels
//! side by side, each proving itself, one resetting once, both powering off.

use crate::checks::Checks;
use crate::console::{End, Line};
use crate::devicetree::Template;
use crate::guest::{self, Vm};
use crate::machine::{Finished, Machine, Running};
use crate::report::{Report, VmSummary};
use crate::setup::{Setup, bootargs};
use crate::timeline::{Lane, Timeline, epoch_us};
use crate::{Result, paths};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// The scenario ends by itself in a fraction of this, even on two busy CPUs.
const LIMIT: Duration = Duration::from_secs(150);
const VM_CPUS: u32 = 2;
const VM_MEMORY_MIB: u32 = 512;
const IDLE_DELAY_US: u32 = 20_000;

/// What each VM does, in order.
const DISK_STEPS: &str = "boot,cpus,memory,hotplug,timer,checksum,reset";
const NIC_STEPS: &str = "cpus,memory,hotplug,timer,checksum";

/// Runs everything, writes the report into `target/run`, and says whether all
/// checks passed.
pub fn run() -> Result<bool> {
    let dir = paths::fresh_dir("run")?;
    let mut checks = Checks::default();
    let mut vms = [Vm::new("disk"), Vm::new("nic")];
    let started = SystemTime::now();
    let mut running = prepare(DISK_STEPS, NIC_STEPS)?.start(&dir)?;
    println!(
        "machine started; console in {}",
        dir.join("console.log").display()
    );
    let end = watch(&mut running, &mut vms, &mut checks)?;
    if end == End::TimedOut {
        checks.note(
            "A3",
            "the scenario ends by itself",
            false,
            format!("still running after {LIMIT:?}"),
        );
        running.qmp.quit()?;
    }
    let finished = running.finish(Duration::from_secs(20))?;
    if end == End::Closed {
        conclude(&vms, &finished, &mut checks);
    }
    report(&vms, &checks, &finished, started, &dir)
}

/// The scenario's machine with a shell in both guests, on this terminal.
pub fn shell() -> Result<()> {
    let dir = paths::fresh_dir("shell")?;
    let machine = prepare("shell", "shell")?.finish(&dir)?;
    println!("Ctrl-a 1, Ctrl-a 2: the guests; Ctrl-a 0: the monitor (? helps); Ctrl-t x: end QEMU");
    machine.interactive().map(drop)
}

fn prepare(disk_steps: &str, nic_steps: &str) -> Result<Setup> {
    let mut machine = Machine::virt(2 * VM_CPUS, 2048);
    machine.echo = true;
    let mut setup = Setup::new(machine)?;
    let linux = setup.linux(&paths::kernel("6.12")?)?;
    let args = |name, steps| bootargs(name, VM_CPUS, VM_MEMORY_MIB, steps);
    let template = Template::named("two-vms")?
        .set("idle_delay_us", IDLE_DELAY_US)
        .set("memory_kib", VM_MEMORY_MIB << 10)
        .set("disk_modules", linux.nodes(&args("disk", disk_steps)))
        .set("nic_modules", linux.nodes(&args("nic", nic_steps)))
        .set("disk_devices", "")
        .set("nic_devices", "");
    setup.overlay(template);
    Ok(setup)
}

/// Listens and answers until the machine ends or the time is up.
fn watch(running: &mut Running, vms: &mut [Vm], checks: &mut Checks) -> Result<End> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let line = match running.console.next(deadline) {
            Ok(line) => line,
            Err(end) => return Ok(end),
        };
        let Some((index, said)) = heard(&line, vms) else {
            continue;
        };
        if let Some(answer) = vms[index].hear(said, &line, checks) {
            running.console.send(&typed(index, &answer))?;
        }
    }
}

/// Whose statement a line is: the hypervisor puts its name before each VM's
/// output.
fn heard(line: &Line, vms: &[Vm]) -> Option<(usize, guest::Said)> {
    let (source, words) = line.source()?;
    let index = vms.iter().position(|vm| vm.name == source)?;
    let said = guest::parse(words)?;
    Some((index, said))
}

/// Keys that bring a line to a VM: Ctrl-a and its number select it. Then back
/// to the monitor: the hypervisor keeps the lines of VMs whole unless one is
/// selected.
fn typed(index: usize, answer: &str) -> Vec<u8> {
    format!("\x01{}{answer}\n\x010", index + 1).into_bytes()
}

fn conclude(vms: &[Vm], finished: &Finished, checks: &mut Checks) {
    for vm in vms {
        let evidence = format!("last words: {:?}", vm.exit.as_deref().unwrap_or("none"));
        checks.note(
            "A3",
            format!("{}: powers off", vm.name),
            vm.exit.as_deref() == Some("poweroff"),
            evidence,
        );
    }
    let boots = format!("disk booted {} ×, nic {} ×", vms[0].boots, vms[1].boots);
    checks.note(
        "A4",
        "a reset VM boots again, its neighbour is not touched",
        vms[0].boots == 2 && vms[1].boots == 1,
        boots,
    );
    checks.note(
        "F5",
        "the machine ends by itself",
        finished.status.success(),
        format!("QEMU: {}", finished.status),
    );
}

fn report(
    vms: &[Vm],
    checks: &Checks,
    finished: &Finished,
    started: SystemTime,
    dir: &Path,
) -> Result<bool> {
    let zero = epoch_us(started);
    let end_us = epoch_us(SystemTime::now()) - zero;
    let lanes = vms.iter().map(|vm| vm_lane(vm, zero, end_us)).collect();
    let tail = finished.lines.len().saturating_sub(200);
    let report = Report {
        title: "two stock Debian guests".into(),
        vms: vms.iter().map(summary).collect(),
        smmus: Vec::new(),
        masters: Vec::new(),
        checks,
        timeline: Timeline {
            end_us,
            lanes,
            marks: Vec::new(),
        },
        console: finished.lines[tail..]
            .iter()
            .map(|l| l.text.clone())
            .collect(),
    };
    report.write(dir)?;
    let (passed, failed) = checks.count();
    let verdict = if report.passed() { "pass" } else { "fail" };
    println!(
        "\n{passed} passed, {failed} failed; report: {}",
        dir.join("report.html").display()
    );
    println!("scenario: {verdict}");
    Ok(report.passed())
}

fn summary(vm: &Vm) -> VmSummary {
    VmSummary {
        name: vm.name.clone(),
        kernel: vm.kernel.clone().unwrap_or_default(),
        boots: vm.boots,
        exit: vm.exit.clone().unwrap_or_else(|| "nothing".into()),
    }
}

fn vm_lane(vm: &Vm, zero: u64, end_us: u64) -> Lane {
    let mut changes = vec![(0, "booting".to_string())];
    let moments = vm.moments.iter();
    changes.extend(moments.map(|m| (epoch_us(m.at).saturating_sub(zero), m.state.to_string())));
    Lane::from_changes(&vm.name, "vm", &changes, end_us)
}

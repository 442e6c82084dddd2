//! The demonstration behind `make run`: two VMs with stock Debian kernels side
//! by side, each with devices behind one SMMU. They prove themselves, attack
//! each other, let their devices sleep and wake by all stock means, crash, boot
//! again and power off; QEMU's own records judge what happened.

mod canary;
mod evidence;
mod hardware;

use crate::checks::Checks;
use crate::console::End;
use crate::devicetree::Template;
use crate::director::{self, Director};
use crate::guest::Vm;
use crate::machine::{Finished, Machine, Running};
use crate::report::{MasterSummary, Report, SmmuSummary, VmSummary};
use crate::setup::{Setup, bootargs};
use crate::timeline::{Lane, Mark, Timeline, epoch_us};
use crate::{Result, account, activity, books, closeups, context, crc, paths};
use evidence::Seen;
use hardware::MASTERS;
use stagegate::run::layout::Layout;
use stagegate::run::session::{self, Session};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The scenario ends by itself in a fraction of this, even on two busy CPUs.
const LIMIT: Duration = Duration::from_secs(600);
const VM_CPUS: u32 = 2;
const VM_MEMORY_MIB: u32 = 512;
const IDLE_DELAY_US: u32 = 20_000;
/// The meeting point at which all devices are in use and the attacks are over.
const BUSY: &str = "busy";

/// What each VM does, in order; they wait for each other at `meet`.
const DISK_STEPS: &str = "iommu:hypercall,boot,cpus,memory,hotplug,timer,checksum,canary,\
    nvme,msi:nvme,nvme_group:DMA,meet:busy,\
    nvme_off,sleep:1,meet:one-idle,meet:all-idle,bar_poke,sleep:1,meet:wake,\
    nvme_on,nvme_again,canary_check,meet:awake,rebind:5,nvme_again,meet:stock,\
    s2idle,nvme_check,meet:resumed,meet:back,panic";
/// What the disk VM does after its crash; its neighbour dies with its network
/// card at work.
const DISK_AGAIN: &str = "meet:crashed,nvme_again,nvme_group:DMA,nvme_off,meet:parting,\
    gone:nic,sleep:1,nvme_on,nvme_again";
const NIC_STEPS: &str = "iommu:viommu,cpus,memory,hotplug,timer,checksum,edu,attack,net,\
    msi:eth0,net_group:DMA,vdisk,msi:virtio,vdisk_group:DMA,edu_driver,\
    edu_group:DMA,edu_stopped,meet:busy,\
    meet:one-idle,net_off,vdisk_off,edu_off,meet:all-idle,sleep:1,meet:wake,meet:awake,\
    net_on,vdisk_on,vdisk_again,vdisk_off,link_down,meet:stock,meet:resumed,link_up,\
    net_off,meet:back,meet:crashed,net_on,meet:parting";

/// Runs everything, writes the report into `target/run`, and says whether all
/// checks passed.
pub fn run() -> Result<bool> {
    let dir = paths::fresh_dir("run")?;
    let mut director = Director::new(&["disk", "nic"]);
    let started = SystemTime::now();
    let mut running = prepare(&dir, DISK_STEPS, NIC_STEPS)?.start(&dir)?;
    println!(
        "machine started; console in {}",
        dir.join("console.log").display()
    );
    let mut host = |what: &str, running: &mut Running, checks: &mut Checks| match what {
        BUSY => canary::check(running, checks),
        _ => director::cable(what, running, checks),
    };
    let end = director.watch(&mut running, LIMIT, &mut host)?;
    if end == End::TimedOut {
        let evidence = format!("still running after {LIMIT:?}");
        director
            .checks
            .note("F5", "the scenario ends by itself", false, evidence);
        running.qmp.quit()?;
    }
    let finished = running.finish(LIMIT)?;
    conclude(&mut director, &finished, end, &dir);
    report(&director, &finished, started, &dir)
}

/// The scenario's machine with a shell in both guests, on this terminal.
pub fn shell() -> Result<()> {
    let dir = paths::fresh_dir("shell")?;
    let mut machine = prepare(&dir, "shell", "shell")?.finish(&dir)?;
    // The view asks for what it needs.
    machine.traces.clear();
    let board = dir.join("board.dtb");
    let tree = fs::read(&board).map_err(context(board.display()))?;
    let session = Session {
        machine,
        layout: Layout::read(&tree).map_err(context(board.display()))?,
        dir: &dir,
        plain: false,
        limit: None,
    };
    session::run(session, &mut std::io::stdout()).map(drop)
}

fn prepare(dir: &Path, disk_steps: &str, nic_steps: &str) -> Result<Setup> {
    let mut machine = hardware::equip(Machine::virt(2 * VM_CPUS, 2048), dir)?;
    machine.echo = true;
    let mut setup = Setup::new(machine)?;
    let linux = setup.linux(&paths::kernel("6.12")?)?;
    // `mem=` leaves the last 4 MiB to the guest's own DMA experiments. Drivers
    // that are built in wait for the IOMMU's, which is a module: ten seconds
    // unless told otherwise.
    let args = |name, steps, more: &str| {
        let args = bootargs(name, VM_CPUS, VM_MEMORY_MIB, steps);
        let mem = VM_MEMORY_MIB - 4;
        format!("{args} mem={mem}M deferred_probe_timeout=60{more}")
    };
    let again = format!(" stagegate.again={DISK_AGAIN}");
    let template = Template::named("two-vms")?
        .set("idle_delay_us", IDLE_DELAY_US)
        .set("memory_kib", VM_MEMORY_MIB << 10)
        .set(
            "disk_modules",
            linux.nodes(&args("disk", disk_steps, &again)),
        )
        .set("nic_modules", linux.nodes(&args("nic", nic_steps, "")))
        .set("disk_devices", hardware::devices("disk"))
        .set("nic_devices", hardware::devices("nic"));
    setup.overlay(template);
    Ok(setup)
}

/// Verdicts that need the whole run.
fn conclude(director: &mut Director, finished: &Finished, end: End, dir: &Path) {
    let Director {
        vms, checks, marks, ..
    } = director;
    evidence::isolation(&finished.trace, marks, checks);
    evidence::domains::unmapped(&finished.trace, marks, checks);
    faults(finished, marks, checks);
    let seen = Seen {
        trace: &finished.trace,
        marks,
    };
    evidence::power::check(&seen, IDLE_DELAY_US.into(), checks);
    evidence::power::marked(&seen, IDLE_DELAY_US.into(), checks);
    evidence::stock::check(&seen, checks);
    accounting(finished, checks);
    for (vm, image) in vms.iter().zip(["nvme.img", "virtio.img"]) {
        on_disk(vm, &dir.join(image), checks);
    }
    for vm in vms.iter() {
        let off = vm.exit.as_deref() == Some("poweroff");
        let evidence = format!("last words: {}", vm.exit.as_deref().unwrap_or("none"));
        checks.note("A3", format!("{}: powers off", vm.name), off, evidence);
    }
    let boots = format!("disk booted {} ×, nic {} ×", vms[0].boots, vms[1].boots);
    let once = vms[0].boots == 2 && vms[1].boots == 1;
    checks.note(
        "A4",
        "a reset VM boots again, its neighbour is not touched",
        once,
        boots,
    );
    if end == End::Closed {
        let evidence = format!("QEMU: {}", finished.status);
        checks.note(
            "F5",
            "the machine ends by itself",
            finished.status.success(),
            evidence,
        );
    }
}

/// Each attacked address was reported, with the VM that did it.
fn faults(finished: &Finished, marks: &[director::Mark], checks: &mut Checks) {
    let targets: Vec<u64> = marks
        .iter()
        .filter_map(|m| evidence::target(&m.what))
        .collect();
    let reported = |address: &u64| {
        let address = format!("{address:#x}");
        let told = |l: &crate::console::Line| l.is("stagegate", "nic") && l.text.contains(&address);
        finished.lines.iter().any(told)
    };
    let missing: Vec<_> = targets
        .iter()
        .filter(|a| !reported(a))
        .map(|a| format!("{a:#x}"))
        .collect();
    let evidence = match missing.is_empty() {
        true => format!(
            "{} addresses on the console, each with VM and master",
            targets.len()
        ),
        false => format!("not reported: {}", missing.join(" ")),
    };
    let what = "each attack is reported with VM, master and address";
    checks.note(
        "C6",
        what,
        missing.is_empty() && !targets.is_empty(),
        evidence,
    );
}

/// The hypervisor's own books agree with what QEMU saw.
fn accounting(finished: &Finished, checks: &mut Checks) {
    let gates = evidence::gates(&finished.trace);
    let seen = MASTERS.map(|m| (m.name, activity::changes(&finished.trace, m.function)));
    for found in books::compare(&finished.lines, &gates, &seen) {
        checks.note("D11", found.what, found.ok, found.evidence);
    }
    let told = account::read(&finished.lines, "smmu").into_iter().next();
    let elided = told.map_or(0, |account| account.get("elided"));
    let evidence = format!("{elided} invalidations left out while gated");
    checks.note(
        "D7",
        "what need not be invalidated is not",
        elided > 0,
        evidence,
    );
}

/// What the guest wrote is on the disk, read by the host.
fn on_disk(vm: &Vm, image: &Path, checks: &mut Checks) {
    let what = format!(
        "{}: the disk holds what was written, read by the host",
        vm.name
    );
    match hardware::file_on(image, "block") {
        Ok(data) => {
            let (got, want) = (crc::crc32(data.iter().copied()), crc::crc32(vm.block()));
            let evidence = format!("{} bytes, crc32 {got:08x}, expected {want:08x}", data.len());
            checks.note("E5", what, got == want, evidence);
        }
        Err(error) => checks.note("E5", what, false, error),
    }
}

fn report(
    director: &Director,
    finished: &Finished,
    started: SystemTime,
    dir: &Path,
) -> Result<bool> {
    let zero = epoch_us(started);
    let end_us = epoch_us(SystemTime::now()) - zero;
    let smmu = evidence::lanes::smmu_lane(&finished.trace, zero, end_us);
    let masters = MASTERS.map(|m| evidence::lanes::master_lane(&finished.trace, &m, zero, end_us));
    let mut lanes: Vec<Lane> = director
        .vms
        .iter()
        .map(|vm| vm_lane(vm, zero, end_us))
        .collect();
    lanes.push(smmu.clone());
    lanes.extend(masters.iter().cloned());
    let tail = finished.lines.len().saturating_sub(300);
    let report = Report {
        title: "two stock Debian guests, one SMMU".into(),
        vms: director.vms.iter().map(summary).collect(),
        checks: &director.checks,
        timeline: Timeline {
            end_us,
            lanes,
            marks: labelled(&director.marks, zero),
            sleeps: closeups::sleeps(&smmu, &masters, IDLE_DELAY_US.into()),
            wakes: closeups::wakes(&smmu, &masters),
        },
        smmus: vec![smmu_summary(smmu, finished)],
        masters: MASTERS
            .iter()
            .zip(masters)
            .map(|(m, lane)| master_summary(m, lane, finished))
            .collect(),
        console: finished.lines[tail..]
            .iter()
            .map(|l| l.text.clone())
            .collect(),
    };
    report.write(dir)?;
    let (passed, failed) = director.checks.count();
    let verdict = if report.passed() { "pass" } else { "fail" };
    println!(
        "\n{passed} passed, {failed} failed; report: {}",
        dir.join("report.html").display()
    );
    println!("scenario: {verdict}");
    Ok(report.passed())
}

/// Moments worth a line in the picture, and what people call them.
const LABELS: [(&str, &str); 12] = [
    ("busy", "both busy"),
    ("one-idle", "one idle"),
    ("all-idle", "both idle"),
    ("wake", "wake"),
    ("awake", "rebinding"),
    ("unplug igb", "cable out"),
    ("suspend", "suspend to idle"),
    ("resumed", "resumed"),
    ("plug igb", "cable in"),
    ("panic", "crash"),
    ("crashed", "booted again"),
    ("parting", "nic powers off"),
];

/// The first time of each.
fn labelled(marks: &[director::Mark], zero: u64) -> Vec<Mark> {
    let found = LABELS.iter().filter_map(|(what, label)| {
        let mark = marks.iter().find(|m| m.what == *what)?;
        Some(Mark {
            at_us: mark.at_us.saturating_sub(zero),
            label: label.to_string(),
        })
    });
    found.collect()
}

fn summary(vm: &Vm) -> VmSummary {
    VmSummary {
        name: vm.name.clone(),
        kernel: vm.kernel.clone().unwrap_or_default(),
        boots: vm.boots,
        exit: vm.exit.clone().unwrap_or_else(|| "nothing".into()),
    }
}

fn smmu_summary(lane: Lane, finished: &Finished) -> SmmuSummary {
    let told = account::read(&finished.lines, "smmu")
        .into_iter()
        .next()
        .unwrap_or_default();
    let counters = account::COUNTERS.map(|(name, key)| (name.to_string(), told.get(key)));
    SmmuSummary {
        lane,
        counters: counters.to_vec(),
    }
}

fn master_summary(master: &hardware::Master, lane: Lane, finished: &Finished) -> MasterSummary {
    let told = account::read(&finished.lines, "master");
    let own = told.iter().find(|a| a.name == master.name);
    MasterSummary {
        vm: master.vm.to_string(),
        stream_ids: vec![master.rid],
        faults: own.map_or(0, |a| a.get("faults")),
        lane,
    }
}

fn vm_lane(vm: &Vm, zero: u64, end_us: u64) -> Lane {
    let mut changes = vec![(0, "booting".to_string())];
    let moments = vm.moments.iter();
    changes.extend(moments.map(|m| (epoch_us(m.at).saturating_sub(zero), m.state.to_string())));
    Lane::from_changes(&vm.name, "vm", &changes, end_us)
}

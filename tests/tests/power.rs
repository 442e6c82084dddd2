//! Stock means of power management, seen from outside: what a Debian guest's
//! drivers do by themselves opens and closes the SMMU's clock gate. Beside them
//! a guest of ours that does what no stock driver does.

mod common;

use common::{LIMIT, dir, ok};
use stagegate_tests::activity::{self, Change};
use stagegate_tests::books;
use stagegate_tests::devicetree::{self, Template};
use stagegate_tests::director::{self, Director, Mark};
use stagegate_tests::gates::{self, Gate};
use stagegate_tests::machine::{Finished, Machine};
use stagegate_tests::paths;
use stagegate_tests::setup::{Setup, VmSpec, bootargs};
use stagegate_tests::trace::Event;
use std::fs::File;
use std::path::Path;
use std::process::Command;

const MEMORY_MIB: u32 = 320;
/// As `clock-gate.dtso` says.
const IDLE_DELAY_US: u64 = 20_000;
/// The GPIO line that gates the SMMU's clock.
const GATE_LINE: u64 = 5;
/// SMMUv3's CR0; bit 0 enables translation.
const CR0: u64 = 0x20;

/// A VM of a story: name, functions it owns as (label, requester id), steps.
struct Role<'a> {
    name: &'a str,
    functions: &'a [(&'a str, u32)],
    steps: &'a str,
}

struct Story {
    marks: Vec<Mark>,
    finished: Finished,
    gates: Vec<Gate>,
}

/// A disk with an empty file system, an igb, and what QEMU saw of both.
fn machine(dir: &Path, roles: usize) -> Machine {
    let image = dir.join("nvme.img");
    let disk = File::create(&image).and_then(|f| f.set_len(128 << 20));
    disk.unwrap_or_else(|e| panic!("{}: {e}", image.display()));
    let path = std::env::var("PATH").unwrap_or_default();
    let mut mkfs = Command::new("mke2fs");
    mkfs.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    ok(devicetree::run(
        mkfs.args(["-q", "-F", "-t", "ext4"]).arg(&image),
    ));
    let drive = format!("file={},if=none,id=nvme,format=raw", image.display());
    Machine::virt(roles as u32, 512 + 384 * roles as u32)
        .args(["-drive", &drive, "-netdev", "user,id=net"])
        .args(["-device", "nvme,drive=nvme,serial=stagegate,addr=01.0"])
        .args(["-device", "igb,netdev=net,addr=02.0,romfile=,id=igb"])
        .trace(["pl061_set_output", "smmuv3_read_mmio", "smmuv3_write_mmio"])
        .trace(["pci_cfg_write", "pci_pm_transition", "smmuv3_translate_*"])
}

/// Plays a story to its end; every check of the guests must have passed.
fn play(name: &str, roles: &[Role<'_>]) -> Story {
    let dir = dir(&format!("power-{name}"));
    let mut setup = ok(Setup::new(machine(&dir, roles.len())));
    let linux = ok(setup.linux(&ok(paths::kernel("6.12"))));
    setup.overlay(ok(Template::named("clock-gate")));
    let vms: Vec<_> = roles.iter().map(|role| vm(role, &linux)).collect();
    setup.vms(&vms);
    let mut running = ok(setup.start(&dir));
    let names: Vec<_> = roles.iter().map(|role| role.name).collect();
    let mut director = Director::new(&names);
    ok(director.watch(&mut running, LIMIT, &mut director::cable));
    let tail = running.console.tail(40);
    let finished = ok(running.finish(LIMIT));
    assert!(
        finished.status.success() && director.checks.passed(),
        "{tail}"
    );
    let gates = gates::movements(&finished.trace, GATE_LINE);
    let owned = roles.iter().flat_map(|role| role.functions);
    let seen = owned.map(|(name, _)| (*name, activity::changes(&finished.trace, name)));
    for found in books::compare(&finished.lines, &gates, &seen.collect::<Vec<_>>()) {
        println!("{}: {}", found.what, found.evidence);
        assert!(found.ok, "{}: {}", found.what, found.evidence);
    }
    for closed in gates.iter().filter(|g| !g.open) {
        let low = gates::while_low(&finished.trace, &gates, closed);
        assert_eq!(
            low.iter().find(|e| gates::touches_smmu(e)),
            None,
            "while gated"
        );
    }
    Story {
        marks: director.marks,
        finished,
        gates,
    }
}

fn vm<'a>(role: &Role<'a>, linux: &stagegate_tests::setup::Linux) -> VmSpec<'a> {
    let devices = role.functions.iter().zip(0..).map(|((label, rid), n)| {
        format!(
            "device@{n} {{ reg = <{n}>; label = \"{label}\"; device = <&pcie {rid:#x}>; \
             stagegate,power-source = \"pci-pm\"; }};"
        )
    });
    let devices: String = devices.collect();
    VmSpec {
        name: role.name,
        cpus: 1,
        memory_mib: MEMORY_MIB,
        modules: linux.nodes(&bootargs(role.name, 1, MEMORY_MIB, role.steps)),
        more: format!("devices {{ #address-cells = <1>; #size-cells = <0>; {devices} }};"),
    }
}

const NVME: (&str, u32) = ("nvme", 0x08);
const IGB: (&str, u32) = ("igb", 0x10);

impl Story {
    /// The last one: an attempt to suspend may fail on a busy computer.
    fn moment(&self, what: &str) -> u64 {
        let mark = self.marks.iter().rfind(|m| m.what == what);
        mark.unwrap_or_else(|| panic!("no mark {what:?}")).at_us
    }

    /// The only time the gate was low between two marks: (index, microseconds)
    /// of closing and of opening.
    fn low_between(&self, from: &str, to: &str) -> [Gate; 2] {
        let span = self.moment(from)..=self.moment(to);
        let moved = self.gates.iter().filter(|g| span.contains(&g.at_us));
        let moved: Vec<Gate> = moved.copied().collect();
        match moved[..] {
            [closed, opened] if !closed.open && opened.open => [closed, opened],
            _ => panic!("between {from} and {to} the gate moved {moved:?}"),
        }
    }

    /// When a function was last active before the gate closed and first after
    /// it opened, and that it went to D3hot in between.
    fn asleep(&self, function: &str, [closed, opened]: &[Gate; 2]) -> [Change; 2] {
        let changes = activity::changes(&self.finished.trace, function);
        let before = changes.iter().rfind(|c| c.index < closed.index);
        let after = changes.iter().find(|c| c.index > opened.index);
        match (before, after) {
            (Some(idle), Some(active)) if !idle.active && active.active => [*idle, *active],
            found => panic!("{function} around the gate: {found:?}"),
        }
    }

    fn went_to_d3hot(&self, function: &str, [idle, active]: &[Change; 2]) -> bool {
        self.finished.trace[idle.index..active.index]
            .iter()
            .any(|e| {
                e.name == "pci_pm_transition"
                    && e.text.starts_with(function)
                    && e.text.ends_with("D0->D3")
            })
    }

    /// When translation went on after the gate opened.
    fn enabled(&self, opened: &Gate) -> &Event {
        let enables = |e: &&Event| {
            e.name == "smmuv3_write_mmio"
                && e.number("addr") == Some(CR0)
                && e.number("val").is_some_and(|v| v & 1 == 1)
        };
        let found = self.finished.trace[opened.index..].iter().find(enables);
        found.expect("SMMUEN after the gate opened")
    }

    /// The function slept first, then after the whole delay the clock stopped;
    /// the SMMU was enabled before the function could be active again.
    fn slept_in_order(&self, function: &str, between: &[Gate; 2]) -> [Change; 2] {
        let [closed, opened] = between;
        let moments @ [idle, active] = self.asleep(function, between);
        let (delay, enabled) = (closed.at_us - idle.at_us, self.enabled(opened));
        println!(
            "{function}: clock stopped {:.1} ms after its last activity, was low for {:.1} ms; \
             SMMU enabled {} us after the clock, the function {} us after that",
            delay as f64 / 1e3,
            (opened.at_us - closed.at_us) as f64 / 1e3,
            enabled.at_us - opened.at_us,
            active.at_us - enabled.at_us.min(active.at_us),
        );
        assert!(delay >= IDLE_DELAY_US, "{delay} us after the last activity");
        assert!(
            enabled.at_us <= active.at_us,
            "active before the SMMU was on"
        );
        moments
    }
}

/// True runtime power management: the driver's own autosuspend, no unbinding.
#[test]
fn a_network_card_without_a_link_lets_the_smmu_sleep() {
    let steps = "net,link_down,sleep:1,link_up";
    let role = Role {
        name: "nic",
        functions: &[IGB],
        steps,
    };
    let story = play("link", &[role]);
    let low = story.low_between("unplug igb", "woken igb");
    let moments = story.slept_in_order("igb", &low);
    assert!(story.went_to_d3hot("igb", &moments));
}

/// Suspend to idle of a whole guest; the other guest's device is idle too.
#[test]
fn a_guest_that_suspends_lets_the_smmu_sleep() {
    let steps = "nvme,s2idle,nvme_check,mark:awake";
    let role = Role {
        name: "disk",
        functions: &[NVME],
        steps,
    };
    let story = play("s2idle", &[role]);
    // The disk's driver wakes it in the background: it has when the disk was read.
    let low = story.low_between("suspend", "awake");
    let moments = story.slept_in_order("nvme", &low);
    assert!(story.went_to_d3hot("nvme", &moments));
}

/// How often the driver is taken away and comes back: `STAGEGATE_REBINDS`.
fn rebinds() -> usize {
    let asked = std::env::var("STAGEGATE_REBINDS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(10)
}

/// The link belongs to the assignment, not to the driver: it is there however
/// often the driver was not, and the data with it.
#[test]
fn rebinding_never_loses_the_link() {
    let times = rebinds();
    let steps = format!("nvme,rebind:{times},nvme_again,sleep:1,rebind:2:1,nvme_again");
    let role = Role {
        name: "disk",
        functions: &[NVME],
        steps: &steps,
    };
    let story = play("rebind", &[role]);
    let changes = activity::changes(&story.finished.trace, "nvme");
    let idled = changes.iter().filter(|c| !c.active).count();
    assert!(
        idled >= times + 2,
        "QEMU saw bus mastering end {idled} times"
    );
    // Each time that it was idle for longer than the delay the clock stopped.
    let long: Vec<_> = changes
        .windows(2)
        .filter(|w| !w[0].active && w[1].at_us - w[0].at_us > 900_000)
        .collect();
    assert!(long.len() >= 2, "{long:?}");
    for pause in long {
        let low = |g: &&Gate| !g.open && (pause[0].at_us..pause[1].at_us).contains(&g.at_us);
        assert_eq!(story.gates.iter().filter(low).count(), 1, "{pause:?}");
    }
}

/// A kernel that dies with its device at work holds nothing, nor does its
/// successor that does not use the device: when the neighbour's device sleeps
/// the SMMU does, and wakes when that comes back.
#[test]
fn a_dead_kernel_keeps_nothing_awake() {
    let dead = Role {
        name: "disk",
        functions: &[NVME],
        steps: "boot,nvme,meet:both,panic stagegate.again=meet:again",
    };
    let alive = Role {
        name: "nic",
        functions: &[IGB],
        steps: "net,meet:both,net_off,meet:again,sleep:1,net_on",
    };
    let story = play("crash", &[dead, alive]);
    let low = story.low_between("panic", "woken igb");
    story.slept_in_order("igb", &low);
    // Nobody told the device to stop: it was stopped.
    let changes = activity::changes(&story.finished.trace, "nvme");
    assert!(changes.last().is_some_and(|c| !c.active), "{changes:?}");
}

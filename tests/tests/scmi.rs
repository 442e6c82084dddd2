//! Stock drivers' power domains decide about the SMMU's clock: QEMU's real-time
//! clock, and its firmware configuration beside it, as platform devices of a Debian guest.

mod common;

use common::{LIMIT, board, dir, ok};
use stagegate_tests::books;
use stagegate_tests::console::Line;
use stagegate_tests::devicetree::Template;
use stagegate_tests::director::{Director, Mark};
use stagegate_tests::gates::{self, Gate};
use stagegate_tests::machine::{Board, Finished};
use stagegate_tests::paths;
use stagegate_tests::setup::{Setup, VmSpec, bootargs};
use stagegate_tests::trace::Event;

const NAME: &str = "linux";
const MEMORY_MIB: u32 = 256;
/// How often the driver is taken away and comes back.
const ROUNDS: usize = 3;
const IDLE_DELAY_US: u32 = 20_000;
/// The GPIO line that gates the SMMU's clock.
const GATE_LINE: u64 = 5;
/// SMMUv3's control register; bit 0 enables it.
const CR0: u64 = 0x20;

/// The clock gate, and a stream id for each device: the board's tree has none,
/// since they do no DMA. To the hypervisor they are masters like any other.
const BOARD: &str = "/dts-v1/; /plugin/;
&{/} { smmu_gate: smmu-clock-gate { compatible = \"gpio-gate-clock\"; #clock-cells = <0>;
    clocks = <&apb_pclk>; enable-gpios = <&pl061 5 0>; }; };
&smmu { clocks = <&smmu_gate>; clock-names = \"smmu\";
    stagegate,idle-delay-us = <@idle_delay_us@>; };
";

/// A device of the guest: label, node, stream id.
type Device = (&'static str, &'static str, u32);
const RTC: Device = ("rtc", "/pl031@9010000", 0x7700);
const FWCFG: Device = ("fwcfg", "/fw-cfg@9020000", 0x7701);

/// What was seen of a run.
struct Story {
    finished: Finished,
    marks: Vec<Mark>,
    gates: Vec<Gate>,
}

/// Runs a guest with these devices to its end.
fn run(name: &str, version: Board, devices: &[Device], steps: &str) -> Story {
    let machine = board(version, 1, 768)
        .trace([
            "pl061_set_output",
            "pl031_read",
            "pl031_write",
            "fw_cfg_select",
        ])
        .trace(["smmuv3_read_mmio", "smmuv3_write_mmio"]);
    let mut setup = ok(Setup::new(machine));
    let linux = ok(setup.linux(&ok(paths::kernel("6.12"))));
    let streams = devices
        .iter()
        .map(|(_, node, stream)| format!("&{{{node}}} {{ iommus = <&smmu {stream:#x}>; }};\n"));
    let board = BOARD.to_string() + &streams.collect::<String>();
    setup.overlay(Template::text("board", &board).set("idle_delay_us", IDLE_DELAY_US));
    let nodes = devices.iter().zip(0..).map(|((label, node, _), n)| {
        format!(
            "device@{n} {{ reg = <{n}>; label = \"{label}\"; stagegate,path = \"{node}\"; \
             stagegate,power-source = \"scmi\"; }};"
        )
    });
    let nodes: String = nodes.collect();
    setup.vms(&[VmSpec {
        name: NAME,
        cpus: 1,
        memory_mib: MEMORY_MIB,
        modules: linux.nodes(&bootargs(NAME, 1, MEMORY_MIB, steps)),
        more: format!("devices {{ #address-cells = <1>; #size-cells = <0>; {nodes} }};"),
    }]);
    let mut running = ok(setup.start(&dir(name)));
    let mut director = Director::new(&[NAME]);
    ok(director.watch(&mut running, LIMIT, &mut |_, _, _| Ok(())));
    let end = running.console.tail(40);
    let finished = ok(running.finish(LIMIT));
    assert!(
        finished.status.success() && director.checks.passed(),
        "{end}"
    );
    assert_eq!(director.vms[0].exit.as_deref(), Some("poweroff"), "{end}");
    let gates = gates::movements(&finished.trace, GATE_LINE);
    for found in books::compare(&finished.lines, &gates, &[]) {
        println!("{}: {}", found.what, found.evidence);
        assert!(found.ok, "{}: {}", found.what, found.evidence);
    }
    Story {
        finished,
        marks: director.marks,
        gates,
    }
}

/// Nobody touches the SMMU or a device from this closing of the gate on; once it
/// is open again, the SMMU is enabled before this device is touched.
fn supplier_first(trace: &[Event], closed: usize, opened: usize, device: &str) {
    let others = ["pl031", "fw_cfg", "smmuv3"];
    let touches = |e: &&Event| others.iter().any(|other| e.name.starts_with(other));
    let touched = trace[closed..opened].iter().find(touches);
    assert_eq!(touched, None, "while the gate is low");
    let after = &trace[opened..];
    let enabled = |e: &Event| {
        e.name == "smmuv3_write_mmio"
            && e.number("addr") == Some(CR0)
            && e.number("val").is_some_and(|v| v & 1 == 1)
    };
    let enabled = after.iter().position(enabled);
    let used = after.iter().position(|e| e.name.starts_with(device));
    assert!(
        matches!((enabled, used), (Some(e), Some(u)) if e < u),
        "SMMUEN is event {enabled:?} after the gate, the device's first access {used:?}"
    );
}

/// From the device's idling to the stopping clock, in microseconds, each time,
/// by the hypervisor's own record of what happened.
fn delays(lines: &[Line]) -> Vec<u64> {
    let (mut idle, mut delays) = (None, Vec::new());
    for line in lines.iter().filter(|l| l.is("stagegate", "@sg mark ")) {
        let words: Vec<&str> = line.words().split(' ').collect();
        let [_, _, at, who, state] = words[..] else {
            panic!("{line:?}");
        };
        let at: u64 = at.parse().unwrap_or_else(|_| panic!("{line:?}"));
        if who == "master:rtc" {
            idle = (state == "idle").then_some(at);
        } else if state == "gated" {
            delays.extend(idle.take().map(|idle| at - idle));
        }
    }
    delays
}

/// The driver goes: its domain goes off, and after the delay the SMMU's clock
/// stops. The driver comes: the clock runs before it touches the device.
fn a_power_domain_gates_the_smmu(version: Board) {
    let round = "domain_off:rtc,sleep:1,domain_on:rtc,rtc,sleep:1";
    let steps = format!("rtc,rtc_alarm,{}", [round; ROUNDS].join(","));
    let story = run(&format!("scmi-{version:?}"), version, &[RTC], &steps);
    let mut at = Moments::of(&story);
    for round in 0..ROUNDS {
        let idle = at.next("idle rtc");
        at.next("wake rtc");
        let woken = at.next("woken rtc");
        let (closed, opened) = at.sleep(idle, woken);
        supplier_first(&story.finished.trace, closed.index, opened.index, "pl031");
        println!(
            "round {round}: low for {} ms, high {} us before the driver said it was bound",
            (opened.at_us - closed.at_us) / 1000,
            woken - opened.at_us
        );
    }
    let delays = delays(&story.finished.lines);
    println!("clock stopped {delays:?} us after the domain went off");
    assert!(delays.len() >= ROUNDS, "{delays:?}");
    let allowed = u64::from(IDLE_DELAY_US)..1_000_000;
    assert!(delays.iter().all(|d| allowed.contains(d)), "{delays:?}");
}

/// Marks in their order, each looked for after the one before.
struct Moments<'s> {
    story: &'s Story,
    next: usize,
}

impl<'s> Moments<'s> {
    fn of(story: &'s Story) -> Self {
        Self { story, next: 0 }
    }

    /// When the next mark of this name was set.
    fn next(&mut self, what: &str) -> u64 {
        let marks = &self.story.marks;
        let found = marks[self.next..].iter().position(|m| m.what == what);
        let found = found.unwrap_or_else(|| panic!("no {what:?} after {:?}", self.next));
        self.next += found + 1;
        marks[self.next - 1].at_us
    }

    /// Movements of the gate between two times.
    fn moved(&self, from: u64, to: u64) -> Vec<&'s Gate> {
        let gates = self.story.gates.iter();
        gates.filter(|g| (from..=to).contains(&g.at_us)).collect()
    }

    /// The gate did not move.
    fn still(&self, from: u64, to: u64) {
        let moved = self.moved(from, to);
        assert!(moved.is_empty(), "{moved:?}");
    }

    /// It moved once.
    fn once(&self, from: u64, to: u64, open: bool) -> &'s Gate {
        match self.moved(from, to)[..] {
            [gate] if gate.open == open => gate,
            ref other => panic!("not only once to {open}: {other:?}"),
        }
    }

    /// It closed and opened again.
    fn sleep(&self, from: u64, to: u64) -> (&'s Gate, &'s Gate) {
        match self.moved(from, to)[..] {
            [closed, opened] if !closed.open && opened.open => (closed, opened),
            ref other => panic!("no sleep and wake: {other:?}"),
        }
    }
}

/// Several domains of one VM: the clock runs while any of them is on. A VM that
/// dies with its domains on holds nothing, and its successor begins anew.
#[test]
fn the_last_of_several_domains_gates_the_smmu() {
    let steps = [
        "boot,modules:fwcfg,domains:fwcfg=on+rtc=on",
        "domain_off:rtc,domains:fwcfg=on+rtc=off-0,sleep:1,mark:one-off",
        "domain_off:fwcfg,domains:fwcfg=off-0+rtc=off-0,sleep:1,mark:both-off",
        "domain_on:fwcfg,domains:fwcfg=on+rtc=off-0,sleep:1,mark:one-on",
        "domain_off:fwcfg,sleep:1,domain_on:rtc,rtc,domain_on:fwcfg,panic",
    ];
    let again = [
        "modules:fwcfg,domains:fwcfg=on+rtc=on,mark:begun",
        "domain_off:fwcfg,sleep:1,mark:one-off",
        "domain_off:rtc,sleep:1,domain_on:rtc,rtc",
    ];
    let steps = format!("{} stagegate.again={}", steps.join(","), again.join(","));
    let story = run("scmi-domains", Board::VirtGicV3, &[RTC, FWCFG], &steps);
    let mut at = Moments::of(&story);
    let (idle, one_off) = (at.next("idle rtc"), at.next("one-off"));
    at.still(idle, one_off);
    let (idle, both_off) = (at.next("idle fwcfg"), at.next("both-off"));
    let closed = at.once(idle, both_off, false);
    let (wake, woken) = (at.next("wake fwcfg"), at.next("woken fwcfg"));
    let opened = at.once(wake, woken, true);
    let trace = &story.finished.trace;
    supplier_first(trace, closed.index, opened.index, "fw_cfg");
    let one_on = at.next("one-on");
    at.still(woken, one_on);
    // The other one wakes it as well.
    let idle = at.next("idle fwcfg");
    let woken = at.next("woken rtc");
    let (closed, opened) = at.sleep(idle, woken);
    supplier_first(trace, closed.index, opened.index, "pl031");
    // Nobody says that the domains go off.
    let (panic, reset) = (at.next("panic"), at.next("reset linux"));
    at.still(woken, panic);
    at.once(panic, reset, false);
    let (begun, one_off) = (at.next("begun"), at.next("one-off"));
    // Its successor reads the device's identity, lets go of it, and binds it: it
    // may sleep in between.
    let moved = at.moved(reset, begun);
    let open = |gate: Option<&&Gate>| gate.is_some_and(|gate| gate.open);
    assert!(open(moved.first()) && open(moved.last()), "{moved:?}");
    at.still(begun, one_off);
    let (idle, woken) = (at.next("idle rtc"), at.next("woken rtc"));
    at.sleep(idle, woken);
}

#[test]
fn a_stock_drivers_power_domain_gates_the_smmu_on_gicv3() {
    a_power_domain_gates_the_smmu(Board::VirtGicV3);
}

#[test]
fn a_stock_drivers_power_domain_gates_the_smmu_on_gicv2() {
    a_power_domain_gates_the_smmu(Board::VirtGicV2);
}

//! A stock driver's power domain decides about the SMMU's clock: QEMU's
//! real-time clock as a platform device of a Debian guest.

mod common;

use common::{LIMIT, board, dir, ok};
use stagegate_tests::checks::Checks;
use stagegate_tests::console::Line;
use stagegate_tests::devicetree::Template;
use stagegate_tests::gates;
use stagegate_tests::guest::{self, Said, Vm};
use stagegate_tests::machine::{Board, Finished};
use stagegate_tests::paths;
use stagegate_tests::setup::{Setup, VmSpec, bootargs};
use stagegate_tests::timeline::epoch_us;
use stagegate_tests::trace::Event;
use std::time::Instant;

const NAME: &str = "linux";
const MEMORY_MIB: u32 = 256;
/// How often the driver is taken away and comes back.
const ROUNDS: usize = 3;
const IDLE_DELAY_US: u32 = 20_000;
/// The GPIO line that gates the SMMU's clock.
const GATE_LINE: u64 = 5;
/// SMMUv3's control register; bit 0 enables it.
const CR0: u64 = 0x20;

/// The clock gate, and a stream id for the device: the board's tree has none,
/// since it does no DMA. To the hypervisor it is a master like any other.
const BOARD: &str = "/dts-v1/; /plugin/;
&{/} { smmu_gate: smmu-clock-gate { compatible = \"gpio-gate-clock\"; #clock-cells = <0>;
    clocks = <&apb_pclk>; enable-gpios = <&pl061 5 0>; }; };
&smmu { clocks = <&smmu_gate>; clock-names = \"smmu\";
    stagegate,idle-delay-us = <@idle_delay_us@>; };
&{/pl031@9010000} { iommus = <&smmu 0x7700>; };
";

const DEVICES: &str = "devices { #address-cells = <1>; #size-cells = <0>; device@0 {
    reg = <0>; label = \"rtc\"; stagegate,path = \"/pl031@9010000\";
    stagegate,power-source = \"scmi\"; }; };";

/// Runs the guest to its end; the marks it set: (microseconds, what).
fn run(version: Board) -> (Finished, Vec<(u64, String)>) {
    let machine = board(version, 1, 768).trace([
        "pl061_set_output",
        "pl031_read",
        "pl031_write",
        "smmuv3_read_mmio",
        "smmuv3_write_mmio",
    ]);
    let mut setup = ok(Setup::new(machine));
    let linux = ok(setup.linux(&ok(paths::kernel("6.12"))));
    setup.overlay(Template::text("board", BOARD).set("idle_delay_us", IDLE_DELAY_US));
    let rounds = ["rtc_off,sleep:1,rtc_on,sleep:1"; ROUNDS].join(",");
    let steps = format!("rtc,rtc_alarm,{rounds}");
    setup.vms(&[VmSpec {
        name: NAME,
        cpus: 1,
        memory_mib: MEMORY_MIB,
        modules: linux.nodes(&bootargs(NAME, 1, MEMORY_MIB, &steps)),
        more: DEVICES.into(),
    }]);
    let mut running = ok(setup.start(&dir(&format!("scmi-{version:?}"))));
    let (mut vm, mut checks) = (Vm::new(NAME), Checks::default());
    let mut marks = Vec::new();
    let deadline = Instant::now() + LIMIT;
    while let Ok(line) = running.console.next(deadline) {
        let Some(said) = guest::parse(&line.text) else {
            continue;
        };
        match &said {
            Said::Fact(key, what) if key == "mark" => {
                marks.push((epoch_us(line.at), what.clone()));
            }
            _ => {}
        }
        vm.hear(said, &line, &mut checks);
    }
    let end = running.console.tail(40);
    assert!(checks.passed(), "{end}");
    assert_eq!(vm.exit.as_deref(), Some("poweroff"), "{end}");
    (ok(running.finish(LIMIT)), marks)
}

/// Nobody touches the SMMU or the device from this closing of the gate on;
/// once it is open again, the SMMU is enabled before the device is touched.
fn supplier_first(trace: &[Event], closed: usize, opened: usize) {
    let touches = |e: &&Event| e.name.starts_with("pl031") || e.name.starts_with("smmuv3");
    let touched = trace[closed..opened].iter().find(touches);
    assert_eq!(touched, None, "while the gate is low");
    let after = &trace[opened..];
    let enabled = |e: &Event| {
        e.name == "smmuv3_write_mmio"
            && e.number("addr") == Some(CR0)
            && e.number("val").is_some_and(|v| v & 1 == 1)
    };
    let enabled = after.iter().position(enabled);
    let used = after.iter().position(|e| e.name.starts_with("pl031"));
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
    let (finished, marks) = run(version);
    assert!(finished.status.success());
    let gates = gates::movements(&finished.trace, GATE_LINE);
    let named = |what: &str| -> Vec<u64> {
        let at = marks.iter().filter(|m| m.1 == what).map(|m| m.0);
        at.collect()
    };
    let (idle, wake, woken) = (named("idle rtc"), named("wake rtc"), named("woken rtc"));
    assert_eq!(
        (idle.len(), wake.len(), woken.len()),
        (ROUNDS, ROUNDS, ROUNDS)
    );
    for round in 0..ROUNDS {
        // The marks' lines may come later than what they announce; the guest
        // sleeps for a second between them, in which nothing else moves.
        let span = idle[round].saturating_sub(500_000)..=woken[round];
        let moved: Vec<_> = gates.iter().filter(|g| span.contains(&g.at_us)).collect();
        let [closed, opened] = moved[..] else {
            panic!("round {round}: the gate moved {moved:?}");
        };
        assert!(!closed.open && opened.open, "{closed:?} {opened:?}");
        supplier_first(&finished.trace, closed.index, opened.index);
        println!(
            "round {round}: low for {} ms, high {} us before the driver said it was bound",
            (opened.at_us - closed.at_us) / 1000,
            woken[round] - opened.at_us
        );
    }
    let delays = delays(&finished.lines);
    println!("clock stopped {delays:?} us after the domain went off");
    assert!(delays.len() >= ROUNDS, "{delays:?}");
    let allowed = u64::from(IDLE_DELAY_US)..1_000_000;
    assert!(delays.iter().all(|d| allowed.contains(d)), "{delays:?}");
}

#[test]
fn a_stock_drivers_power_domain_gates_the_smmu_on_gicv3() {
    a_power_domain_gates_the_smmu(Board::VirtGicV3);
}

#[test]
fn a_stock_drivers_power_domain_gates_the_smmu_on_gicv2() {
    a_power_domain_gates_the_smmu(Board::VirtGicV2);
}

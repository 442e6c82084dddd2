//! A guest that misbehaves harms nobody else: beside it another VM runs its
//! cases to the end, and what the first did is reported with its name.

mod common;

use common::{LIMIT, dir, ok};
use stagegate_tests::cases::{self, spec};
use stagegate_tests::console::Line;
use stagegate_tests::devicetree::Template;
use stagegate_tests::machine::{Machine, Running};
use stagegate_tests::setup::{Setup, VmSpec};

const NEIGHBOUR: &str = "psci-version,psci-cpu-on-off,gic-sgi-self,timer-many-virtual,timer-wfi";

fn start(case: &str) -> Running {
    let mut setup = ok(Setup::new(Machine::virt(4, 1024)));
    let kernel = ok(setup.module(&ok(cases::image())));
    setup.vms(&[
        spec(&kernel, "bad", 2, case),
        spec(&kernel, "good", 2, NEIGHBOUR),
    ]);
    ok(setup.start(&dir(case)))
}

fn neighbour_finishes(running: &mut Running, case: &str) {
    let about = format!("ABOUT {case}");
    for (who, what) in [("bad", about.as_str()), ("good", "DONE passed 5 failed 0")] {
        ok(running.console.expect_once_from(who, what, LIMIT));
    }
}

/// The guest ends, its neighbour finishes, and the machine with them.
fn dies_alone(case: &str) {
    let mut running = start(case);
    neighbour_finishes(&mut running, case);
    let finished = ok(running.finish(LIMIT));
    assert!(finished.status.success(), "QEMU: {}", finished.status);
    let told = |l: &&Line| l.is("stagegate", "bad");
    let lines: Vec<_> = finished.lines.iter().map(|l| l.text.as_str()).collect();
    assert!(
        finished.lines.iter().filter(told).count() > 1,
        "no report about the guest:\n{}",
        lines.join("\n")
    );
    assert!(
        !lines.iter().any(|l| l.contains("went through")),
        "{}",
        lines.join("\n")
    );
}

/// The guest goes on for ever and costs nobody else anything.
fn loops_alone(case: &str) {
    let mut running = start(case);
    neighbour_finishes(&mut running, case);
    ok(running.quit());
}

/// The numbers in what the hypervisor says when the VM has ended: bytes of its
/// domains' tables, and bytes of the heap.
fn left_behind(line: &Line) -> (u64, u64) {
    let numbers = line.text.split(|c: char| !c.is_ascii_digit());
    let mut numbers = numbers.filter_map(|word| word.parse().ok());
    let (tables, heap) = (numbers.next(), numbers.next());
    (
        tables.expect("bytes of tables"),
        heap.expect("bytes of heap"),
    )
}

/// Every DMA call with garbage, from two CPUs, while a third rewrites the pages
/// that the calls point to, with a reset after each time. The neighbour, which
/// starts with the first, passes its cases meanwhile. When it is gone, one time
/// and the next leave exactly as much in use.
#[test]
fn hostile_calls_leave_nothing_behind() {
    let machine = Machine::virt(6, 1024);
    let machine = machine.args(["-device", "edu,addr=06.0,dma_mask=0xffffffffffff"]);
    let mut setup = ok(Setup::new(machine));
    let kernel = ok(setup.module(&ok(cases::image())));
    setup.overlay(ok(Template::named("clock-gate")));
    let device = "devices { #address-cells = <1>; #size-cells = <0>; device@0 { reg = <0>; \
                  device = <&pcie 0x30>; stagegate,power-source = \"hypercall\"; }; };";
    setup.vms(&[
        VmSpec {
            more: device.to_string(),
            ..spec(&kernel, "bad", 3, "hostile-calls")
        },
        spec(&kernel, "good", 2, NEIGHBOUR),
    ]);
    let mut running = ok(setup.start(&dir("hostile-calls")));
    for (who, what) in [
        ("good", "DONE passed 5 failed 0"),
        ("stagegate", "good: powered off"),
    ] {
        ok(running.console.expect_once_from(who, what, LIMIT));
    }
    let mut left = Vec::new();
    for _ in 0..2 {
        ok(running.console.expect_from("bad", "hostile: ", LIMIT));
        let line = ok(running
            .console
            .expect_from("stagegate", "left behind", LIMIT));
        left.push(left_behind(&line));
    }
    assert!(left.iter().all(|(tables, _)| *tables == 0), "{left:?}");
    assert_eq!(
        left[0].1, left[1].1,
        "bytes of heap after each round: {left:?}"
    );
    ok(running.quit());
}

macro_rules! bad {
    ($how:ident: $($name:ident $case:literal),* $(,)?) => {
        $(#[test] fn $name() { $how($case); })*
    };
}

bad!(dies_alone:
    read_nowhere "bad-read-nowhere",
    write_nowhere "bad-write-nowhere",
    read_hypervisor "bad-read-hypervisor",
    jump_nowhere "bad-jump-nowhere",
    pair_to_device "bad-pair-to-device",
);

bad!(loops_alone:
    // Each exception of its own faults on the stack again, in the guest.
    stack_nowhere "bad-stack-nowhere",
    vectors_nowhere "bad-vectors-nowhere",
    vectors_loop "bad-vectors-loop",
    spin "bad-spin",
    spin_all "bad-spin-all",
    interrupt_storm "bad-interrupt-storm",
    sleep_forever "bad-sleep-forever",
);

//! The operator's keys while guests print, and guests that restart often.

mod common;

use common::{LIMIT, board, dir, ok};
use stagegate_tests::cases::{self, spec};
use stagegate_tests::machine::{Board, Machine, Running};
use stagegate_tests::paths;
use stagegate_tests::setup::{Setup, VmSpec, bootargs};

/// Every reset scrubs the VM's memory, which takes an emulated CPU its time.
const ROUNDS: usize = 4;

/// Types a command after Ctrl-a.
fn key(running: &mut Running, keys: &str) {
    for key in keys.bytes() {
        ok(running.console.send(&[0x01, key]));
    }
}

/// Two VMs that reset at once, over and over: each comes up every time.
#[test]
fn both_reset_at_once() {
    for version in [Board::VirtGicV3, Board::VirtGicV2] {
        let mut setup = ok(Setup::new(board(version, 4, 1024)));
        let kernel = ok(setup.module(&ok(cases::image())));
        let cases = "psci-cpu-on-off,psci-system-reset";
        setup.vms(&[
            spec(&kernel, "one", 2, cases),
            spec(&kernel, "two", 2, cases),
        ]);
        let mut running = ok(setup.start(&dir(&format!("operator-reset-{version:?}"))));
        let seen = |running: &Running, who| {
            let passed =
                |l: &&_| stagegate_tests::console::Line::is(l, who, "PASS psci-cpu-on-off");
            running.console.seen().iter().filter(passed).count()
        };
        while seen(&running, "one").min(seen(&running, "two")) < ROUNDS {
            ok(running.console.expect("PASS psci-cpu-on-off", LIMIT));
        }
        ok(running.quit());
    }
}

/// Reports, resets, stop and start by the operator while both guests talk.
#[test]
fn monitor_while_guests_print() {
    let mut setup = ok(Setup::new(Machine::virt(4, 1024)));
    let kernel = ok(setup.module(&ok(cases::image())));
    let noisy = "psci-cpu-on-off,psci-system-reset";
    setup.vms(&[
        spec(&kernel, "calm", 2, "bad-sleep-forever"),
        spec(&kernel, "noisy", 2, noisy),
    ]);
    let mut running = ok(setup.start(&dir("operator-monitor")));
    ok(running.console.expect_from("calm", "ABOUT", LIMIT));
    for _ in 0..2 {
        key(&mut running, "vpkh");
        ok(running.console.expect("hypervisor's memory:", LIMIT));
        // The number is typed in the monitor, Ctrl-a 0.
        key(&mut running, "0");
        ok(running.console.send(b"ft1"));
        ok(running.console.expect("no DMA faults", LIMIT));
        ok(running
            .console
            .expect_all(&["calm: stage 2 at", "40 bits in"], LIMIT));
        ok(running
            .console
            .expect_all(&["0x000040000000-", "KiB"], LIMIT));
        ok(running.console.send(b"r1"));
        ok(running.console.expect_from("calm", "ABOUT", LIMIT));
        ok(running.console.send(b"s1"));
        ok(running
            .console
            .expect_from("stagegate", "calm: powered off", LIMIT));
        // The line comes when it may be started again.
        ok(running.console.send(b"g1"));
        ok(running.console.expect_from("calm", "ABOUT", LIMIT));
    }
    let end = ok(running.quit()).lines;
    let starts = end.iter().filter(|l| l.is("calm", "guest at EL1")).count();
    assert_eq!(starts, 5);
}

/// A stock kernel takes a CPU off and on a hundred times.
#[test]
fn a_hundred_cpu_hotplugs() {
    let mut setup = ok(Setup::new(Machine::virt(2, 1024)));
    let linux = ok(setup.linux(&ok(paths::kernel("6.12"))));
    let steps = vec!["hotplug"; 100].join(",");
    setup.vms(&[VmSpec {
        name: "linux",
        cpus: 2,
        memory_mib: 256,
        modules: linux.nodes(&bootargs("linux", 2, 256, &steps)),
        more: String::new(),
    }]);
    let running = ok(setup.start(&dir("operator-hotplug")));
    let finished = ok(running.finish(LIMIT));
    let back = |l: &&_| stagegate_tests::console::Line::is(l, "linux", "@sg ok CPU 1 went off");
    assert_eq!(finished.lines.iter().filter(back).count(), 100);
    assert!(finished.status.success());
}

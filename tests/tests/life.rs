//! How VMs and the machine end and begin again.

mod common;

use common::{LIMIT, board, dir, ok};
use stagegate_tests::cases::{self, spec};
use stagegate_tests::console::Line;
use stagegate_tests::machine::{Board, Machine};
use stagegate_tests::scmi_firmware;
use stagegate_tests::setup::Setup;
use std::path::Path;

/// SYSTEM_OFF of the only VM ends the machine.
#[test]
fn system_off_ends_the_machine() {
    let dir = dir("life-off");
    let running = ok(cases::start_hosted(
        Machine::virt(4, 1024),
        "psci-system-off",
        &dir,
    ));
    let finished = ok(running.finish(LIMIT));
    assert!(finished.status.success());
}

/// CPU_OFF of the last CPU is the end of a VM as well, also of three at once.
#[test]
fn last_cpu_off_ends_the_vm() {
    for (case, rounds) in [("psci-all-cpus-off", 1), ("psci-cpus-off-at-once", 6)] {
        for _ in 0..rounds {
            let machine = Machine::virt(4, 1024);
            let running = ok(cases::start_hosted(machine, case, &dir("life-cpus-off")));
            let finished = ok(running.finish(LIMIT));
            assert!(finished.status.success());
            let failed = |l: &&Line| l.text.contains("FAIL");
            let failed = finished.lines.iter().find(failed);
            assert!(failed.is_none(), "{failed:?}");
        }
    }
}

/// SYSTEM_RESET boots the same VM again, as often as it likes, beside a
/// neighbour that notices nothing.
#[test]
fn reset_boots_again() {
    for version in [Board::VirtGicV3, Board::VirtGicV2] {
        let mut setup = ok(Setup::new(board(version, 4, 1024)));
        let kernel = ok(setup.module(&ok(cases::image())));
        setup.vms(&[
            spec(&kernel, "again", 2, "psci-cpu-on-off,psci-system-reset"),
            spec(&kernel, "calm", 2, "timer"),
        ]);
        let mut running = ok(setup.start(&dir(&format!("life-reset-{version:?}"))));
        for _ in 0..5 {
            ok(running.console.expect_from("again", "guest at EL1", LIMIT));
            ok(running
                .console
                .expect_from("again", "PASS psci-cpu-on-off", LIMIT));
        }
        ok(running.console.expect_once_from("calm", "DONE", LIMIT));
        let starts = running
            .console
            .seen()
            .iter()
            .filter(|l| l.is("calm", "guest at EL1"));
        assert_eq!(starts.count(), 1);
        ok(running.quit());
    }
}

/// Timers that ring when their VM ends, with nobody to serve them, must not
/// keep its CPU from coming to the end.
#[test]
fn reset_while_timers_ring() {
    for version in [Board::VirtGicV3, Board::VirtGicV2] {
        let mut setup = ok(Setup::new(board(version, 2, 1024)));
        let kernel = ok(setup.module(&ok(cases::image())));
        setup.vms(&[spec(&kernel, "ringing", 2, "psci-reset-timers-ringing")]);
        let mut running = ok(setup.start(&dir(&format!("life-timers-{version:?}"))));
        for _ in 0..5 {
            ok(running
                .console
                .expect_from("ringing", "guest at EL1", LIMIT));
            ok(running
                .console
                .expect_from("stagegate", "ringing: reset", LIMIT));
        }
        assert!(
            ok(running.quit())
                .lines
                .iter()
                .all(|l| !l.text.contains("FAIL"))
        );
    }
}

/// A VM powers off while its neighbour resets over and over: the end of one
/// must not get lost in the other's.
#[test]
fn power_off_beside_resets() {
    for round in 0..8 {
        let mut setup = ok(Setup::new(Machine::virt(4, 1024)));
        let kernel = ok(setup.module(&ok(cases::image())));
        setup.vms(&[
            spec(&kernel, "again", 2, "psci-system-reset"),
            spec(&kernel, "once", 2, "psci-cpu-on-off,psci-system-off"),
        ]);
        let mut running = ok(setup.start(&dir(&format!("life-beside-{round}"))));
        ok(running
            .console
            .expect_from("stagegate", "once: powered off", LIMIT));
        for _ in 0..3 {
            ok(running.console.expect_from("again", "guest at EL1", LIMIT));
        }
        ok(running.quit());
    }
}

/// Messages that are being handled, or are pending, when a VM resets itself do
/// not come in its next life, and those of that life do.
#[test]
fn messages_of_an_earlier_life_are_gone() {
    for version in [Board::VirtGicV3, Board::VirtGicV2] {
        let machine = board(version, 4, 1024);
        let dir = dir(&format!("life-messages-{version:?}"));
        let mut running = ok(cases::start_with_device(
            machine,
            1,
            "msg-fresh,msg-reset",
            &dir,
        ));
        for _ in 0..4 {
            ok(running.console.expect("PASS msg-fresh", LIMIT));
        }
        let failed = running
            .console
            .seen()
            .iter()
            .find(|l| l.text.contains("FAIL"));
        assert!(failed.is_none(), "{failed:?}");
        ok(running.quit());
    }
}

/// How many words of the machine's memory are what the case writes.
fn secrets(ram: &Path) -> usize {
    const SECRET: u64 = !0x8a13_d51a_7c39_1b84;
    let memory = std::fs::read(ram).unwrap_or_else(|e| panic!("{}: {e}", ram.display()));
    let words = memory.chunks_exact(8);
    words.filter(|word| **word == SECRET.to_le_bytes()).count()
}

/// What a VM wrote is gone when it has ended: its next life finds zeros, and so
/// does whoever looks at the board's memory.
#[test]
fn memory_is_scrubbed() {
    const MEMORY_MIB: u32 = 512;
    let dir = dir("life-memory");
    let ram = dir.join("ram");
    let mut setup = ok(Setup::new(Machine::virt(2, MEMORY_MIB)));
    let file = scmi_firmware::ram(&ram, MEMORY_MIB);
    setup.machine.extra.extend(file);
    let kernel = ok(setup.module(&ok(cases::image())));
    setup.vms(&[
        spec(&kernel, "writer", 1, "memory-secret"),
        spec(&kernel, "calm", 1, "bad-sleep-forever"),
    ]);
    let mut running = ok(setup.start(&dir));
    let written = ["writer", "MARK secret in 5120 pages"];
    ok(running.console.expect_all(&written, LIMIT));
    assert_eq!(secrets(&ram), 5120);
    ok(running.console.send(b"\x010r1"));
    ok(running
        .console
        .expect_from("stagegate", "writer: reset", LIMIT));
    ok(running.console.expect_all(&written, LIMIT));
    ok(running.console.send(b"s1"));
    ok(running
        .console
        .expect_from("stagegate", "writer: powered off", LIMIT));
    assert_eq!(secrets(&ram), 0);
    let ended = running.quit();
    let _ = std::fs::remove_file(&ram);
    ok(ended);
}

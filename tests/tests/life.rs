//! How VMs and the machine end and begin again.

mod common;

use common::{LIMIT, board, dir, ok};
use stagegate_tests::cases::{self, spec};
use stagegate_tests::console::Line;
use stagegate_tests::machine::{Board, Machine};
use stagegate_tests::setup::Setup;

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
        if !running.console.seen().iter().any(|l| l.is("calm", "DONE")) {
            ok(running.console.expect_from("calm", "DONE", LIMIT));
        }
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

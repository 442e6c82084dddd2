use super::*;
use std::time::{Duration, UNIX_EPOCH};

/// The machine's counter began at 1 s; the SMMU slept from 3 s to 5 s and from
/// 8 s on; the disk was active from 2 s to 2.9 s and from 5 s to 7.9 s.
const BOOKS: [&str; 8] = [
    "@sg smmu smmuv3 on=3900000 gated=4000000 wakes=1 gates=2",
    "@sg master nvme vm=disk active=3800000",
    "@sg mark 900000 smmu:smmuv3 on",
    "@sg mark 1999000 master:nvme gated",
    "@sg mark 2000000 smmu:smmuv3 gated",
    "@sg mark 4000000 smmu:smmuv3 resuming",
    "@sg mark 4000200 smmu:smmuv3 on",
    "@sg mark 7000100 smmu:smmuv3 gated",
];
const GATES: [(u64, bool); 4] = [
    (1_000_000, true),
    (3_000_000, false),
    (5_000_000, true),
    (8_000_000, false),
];

fn wrong(books: &[String], gates: &[(u64, bool)]) -> Vec<String> {
    let line = |text: &String| Line {
        at: UNIX_EPOCH + Duration::from_secs(10),
        text: format!("[stagegate] {text}"),
    };
    let lines: Vec<Line> = books.iter().map(line).collect();
    let gates: Vec<Gate> = gates
        .iter()
        .map(|&(at_us, open)| Gate {
            index: 0,
            at_us,
            open,
        })
        .collect();
    let change = |(at_us, active)| Change {
        index: 0,
        at_us,
        active,
    };
    let disk = [
        (2_000_000, true),
        (2_900_000, false),
        (5_000_000, true),
        (7_900_000, false),
    ];
    let found = compare(&lines, &gates, &[("nvme", disk.map(change).to_vec())]);
    let bad = found.into_iter().filter(|a| !a.ok);
    bad.map(|a| a.what).collect()
}

fn told(from: &str, to: &str) -> Vec<String> {
    BOOKS.map(|line| line.replace(from, to)).to_vec()
}

#[test]
fn books_that_agree() {
    assert_eq!(wrong(&told("", ""), &GATES), [""; 0]);
}

#[test]
fn a_gating_or_a_wake_too_many_is_seen() {
    let what = "the hypervisor's accounting agrees with QEMU";
    assert_eq!(wrong(&told("gates=2", "gates=3"), &GATES), [what]);
    assert_eq!(wrong(&told("wakes=1", "wakes=2"), &GATES), [what]);
}

#[test]
fn a_time_that_differs_is_seen() {
    let stood = "the time that the clock stood is QEMU's";
    assert_eq!(wrong(&told("gated=40", "gated=20"), &GATES), [stood]);
    let active = "the time that nvme was active is QEMU's";
    assert_eq!(wrong(&told("active=38", "active=9"), &GATES), [active]);
    assert_eq!(wrong(&told("master nvme", "master igb"), &GATES), [active]);
}

#[test]
fn a_record_that_differs_is_seen() {
    let record = "the record of gatings and wakes is QEMU's";
    assert_eq!(
        wrong(&told("mark 4000000", "mark 3000000"), &GATES),
        [record]
    );
    let missing = told("smmu:smmuv3 resuming", "smmu:smmuv3 denied");
    assert_eq!(wrong(&missing, &GATES), [record]);
    // An older movement that the record has dropped is nobody's fault.
    let short = told("mark 2000000 smmu", "mark 2000000 dropped");
    assert_eq!(wrong(&short, &GATES), [""; 0]);
}

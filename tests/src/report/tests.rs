use super::*;
use crate::closeups::Closeup;
use crate::timeline::Lane;

fn sample(checks: &Checks) -> Report<'_> {
    let changes = [
        (0, "booting".to_string()),
        (2_000_000, "running".to_string()),
    ];
    let vm = Lane::from_changes("disk", "vm", &changes, 5_000_000);
    let changes = [(0, "on".to_string()), (3_000_000, "gated".to_string())];
    let smmu = Lane::from_changes("smmu", "smmu", &changes, 5_000_000);
    Report {
        title: "two VMs".into(),
        vms: vec![VmSummary {
            name: "disk".into(),
            kernel: "6.12".into(),
            boots: 1,
            exit: "poweroff".into(),
        }],
        smmus: vec![SmmuSummary {
            lane: smmu.clone(),
            counters: vec![("wakes".into(), 2)],
        }],
        masters: Vec::new(),
        checks,
        timeline: Timeline {
            end_us: 5_000_000,
            lanes: vec![vm, smmu],
            marks: Vec::new(),
            sleeps: vec![Closeup {
                title: "3.0 s: after <nvme>".into(),
                from_us: 2_979_000,
                to_us: 3_000_000,
                limit: Some((2_999_000, "20 ms".into())),
            }],
            wakes: Vec::new(),
        },
        console: vec!["<b>".into()],
    }
}

#[test]
fn json_has_the_documented_fields() {
    let mut checks = Checks::default();
    checks.note("A3", "boots", true, "seen");
    let json = sample(&checks).json();
    assert_eq!(json["scenario"], "pass");
    assert_eq!(json["vms"][0]["booted"], true);
    assert_eq!(json["smmus"][0]["gated_us"], 2_000_000);
    assert_eq!(json["smmus"][0]["wakes"], 2);
    assert_eq!(json["checks"][0]["id"], "A3");
}

#[test]
fn the_page_stands_alone_and_escapes() {
    let checks = Checks::default();
    let page = html::page(&sample(&checks));
    assert!(page.contains("<svg") && page.contains("class=\"s smmu gated\""));
    assert!(page.contains("&lt;b&gt;"));
    assert!(!page.contains("http"), "no outside reference");
    assert!(page.contains("badge fail"), "nothing checked is no pass");
}

#[test]
fn the_page_shows_each_deferral_large() {
    let checks = Checks::default();
    let page = html::page(&sample(&checks));
    assert!(page.contains("3.0 s: after &lt;nvme&gt;"));
    assert!(page.contains(">21.0 ms<"), "how long it lasted");
    assert!(page.contains("the delay of 20 ms is over"));
    assert!(!page.contains("Waking"), "nothing woke");
}

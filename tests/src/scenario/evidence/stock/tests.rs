use super::*;
use crate::director::Mark;
use crate::trace::parse;

/// A guest with the disk suspends while the network card sleeps, the card comes
/// back, then the guest crashes.
const STORY: &str = "1@1.000000:pl061_set_output pl061 setting output 5 to 1
1@1.100000:pci_cfg_write nvme 00:01.0 @0x4 <- 0x6
1@1.200000:pci_cfg_write igb 00:02.0 @0x4 <- 0x6
1@2.000000:pci_pm_transition igb 00:02.0 PM transition D0->D3
1@3.100000:pci_pm_transition nvme 00:01.0 PM transition D0->D3
1@3.200000:pl061_set_output pl061 setting output 5 to 0
1@3.300000:pl061_set_output pl061 setting output 5 to 1
1@3.400000:pci_pm_transition nvme 00:01.0 PM transition D3->D0
1@5.100000:pci_pm_transition igb 00:02.0 PM transition D3->D0
1@5.900000:pci_cfg_write igb 00:02.0 @0x4 <- 0x2
1@6.100000:pci_cfg_write nvme 00:01.0 @0x4 <- 0x2
1@6.200000:pl061_set_output pl061 setting output 5 to 0
";

fn failed(story: &str) -> Vec<String> {
    let marks = [
        (3_000_000, "suspend"),
        (3_500_000, "resumed"),
        (5_000_000, "plug igb"),
        (5_200_000, "woken igb"),
        (6_000_000, "panic"),
        (7_000_000, "reset disk"),
    ];
    let marks = marks.map(|(at_us, what)| Mark {
        at_us,
        who: "disk".into(),
        what: what.into(),
    });
    let seen = Seen {
        trace: &parse(story),
        marks: &marks,
    };
    let mut checks = Checks::default();
    check(&seen, &mut checks);
    let bad = checks.all().iter().filter(|c| !c.ok);
    // What this story does not tell.
    let untold = |what: &str| what.contains("unbound") || what.contains("powered off");
    bad.map(|c| c.what.clone()).filter(|w| !untold(w)).collect()
}

fn without(line: &str) -> Vec<String> {
    let kept = STORY.lines().filter(|l| !l.contains(line));
    failed(&kept.map(|l| format!("{l}\n")).collect::<String>())
}

#[test]
fn a_good_story_passes() {
    assert_eq!(failed(STORY), [""; 0]);
}

#[test]
fn a_card_that_stays_awake_is_seen() {
    let igb = "the SMMU sleeps when runtime power management put igb to sleep";
    assert!(without("2.000000").contains(&igb.to_string()));
}

#[test]
fn a_disk_that_stays_awake_is_seen() {
    let nvme = "the SMMU sleeps when its guest has suspended to idle";
    assert_eq!(without("3.100000"), [nvme]);
}

#[test]
fn a_clock_that_stops_before_the_disk_is_in_d3hot_is_right() {
    let sleep = "1@3.100000:pci_pm_transition nvme 00:01.0 PM transition D0->D3\n";
    let idle = "1@3.100000:pci_cfg_write nvme 00:01.0 @0x4 <- 0x2\n";
    let wake = "1@3.300000:pl061";
    let late = sleep.replace("3.100000", "3.250000") + wake;
    let back = "PM transition D3->D0\n1@5.1";
    let on = "PM transition D3->D0\n1@3.450000:pci_cfg_write nvme 00:01.0 @0x4 <- 0x6\n1@5.1";
    let story = STORY.replace(sleep, idle).replace(wake, &late);
    let story = story.replace(back, on);
    assert_eq!(failed(&story), [""; 0]);
    // It leaves D3hot before it may master the bus, and so before the clock.
    let early = story.replace("3.400000:pci_pm", "3.290000:pci_pm");
    assert_eq!(failed(&early), [""; 0]);
}

#[test]
fn an_smmu_that_stays_awake_is_seen() {
    assert_eq!(without("3.200000").len(), 2);
}

#[test]
fn a_card_that_does_not_come_back_is_seen() {
    assert_eq!(
        without("5.100000"),
        ["igb: wakes when its cable is plugged"]
    );
}

#[test]
fn a_crash_that_leaves_the_device_at_work_is_seen() {
    let crash = "a crashed VM's devices are idle, whatever it last said";
    assert_eq!(without("6.100000"), [crash]);
    assert_eq!(without("6.200000"), [crash]);
}

#[test]
fn a_clock_that_stops_only_when_the_memory_is_scrubbed_is_seen() {
    let crash = "a crashed VM's devices are idle, whatever it last said";
    let late = STORY.replace("6.200000", "7.100000");
    assert_eq!(failed(&late), [crash]);
}

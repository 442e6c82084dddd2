use super::lanes::smmu_lane;
use super::power::{check, elided, marked};
use super::*;
use crate::checks::Checks;
use crate::trace::parse;

/// Both kinds of mistake must be seen: a gate that closes too early, and an
/// access while it is closed.
fn trace(idle_at: u32, access_while_gated: bool) -> Vec<Event> {
    let access = if access_while_gated {
        "1@2.400000:smmuv3_read_mmio addr: 0x60 val:0x0 size: 0x4 (0)\n"
    } else {
        ""
    };
    parse(&format!(
        "1@1.000000:pl061_set_output pl061 setting output 5 to 1\n\
         1@1.100000:smmuv3_write_mmio addr: 0x44 val:0x80100000 size: 0x4 (0)\n\
         1@1.200000:smmuv3_write_mmio addr: 0x20 val:0xd size: 0x4 (0)\n\
         1@1.300000:pci_cfg_write nvme 00:01.0 @0x4 <- 0x6\n\
         1@2.{idle_at:06}:pci_cfg_write nvme 00:01.0 @0x4 <- 0x2\n\
         1@2.200000:smmuv3_write_mmio addr: 0x44 val:0x80100000 size: 0x4 (0)\n\
         1@2.200001:smmuv3_write_mmio addr: 0x20 val:0xc size: 0x4 (0)\n\
         1@2.200002:smmuv3_cmdq_opcode <--- SMMU_CMD_CFGI_STE_RANGE\n\
         1@2.200003:smmuv3_cmdq_opcode <--- SMMU_CMD_TLBI_NSNH_ALL\n\
         1@2.200004:smmuv3_cmdq_opcode <--- SMMU_CMD_SYNC\n\
         1@2.200005:smmuv3_write_mmio addr: 0x20 val:0x0 size: 0x4 (0)\n\
         1@2.200006:smmuv3_read_mmio addr: 0x24 val:0x0 size: 0x4 (0)\n\
         1@2.300000:pl061_set_output pl061 setting output 5 to 0\n\
         {access}\
         1@3.000000:pl061_set_output pl061 setting output 5 to 1\n\
         1@3.000100:smmuv3_cmdq_opcode <--- SMMU_CMD_TLBI_NSNH_ALL\n\
         1@3.000200:smmuv3_write_mmio addr: 0x20 val:0xd size: 0x4 (0)\n\
         1@3.000300:pci_cfg_write nvme 00:01.0 @0x4 <- 0x6\n"
    ))
}

fn failed(trace: &[Event]) -> Vec<String> {
    let mut checks = Checks::default();
    check(&Seen { trace, marks: &[] }, 20_000, &mut checks);
    let bad = checks.all().iter().filter(|c| !c.ok);
    bad.map(|c| c.what.clone()).collect()
}

#[test]
fn a_good_run_passes() {
    assert_eq!(failed(&trace(100_000, false)), [""; 0]);
}

#[test]
fn gating_too_early_is_seen() {
    assert_eq!(
        failed(&trace(290_000, false)),
        ["gated after the delay and not before"]
    );
}

#[test]
fn an_access_while_gated_is_seen() {
    assert_eq!(
        failed(&trace(100_000, true)),
        ["nobody touches the SMMU while it is gated"]
    );
}

#[test]
fn a_master_that_wakes_too_early_is_seen() {
    let mut events = trace(100_000, false);
    let last = events.pop().unwrap();
    let at = events.len() - 2;
    events.insert(at, last);
    assert_eq!(
        failed(&events),
        ["supplier first: the master wakes after the SMMU is on"]
    );
}

#[test]
fn lanes_show_the_deferral() {
    let lane = smmu_lane(&trace(100_000, false), 0, 4_000_000);
    let states: Vec<_> = lane.spans.iter().map(|s| s.state.as_str()).collect();
    assert_eq!(
        states,
        [
            "deny", "idle", "on", "idle", "deny", "gated", "deny", "idle", "on"
        ]
    );
    assert_eq!(lane.total_us("gated"), 700_000);
}

#[test]
fn attacked_addresses_are_read_from_marks() {
    assert_eq!(target("attack 0x80000000"), Some(0x8000_0000));
    assert_eq!(target("attack-read 0x10"), Some(0x10));
    assert_eq!(target("idle nvme"), None);
}

#[test]
fn each_step_of_the_suspend_is_missed() {
    for step in ["0x80100000", "CFGI", "TLBI", "SYNC", "val:0x0 size", "0x24"] {
        let mut events = trace(100_000, false);
        let last = |e: &Event| (2..3).contains(&(e.at_us / 1_000_000)) && e.text.contains(step);
        let at = events.iter().position(last).unwrap();
        events.remove(at);
        let what = "terminated, invalidated and disabled before its clock stops";
        assert_eq!(failed(&events), [what], "without {step}");
    }
}

fn mark(at_us: u64, what: &str) -> Mark {
    Mark {
        at_us,
        who: "disk".into(),
        what: what.into(),
    }
}

#[test]
fn a_wake_by_unmap_is_seen() {
    for (at, good) in [(2_500_000, true), (3_500_000, false)] {
        let trace = trace(100_000, false);
        let seen = Seen {
            trace: &trace,
            marks: &[mark(at, "unmapped and mapped 20 times")],
        };
        let mut checks = Checks::default();
        elided(&seen, &gates(&trace), &mut checks);
        assert_eq!(checks.passed(), good);
    }
}

#[test]
fn what_no_mark_bounds_passes_no_check() {
    let trace = trace(100_000, false);
    let seen = Seen {
        trace: &trace,
        marks: &[],
    };
    let mut checks = Checks::default();
    marked(&seen, 20_000, &mut checks);
    stock::check(&seen, &mut checks);
    assert!(checks.all().iter().all(|c| !c.ok), "{:?}", checks.all());
}

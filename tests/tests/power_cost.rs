//! Nothing to switch, nothing to pay (P8): the same guest on the same machine,
//! with a clock before its SMMU and without, in instructions.

mod common;

use common::ok;
use stagegate_tests::bench::power::count;

/// EL2's timer among those that QEMU traces.
const EL2_TIMER: u64 = 2;
/// What a change may take more than a request without one.
const FEW: u64 = 40;

#[test]
fn nothing_to_switch_costs_nothing() {
    let (switched, fixed) = (ok(count(true)), ok(count(false)));
    let of = |name: &str| {
        let [a, b] = [&switched, &fixed].map(|counted| counted.figures.get(name).copied());
        a.zip(b).unwrap_or_else(|| panic!("{name} was not counted"))
    };
    println!("with a switch {:?}", switched.figures);
    println!("with none {:?}", fixed.figures);
    let (dear, cheap) = of("unmap4k_on_insns");
    assert!(cheap < dear, "unmap: {cheap}, with a switch {dear}");
    // A change of activity looks at no SMMU: it costs what the same request costs
    // that changes nothing.
    let (_, again) = of("power_again_insns");
    for name in [
        "power_on_other_active_insns",
        "power_off_other_active_insns",
        "power_on_idle_insns",
        "power_off_last_insns",
    ] {
        let (dear, cheap) = of(name);
        assert!(cheap < dear, "{name}: {cheap}, with a switch {dear}");
        assert!(cheap <= again + FEW, "{name}: {cheap}, again {again}");
    }
    // EL2 takes the CPU away to gate, and for nothing else.
    let (dear, cheap) = of("gate_by_timer_insns");
    assert!(
        cheap < 20 && dear > 500,
        "gate: {cheap}, with a switch {dear}"
    );
    let alarms = [switched, fixed].map(|counted| {
        let set = counted.finished.trace.iter();
        set.filter(|e| e.name == "arm_gt_recalc" && e.number("timer") == Some(EL2_TIMER))
            .count()
    });
    assert!(alarms[0] > 0 && alarms[1] == 0, "alarms set: {alarms:?}");
}

//! What the SMMU is told before its clock, or a TBU's, stops, and what becomes
//! of DMA while it stands: by QEMU's trace, with the bare-metal guest.

mod common;

use common::{LIMIT, dir, ok};
use stagegate_tests::cases::{self, spec};
use stagegate_tests::devicetree::Template;
use stagegate_tests::gates::{self, Gate};
use stagegate_tests::machine::{Finished, Machine};
use stagegate_tests::setup::{Setup, VmSpec};
use stagegate_tests::timeline::epoch_us;
use stagegate_tests::trace::Event;
use std::collections::BTreeSet;

/// Lines of the PL061 that gate the clocks of the SMMU and of two TBUs.
const SMMU: u64 = 5;
const LEFT: u64 = 6;
const RIGHT: u64 = 7;
/// Stream of the function in slot 6.
const STREAM: u64 = 0x30;
/// The pages that the case's device reads, and writes, while it is called idle.
const WRITTEN_AND_READ: [u64; 2] = [0x10_0000, 0x10_1000];

fn machine(slots: &[u32]) -> Machine {
    let machine = Machine::virt(2, 768)
        .trace(["pl061_set_output", "smmuv3_read_mmio", "smmuv3_write_mmio"])
        .trace(["smmuv3_translate_*", "smmuv3_cmdq_*", "smmuv3_record_event"]);
    cases::with_edu(machine, slots)
}

/// Runs a case on a machine with these overlays and VMs beside it.
fn run(case: &str, slots: &[u32], overlays: &[&str], neighbour: Option<&str>) -> Finished {
    let mut setup = ok(Setup::new(machine(slots)));
    let kernel = ok(setup.module(&ok(cases::image())));
    for overlay in overlays {
        setup.overlay(ok(Template::named(overlay)));
    }
    let mut vms: Vec<VmSpec<'_>> = vec![cases::with_devices(&kernel, case, slots)];
    vms.extend(neighbour.map(|case| spec(&kernel, "other", 1, case)));
    setup.vms(&vms);
    let mut running = ok(setup.start(&dir(case)));
    let passed = format!("PASS {case}");
    let said = running.console.expect_from(cases::NAME, &passed, LIMIT);
    assert!(said.is_ok(), "{said:?}\n{}", running.console.tail(40));
    match neighbour {
        Some(_) => {
            // It lives and dies for ever, but so far may hardly have begun.
            for _ in 0..2 {
                ok(running.console.expect_from("other", "guest at EL1", LIMIT));
            }
            ok(running.quit())
        }
        None => ok(running.finish(LIMIT)),
    }
}

fn of_stream<'t>(events: &'t [Event], name: &str, stream: u64) -> Vec<&'t Event> {
    let own = events.iter().filter(|e| e.name == name);
    own.filter(|e| e.number("sid") == Some(stream)).collect()
}

/// The span in which the gate was low and DMA was tried.
fn low_with_dma<'t>(trace: &'t [Event], gates: &[Gate]) -> (Gate, &'t [Event]) {
    let closed = gates.iter().filter(|g| !g.open);
    let mut spans = closed.map(|g| (*g, gates::while_low(trace, gates, g)));
    let found = spans.find(|(_, low)| !of_stream(low, "smmuv3_translate_abort", STREAM).is_empty());
    found.unwrap_or_else(|| panic!("no DMA was terminated while low: {gates:?}"))
}

/// A device that its guest calls idle does DMA all the same, while guests map,
/// unmap, take faults and reset: all of it is terminated, nothing passes, and
/// nobody touches the SMMU.
#[test]
fn dma_while_gated_is_terminated() {
    let finished = run(
        "power-gated",
        &[6],
        &["clock-gate"],
        Some("psci-system-reset"),
    );
    let gates = gates::movements(&finished.trace, SMMU);
    let (closed, low) = low_with_dma(&finished.trace, &gates);
    let aborted = of_stream(low, "smmuv3_translate_abort", STREAM);
    let pages = aborted.iter().filter_map(|e| e.number("iova"));
    let pages: BTreeSet<u64> = pages.map(|iova| iova & !0xfff).collect();
    assert_eq!(pages, WRITTEN_AND_READ.into(), "{aborted:?}");
    let aborted = aborted.len();
    for name in ["success", "disable", "bypass"] {
        let name = format!("smmuv3_translate_{name}");
        assert_eq!(low.iter().find(|e| e.name == name), None);
    }
    let touched = low.iter().filter(|e| gates::touches_smmu(e)).count();
    assert_eq!(touched, 0);
    // The neighbour lived and died meanwhile, and faults were taken.
    let begun = |who: &str| {
        finished
            .lines
            .iter()
            .filter(|l| l.is(who, "guest at EL1"))
            .count()
    };
    assert!(begun("other") > 1, "the neighbour did not reset");
    let low_us = low.last().map_or(0, |e| e.at_us) - closed.at_us;
    println!("low for {low_us} us: {aborted} transactions terminated, {touched} register accesses");
}

/// A VM's end takes long, for all its memory is zeroed. The SMMU whose last
/// master it had sleeps after its delay all the same, long before that is done.
#[test]
fn a_vm_that_ends_keeps_nothing_awake() {
    let case = "dma-device";
    let mut setup = ok(Setup::new(machine(&[6])));
    let kernel = ok(setup.module(&ok(cases::image())));
    setup.overlay(ok(Template::named("clock-gate")));
    setup.vms(&[VmSpec {
        memory_mib: 512,
        ..cases::with_devices(&kernel, case, &[6])
    }]);
    let running = ok(setup.start(&dir("gating-end")));
    let finished = ok(running.finish(LIMIT));
    let said = |words: &str| {
        let line = finished.lines.iter().find(|l| l.text.contains(words));
        line.map_or_else(|| panic!("no {words:?}"), |line| epoch_us(line.at))
    };
    let (done, off) = (said("DONE passed 1"), said("powered off"));
    let gates = gates::movements(&finished.trace, SMMU);
    let at_done = gates.iter().rfind(|g| g.at_us < done);
    assert!(at_done.is_some_and(|g| g.open), "asleep before: {gates:?}");
    let asleep = gates.iter().find(|g| g.at_us > done && !g.open);
    let asleep = asleep.map(|g| g.at_us);
    assert!(
        asleep.is_some_and(|at| at - done < (off - done) / 2),
        "done at {done}, asleep at {asleep:?}, all zero at {off}"
    );
}

/// A function-level reset takes 100 ms, and the CPU that waits for it is the one
/// that has the alarm. The SMMU sleeps before the function is looked at again.
#[test]
fn a_function_that_is_reset_keeps_nothing_awake() {
    let machine = machine(&[]).trace(["pci_cfg_read", "pci_cfg_write"]);
    let machine = machine.args(["-device", "nvme,serial=reset,addr=06.0"]);
    let mut setup = ok(Setup::new(machine));
    let kernel = ok(setup.module(&ok(cases::image())));
    setup.overlay(ok(Template::named("clock-gate")));
    let vm = cases::with_devices(&kernel, "config-hold", &[6]);
    setup.vms(&[VmSpec {
        more: vm.more.replace("hypercall", "pci-pm"),
        ..vm
    }]);
    let mut running = ok(setup.start(&dir("gating-reset")));
    let active = running
        .console
        .expect_from(cases::NAME, "ABOUT config-hold", LIMIT);
    let active = epoch_us(ok(active).at);
    // The operator stops it.
    ok(running.console.send(b"\x010s1"));
    let finished = ok(running.finish(LIMIT));
    let trace = &finished.trace;
    let find = |from: usize, is: &dyn Fn(&Event) -> bool| {
        let found = trace[from..].iter().position(is);
        found.map(|index| from + index)
    };
    let started = find(0, &|e| {
        let reset = || e.number("<-").is_some_and(|value| value & 0x8000 != 0);
        e.at_us > active && e.name == "pci_cfg_write" && reset()
    });
    let started = started.expect("no function-level reset");
    let asleep = gates::movements(trace, SMMU);
    let asleep = asleep.iter().find(|g| g.index > started && !g.open);
    let looked = find(started, &|e| {
        e.name == "pci_cfg_read" && e.number("@") == Some(0)
    });
    assert!(
        asleep.is_some_and(|gate| looked.is_some_and(|at| gate.index < at)),
        "reset at {started}, asleep {asleep:?}, looked at {looked:?}"
    );
}

/// Invalidations among the commands.
fn commands<'t>(events: &'t [Event], what: &str) -> Vec<&'t str> {
    let commands = events.iter().filter(|e| e.name == "smmuv3_cmdq_opcode");
    let commands = commands.map(|e| e.text.as_str());
    commands.filter(|text| text.contains(what)).collect()
}

/// One TBU sleeps while the SMMU and the other TBU run. Before its clock stops
/// its streams' entries were changed and a sync completed; before it serves
/// again, its VMID was invalidated.
#[test]
fn a_tbu_sleeps_while_its_smmu_runs() {
    let finished = run("power-tbu", &[6, 7], &["clock-gate", "tbu-gates"], None);
    let trace = &finished.trace;
    let [whole, left, right] = [SMMU, LEFT, RIGHT].map(|line| gates::movements(trace, line));
    let (closed, low) = low_with_dma(trace, &left);
    for (who, gates) in [("the SMMU", &whole), ("the other TBU", &right)] {
        let before = gates.iter().rfind(|g| g.index < closed.index);
        assert!(before.is_some_and(|g| g.open), "{who} was off: {gates:?}");
        let span = closed.index..closed.index + low.len();
        let moved = gates.iter().find(|g| span.contains(&g.index));
        assert_eq!(moved, None, "{who} moved meanwhile");
    }
    assert!(of_stream(low, "smmuv3_translate_success", STREAM).is_empty());
    assert!(!of_stream(low, "smmuv3_translate_success", 0x38).is_empty());
    // What the SMMU heard since the last DMA that passed.
    let passed =
        |e: &Event| e.name == "smmuv3_translate_success" && e.number("sid") == Some(STREAM);
    let before = &trace[..closed.index];
    let since = before.iter().rposition(passed).expect("DMA before");
    let own = |e: &&Event| e.name == "smmuv3_cmdq_cfgi_ste" && e.number("streamid") == Some(STREAM);
    assert!(
        before[since..].iter().any(|e| own(&e)),
        "its entry was not invalidated"
    );
    assert!(!commands(&before[since..], "SYNC").is_empty());
    let after = &trace[closed.index + low.len()..];
    let served = after.iter().position(passed).expect("DMA after");
    let vmid = commands(&after[..served], "TLBI_S12_VMALL");
    assert!(!vmid.is_empty(), "{:?}", commands(&after[..served], ""));
    let told = |l: &&stagegate_tests::console::Line| l.is("stagegate", "@sg tbu left ");
    let line = finished.lines.iter().find(told).expect("the TBU's account");
    println!("{}", line.text);
}

//! Supplier first on the way up, last on the way down.

use super::vm::{EDU, NIC, NVME, Vm};
use crate::pci::fake::{FakeFn, Happened};
use crate::pci::regs;
use crate::pci::{Access, ConfigSpace, PciError, PowerDenied, ResetMethod, Rid, Width};
use Happened::{Active, Idle, Wait, Write};

fn active(vm: &Vm, rid: Rid) -> bool {
    vm.host
        .functions()
        .find(|f| f.virtual_rid == rid)
        .unwrap()
        .active
}

/// The log without mappings.
fn order(vm: &Vm) -> Vec<Happened> {
    let keep = |h: &Happened| !matches!(h, Happened::Map(_) | Happened::Unmap(_));
    vm.log().into_iter().filter(keep).collect()
}

#[test]
fn bus_mastering_wakes_first_and_sleeps_last() {
    let mut vm = Vm::new(&[EDU]);
    vm.w16(EDU, regs::COMMAND, 6);
    assert_eq!(order(&vm), [Active(EDU), Write(EDU, 4, 6)]);
    vm.w16(EDU, regs::COMMAND, 6);
    assert_eq!(order(&vm), [Write(EDU, 4, 6)], "active already");
    vm.w16(EDU, regs::COMMAND, 2);
    assert_eq!(order(&vm), [Write(EDU, 4, 2), Idle(EDU)]);
    vm.w16(EDU, regs::COMMAND, 0);
    assert_eq!(order(&vm), [Write(EDU, 4, 0)], "idle already");
}

#[test]
fn a_refused_wake_writes_nothing() {
    let mut vm = Vm::new(&[EDU]);
    vm.fx.no_power = true;
    assert_eq!(vm.try16(EDU, regs::COMMAND, 6), Err(PowerDenied));
    assert_eq!(vm.log(), []);
    assert_eq!(vm.r16(EDU, regs::COMMAND), 0);
    assert!(!active(&vm, EDU) && vm.fx.mapped.is_empty());
    vm.fx.no_power = false;
    vm.w16(EDU, regs::COMMAND, 6);
    assert!(active(&vm, EDU));
}

#[test]
fn a_dropped_plan_has_changed_nothing() {
    let mut vm = Vm::new(&[EDU]);
    let access = Access {
        rid: EDU,
        offset: regs::COMMAND,
        width: Width::Half,
    };
    let plan = vm.host.prepare(access, 6);
    assert_eq!(plan.wakes(), Some(EDU));
    drop(plan);
    assert_eq!((vm.r16(EDU, regs::COMMAND), vm.log()), (0, vec![]));
    let plan = vm.host.prepare(access, 2);
    assert_eq!(plan.wakes(), None);
}

#[test]
fn d3hot_proves_silence_before_it_is_entered() {
    for (rid, pmcsr) in [(NIC, 0xcc), (NVME, 0x64)] {
        let mut vm = Vm::new(&[rid]);
        vm.w16(rid, regs::COMMAND, 0x406);
        order(&vm);
        let maps = vm.fx.mapped.len();
        vm.w16(rid, pmcsr, 0xb);
        assert_eq!(
            order(&vm),
            [Write(rid, 4, 0x400), Write(rid, pmcsr, 3), Idle(rid)]
        );
        assert_eq!(vm.r16(rid, pmcsr) & 3, 3);
        assert_eq!(
            vm.r16(rid, regs::COMMAND),
            0x406,
            "the guest's own word stands"
        );
        assert_eq!(vm.fx.mapped, [], "no decoding outside D0");

        vm.w16(rid, pmcsr, 0);
        let log = order(&vm);
        assert_eq!(log[..3], [Active(rid), Write(rid, pmcsr, 0), Wait(10_000)]);
        assert_eq!(log.last(), Some(&Write(rid, 4, 0x406)));
        let place = vm.topology.get(rid).unwrap().bars[0]
            .unwrap()
            .place
            .unwrap();
        assert_eq!(vm.pci.read32(rid, 0x10) & !15, place.bus as u32, "restored");
        assert_eq!(vm.pci.read16(rid, 4), 0x406);
        assert_eq!(vm.fx.mapped.len(), maps);
    }
}

#[test]
fn d3hot_without_mastering_needs_no_supplier() {
    let mut vm = Vm::new(&[NIC]);
    vm.fx.no_power = true;
    vm.w16(NIC, regs::COMMAND, 2);
    vm.w16(NIC, 0xcc, 3);
    vm.w16(NIC, 0xcc, 0);
    assert!(!active(&vm, NIC));
    assert!(!order(&vm).iter().any(|h| matches!(h, Active(_) | Idle(_))));
}

#[test]
fn bus_mastering_set_in_d3hot_counts_from_d0_on() {
    let mut vm = Vm::new(&[NIC]);
    vm.w16(NIC, 0xcc, 3);
    vm.w16(NIC, regs::COMMAND, 6);
    assert!(!active(&vm, NIC));
    assert_eq!(vm.pci.read16(NIC, 4), 0, "hardware is not told before D0");
    order(&vm);
    vm.fx.no_power = true;
    assert_eq!(vm.try16(NIC, 0xcc, 0), Err(PowerDenied));
    assert_eq!(vm.r16(NIC, 0xcc) & 3, 3, "still asleep");
    assert_eq!(order(&vm), []);
    vm.fx.no_power = false;
    vm.w16(NIC, 0xcc, 0);
    assert_eq!(order(&vm)[0], Active(NIC));
    assert!(active(&vm, NIC));
}

#[test]
fn illegal_changes_of_state_are_ignored() {
    let mut vm = Vm::new(&[NIC]);
    // The fake supports D1 and D2; from D3hot only D0 is reached.
    for (write, state) in [(1, 1), (2, 2), (1, 2), (3, 3), (2, 3), (1, 3), (0, 0)] {
        vm.w16(NIC, 0xcc, write);
        assert_eq!(
            vm.host.functions().next().unwrap().d_state,
            state,
            "write {write}"
        );
    }
    let vm = Vm::new(&[NIC]);
    assert_eq!(vm.r16(NIC, 0xca), 0x0623, "no PME from any state");
}

#[test]
fn pme_bits_do_not_reach_hardware() {
    let mut vm = Vm::new(&[NIC]);
    vm.w16(NIC, 0xcc, 0x8103);
    assert!(order(&vm).contains(&Write(NIC, 0xcc, 3)));
    assert_eq!(vm.r16(NIC, 0xcc), 3);
}

#[test]
fn a_function_that_keeps_mastering_stays_active() {
    let mut vm = Vm::new(&[EDU]);
    vm.w16(EDU, regs::COMMAND, 6);
    let set = |vm: &Vm, stubborn| {
        let mut all = vm.pci.functions.borrow_mut();
        all.iter_mut()
            .for_each(|f: &mut FakeFn| f.stubborn = stubborn);
    };
    set(&vm, true);
    order(&vm);
    vm.w16(EDU, regs::COMMAND, 2);
    assert_eq!(order(&vm), [Write(EDU, 4, 2)]);
    assert!(active(&vm, EDU), "no proof, no release");
    let report = vm.host.reset(&vm.pci, &vm.topology, &mut vm.fx);
    assert_eq!(
        report.failed(),
        Some(PciError::Stuck {
            rid: EDU,
            offset: regs::COMMAND
        })
    );
    assert!(active(&vm, EDU));
    set(&vm, false);
    vm.w16(EDU, regs::COMMAND, 0);
    assert!(!active(&vm, EDU));
}

#[test]
fn a_stopped_vm_leaves_nothing_behind() {
    let mut vm = Vm::new(&[NIC, NVME, EDU]);
    for rid in [NIC, NVME, EDU] {
        vm.w32(rid, 0x10, 0x3000_0000 + (u32::from(rid.0) << 20));
        vm.w16(rid, regs::COMMAND, 6);
    }
    vm.w16(NVME, 0x64, 3);
    assert!(!vm.fx.mapped.is_empty());
    vm.log();
    let report = vm.host.reset(&vm.pci, &vm.topology, &mut vm.fx);
    let methods: Vec<_> = report.functions.iter().map(|(_, m)| m.unwrap()).collect();
    assert_eq!(
        methods,
        [
            ResetMethod::Function,
            ResetMethod::Function,
            ResetMethod::None
        ]
    );
    assert_eq!(vm.fx.mapped, []);
    let log = vm.log();
    let position = |what| log.iter().position(|h| *h == what).unwrap();
    for rid in [NIC, EDU] {
        let last_unmap = log
            .iter()
            .rposition(|h| matches!(h, Happened::Unmap(_)))
            .unwrap();
        assert!(last_unmap < position(Write(rid, 4, 0x400)));
        assert!(position(Write(rid, 4, 0x400)) < position(Idle(rid)));
    }
    assert!(
        position(Idle(EDU)) < position(Write(NIC, 0x88, 0x8000)),
        "idle before any reset"
    );
    assert!(!log.contains(&Idle(NVME)), "was idle in D3hot");
    for (rid, fresh) in [NIC, NVME, EDU].map(|rid| (rid, Vm::new(&[NIC, NVME, EDU]).r32(rid, 0x10)))
    {
        assert_eq!(vm.r16(rid, regs::COMMAND), 0);
        assert_eq!(vm.r32(rid, 0x10), fresh, "as at first");
        assert!(!active(&vm, rid));
        let place = vm.topology.get(rid).unwrap().bars[0]
            .unwrap()
            .place
            .unwrap();
        assert_eq!(vm.pci.read32(rid, 0x10) & !15, place.bus as u32);
        vm.pci.with(rid, |f| assert_eq!(f.state(), 0));
    }
    vm.w16(EDU, regs::COMMAND, 6);
    assert!(active(&vm, EDU), "the next life works");
}

#[test]
fn the_payload_size_of_the_path_survives_resets() {
    let pci = super::vm::machine();
    pci.write16(NIC, 0x88, 0x2820);
    let mut vm = super::vm::over(pci, &[NIC], super::vm::CONFIG).unwrap();
    vm.w16(NIC, 0xcc, 3);
    vm.w16(NIC, 0xcc, 0);
    assert_eq!(vm.pci.read16(NIC, 0x88), 0x20, "back from D3hot");
    vm.host.reset(&vm.pci, &vm.topology, &mut vm.fx);
    assert_eq!(
        vm.pci.read16(NIC, 0x88),
        0x20,
        "after a function-level reset"
    );
    vm.w16(NIC, 0x88, 0x50e0);
    assert_eq!(vm.pci.read16(NIC, 0x88), 0x5020, "not the guest's to set");
}

#[test]
fn functions_wait_for_their_resets_together() {
    let mut vm = Vm::new(&[NIC, NVME]);
    vm.host.reset(&vm.pci, &vm.topology, &mut vm.fx);
    let waits: u32 = vm
        .log()
        .iter()
        .map(|h| if let Wait(us) = h { *us } else { 0 })
        .sum();
    assert_eq!(waits, 100_000, "once for both");
}

#[test]
fn what_nobody_touched_is_not_reset_again() {
    let mut vm = Vm::new(&[NIC, EDU]);
    let first = vm.host.reset(&vm.pci, &vm.topology, &mut vm.fx);
    vm.log();
    let again = vm.host.reset(&vm.pci, &vm.topology, &mut vm.fx);
    assert_eq!((again.functions, vm.log()), (first.functions, vec![]));
    vm.w16(EDU, regs::COMMAND, 2);
    vm.host.reset(&vm.pci, &vm.topology, &mut vm.fx);
    assert_eq!((vm.pci.read16(EDU, 4), vm.fx.mapped.len()), (0x400, 0));
    assert!(vm.log().contains(&Write(NIC, 0x88, 0x8000)));
}

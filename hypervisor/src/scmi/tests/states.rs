//! The channel's status, and the order of supplier and device.

use super::super::wire::Status;
use super::{Vm, header};

const OFF: u32 = 0x4000_0000;

#[test]
fn a_page_starts_free_and_clean() {
    let vm = Vm::new();
    let words = vm.page.words.borrow();
    assert_eq!(words[1], 1);
    assert!(words.iter().enumerate().all(|(n, &w)| n == 1 || w == 0));
    assert_eq!(vm.page.writes.borrow().last(), Some(&4), "free comes last");
}

#[test]
fn a_doorbell_without_a_message_changes_nothing() {
    let mut vm = Vm::new();
    vm.page.send(header(0x11, 4), &[0, 0, 0]);
    vm.page.set(4, 1);
    vm.ring();
    assert!(vm.page.writes.borrow().is_empty());
    assert!(vm.switch.log.is_empty());
}

#[test]
fn the_channel_is_freed_after_the_reply_is_there() {
    let mut vm = Vm::new();
    vm.call(header(0x11, 5), &[0]);
    assert_eq!(vm.page.writes.borrow().as_slice(), [0x1c, 0x20, 0x14, 0x04]);
}

#[test]
fn the_message_is_read_once() {
    let mut vm = Vm::new();
    vm.page.send(header(0x11, 4), &[0, 1, 0]);
    // Another vCPU scribbles over each word right after it was read.
    vm.page.race.set(0xffff_0fff);
    vm.ring();
    vm.page.race.set(0);
    let reads = vm.page.reads.borrow();
    assert_eq!(reads[..10], [0, 1, 0, 0, 0, 1, 1, 1, 1, 1]);
    assert!(reads[10..].iter().all(|&n| n == 0));
    assert_eq!(vm.page.reply(), [0]);
    assert_eq!(vm.switch.log, [(1, true)]);
}

#[test]
fn malformed_messages_get_the_protocols_own_error() {
    let mut vm = Vm::new();
    for length in [0, 3, 5, 7, 4 + 129, 4 + 132, 0x1000, u32::MAX] {
        vm.page.send(header(0x11, 4), &[0, 0, 0]);
        vm.page.set(0x14, length);
        vm.ring();
        assert_eq!(vm.page.word(0x04), 3, "free, with the error bit: {length}");
        assert_eq!(vm.page.reply(), [-10i32 as u32]);
    }
    for kind in 1..4 {
        vm.page.send(header(0x11, 4) | (kind << 8), &[0, 0, 0]);
        vm.ring();
        assert_eq!(
            (vm.page.word(0x04), vm.page.reply()),
            (3, vec![-10i32 as u32])
        );
    }
    assert!(vm.switch.log.is_empty());
    // The next message works, and takes the error bit away.
    assert_eq!(vm.status(header(0x11, 4), &[0, 0, 0]), 0);
}

#[test]
fn a_wrong_number_of_arguments_is_a_protocol_error() {
    let mut vm = Vm::new();
    let right = [
        (0x10, vec![0, 0, 1, 0, 0, 0, 1, 1]),
        (0x11, vec![0, 0, 1, 1, 3, 1]),
        (0x14, vec![0, 0, 1, 1, 2, 4, 1, 2]),
    ];
    for (protocol, counts) in right {
        for (id, count) in (0..).zip(counts) {
            for wrong in (0..33).filter(|&n| n != count) {
                let args = vec![0; wrong];
                assert_eq!(
                    vm.status(header(protocol, id), &args),
                    -10,
                    "{protocol:x}/{id}: {wrong}"
                );
            }
        }
    }
    assert!(vm.switch.log.is_empty());
}

#[test]
fn a_supplier_that_does_not_come_up_leaves_the_domain_off() {
    let mut vm = Vm::new();
    vm.switch.fail = Some(Status::HardwareError);
    assert_eq!(vm.status(header(0x11, 4), &[0, 0, 0]), -9);
    assert_eq!(vm.call(header(0x11, 5), &[0]), [0, OFF]);
    assert_eq!(vm.status(header(0x14, 7), &[0, 1]), -9);
    assert_eq!(vm.call(header(0x14, 3), &[0])[1], 0);
    assert!(vm.switch.log.is_empty());
    vm.switch.fail = None;
    assert_eq!(vm.status(header(0x11, 4), &[0, 0, 0]), 0);
    assert_eq!(vm.switch.log, [(0, true)]);
}

#[test]
fn a_device_is_active_while_its_domain_or_its_clock_is_on() {
    let mut vm = Vm::new();
    let (pd, clk) = (header(0x11, 4), header(0x14, 7));
    // As a driver with both resumes and suspends.
    for (message, args) in [
        (pd, vec![0, 1, 0]),
        (clk, vec![1, 1]),
        (clk, vec![1, 0]),
        (pd, vec![0, 1, OFF]),
    ] {
        assert_eq!(vm.status(message, &args), 0);
    }
    assert_eq!(vm.switch.log, [(1, true), (1, false)]);
    // Repeats are heard once; a clock alone counts.
    vm.switch.log.clear();
    for on in [1, 1, 0, 0] {
        assert_eq!(vm.status(clk, &[2, on]), 0);
    }
    assert_eq!(vm.switch.log, [(2, true), (2, false)]);
}

#[test]
fn a_stopped_vm_starts_over_with_everything_off() {
    let mut vm = Vm::new();
    vm.status(header(0x11, 4), &[0, 0, 0]);
    vm.status(header(0x14, 7), &[2, 1]);
    vm.devices.reset();
    assert_eq!(vm.call(header(0x11, 5), &[0]), [0, OFF]);
    assert_eq!(vm.call(header(0x14, 3), &[2])[1], 0);
    vm.switch.log.clear();
    vm.status(header(0x11, 4), &[0, 0, 0]);
    assert_eq!(vm.switch.log, [(0, true)]);
}

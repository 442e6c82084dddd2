//! Messages of Linux 6.12, word by word (drivers/firmware/arm_scmi), and the
//! replies that it accepts.

use super::{Vm, header};

/// The 16 bytes of a name.
fn name(text: &str) -> Vec<u32> {
    let mut bytes = [0; 16];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    bytes
        .chunks(4)
        .map(|c| u32::from_le_bytes(c.try_into().unwrap()))
        .collect()
}

fn with_name(first: &[u32], text: &str) -> Vec<u32> {
    [first, &name(text)].concat()
}

#[test]
fn the_first_message_of_a_boot_byte_by_byte() {
    let mut vm = Vm::new();
    // PROTOCOL_VERSION of the base protocol, token 0.
    vm.page.send(0x0000_4000, &[]);
    vm.ring();
    let words = vm.page.words.borrow();
    let expected = [0, 1, 0, 0, 0, 12, 0x0000_4000, 0, 0x0002_0000];
    assert_eq!(words[..9], expected);
}

#[test]
fn base_protocol_discovery() {
    let mut vm = Vm::new();
    let h = |id| header(0x10, id);
    assert_eq!(vm.call(h(0), &[]), [0, 0x2_0000]);
    assert_eq!(vm.call(h(1), &[]), [0, 0x0102]);
    assert_eq!(vm.call(h(3), &[]), with_name(&[0], "Stagegate"));
    assert_eq!(vm.call(h(4), &[]), with_name(&[0], ""));
    assert_eq!(vm.call(h(5), &[]), [0, 1]);
    assert_eq!(vm.call(h(6), &[0]), [0, 2, 0x1411]);
    assert_eq!(vm.call(h(6), &[1]), [0, 1, 0x14]);
    assert_eq!(vm.call(h(6), &[2]), [0, 0, 0]);
    assert_eq!(vm.status(h(6), &[3]), -2);
    assert_eq!(vm.status(h(6), &[u32::MAX]), -2);
    assert_eq!(vm.call(h(7), &[0]), with_name(&[0, 0], "platform"));
    assert_eq!(vm.call(h(7), &[1]), with_name(&[0, 1], "vm"));
    assert_eq!(vm.call(h(7), &[u32::MAX]), with_name(&[0, 1], "vm"));
    assert_eq!(vm.status(h(7), &[2]), -4);
    assert_eq!(vm.status(h(8), &[1]), -1, "no notifications");
    assert_eq!(vm.status(h(0x10), &[0x2_0000]), -1, "nothing to negotiate");
}

#[test]
fn power_domains() {
    let mut vm = Vm::new();
    let h = |id| header(0x11, id);
    assert_eq!(vm.call(h(0), &[]), [0, 0x3_0000]);
    assert_eq!(vm.call(h(1), &[]), [0, 3, 0, 0, 0]);
    assert_eq!(vm.call(h(3), &[0]), with_name(&[0, 1 << 29], "uart"));
    // Sixteen characters: the last makes room for the zero.
    assert_eq!(
        vm.call(h(3), &[1]),
        with_name(&[0, 1 << 29], "i2c-controller-")
    );
    assert_eq!(vm.status(h(3), &[3]), -4);
    // scmi_pd_power: SET, then GET must read back the same.
    assert_eq!(vm.call(h(5), &[2]), [0, 0x4000_0000], "off at first");
    assert_eq!(vm.call(h(4), &[0, 2, 0]), [0]);
    assert_eq!(vm.call(h(5), &[2]), [0, 0]);
    assert_eq!(vm.call(h(4), &[0, 2, 0x4000_0000]), [0]);
    assert_eq!(vm.call(h(5), &[2]), [0, 0x4000_0000]);
    assert_eq!(vm.switch.log, [(2, true), (2, false)]);
    assert_eq!(vm.status(h(4), &[0, 3, 0]), -4);
    assert_eq!(
        vm.status(h(4), &[0, 0x1_0000, 0]),
        -4,
        "ids are 32 bits wide"
    );
    assert_eq!(vm.status(h(4), &[0, 2, 1]), -2);
    assert_eq!(vm.status(h(4), &[2, 2, 0]), -2);
    assert_eq!(vm.status(h(8), &[0]), -1);
}

#[test]
fn clocks() {
    let mut vm = Vm::new();
    let h = |id| header(0x14, id);
    assert_eq!(vm.call(h(0), &[]), [0, 0x1_0000]);
    assert_eq!(vm.call(h(1), &[]), [0, 3]);
    assert_eq!(vm.call(h(3), &[0]), with_name(&[0, 0], "uart"));
    assert_eq!(vm.call(h(4), &[0, 0]), [0, 1, 100_000_000, 0]);
    assert_eq!(vm.status(h(4), &[0, 1]), -5);
    assert_eq!(vm.call(h(6), &[0]), [0, 100_000_000, 0]);
    assert_eq!(vm.status(h(5), &[0, 0, 100_000_000, 0]), 0);
    assert_eq!(vm.status(h(5), &[0, 0, 99, 0]), -2);
    assert_eq!(
        vm.status(h(5), &[4, 0, 99, 0]),
        0,
        "rounded up to the only rate"
    );
    assert_eq!(vm.status(h(5), &[4, 0, 0, 1]), -2, "there is none above");
    assert_eq!(vm.status(h(5), &[0x10, 0, 100_000_000, 0]), -2);
    assert_eq!(vm.status(h(7), &[0, 1]), 0);
    assert_eq!(vm.call(h(3), &[0]), with_name(&[0, 1], "uart"));
    assert_eq!(vm.status(h(7), &[0, 2]), -2);
    assert_eq!(vm.status(h(7), &[9, 1]), -4);
    assert_eq!(vm.status(h(8), &[0]), -1);
}

#[test]
fn message_attributes_tell_what_is_there() {
    let mut vm = Vm::new();
    for (protocol, there, missing) in [(0x10, 7, 8), (0x11, 5, 6), (0x14, 7, 9), (0x14, 7, 0xa)] {
        let h = header(protocol, 2);
        assert_eq!(vm.call(h, &[there]), [0, 0]);
        assert_eq!(vm.status(h, &[missing]), -4);
        assert_eq!(
            vm.status(h, &[there | 0x100]),
            -4,
            "ids are not cut to a byte"
        );
    }
}

#[test]
fn protocols_that_are_not_there() {
    let mut vm = Vm::new();
    for protocol in [0, 0x12, 0x13, 0x15, 0x16, 0x17, 0x80, 0xff] {
        assert_eq!(vm.status(header(protocol, 0), &[]), -1);
    }
    vm.devices = super::Devices::new([], 0);
    assert_eq!(
        vm.call(header(0x10, 1), &[]),
        [0, 0x0101],
        "no devices, no clocks"
    );
    assert_eq!(vm.call(header(0x10, 6), &[0]), [0, 1, 0x11]);
    assert_eq!(vm.status(header(0x14, 0), &[]), -1);
    assert_eq!(vm.call(header(0x11, 1), &[]), [0, 0, 0, 0, 0]);
}

//! What a guest sees and can write.

use super::vm::{CONFIG, EDU, NIC, NVME, V2M, Vm, build, machine, virt_spi};
use crate::pci::effects::BarMapping;
use crate::pci::fake::Happened;
use crate::pci::regs::{self, cap};
use crate::pci::virt::{Access, HostConfig, IntxRoute, VirtualHost};
use crate::pci::{ConfigSpace, PciError, Rid, Width, bring_up};

fn mapped(vm: &Vm) -> Vec<(Rid, u8, u64)> {
    vm.fx.mapped.iter().map(|m| (m.rid, m.bar, m.ipa)).collect()
}

#[test]
fn only_the_vms_functions_exist() {
    let vm = Vm::new(&[NIC, EDU]);
    let mut seen = Vec::new();
    for rid in 0..=u16::MAX {
        let id = vm.host.load(&vm.pci, u64::from(rid) << 12, 4);
        if id != 0xffff_ffff {
            seen.push((Rid(rid), id));
        }
    }
    assert_eq!(seen, [(NIC, 0x10d3_8086), (EDU, 0x11e8_1234)]);
}

#[test]
fn a_hidden_function_is_an_empty_slot_that_keeps_its_place() {
    let mut vm = Vm::new(&[NIC, EDU]);
    let shown: Vec<u32> = (0..64).map(|word| vm.r32(EDU, word * 4)).collect();
    vm.host.hide(EDU, true);
    vm.log();
    for offset in (0..0x1000).step_by(4) {
        assert_eq!(vm.r32(EDU, offset), u32::MAX, "{offset:#x}");
        vm.w32(EDU, offset, u32::MAX);
        vm.w32(EDU, offset, 0);
    }
    assert_eq!(vm.log(), [], "nothing reaches the function or its master");
    assert_eq!(mapped(&vm), []);
    assert_eq!(vm.r32(NIC, 0), 0x10d3_8086, "others are as before");
    vm.host.hide(EDU, false);
    let again: Vec<u32> = (0..64).map(|word| vm.r32(EDU, word * 4)).collect();
    assert_eq!(shown, again);
}

#[test]
fn odd_accesses_read_as_ones_and_write_nothing() {
    let mut vm = Vm::new(&[NIC]);
    let at = u64::from(NIC.0) << 12;
    assert_eq!(vm.host.load(&vm.pci, at, 8), u64::MAX);
    assert_eq!(vm.host.load(&vm.pci, at + 1, 2), 0xffff);
    assert_eq!(vm.host.load(&vm.pci, at + 2, 4), 0xffff_ffff);
    assert_eq!(vm.host.load(&vm.pci, 1 << 28, 1), 0xff, "beyond bus 255");
    vm.host.store(&vm.pci, at + 4, 8, 7, &mut vm.fx).unwrap();
    vm.host.store(&vm.pci, at + 3, 4, 7, &mut vm.fx).unwrap();
    assert_eq!(vm.log(), []);
    assert_eq!(Access::decode((1 << 28) - 1, 1).unwrap().rid, Rid(0xffff));
}

#[test]
fn bytes_and_halves_are_lanes_of_words() {
    let vm = Vm::new(&[NIC]);
    for offset in 0..0x100u16 {
        let word = vm.r32(NIC, offset & !3) >> (8 * (offset & 3));
        assert_eq!(vm.r8(NIC, offset), word as u8, "{offset:#x}");
        if offset.is_multiple_of(2) {
            assert_eq!(vm.r16(NIC, offset), word as u16, "{offset:#x}");
        }
    }
}

#[test]
fn a_function_behind_a_bridge_sits_on_the_virtual_root_bus() {
    let behind = Rid::new(1, 0, 0);
    let vm = Vm::new(&[behind]);
    let info = vm.host.functions().next().unwrap();
    assert_eq!(
        (info.physical, info.virtual_rid),
        (behind, Rid::new(0, 0, 0))
    );
    assert_eq!(vm.host.physical(Rid::new(0, 0, 0)), Some(behind));
    assert_eq!(vm.host.physical(behind), None);
}

#[test]
fn slots_are_kept_where_free_and_functions_stay_together() {
    let (a, b) = (Rid::new(0, 3, 0), Rid::new(0, 3, 1));
    let vm = Vm::new(&[b, a]);
    let seats: Vec<_> = vm
        .host
        .functions()
        .map(|f| (f.physical, f.virtual_rid))
        .collect();
    assert_eq!(seats, [(a, a), (b, b)]);
    assert_eq!(vm.r8(a, regs::HEADER_TYPE), 0x80);

    let vm = Vm::new(&[b]);
    assert_eq!(vm.r32(a, 0), 0xbbbb_1234, "alone it becomes function 0");
    assert_eq!(vm.r8(a, regs::HEADER_TYPE), 0);
}

#[test]
fn what_cannot_be_given_is_refused() {
    let refuse = |rids: &[Rid], error| assert_eq!(build(rids, CONFIG).err(), Some(error));
    let port = Rid::new(0, 5, 0);
    refuse(&[port], PciError::NotAnEndpoint { rid: port });
    refuse(&[NIC, NIC], PciError::Twice { rid: NIC });
    refuse(&[Rid(0x99)], PciError::NoFunction { rid: Rid(0x99) });
    let odd = HostConfig {
        window_ipa: 0x1000_0800,
        ..CONFIG
    };
    assert_eq!(
        build(&[NIC], odd).err(),
        Some(PciError::BadWindow { value: 0x1000_0800 })
    );
    // A function with a BAR that found no room could decode at address zero.
    let pci = machine();
    let mut topology = bring_up(&pci, (0, 15), &super::physical::WINDOWS, 4096).unwrap();
    topology.functions[0].bars[3].as_mut().unwrap().place = None;
    let error = VirtualHost::new(&pci, CONFIG, &topology, &[NIC], virt_spi).err();
    assert_eq!(
        error,
        Some(PciError::Unplaced {
            rid: NIC,
            bar: 3,
            size: 0x4000
        })
    );
}

#[test]
fn interrupt_lines_follow_the_standard_swizzle() {
    let vm = Vm::new(&[NIC, NVME, Rid::new(0, 3, 1)]);
    // Alone, function 1 keeps slot 3 and its INTB leads to line 0.
    let routes: Vec<_> = vm
        .host
        .routes()
        .iter()
        .map(|r| (r.physical_spi, r.virtual_spi))
        .collect();
    assert_eq!(routes, [(4, 4), (5, 5), (3, 3)]);
    assert_eq!(vm.r8(Rid::new(0, 3, 0), regs::INTERRUPT_PIN), 2);
    for f in vm.host.functions() {
        let physical = vm.topology.get(f.physical).unwrap();
        let (slot, pin) = vm.topology.intx(physical).unwrap();
        let shown = vm.r8(f.virtual_rid, regs::INTERRUPT_PIN);
        let line = (f.virtual_rid.device() + shown - 1) % 4;
        let route = IntxRoute {
            physical_spi: virt_spi(slot, pin).unwrap(),
            virtual_spi: 3 + u32::from(line),
        };
        assert!(vm.host.routes().contains(&route), "{}", f.physical);
    }
}

#[test]
fn any_board_wiring_gets_a_line_per_physical_interrupt() {
    let pci = machine();
    let topology = bring_up(&pci, (0, 15), &super::physical::WINDOWS, 4096).unwrap();
    let all = [NIC, NVME, Rid::new(0, 3, 0), Rid::new(0, 3, 1), EDU];
    let one = VirtualHost::new(&pci, CONFIG, &topology, &all, |_, _| Some(77)).unwrap();
    assert_eq!(one.routes().len(), 1, "one line for all");
    for f in one.functions() {
        let pin = one.read(
            &pci,
            Access {
                rid: f.virtual_rid,
                offset: 0x3d,
                width: Width::Byte,
            },
        );
        let line = (u32::from(f.virtual_rid.device()) + pin - 1) % 4;
        assert_eq!(3 + line, one.routes()[0].virtual_spi);
    }
    let each = |slot: u8, pin: u8| Some(100 + u32::from(slot) * 4 + u32::from(pin));
    let error = VirtualHost::new(&pci, CONFIG, &topology, &all, each).unwrap_err();
    assert!(
        matches!(error, PciError::NoLine { rid: EDU, .. }),
        "{error}"
    );
    let none = VirtualHost::new(&pci, CONFIG, &topology, &all, |_, _| None).unwrap();
    let pin = Access {
        rid: NIC,
        offset: 0x3d,
        width: Width::Byte,
    };
    assert_eq!((none.routes(), none.read(&pci, pin)), (&[][..], 0));
}

#[test]
fn bars_are_sized_moved_and_mapped_as_the_guest_likes() {
    let mut vm = Vm::new(&[NIC]);
    let pa = vm.topology.get(NIC).unwrap().bars[0]
        .unwrap()
        .place
        .unwrap()
        .pa;
    vm.w32(NIC, 0x10, 0xffff_ffff);
    assert_eq!(vm.r32(NIC, 0x10), 0xfffe_0000);
    vm.w32(NIC, 0x18, 0xffff_ffff);
    assert_eq!(vm.r32(NIC, 0x18), 0, "I/O BAR is not there");
    vm.w32(NIC, 0x30, 0xffff_ffff);
    assert_eq!(vm.r32(NIC, 0x30), 0, "nor is the ROM");
    vm.w32(NIC, 0x10, 0x2003_ffff);
    assert_eq!(vm.r32(NIC, 0x10), 0x2002_0000);
    assert_eq!(mapped(&vm), [], "memory is off");
    vm.log();
    vm.w16(NIC, regs::COMMAND, 2);
    let at = |ipa| BarMapping {
        rid: NIC,
        bar: 0,
        ipa,
        pa,
        size: 0x2_0000,
        prefetchable: false,
    };
    let log = vm.log();
    assert_eq!(
        log[..2],
        [Happened::Write(NIC, 4, 2), Happened::Map(at(0x2002_0000))]
    );
    assert_eq!(vm.pci.read16(NIC, 4), 2);
    vm.w32(NIC, 0x10, 0x3000_0000);
    let moved = [
        Happened::Unmap(at(0x2002_0000)),
        Happened::Map(at(0x3000_0000)),
    ];
    assert_eq!(vm.log(), moved, "hardware's BAR stays where it is");
    vm.w16(NIC, regs::COMMAND, 0);
    assert_eq!(vm.log()[0], Happened::Unmap(at(0x3000_0000)));
    assert_eq!(vm.pci.read16(NIC, 4), 0);
}

#[test]
fn small_bars_show_whole_pages_of_their_own() {
    let rid = Rid::new(0, 3, 1);
    let mut vm = Vm::new(&[rid]);
    let v = Rid::new(0, 3, 0);
    vm.w32(v, 0x10, !0);
    assert_eq!(vm.r32(v, 0x10), 0xffff_f000);
    vm.w32(v, 0x10, 0x2000_0000);
    vm.w16(v, regs::COMMAND, 2);
    let [a, b] = vm.fx.mapped[..] else {
        panic!("{:?}", vm.fx.mapped)
    };
    assert_eq!((a.size, b.size), (4096, 4096));
    assert_ne!(a.pa, b.pa);
    for page in [a.pa, b.pa] {
        let owners = vm.pci.decoders(page);
        assert_eq!(owners.len(), 1);
        assert_eq!(vm.pci.decoders(page + 0x800), []);
    }
}

#[test]
fn wide_bars_keep_both_halves() {
    let mut vm = Vm::new(&[NVME]);
    vm.w32(NVME, 0x10, !0);
    vm.w32(NVME, 0x14, !0);
    assert_eq!(
        (vm.r32(NVME, 0x10), vm.r32(NVME, 0x14)),
        (0xffff_c004, 0xffff_ffff)
    );
    vm.w32(NVME, 0x10, 0x2000_0000);
    vm.w16(NVME, regs::COMMAND, 2);
    assert_eq!(mapped(&vm), [], "above the window");
    vm.w32(NVME, 0x14, 0);
    assert_eq!(mapped(&vm), [(NVME, 0, 0x2000_0000)]);
    let byte = Access {
        rid: NVME,
        offset: 0x13,
        width: Width::Byte,
    };
    vm.host.write(&vm.pci, byte, 0x30, &mut vm.fx).unwrap();
    assert_eq!(vm.r32(NVME, 0x10), 0x3000_0004);
    assert_eq!(mapped(&vm), [(NVME, 0, 0x3000_0000)]);
}

#[test]
fn bars_outside_the_window_or_over_each_other_stay_unmapped() {
    let mut vm = Vm::new(&[NIC, EDU]);
    vm.w16(NIC, regs::COMMAND, 2);
    vm.w16(EDU, regs::COMMAND, 2);
    for wrong in [0, 0x4000_0000, 0x3ef0_0000, 0x0800_0000, 0xfff0_0000] {
        vm.w32(EDU, 0x10, wrong);
        assert!(vm.fx.mapped.iter().all(|m| m.rid != EDU), "{wrong:#x}");
    }
    vm.w32(NIC, 0x10, 0x2000_0000);
    vm.w32(EDU, 0x10, 0x2000_0000);
    assert!(vm.fx.mapped.iter().all(|m| m.rid != EDU), "NIC comes first");
    vm.w32(NIC, 0x10, 0x2010_0000);
    assert!(
        vm.fx.mapped.iter().any(|m| m.rid == EDU),
        "as soon as it is clear"
    );
}

#[test]
fn a_mapping_that_stage_2_refuses_is_tried_again() {
    let mut vm = Vm::new(&[EDU]);
    vm.fx.no_map = true;
    vm.w16(EDU, regs::COMMAND, 2);
    assert_eq!(mapped(&vm), []);
    vm.fx.no_map = false;
    vm.w16(EDU, regs::COMMAND, 2);
    assert_eq!(mapped(&vm).len(), 1);
}

#[test]
fn bars_start_with_addresses_that_work() {
    let mut vm = Vm::new(&[NIC, NVME, EDU]);
    for rid in [NIC, NVME, EDU] {
        vm.w16(rid, regs::COMMAND, 2);
    }
    assert_eq!(vm.fx.mapped.len(), 4);
}

#[test]
fn messages_show_only_where_the_policy_has_them() {
    let vm = Vm::new(&[NIC]);
    assert_eq!(vm.list(NIC), [(cap::PM, 0xc8), (cap::PCIE, 0x80)]);
    let vm = build(&[NIC], HostConfig { msi: V2M, ..CONFIG }).unwrap();
    let ids = [
        (cap::PM, 0xc8),
        (cap::MSI, 0xd0),
        (cap::PCIE, 0x80),
        (cap::MSIX, 0xa0),
    ];
    assert_eq!(vm.list(NIC), ids);
}

#[test]
fn hidden_capabilities_are_neither_read_nor_written() {
    let mut vm = Vm::new(&[NIC]);
    assert_eq!((vm.r32(NIC, 0xa0), vm.r32(NIC, 0xd4)), (0, 0));
    vm.w16(NIC, 0xa2, 0x8000);
    vm.w32(NIC, 0xd4, 0x1234_5678);
    assert_eq!(vm.log(), []);
    assert_eq!(vm.r32(NVME, 0x100), u32::MAX, "not this VM's");
    let vm = Vm::new(&[NVME]);
    assert_ne!(vm.pci.read32(NVME, 0x100), 0);
    assert_eq!(vm.r32(NVME, 0x100), 0, "extended capabilities");
}

#[test]
fn message_registers_pass_bit_by_bit() {
    let mut vm = build(&[NIC], HostConfig { msi: V2M, ..CONFIG }).unwrap();
    vm.w32(NIC, 0xd4, 0x0802_0043);
    vm.w32(NIC, 0xd8, 1);
    vm.w32(NIC, 0xdc, 0xffff_0041);
    vm.w16(NIC, 0xd2, 0xffff);
    assert_eq!(vm.r32(NIC, 0xd4), 0x0802_0040);
    assert_eq!((vm.r32(NIC, 0xd8), vm.r32(NIC, 0xdc)), (1, 0x41));
    assert_eq!(
        vm.r16(NIC, 0xd2),
        0x00f5,
        "enable and count, not the read-only bits"
    );
    vm.w16(NIC, 0xa2, 0xffff);
    assert_eq!(vm.r16(NIC, 0xa2), 0xc004);
}

#[test]
fn the_express_capability_cannot_reset_or_impersonate() {
    let mut vm = Vm::new(&[NIC]);
    assert_eq!(vm.r16(NIC, 0x82) >> 4 & 0xf, 9, "inside the root complex");
    assert_eq!(vm.r32(NIC, 0x84), 0x8000, "no FLR, no phantom functions");
    assert_eq!(vm.r32(NIC, 0x8c), 0, "no link");
    vm.w16(NIC, 0x88, 0xffff);
    assert_eq!(vm.pci.read16(NIC, 0x88), 0x7010);
    assert_eq!(
        vm.pci.read32(NIC, 0x10),
        vm.topology.get(NIC).unwrap().bars[0]
            .unwrap()
            .place
            .unwrap()
            .bus as u32
    );
}

#[test]
fn drivers_may_set_their_completion_timeout() {
    let mut vm = Vm::new(&[NVME]);
    vm.w16(NVME, 0xa8, 0xffff);
    assert_eq!(vm.pci.read16(NVME, 0xa8), 0xf, "and nothing else there");
}

#[test]
fn device_errors_clear_only_when_asked() {
    let mut vm = Vm::new(&[NIC]);
    vm.w16(NIC, 0x88, 0x2000);
    assert_eq!(
        vm.r32(NIC, 0x88),
        0x000f_2000,
        "the upper half was not written"
    );
    vm.w16(NIC, 0x8a, 5);
    assert_eq!(vm.r32(NIC, 0x88), 0x000a_2000);
}

#[test]
fn virtio_finds_its_registers_by_vendor_capabilities() {
    let mut vm = Vm::new(&[Rid::new(1, 0, 0)]);
    let v = Rid::new(0, 0, 0);
    assert_eq!(
        vm.list(v),
        [(cap::VENDOR, 0x40)],
        "the one of id 0x0b is hidden"
    );
    assert_eq!(vm.r32(v, 0x40), 0x0110_0009);
    assert_eq!(vm.r32(v, 0x44), 4);
    vm.log();
    vm.w32(v, 0x44, 0);
    assert_eq!(vm.log(), []);
    assert_eq!((vm.r32(v, 0x50), vm.r32(v, 0x54)), (0, 0));
}

#[test]
fn status_errors_clear_and_scratch_bytes_stay() {
    let mut vm = Vm::new(&[NIC]);
    vm.w32(NIC, regs::COMMAND, 0xffff_0000);
    assert!(vm.log().contains(&Happened::Write(NIC, 6, 0xf900)));
    assert_eq!(vm.r16(NIC, regs::COMMAND), 0);
    let byte = |offset| Access {
        rid: NIC,
        offset,
        width: Width::Byte,
    };
    vm.host
        .write(&vm.pci, byte(0x3c), 0x23, &mut vm.fx)
        .unwrap();
    vm.host
        .write(&vm.pci, byte(0x0c), 0x10, &mut vm.fx)
        .unwrap();
    vm.host.write(&vm.pci, byte(0x3d), 4, &mut vm.fx).unwrap();
    assert_eq!(
        (vm.r8(NIC, 0x3c), vm.r8(NIC, 0x0c), vm.r8(NIC, 0x3d)),
        (0x23, 0x10, 1)
    );
    vm.w16(NIC, regs::COMMAND, 0xffff);
    assert_eq!(vm.r16(NIC, regs::COMMAND), 0x0406);
    assert_eq!(vm.pci.read16(NIC, regs::COMMAND), 0x0406);
}

//! What Linux 6.12 (Debian) writes to QEMU's NVMe disk over a life, as traced
//! with `-trace pci_cfg_write` and INTx interrupts; only the BAR's address is
//! that of a 32-bit window.

use super::vm::{NVME, Vm};
use crate::pci::fake::Happened;
use crate::pci::{Access, ConfigSpace, Width};

type Writes = &'static [(u16, Width, u32)];
use Width::{Byte, Half, Word};

/// Interrupt-disable test, BAR and ROM sizes, configuration retry and PCIe
/// error reporting set up.
const SCAN: Writes = &[
    (0x04, Half, 0x400),
    (0x04, Half, 0),
    (0x10, Word, 0xffff_ffff),
    (0x10, Word, 0x4),
    (0x14, Word, 0xffff_ffff),
    (0x14, Word, 0),
    (0x18, Word, 0xffff_ffff),
    (0x18, Word, 0),
    (0x1c, Word, 0xffff_ffff),
    (0x1c, Word, 0),
    (0x20, Word, 0xffff_ffff),
    (0x20, Word, 0),
    (0x24, Word, 0xffff_ffff),
    (0x24, Word, 0),
    (0x30, Word, 0xffff_f800),
    (0x30, Word, 0),
    (0x88, Half, 0),
    (0x88, Half, 0x100),
];
const ASSIGN: Writes = &[
    (0x04, Half, 0),
    (0x10, Word, 0x1038_0004),
    (0x14, Word, 0),
    (0x04, Half, 0),
];
const BIND: Writes = &[(0x3c, Byte, 0x14), (0x04, Half, 2), (0x04, Half, 6)];
const UNBIND: Writes = &[(0x04, Half, 2)];
const REBIND: Writes = &[(0x3c, Byte, 0x14), (0x04, Half, 6)];
const SUSPEND: Writes = &[(0x04, Half, 2), (0x64, Half, 0xb)];
const RESUME: Writes = &[
    (0x64, Half, 0),
    (0x88, Half, 0),
    (0xa8, Half, 0),
    (0x04, Half, 6),
];

fn replay(vm: &mut Vm, writes: Writes) -> Vec<Happened> {
    vm.log();
    for &(offset, width, value) in writes {
        let access = Access {
            rid: NVME,
            offset,
            width,
        };
        vm.host.write(&vm.pci, access, value, &mut vm.fx).unwrap();
    }
    vm.log()
}

fn steps(log: &[Happened]) -> Vec<Happened> {
    let power = |h: &&Happened| matches!(h, Happened::Active(_) | Happened::Idle(_));
    log.iter().filter(power).copied().collect()
}

#[test]
fn the_power_code_hears_every_stage_of_a_life() {
    let mut vm = Vm::new(&[NVME]);
    assert_eq!(steps(&replay(&mut vm, SCAN)), []);
    assert_eq!(steps(&replay(&mut vm, ASSIGN)), []);
    assert_eq!(vm.fx.mapped, [], "memory is still off");
    let (active, idle) = (Happened::Active(NVME), Happened::Idle(NVME));
    let stages = [
        (BIND, active),
        (UNBIND, idle),
        (REBIND, active),
        (SUSPEND, idle),
        (RESUME, active),
        (UNBIND, idle),
    ];
    for (stage, (writes, step)) in stages.into_iter().enumerate() {
        assert_eq!(steps(&replay(&mut vm, writes)), [step], "stage {stage}");
        let mapped: Vec<_> = vm.fx.mapped.iter().map(|m| m.ipa).collect();
        let expected = if vm.r16(NVME, 0x64) & 3 == 0 {
            vec![0x1038_0000]
        } else {
            vec![]
        };
        assert_eq!(mapped, expected, "stage {stage}");
    }
}

#[test]
fn rebinding_a_hundred_times_ends_where_it_began() {
    let mut vm = Vm::new(&[NVME]);
    replay(&mut vm, SCAN);
    replay(&mut vm, ASSIGN);
    let mut count = 0;
    for _ in 0..100 {
        for writes in [BIND, UNBIND] {
            for step in steps(&replay(&mut vm, writes)) {
                count += if matches!(step, Happened::Active(_)) {
                    1
                } else {
                    -1
                };
                assert!((0..=1).contains(&count));
            }
        }
    }
    assert_eq!((count, vm.pci.read16(NVME, 4) & 4), (0, 0));
}

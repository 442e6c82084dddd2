//! Each layout of GPIO registers against a file that behaves as the
//! controller does.
use super::fake::{Lagging, Registers, keep};
use crate::mmio::Mmio;
use crate::supply::bank::{ALL, GpioBank, is_big_endian, is_in_parent};
use crate::supply::gpio::Bank;
use crate::supply::gpio::{ACTIVE_LOW, GpioGate};
use crate::supply::{SupplyError, Switch};
use crate::{fdt::Blob, tree::Tree};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

type File = BTreeMap<usize, u32>;
type Writes = &'static [(usize, u32)];

fn get(file: &File, at: usize) -> u32 {
    file.get(&at).copied().unwrap_or(0)
}

/// The bank at a node with these properties.
fn bank<M: Mmio + Clone>(properties: &str, registers: &M, base: usize) -> Option<GpioBank<M>> {
    let source = format!("/dts-v1/; / {{ gpio {{ {properties} }}; }};");
    let bytes = crate::dts::compile(&source).unwrap();
    let tree = Tree::new(Blob::check(&bytes).unwrap());
    let node = tree.node(tree.find("/gpio").unwrap());
    GpioBank::new(registers.clone(), &node, base)
}

/// One layout: what the node says, registers before, what hardware does on a
/// write, a line, and what is written to raise and to lower it.
struct Case {
    node: &'static str,
    lines: u32,
    before: Writes,
    hook: fn(&mut File, usize, u32),
    line: u32,
    raise: Writes,
    lower: Writes,
}

/// A write through MASK_DATA changes DATA where the upper half has zeros.
fn zynqmp(file: &mut File, at: usize, value: u32) {
    if at >= 0x40 {
        return keep(file, at, value);
    }
    let (group, shift) = (at / 8, at % 8 * 4);
    let chosen = (!(value >> 16) & 0xffff) << shift;
    let data = get(file, 0x40 + 4 * group) & !chosen | value << shift & chosen;
    file.insert(0x40 + 4 * group, data);
}

/// PSOR and PCOR act on PDOR.
fn imx8ulp(file: &mut File, at: usize, value: u32) {
    let data = get(file, 0x40);
    match at {
        0x44 => file.insert(0x40, data | value),
        0x48 => file.insert(0x40, data & !value),
        _ => file.insert(at, value),
    };
}

/// SET_DATA and CLR_DATA act on OUT_DATA, in each group.
fn keystone(file: &mut File, at: usize, value: u32) {
    let (group, register) = ((at - 0x10) / 0x28 * 0x28, (at - 0x10) % 0x28);
    let data = get(file, 0x14 + group);
    match register {
        0x08 => file.insert(0x14 + group, data | value),
        0x0c => file.insert(0x14 + group, data & !value),
        _ => file.insert(at, value),
    };
}

/// The upper half chooses, and reads as zero.
fn rockchip(file: &mut File, at: usize, value: u32) {
    let chosen = value >> 16;
    let data = get(file, at) & !chosen | value & chosen;
    file.insert(at, data);
}

const CASES: &[Case] = &[
    Case {
        node: "compatible = \"xlnx,zynqmp-gpio-1.0\";",
        lines: 174,
        before: &[(0x44, 0x0100), (0x244, 1)],
        hook: zynqmp,
        // The 18th of the second group.
        line: 26 + 18,
        raise: &[
            (0x0c, 0xfffb_0004),
            (0x244, 0x0004_0001),
            (0x248, 0x0004_0000),
        ],
        lower: &[(0x0c, 0xfffb_0000)],
    },
    Case {
        node: "compatible = \"xlnx,zynqmp-gpio-1.0\";",
        lines: 174,
        before: &[],
        hook: zynqmp,
        line: 173,
        raise: &[
            (0x2c, 0x7fff_8000),
            (0x344, 0x8000_0000),
            (0x348, 0x8000_0000),
        ],
        lower: &[(0x2c, 0x7fff_0000)],
    },
    Case {
        node: "compatible = \"fsl,imx8qm-gpio\", \"fsl,imx35-gpio\";",
        lines: 32,
        before: &[(0, 0x10), (4, 0x30)],
        hook: keep,
        line: 3,
        raise: &[(0, 0x18), (4, 0x38)],
        lower: &[(0, 0x10)],
    },
    Case {
        node: "compatible = \"fsl,imx95-gpio\", \"fsl,imx8ulp-gpio\";",
        lines: 32,
        before: &[(0x40, 1), (0x54, 1)],
        hook: imx8ulp,
        line: 31,
        raise: &[(0x44, 0x8000_0000), (0x54, 0x8000_0001)],
        lower: &[(0x48, 0x8000_0000)],
    },
    Case {
        node: "compatible = \"fsl,ls1088a-gpio\", \"fsl,qoriq-gpio\"; little-endian;",
        lines: 32,
        before: &[(8, 1), (0, 1)],
        hook: keep,
        // Counted from the top.
        line: 2,
        raise: &[(8, 0x2000_0001), (0, 0x2000_0001)],
        lower: &[(8, 1)],
    },
    Case {
        node: "compatible = \"marvell,armada-8k-gpio\"; ngpios = <20>;",
        lines: 20,
        // All are inputs, and the line blinks.
        before: &[(4, 0xf_ffff), (8, 0x20)],
        hook: keep,
        line: 5,
        raise: &[(0, 0x20), (8, 0), (4, 0xf_ffdf)],
        lower: &[(0, 0)],
    },
    Case {
        node: "compatible = \"ti,j721e-gpio\", \"ti,keystone-gpio\"; ti,ngpio = <84>;",
        lines: 84,
        before: &[(0x60, 0xffff_ffff)],
        hook: keystone,
        line: 64 + 7,
        raise: &[(0x68, 0x80), (0x60, 0xffff_ff7f)],
        lower: &[(0x6c, 0x80)],
    },
    Case {
        node: "compatible = \"rockchip,gpio-bank\";",
        lines: 32,
        before: &[(0x78, 0x0101_157c)],
        hook: rockchip,
        line: 17,
        raise: &[(4, 0x0002_0002), (0xc, 0x0002_0002)],
        lower: &[(4, 0x0002_0000)],
    },
    Case {
        node: "compatible = \"rockchip,gpio-bank\";",
        lines: 32,
        before: &[(0, 0x8000_0000)],
        hook: keep,
        line: 17,
        raise: &[(0, 0x8002_0000), (4, 0x0002_0000)],
        lower: &[(0, 0x8000_0000)],
    },
];

fn taken(registers: &Registers) -> Vec<(usize, u32)> {
    registers.writes.lock().drain(..).collect()
}

#[test]
fn each_layout_drives_its_line_and_no_other() {
    let mut tried = BTreeSet::new();
    for case in CASES {
        let registers = Registers::new(case.hook);
        for &(at, value) in case.before {
            registers.set(at, value);
        }
        let bank = bank(case.node, &registers, 0).unwrap();
        assert_eq!(bank.lines(), case.lines, "{}", case.node);
        assert!(taken(&registers).is_empty(), "opening touches nothing");
        assert_eq!(bank.driven(case.line), None, "{}: an input", case.node);
        bank.drive(case.line, true).unwrap();
        assert_eq!(taken(&registers), case.raise, "{}", case.node);
        assert_eq!(bank.driven(case.line), Some(true), "{}", case.node);
        bank.drive(case.line, false).unwrap();
        assert_eq!(taken(&registers), case.lower, "{}", case.node);
        assert_eq!(bank.driven(case.line), Some(false), "{}", case.node);
        tried.insert(case.node.split('"').rev().nth(1).unwrap());
    }
    let all: BTreeSet<_> = ALL.iter().map(|l| l.compatible).collect();
    assert_eq!(tried, all, "a layout without a case");
}

#[test]
fn a_line_that_does_not_follow_is_reported() {
    for case in CASES {
        let registers = Registers::new(|_, _, _| {});
        for &(at, value) in case.before {
            registers.set(at, value);
        }
        let bank = bank(case.node, &registers, 0).unwrap();
        let stuck = bank.drive(case.line, true);
        assert_eq!(stuck, Err(SupplyError::Stuck(0)), "{}", case.node);
    }
    // The level follows, and the line stays an input.
    let registers = Registers::new(|file, at, value| {
        if at == 0 {
            file.insert(at, value);
        }
    });
    let imx = bank("compatible = \"fsl,imx35-gpio\";", &registers, 0).unwrap();
    assert_eq!(imx.drive(3, true), Err(SupplyError::Stuck(1)));
}

#[test]
fn what_no_layout_fits_is_not_opened() {
    let registers = Registers::new(keep);
    assert!(bank("compatible = \"acme,gpio\";", &registers, 0).is_none());
    let far = bank("compatible = \"fsl,imx35-gpio\";", &registers, 0).unwrap();
    assert_eq!(far.drive(32, true), Err(SupplyError::Stuck(0)));
    assert_eq!(far.driven(32), None);
    assert!(taken(&registers).is_empty());
}

/// A bank in a block of registers that it shares.
#[test]
fn a_bank_may_begin_in_the_middle() {
    let registers = Registers::new(keep);
    registers.set(0x1044, 0xf_ffff);
    let node = "compatible = \"marvell,armada-8k-gpio\"; offset = <0x1040>;";
    let marvell = bank(node, &registers, 0x1040).unwrap();
    marvell.drive(0, true).unwrap();
    assert_eq!(taken(&registers), [(0x1040, 1), (0x1044, 0xf_fffe)]);
}

#[test]
fn byte_order_and_place_come_from_the_node() {
    let says = |properties: &str, what: fn(&crate::fdt::Node<'_>) -> bool| {
        let source = format!("/dts-v1/; / {{ gpio {{ {properties} }}; }};");
        let bytes = crate::dts::compile(&source).unwrap();
        let tree = Tree::new(Blob::check(&bytes).unwrap());
        what(&tree.node(tree.find("/gpio").unwrap()))
    };
    let qoriq = "compatible = \"fsl,qoriq-gpio\";";
    assert!(says(qoriq, is_big_endian));
    assert!(!says(&format!("{qoriq} little-endian;"), is_big_endian));
    assert!(says(
        "compatible = \"marvell,armada-8k-gpio\";",
        is_in_parent
    ));
    assert!(!says(qoriq, is_in_parent));
}

/// Every line, among others that are driven and some that are not: each is as
/// it was left last.
#[test]
fn lines_do_not_disturb_each_other() {
    for case in CASES {
        let registers = Registers::new(case.hook);
        for &(at, value) in case.before {
            registers.set(at, value);
        }
        let bank = bank(case.node, &registers, 0).unwrap();
        let mut model: Vec<_> = (0..bank.lines()).map(|line| bank.driven(line)).collect();
        let mut random = 0x2545_f491_u32;
        for _ in 0..150 {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            let (line, high) = ((random >> 8) % bank.lines(), random & 1 == 1);
            assert_eq!(bank.drive(line, high), Ok(()), "{}: {line}", case.node);
            model[line as usize] = Some(high);
            let now: Vec<_> = (0..bank.lines()).map(|line| bank.driven(line)).collect();
            assert_eq!(now, model, "{}: {line}", case.node);
        }
    }
}

/// A bank behind a slow bus is given some looks, and no more.
#[test]
fn a_line_may_follow_some_reads_later_but_not_for_ever() {
    for case in CASES {
        for lag in [1, 4, 24, 1_000] {
            let registers = Registers::new(case.hook);
            for &(at, value) in case.before {
                registers.set(at, value);
            }
            let lagging = Lagging::new(registers, lag);
            let bank = bank(case.node, &lagging, 0).unwrap();
            let driven = bank.drive(case.line, true);
            if lag < 1_000 {
                assert_eq!(driven, Ok(()), "{}: {lag}", case.node);
                assert_eq!(bank.driven(case.line), Some(true));
                assert_eq!(bank.drive(case.line, false), Ok(()));
                assert_eq!(bank.driven(case.line), Some(false));
            } else {
                assert_eq!(driven, Err(SupplyError::Stuck(0)), "{}", case.node);
                assert!(*lagging.reads.lock() < 200);
            }
        }
    }
}

#[test]
fn an_inverted_line_gates_the_other_way() {
    for case in CASES {
        let registers = Registers::new(case.hook);
        for &(at, value) in case.before {
            registers.set(at, value);
        }
        let bank: Arc<dyn Bank> = Arc::new(bank(case.node, &registers, 0).unwrap());
        let gate = GpioGate::new(bank.clone(), case.line, ACTIVE_LOW);
        assert_eq!(gate.is_on(), Ok(false), "an input drives nothing");
        gate.disable().unwrap();
        assert_eq!(
            (bank.driven(case.line), gate.is_on()),
            (Some(true), Ok(false))
        );
        gate.enable().unwrap();
        assert_eq!(
            (bank.driven(case.line), gate.is_on()),
            (Some(false), Ok(true))
        );
    }
}

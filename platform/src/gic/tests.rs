//! Against register files that behave as the manuals say.

use super::{
    CpuInterface, Distributor, Error, Gich, HCR_EN, Local, LpiTables, Redistributor, Target,
    Version, is_strided,
};
use crate::mmio::Mmio;
use core::cell::RefCell;
use std::collections::BTreeMap;

/// Registers that store what is written, set/clear pairs that act as such, and
/// a record of the writes in order.
#[derive(Default)]
struct Regs {
    words: RefCell<BTreeMap<usize, u32>>,
    written: RefCell<Vec<(usize, u32)>>,
    /// Bits that read as set whatever is written.
    stuck: BTreeMap<usize, u32>,
    /// Starts of set/clear groups: in redistributors, the SGI frames.
    frames: Vec<usize>,
}

impl Regs {
    fn new(init: &[(usize, u32)], frames: &[usize]) -> Self {
        let words = RefCell::new(init.iter().copied().collect());
        Self {
            words,
            frames: frames.to_vec(),
            ..Self::default()
        }
    }

    fn get(&self, offset: usize) -> u32 {
        self.words.borrow().get(&offset).copied().unwrap_or(0)
    }

    /// The set register that holds the state of a set/clear pair.
    fn home(&self, offset: usize) -> (usize, bool) {
        for frame in &self.frames {
            let at = offset.wrapping_sub(*frame);
            if (0x100..0x400).contains(&at) {
                return (offset & !0x80, at & 0x80 != 0);
            }
        }
        (offset, false)
    }
}

impl Mmio for Regs {
    fn read32(&self, offset: usize) -> u32 {
        let stuck = self.stuck.get(&offset).copied().unwrap_or(0);
        self.get(self.home(offset).0) | stuck
    }
    fn write32(&self, offset: usize, value: u32) {
        self.written.borrow_mut().push((offset, value));
        let (home, clear) = self.home(offset);
        let paired = self
            .frames
            .iter()
            .any(|f| (0x100..0x400).contains(&offset.wrapping_sub(*f)));
        let before = self.get(home);
        let after = match (paired, clear) {
            (false, _) => value,
            (true, false) => before | value,
            (true, true) => before & !value,
        };
        self.words.borrow_mut().insert(home, after);
    }
    fn read64(&self, offset: usize) -> u64 {
        u64::from(self.read32(offset)) | u64::from(self.read32(offset + 4)) << 32
    }
    fn write64(&self, offset: usize, value: u64) {
        self.write32(offset, value as u32);
        self.write32(offset + 4, (value >> 32) as u32);
    }
    fn read8(&self, offset: usize) -> u8 {
        (self.read32(offset & !3) >> ((offset & 3) * 8)) as u8
    }
    fn write8(&self, offset: usize, value: u8) {
        let (word, shift) = (offset & !3, (offset & 3) * 8);
        let before = self.get(word);
        self.write32(word, before & !(0xff << shift) | u32::from(value) << shift);
    }
    fn read16(&self, _: usize) -> u16 {
        unreachable!("no 16-bit GIC register is used")
    }
    fn write16(&self, _: usize, _: u16) {
        unreachable!("no 16-bit GIC register is used")
    }
}

const BOOT: Target = Target {
    mpidr: 0x8000_0201,
    mask: 4,
};

#[test]
fn v3_distributor_starts_quiet_routed_and_forwarding() {
    let regs = Regs::new(&[(0x004, 2), (0x104, 0xff), (0x304, 0xff)], &[0]);
    let gic = Distributor::new(&regs, Version::V3);
    assert_eq!(gic.lines(), 96);
    gic.init(BOOT).unwrap();
    assert_eq!(regs.get(0), 0x13, "ARE and both groups");
    for word in [4, 8] {
        assert_eq!(regs.get(0x100 + word), 0, "enabled");
        assert_eq!(regs.get(0x300 + word), 0, "active");
        assert_eq!(regs.get(0x080 + word), u32::MAX, "group 1");
    }
    for intid in 32..96 {
        assert_eq!(regs.read64(0x6000 + intid * 8), 0x201);
        assert_eq!(regs.read8(0x400 + intid), 0xa0);
    }
    let first = regs.written.borrow()[0];
    assert_eq!(
        first,
        (0, 0x10),
        "forwarding stops before anything is changed"
    );
}

#[test]
fn v3_route_keeps_aff3_and_drops_other_mpidr_bits() {
    let regs = Regs::new(&[(0x004, 2)], &[0]);
    let gic = Distributor::new(&regs, Version::V3);
    gic.set_route(
        40,
        Target {
            mpidr: 0x12_c134_5678,
            mask: 0,
        },
    );
    assert_eq!(regs.read64(0x6000 + 40 * 8), 0x12_0034_5678);
}

#[test]
fn one_interrupt_at_a_time() {
    let regs = Regs::new(&[(0x004, 2)], &[0]);
    let gic = Distributor::new(&regs, Version::V3);
    gic.set_enabled(33, true).unwrap();
    gic.set_enabled(70, true).unwrap();
    assert!(gic.is_enabled(33) && gic.is_enabled(70) && !gic.is_enabled(34));
    gic.set_enabled(33, false).unwrap();
    assert!(!gic.is_enabled(33) && gic.is_enabled(70));
    gic.set_pending(64, true);
    gic.set_active(65, true);
    assert!(gic.is_pending(64) && !gic.is_pending(65) && gic.is_active(65));
    gic.set_pending(64, false);
    gic.set_active(65, false);
    assert!(!gic.is_pending(64) && !gic.is_active(65));
    gic.set_edge(33, true);
    gic.set_edge(47, true);
    assert_eq!(regs.get(0xc08), 1 << 31 | 1 << 3);
    gic.set_edge(33, false);
    assert_eq!(regs.get(0xc08), 1 << 31);
    gic.set_priority(66, 0x20);
    assert_eq!(regs.get(0x440), 0x20 << 16);
    assert_eq!(gic.check_spi(31), Err(Error::Intid(31)));
    assert_eq!(gic.check_spi(96), Err(Error::Intid(96)));
    assert_eq!(gic.check_spi(95), Ok(()));
}

/// What a VM's end leaves of an interrupt: an edge that came while it ended must
/// not reach the next kernel.
#[test]
fn a_forgotten_interrupt_is_neither_active_nor_pending() {
    let regs = Regs::new(&[(0x004, 2)], &[0]);
    let gic = Distributor::new(&regs, Version::V3);
    for intid in [40, 41] {
        gic.set_pending(intid, true);
        gic.set_active(intid, true);
    }
    gic.forget(40);
    assert!(!gic.is_pending(40) && !gic.is_active(40));
    assert!(gic.is_pending(41) && gic.is_active(41));
}

#[test]
fn a_distributor_that_never_settles_is_an_error() {
    let mut regs = Regs::new(&[(0x004, 1)], &[0]);
    regs.stuck.insert(0, 1 << 31);
    let gic = Distributor::new(&regs, Version::V3);
    assert_eq!(gic.init(BOOT), Err(Error::Timeout(0)));
    assert_eq!(
        gic.set_enabled(32, true),
        Ok(()),
        "turning on waits for nothing"
    );
    assert_eq!(gic.set_enabled(32, false), Err(Error::Timeout(0)));
}

#[test]
fn v2_distributor_routes_by_mask_and_sends_sgis() {
    let regs = Regs::new(&[(0x004, 1), (0x800, 0), (0x804, 0x0202_0202)], &[0]);
    let gic = Distributor::new(&regs, Version::V2);
    assert_eq!(gic.own_mask(), 2);
    gic.init(BOOT).unwrap();
    assert_eq!(regs.get(0), 1);
    assert_eq!(regs.get(0x820), 0x0404_0404);
    assert_eq!(
        regs.get(0x804),
        0x0202_0202,
        "private targets are not written"
    );
    gic.send_sgi(0b1010, 3);
    assert_eq!(regs.get(0xf00), 0b1010 << 16 | 3);
    let alone = Regs::new(&[(0x004, 1)], &[0]);
    assert_eq!(
        Distributor::new(&alone, Version::V2).own_mask(),
        1,
        "one CPU reads as zero"
    );
}

/// Redistributors with these `GICR_TYPER` values, `step` bytes apart.
fn redistributors(typers: &[u64], step: usize) -> Regs {
    let mut init = Vec::new();
    let mut frames = Vec::new();
    for (n, typer) in typers.iter().enumerate() {
        init.push((n * step + 8, *typer as u32));
        init.push((n * step + 12, (typer >> 32) as u32));
        frames.push(n * step + 0x1_0000);
    }
    Regs::new(&init, &frames)
}

#[test]
fn a_cpu_finds_its_redistributor() {
    const LAST: u64 = 1 << 4;
    let typers = [0, 1 << 32, 0x100 << 32, 0x0200_0101 << 32 | LAST];
    let regs = redistributors(&typers, 0x2_0000);
    let find = |len, mpidr| Redistributor::find(&regs, len, None, mpidr).map(|r| r.offset());
    assert_eq!(
        find(0x8_0000, 0x8000_0001),
        Ok(0x2_0000),
        "bit 31 is no affinity"
    );
    assert_eq!(find(0x8_0000, 0x8000_0100), Ok(0x4_0000));
    assert_eq!(find(0x8_0000, 0x02_8000_0101), Ok(0x6_0000));
    assert_eq!(find(0x8_0000, 0x8000_0002), Err(Error::NoRedistributor(2)));
    assert_eq!(
        find(0x4_0000, 0x8000_0100),
        Err(Error::NoRedistributor(0x100)),
        "outside the region"
    );
}

#[test]
fn redistributors_may_be_longer() {
    const VLPIS: u64 = 1 << 1;
    let v4 = redistributors(&[VLPIS, 1 << 32 | VLPIS | 1 << 4], 0x4_0000);
    assert_eq!(
        Redistributor::find(&v4, 0x8_0000, None, 1)
            .unwrap()
            .offset(),
        0x4_0000
    );
    let spaced = redistributors(&[0, 1 << 32 | 1 << 4], 0x8_0000);
    let found = Redistributor::find(&spaced, 0x10_0000, Some(0x8_0000), 1).unwrap();
    assert_eq!(found.offset(), 0x8_0000);
}

#[test]
fn a_redistributor_is_woken_and_quieted() {
    let regs = redistributors(&[1 << 4], 0x2_0000);
    regs.write32(0x14, 1 << 1);
    regs.write32(0x1_0100, 0xff);
    let local = Local::V3(Redistributor::find(&regs, 0x2_0000, None, 0).unwrap());
    local.init().unwrap();
    assert_eq!(regs.get(0x14), 0);
    assert_eq!(regs.get(0x1_0100), 0);
    assert_eq!(regs.get(0x1_0080), u32::MAX);
    local.set_enabled(27, true).unwrap();
    local.set_pending(3, true);
    local.set_active(4, true);
    local.set_priority(26, 0x80);
    assert_eq!(regs.get(0x1_0100), 1 << 27);
    assert_eq!(regs.get(0x1_0200), 1 << 3);
    assert_eq!(regs.get(0x1_0300), 1 << 4);
    assert_eq!(regs.read8(0x1_0400 + 26), 0x80);
    local.set_enabled(27, false).unwrap();
    assert_eq!(regs.get(0x1_0100), 0);
}

#[test]
fn a_redistributor_that_sleeps_on_is_an_error() {
    let mut regs = redistributors(&[1 << 4], 0x2_0000);
    regs.stuck.insert(0x14, 1 << 2);
    let redistributor = Redistributor::find(&regs, 0x2_0000, None, 0).unwrap();
    assert_eq!(redistributor.init(), Err(Error::Timeout(0x14)));
}

#[test]
fn v2_cpu_interface_splits_end_from_deactivation() {
    let regs = Regs::new(&[(0x000, 0x1e0), (0x0c, 3 << 10 | 5)], &[]);
    let cpu = CpuInterface::new(&regs, 0x2000);
    cpu.init();
    assert_eq!(regs.get(0x000), 0x3e1, "on, EOImode, bypass bits kept");
    assert_eq!(regs.get(0x004), 0xff);
    let iar = cpu.acknowledge();
    cpu.end(iar);
    cpu.deactivate(iar);
    assert_eq!((regs.get(0x10), regs.get(0x1000)), (0xc05, 0xc05));
}

#[test]
fn v2_cpu_interface_in_64k_steps_is_recognised() {
    let strided = Regs::new(&[(0xfc, 0x0202_043b), (0xf0fc, 0x0202_043b)], &[]);
    assert!(is_strided(&strided, 0x2_0000));
    assert!(!is_strided(&strided, 0x2000), "too short for it");
    CpuInterface::new(&strided, 0x2_0000).deactivate(40);
    assert_eq!(strided.get(0x1_0000), 40);
    let plain = Regs::new(&[(0xfc, 0x0202_043b)], &[]);
    assert!(!is_strided(&plain, 0x2_0000));
}

#[test]
fn list_registers_are_reset_and_reached() {
    let regs = Regs::new(
        &[(0x004, 0x9000_0003), (0x008, 7), (0x0f0, 7), (0x10c, 7)],
        &[],
    );
    let gich = Gich::new(&regs);
    assert_eq!(gich.count(), 4);
    gich.reset();
    assert_eq!(
        (regs.get(0x008), regs.get(0x0f0), regs.get(0x10c)),
        (0, 0, 0)
    );
    assert_eq!(gich.hcr(), HCR_EN);
    gich.write_lr(2, 0x1234);
    assert_eq!((regs.get(0x108), gich.read_lr(2)), (0x1234, 0x1234));
}

#[test]
fn a_distributor_that_names_no_product_is_told_from_real_ones() {
    for (iidr, real) in [(0x0200_143b, true), (0x0000_043b, false), (0, false)] {
        let regs = Regs::new(&[(0x008, iidr)], &[]);
        assert_eq!(
            Distributor::new(&regs, Version::V2).names_product(),
            real,
            "{iidr:#x}"
        );
    }
}

/// A redistributor with LPIs, whose registers read so beforehand.
fn with_lpis(init: &[(usize, u32)]) -> Regs {
    let mut all = vec![(0x0008, 1 << 4 | 1)];
    all.extend(init);
    Regs::new(&all, &[0x1_0000])
}

fn redistributor(regs: &Regs) -> Redistributor<&Regs> {
    Redistributor::find(regs, 0x2_0000, None, 0).unwrap()
}

#[test]
fn lpis_are_enabled_after_their_tables_are_told() {
    let ram = super::its::model::Ram::new();
    let tables = LpiTables::new(&ram, 1 << 16, true).unwrap();
    let regs = with_lpis(&[]);
    let cpu = tables.for_cpu().unwrap();
    redistributor(&regs).enable_lpis(&cpu).unwrap();
    // Inner shareable, write-back, 16 bits of id.
    assert_eq!(regs.read64(0x70), 0x4000_0000 | 1 << 10 | 7 << 7 | 15);
    // The same, empty, 64 KiB aligned behind the 56 KiB of configuration.
    assert_eq!(regs.read64(0x78), 1 << 62 | 0x4001_0000 | 1 << 10 | 7 << 7);
    assert_eq!(regs.get(0), 1);
    let last = *regs.written.borrow().last().unwrap();
    assert_eq!(last, (0, 1), "enabled before it knew its tables");
}

#[test]
fn lpis_that_firmware_left_on_are_taken_over_only_if_they_stop() {
    let ram = super::its::model::Ram::new();
    let tables = LpiTables::new(&ram, 1 << 16, false).unwrap();
    let cpu = tables.for_cpu().unwrap();
    let regs = with_lpis(&[(0, 1)]);
    redistributor(&regs).enable_lpis(&cpu).unwrap();
    assert_eq!(regs.written.borrow()[0], (0, 0));
    // Uncached, as was asked for.
    assert_eq!(regs.read64(0x70), 0x4000_0000 | 1 << 7 | 15);
    let mut regs = with_lpis(&[]);
    regs.stuck.insert(0, 1);
    assert_eq!(redistributor(&regs).enable_lpis(&cpu), Err(Error::Lpis));
    assert_eq!(regs.read64(0x70), 0, "tables were changed under LPIs");
    let none = Regs::new(&[(0x0008, 1 << 4)], &[0x1_0000]);
    assert_eq!(redistributor(&none).prepare_lpis(), Err(Error::Lpis));
}

#[test]
fn the_distributor_says_how_many_lpis_there_are() {
    let end = |typer, version| {
        let regs = Regs::new(&[(0x004, typer)], &[0]);
        Distributor::new(&regs, version).lpi_end()
    };
    let lpis = 1 << 17 | 15 << 19;
    assert_eq!(end(lpis, Version::V3), Some(1 << 16));
    // num_LPIs 9: 1024 of them.
    assert_eq!(end(lpis | 9 << 11, Version::V3), Some(8192 + 1024));
    assert_eq!(end(15 << 19, Version::V3), None);
    assert_eq!(end(lpis, Version::V2), None);
}

//! A walker written from the manual (DDI 0487 D8.2, D8.3), with nothing from
//! the crate but register fields and memory words; and helpers.
#![allow(dead_code)]

pub mod intervals;

use pgtable::{Arena, Attrs, Config, Granule, Memory, Pa, Publish, Stale, Table};
use std::convert::Infallible;

/// Where the arena pretends to be; above 4 GiB so that all address bits count.
pub const RAM: Pa = Pa(0x8_8000_0000);

/// Walkers that forget at once.
pub fn forget(_: Stale) -> Result<(), Infallible> {
    Ok(())
}

pub fn table(config: Config, bytes: usize) -> Table<Arena> {
    Table::new(config, Arena::new(RAM, bytes)).unwrap()
}

/// Ends a table and checks that every frame came back.
pub fn end<W: Publish>(table: Table<Arena<W>>)
where
    Arena<W>: Memory,
{
    let arena = table.destroy(forget).map_err(|(_, e)| e).unwrap();
    assert_eq!(arena.in_use(), 0, "frames lost");
}

/// What hardware finds: output address, descriptor bits but address and type,
/// bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub pa: u64,
    pub bits: u64,
    pub size: u64,
}

/// Walks as hardware does, from the register fields.
pub fn hardware(config: &Config, root: Pa, read: impl Fn(Pa) -> u64, ipa: u64) -> Option<Found> {
    let input = 64 - config.t0sz();
    if ipa >> input != 0 {
        return None;
    }
    let page = match config.tg0() {
        0 => 12,
        1 => 16,
        2 => 14,
        other => panic!("TG0 {other}"),
    };
    let mut level = match (config.tg0(), config.sl0()) {
        (0, sl0) => 2 - sl0,
        (_, sl0) => 3 - sl0,
    };
    let stride = page - 3;
    let mut table = root.0;
    let mut top = input;
    loop {
        let shift = page + (3 - level) * stride;
        let index = ipa >> shift & ((1 << (top - shift)) - 1);
        let word = read(Pa(table + index * 8));
        if word & 1 == 0 {
            return None;
        }
        let mut address = word & 0x0000_ffff_ffff_ffff & !((1 << page) - 1);
        if page == 16 && config.ps() == 6 {
            address |= (word >> 12 & 0xf) << 48;
        }
        let leaf = level == 3;
        if !leaf && word & 2 == 0 {
            assert!(
                level >= if page == 12 { 1 } else { 2 } || page == 16,
                "block at {level}"
            );
            let size = 1u64 << shift;
            assert_eq!(address & (size - 1), 0, "block address");
            return Some(found(word, address, ipa, size, page));
        }
        assert!(word & 2 != 0, "reserved at the last level");
        if leaf {
            return Some(found(word, address, ipa, 1 << shift, page));
        }
        table = address;
        top = shift;
        level += 1;
    }
}

fn found(word: u64, address: u64, ipa: u64, size: u64, page: u32) -> Found {
    let mut bits = word & 0x007f_0000_0000_0ffc;
    if page == 16 {
        bits &= !0xf000;
    }
    Found {
        pa: address | ipa & (size - 1),
        bits,
        size,
    }
}

/// The attribute bits that `attrs` must have become, for the tests' few.
pub fn bits(attrs: Attrs) -> u64 {
    use pgtable::{Access, Execute, MemoryType, Shareability};
    let memory = match attrs.memory() {
        MemoryType::Normal => 0xf,
        MemoryType::NonCacheable => 5,
        MemoryType::Device => 1,
        MemoryType::DeviceStrong => 0,
    };
    let access = match attrs.access() {
        Access::Read => 1,
        Access::Write => 2,
        Access::ReadWrite => 3,
    };
    let share = match attrs.shareability() {
        Shareability::Non => 0,
        Shareability::Outer => 2,
        Shareability::Inner => 3,
    };
    let xn = match attrs.execute() {
        Execute::All => 0,
        Execute::El0 => 1,
        Execute::None => 2,
        Execute::El1 => 3,
    };
    memory << 2 | access << 6 | share << 8 | 1 << 10 | xn << 53
}

/// Every shape worth trying: granule, input bits, output bits.
pub const SHAPES: &[(Granule, u32, u32)] = &[
    (Granule::K4, 32, 40),
    (Granule::K4, 34, 36),
    (Granule::K4, 35, 48),
    (Granule::K4, 39, 48),
    (Granule::K4, 40, 44),
    (Granule::K4, 43, 48),
    (Granule::K4, 44, 48),
    (Granule::K4, 48, 48),
    (Granule::K16, 32, 40),
    (Granule::K16, 36, 48),
    (Granule::K16, 40, 48),
    (Granule::K16, 41, 48),
    (Granule::K16, 48, 48),
    (Granule::K64, 32, 40),
    (Granule::K64, 42, 48),
    (Granule::K64, 46, 48),
    (Granule::K64, 48, 48),
    (Granule::K64, 48, 52),
    (Granule::K64, 52, 52),
];

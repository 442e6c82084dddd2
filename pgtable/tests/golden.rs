//! Words and fields worked out by hand from the manual (DDI 0487 D8.3,
//! D24.2.213), so that an error made twice is still seen.

mod common;

use common::{end, forget, table};
use pgtable::{
    Access, Attrs, Config, Error, Execute, Granule, Ipa, Lookup, MemoryType, Pa, Shareability,
    Table,
};

/// Enough for any test with 4K pages: filling it is most of what Miri does.
const BYTES: usize = if cfg!(miri) { 64 << 10 } else { 1 << 20 };

/// The descriptors on the way to `ipa`, by level, of a table with 4K pages
/// and the root at level 1.
fn words(table: &Table<pgtable::Arena>, ipa: u64) -> Vec<u64> {
    let mut at = table.root().0 + (ipa >> 30) * 8;
    let mut words = Vec::new();
    for shift in [21, 12, 0] {
        let word = table.memory().word(Pa(at)).unwrap();
        words.push(word);
        if word & 3 != 3 || shift == 0 {
            break;
        }
        at = (word & 0x0000_ffff_ffff_f000) + (ipa >> shift & 0x1ff) * 8;
    }
    words
}

fn leaf(attrs: Attrs, fwb: bool) -> u64 {
    let config = Config::new(Granule::K4, 40, 48).unwrap().with_fwb(fwb);
    let table = table(config, BYTES);
    table
        .map(Ipa(0x4000_0000), Pa(0x1234_5678_9000), 0x1000, attrs)
        .unwrap();
    assert_eq!(table.translate(Ipa(0x4000_0000)).unwrap().1, attrs);
    let word = *words(&table, 0x4000_0000).last().unwrap();
    end(table);
    word
}

#[test]
fn the_first_leaf_of_a_mapping_is_marked_in_a_bit_for_software() {
    let table = table(Config::new(Granule::K4, 40, 48).unwrap(), BYTES);
    let (ipa, block) = (0x4000_0000, 0x20_0000);
    table
        .map(Ipa(ipa), Pa(0x6000_0000), block, Attrs::RAM)
        .unwrap();
    table.mark_first(Ipa(ipa + 0x5000));
    table.mark_first(Ipa(ipa + block));
    table.mark_first(Ipa(1 << 40));
    // A block with bit 56; the next is not mapped, and stays so.
    assert_eq!(*words(&table, ipa).last().unwrap(), 0x0100_0000_6000_07fd);
    assert_eq!(*words(&table, ipa + block).last().unwrap(), 0);
    let attrs = |at| table.translate(Ipa(at)).unwrap().1;
    assert!(attrs(ipa).is_first());
    assert_eq!(attrs(ipa), Attrs::RAM, "allows what it did");
    // Of its parts only one is the first.
    table.split(Ipa(ipa), forget).unwrap();
    assert!(attrs(ipa).is_first() && !attrs(ipa + 0x1000).is_first());
    let gone = table.unmap(Ipa(ipa), 0x1000).unwrap();
    table.release(gone, forget).unwrap();
    table
        .map(Ipa(ipa), Pa(0x6000_0000), 0x1000, Attrs::RAM)
        .unwrap();
    assert!(!attrs(ipa).is_first(), "the mark went with the leaf");
    end(table);
}

#[test]
fn page_descriptors() {
    // MemAttr 1111, S2AP 11, SH 11, AF, XN 00.
    assert_eq!(leaf(Attrs::RAM, false), 0x0000_1234_5678_97ff);
    // MemAttr 0110 under FWB.
    assert_eq!(leaf(Attrs::RAM, true), 0x0000_1234_5678_97db);
    // MemAttr 0001, SH 10, XN 10, the same with FWB.
    assert_eq!(leaf(Attrs::DEVICE, false), 0x0040_1234_5678_96c7);
    assert_eq!(leaf(Attrs::DEVICE, true), 0x0040_1234_5678_96c7);
    // MemAttr 0101, read only, execute at EL1 only, not shared.
    let attrs = Attrs::new(MemoryType::NonCacheable, Access::Read, Execute::El1)
        .with_shareability(Shareability::Non);
    assert_eq!(leaf(attrs, false), 0x0060_1234_5678_9457);
    // MemAttr 0000, write only, execute at EL0 only, outer shareable.
    let attrs = Attrs::new(MemoryType::DeviceStrong, Access::Write, Execute::El0);
    assert_eq!(leaf(attrs, false), 0x0020_1234_5678_9683);
    // MemAttr 0001, write only, SH 10, XN 10, no AF.
    let attrs = Attrs::new(MemoryType::Device, Access::Write, Execute::None).devices_only();
    assert_eq!(leaf(attrs, false), 0x0040_1234_5678_9287);
    assert!(attrs.is_devices_only() && !Attrs::DEVICE.is_devices_only());
}

#[test]
fn blocks_tables_and_the_contiguous_hint() {
    let table = table(Config::new(Granule::K4, 40, 48).unwrap(), BYTES);
    table
        .map(Ipa(0x4000_0000), Pa(0x8000_0000), 1 << 30, Attrs::RAM)
        .unwrap();
    assert_eq!(words(&table, 0x4000_0000), [0x8000_07fd]);
    table
        .map(Ipa(0x8020_0000), Pa(0x4040_0000), 2 << 20, Attrs::DMA)
        .unwrap();
    let found = words(&table, 0x8020_0000);
    assert_eq!(
        found[0] & !0x0000_ffff_ffff_f000,
        3,
        "a table and nothing else"
    );
    assert_eq!(found[1], 0x0040_0000_4040_07fd);
    table
        .map(Ipa(0xc000_0000), Pa(0x1_0000), 0x1_1000, Attrs::RAM)
        .unwrap();
    assert_eq!(words(&table, 0xc000_0000)[2], 0x0010_0000_0001_07ff);
    assert_eq!(words(&table, 0xc000_f000)[2], 0x0010_0000_0001_f7ff);
    assert_eq!(words(&table, 0xc001_0000)[2], 0x0000_0000_0002_07ff);
    end(table);
}

#[test]
fn output_bits_51_to_48_are_in_bits_15_to_12() {
    let config = Config::new(Granule::K64, 48, 52).unwrap();
    let table = table(config, 512 << 10);
    table
        .map(Ipa(0), Pa(0x000a_0000_0001_0000), 0x1_0000, Attrs::RAM)
        .unwrap();
    let root = table.memory().word(table.root()).unwrap();
    let level2 = table
        .memory()
        .word(Pa(root & 0x0000_ffff_ffff_0000))
        .unwrap();
    let leaf = table
        .memory()
        .word(Pa(level2 & 0x0000_ffff_ffff_0000))
        .unwrap();
    assert_eq!(leaf, 0x0000_0000_0001_a7ff);
    assert_eq!(
        table.translate(Ipa(0x1234)).unwrap().0,
        Pa(0x000a_0000_0001_1234)
    );
    // Across a multiple of 2^48 the field does not just count up.
    table
        .map(
            Ipa(0x10_0000),
            Pa(0x0000_ffff_ffff_0000),
            0x2_0000,
            Attrs::RAM,
        )
        .unwrap();
    assert_eq!(
        table.translate(Ipa(0x11_0000)).unwrap().0,
        Pa(0x0001_0000_0000_0000)
    );
    end(table);
}

#[test]
fn register_fields() {
    let config = |granule, ipa, pa| Config::new(granule, ipa, pa).unwrap();
    let k4 = config(Granule::K4, 40, 44);
    // RES1, PS 100, TG0 00, SH0 11, ORGN0 01, IRGN0 01, SL0 01, T0SZ 24.
    assert_eq!(k4.vtcr(), 0x8004_3558);
    assert_eq!(
        (k4.start_level(), k4.concatenated(), k4.root_bytes()),
        (1, 2, 0x2000)
    );
    let k4 = config(Granule::K4, 48, 48);
    assert_eq!(
        (k4.start_level(), k4.sl0(), k4.t0sz(), k4.concatenated()),
        (0, 2, 16, 1)
    );
    let k4 = config(Granule::K4, 34, 40);
    assert_eq!((k4.start_level(), k4.sl0(), k4.concatenated()), (2, 0, 16));
    let k16 = config(Granule::K16, 48, 48);
    assert_eq!(
        (k16.start_level(), k16.sl0(), k16.tg0(), k16.concatenated()),
        (1, 2, 2, 2)
    );
    let k64 = config(Granule::K64, 52, 52);
    assert_eq!(
        (k64.start_level(), k64.sl0(), k64.tg0(), k64.ps()),
        (1, 2, 1, 6)
    );
    assert_eq!(config(Granule::K4, 40, 48).page_sizes(), 0x4020_1000);
    assert_eq!(config(Granule::K16, 40, 48).page_sizes(), 0x0200_4000);
    assert_eq!(config(Granule::K64, 48, 48).page_sizes(), 0x2001_0000);
}

#[test]
fn shapes_that_do_not_exist() {
    let new = |granule, ipa, pa| Config::new(granule, ipa, pa).unwrap_err();
    assert_eq!(new(Granule::K4, 31, 48), Error::InputSize(31));
    assert_eq!(new(Granule::K4, 49, 48), Error::InputSize(49));
    assert_eq!(new(Granule::K16, 52, 48), Error::InputSize(52));
    assert_eq!(new(Granule::K64, 52, 48), Error::InputSize(52));
    assert_eq!(new(Granule::K4, 40, 52), Error::OutputSize(52));
    assert_eq!(new(Granule::K4, 40, 41), Error::OutputSize(41));
}

#[test]
fn a_failed_invalidation_keeps_the_pages() {
    let mut table = table(Config::new(Granule::K4, 40, 48).unwrap(), BYTES);
    table.map(Ipa(0), Pa(0x1000), 2 << 20, Attrs::RAM).unwrap();
    let used = table.memory().in_use();
    let gone = table.unmap(Ipa(0), 2 << 20).unwrap();
    assert_eq!(table.release(gone, |_| Err("late")), Err("late"));
    assert_eq!(
        table.map(Ipa(0), Pa(0x1000), 0x1000, Attrs::RAM),
        Err(Error::Racing(Ipa(0))),
        "and the range"
    );
    table.map(Ipa(4 << 20), Pa(0), 0x1000, Attrs::RAM).unwrap();
    assert_eq!(
        table.memory().in_use(),
        used + 1,
        "the quarantined page is not the new one"
    );
    assert_eq!(table.reset(|_| Err("late")), Err("late"));
    assert_eq!(table.memory().in_use(), used + 1);
    table.reset(forget).unwrap();
    assert_eq!(table.memory().in_use(), 1);
    table.map(Ipa(0), Pa(0x1000), 0x1000, Attrs::RAM).unwrap();
    end(table);
}

#[test]
fn detached_values_name_what_to_forget() {
    let table = table(Config::new(Granule::K4, 40, 48).unwrap(), BYTES);
    table.map(Ipa(0), Pa(0x1000), 2 << 20, Attrs::RAM).unwrap();
    table
        .map(Ipa(0x80_0000), Pa(0), 2 << 20, Attrs::RAM)
        .unwrap();
    for (ipa, stride, tables) in [(0x80_0000, 2 << 20, false), (0, 0x1000, true)] {
        let gone = table.unmap(Ipa(ipa), 2 << 20).unwrap();
        let stale = gone.stale();
        assert_eq!((stale.ipa(), stale.len()), (Ipa(ipa), 2 << 20));
        assert_eq!((stale.stride(), stale.tables()), (stride, tables));
        let mut told = None;
        table
            .release(gone, |stale| {
                told = Some(stale);
                forget(stale)
            })
            .unwrap();
        assert_eq!(told, Some(stale));
    }
    end(table);
}

/// The short ways do what the long ones do, or nothing.
#[test]
fn one_page_goes_the_short_way_if_nothing_is_the_matter() {
    let config = Config::new(Granule::K4, 40, 48).unwrap().with_fwb(true);
    let table = table(config, BYTES);
    let leaf = config.leaf(Attrs::RAM);
    let (ipa, pa) = (Ipa(0x4000_1000), Pa(0x8000_1000));
    assert!(!table.map_page(ipa, pa, leaf), "no table yet");
    table.map(Ipa(0x4000_0000), pa, 0x1000, Attrs::RAM).unwrap();
    table
        .map(Ipa(0x4020_0000), Pa(0), 2 << 20, Attrs::RAM)
        .unwrap();
    for (ipa, pa) in [
        (0x4000_0000, pa.0),
        (0x4020_0000, pa.0),
        (0x4000_1800, pa.0),
        (0x4000_1000, pa.0 + 8),
        (0x4000_1000, 1 << 48),
        (1 << 40, pa.0),
        (u64::MAX - 0xfff, pa.0),
    ] {
        assert!(!table.map_page(Ipa(ipa), Pa(pa), leaf), "{ipa:#x}");
    }
    assert!(table.map_page(ipa, pa, leaf));
    let (long, short) = (words(&table, 0x4000_0000), words(&table, ipa.0));
    assert_eq!(long[2], short[2], "the same descriptor");
    for ipa in [0, 0x4000_2000, 0x4020_0000, 0x4000_1008, 1 << 40] {
        assert_eq!(table.unmap_page(Ipa(ipa), forget), None, "{ipa:#x}");
    }
    let mut told = None;
    let done = table.unmap_page(ipa, |stale| {
        told = Some((stale.ipa(), stale.len(), stale.stride(), stale.tables()));
        forget(stale)
    });
    assert_eq!(done, Some(Ok(())));
    assert_eq!(told, Some((ipa, 0x1000, 0x1000, false)));
    assert!(table.map_page(ipa, pa, leaf));
    end(table);
}

/// What pages, blocks and whole tables leave behind is nobody's until the
/// walkers have forgotten it.
#[test]
fn what_was_unmapped_is_out_of_use_until_it_is_released() {
    let table = table(Config::new(Granule::K4, 40, 48).unwrap(), BYTES);
    let big = 4 << 20;
    for (pa, len) in [(0x1000, 0x1000), (0x1000, big), (0, big), (0, 3 << 12)] {
        table.map(Ipa(0), Pa(pa), len, Attrs::RAM).unwrap();
        let gone = table.unmap(Ipa(0), len).unwrap();
        for ipa in [0, len - 0x1000] {
            let racing = Error::Racing(Ipa(ipa));
            assert_eq!(table.translate(Ipa(ipa)), None);
            assert_eq!(table.lookup(Ipa(ipa)), Lookup::Changing);
            let map = table.map(Ipa(ipa), Pa(0), 0x1000, Attrs::RAM);
            assert_eq!(map, Err(racing));
            let mut batch = table.batch(Attrs::RAM);
            assert_eq!(batch.map(Ipa(ipa), Pa(0), 0x1000), Err(racing));
            assert_eq!(table.unmap(Ipa(ipa), 0x1000).unwrap_err(), racing);
        }
        table.release(gone, forget).unwrap();
        assert_eq!(table.lookup(Ipa(0)), Lookup::Absent);
        table.map(Ipa(0), Pa(0x1000), len, Attrs::RAM).unwrap();
        let gone = table.unmap(Ipa(0), len).unwrap();
        table.release(gone, forget).unwrap();
        assert_eq!(table.lookup(Ipa(0)), Lookup::Absent);
    }
    table.map(Ipa(0), Pa(0), 0x1000, Attrs::RAM).unwrap();
    assert_eq!(table.unmap_page(Ipa(0), |_| Err("late")), Some(Err("late")));
    let map = table.map(Ipa(0), Pa(0), 0x1000, Attrs::RAM);
    assert_eq!(map, Err(Error::Racing(Ipa(0))));
    end(table);
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "never released")]
fn a_forgotten_detached_is_noticed() {
    let table = table(Config::new(Granule::K4, 40, 48).unwrap(), BYTES);
    table.map(Ipa(0), Pa(0x1000), 0x1000, Attrs::RAM).unwrap();
    drop(table.unmap(Ipa(0), 0x1000));
}

#[test]
fn the_dump_joins_what_continues() {
    let table = table(Config::new(Granule::K4, 40, 48).unwrap(), BYTES);
    table
        .map(Ipa(0x4000_0000), Pa(0x8000_0000), 4 << 20, Attrs::RAM)
        .unwrap();
    table
        .map(Ipa(0x900_0000), Pa(0x900_0000), 0x1000, Attrs::DEVICE)
        .unwrap();
    let text = table.dump().to_string();
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].ends_with("4 KiB pages, 40 bits in, 48 bits out, root at level 1"),
        "{text}"
    );
    assert!(
        lines[1].starts_with("0x000009000000-0x000009000fff -> 0x000009000000 Device"),
        "{text}"
    );
    assert!(lines[2].ends_with("2 x 2048 KiB"), "{text}");
    assert_eq!(lines.len(), 3);
    end(table);
}

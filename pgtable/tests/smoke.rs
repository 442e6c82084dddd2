//! The shortest account of what the crate does.

use pgtable::{Arena, Attrs, Config, Error, Granule, Ipa, Pa, Table};
use std::convert::Infallible;

const RAM: Pa = Pa(0x8000_0000);

fn table(granule: Granule, ipa_bits: u32) -> Table<Arena> {
    let config = Config::new(granule, ipa_bits, 48).unwrap();
    // Filling the arena is most of what Miri would do otherwise.
    let bytes = if cfg!(miri) { 128 << 10 } else { 8 << 20 };
    Table::new(config, Arena::new(RAM, bytes)).unwrap()
}

fn forget(_: pgtable::Stale) -> Result<(), Infallible> {
    Ok(())
}

#[test]
fn a_page_is_mapped_translated_and_unmapped() {
    let table = table(Granule::K4, 40);
    table
        .map(Ipa(0x4000_0000), Pa(0x1_2345_6000), 0x1000, Attrs::RAM)
        .unwrap();
    assert_eq!(
        table.translate(Ipa(0x4000_0abc)),
        Some((Pa(0x1_2345_6abc), Attrs::RAM, 0x1000))
    );
    assert_eq!(table.translate(Ipa(0x4000_1000)), None);
    let gone = table.unmap(Ipa(0x4000_0000), 0x1000).unwrap();
    assert_eq!(gone.stale().ipa(), Ipa(0x4000_0000));
    assert_eq!(gone.stale().len(), 0x1000);
    table.release(gone, forget).unwrap();
    assert_eq!(table.translate(Ipa(0x4000_0000)), None);
    let arena = table.destroy(forget).map_err(|(_, e)| e).unwrap();
    assert_eq!(arena.in_use(), 0);
}

/// A reset takes away what was claimed. Releasing that later must not touch what
/// others mapped there since.
#[test]
#[cfg_attr(debug_assertions, should_panic(expected = "another table"))]
fn what_was_detached_before_a_reset_is_void() {
    let mut table = table(Granule::K4, 40);
    let (ipa, len) = (Ipa(0x4000_0000), 0x1000);
    table.map(ipa, RAM, len, Attrs::RAM).unwrap();
    let gone = table.unmap(ipa, len).unwrap();
    table.reset(forget).unwrap();
    table.map(ipa, RAM, len, Attrs::RAM).unwrap();
    table.release(gone, forget).unwrap();
    assert_eq!(table.translate(ipa), Some((RAM, Attrs::RAM, len)));
}

#[test]
fn a_gigabyte_takes_one_block_and_an_odd_range_takes_all_sizes() {
    let table = table(Granule::K4, 40);
    table
        .map(Ipa(0x4000_0000), Pa(0x4000_0000), 1 << 30, Attrs::RAM)
        .unwrap();
    assert_eq!(table.translate(Ipa(0x7fff_ffff)).unwrap().2, 1 << 30);
    let start = 0x8000_0000 - 0x20_1000 + (1 << 30);
    table
        .map(Ipa(start), Pa(start), 0x40_2000, Attrs::DMA)
        .unwrap();
    assert_eq!(table.translate(Ipa(start)).unwrap().2, 0x1000);
    assert_eq!(table.translate(Ipa(start + 0x1000)).unwrap().2, 2 << 20);
    assert_eq!(table.translate(Ipa(start + 0x40_1000)).unwrap().2, 0x1000);
    assert_eq!(
        table.unmap(Ipa(start), 0x1_0000).unwrap_err(),
        Error::Partial(Ipa(start + 0x1000))
    );
    let gone = table.unmap(Ipa(0x4000_0000), 1 << 30).unwrap();
    table.release(gone, forget).unwrap();
    let gone = table.unmap(Ipa(start), 0x40_2000).unwrap();
    table.release(gone, forget).unwrap();
    assert!(table.destroy(forget).is_ok_and(|arena| arena.in_use() == 0));
}

#[test]
fn a_table_goes_with_its_last_page_and_comes_back() {
    let table = table(Granule::K4, 40);
    let bare = table.memory().in_use();
    for _ in 0..3 {
        table
            .map(Ipa(0x20_0000), Pa(0x1000), 2 << 20, Attrs::RAM)
            .unwrap();
        assert_eq!(table.memory().in_use(), bare + 2);
        let gone = table.unmap(Ipa(0x20_0000), 2 << 20).unwrap();
        assert!(gone.stale().tables());
        assert_eq!(table.memory().in_use(), bare + 2, "still known to walkers");
        table.release(gone, forget).unwrap();
        assert_eq!(table.memory().in_use(), bare + 1);
    }
    assert!(table.destroy(forget).is_ok_and(|arena| arena.in_use() == 0));
}

#[test]
fn a_closed_table_goes_a_few_frames_at_a_time() {
    let shapes = [
        (Granule::K4, 40),
        (Granule::K4, 48),
        (Granule::K4, 34),
        (Granule::K16, 40),
        (Granule::K64, 40),
    ];
    let most = if cfg!(miri) { 1 } else { shapes.len() };
    for (granule, bits) in shapes.into_iter().take(most) {
        let table = table(granule, bits);
        let page = table.config().page_size();
        let block = page * page / 8;
        for n in 0..4 {
            table
                .map(Ipa(2 * n * block), Pa(page), page, Attrs::RAM)
                .unwrap();
        }
        // Pages that no walker has forgotten are among them.
        table
            .map(Ipa(9 * block), Pa(page), block, Attrs::RAM)
            .unwrap();
        let gone = table.unmap(Ipa(9 * block), block).unwrap();
        assert!(gone.stale().tables());
        table.release(gone, |_| Err(())).unwrap_err();
        let (table, late) = table.close(|_| Err("late")).err().unwrap();
        assert_eq!(late, "late");
        assert!(table.translate(Ipa(0)).is_some(), "nothing has changed");
        let mut stale = None;
        let closed = table.close(|all| {
            stale = Some((all.ipa(), all.len(), all.tables()));
            Ok::<_, ()>(())
        });
        let mut remains = closed.ok().unwrap();
        assert_eq!(stale, Some((Ipa(0), 1 << bits, true)));
        let mut calls = 1;
        loop {
            let before = remains.memory().in_use();
            let done = remains.free_some(64);
            let frames = before - remains.memory().in_use();
            let most = if done { 4 + (1 << 4) } else { 4 };
            assert!(frames <= most, "{frames} at once");
            if done {
                break;
            }
            calls += 1;
        }
        assert_eq!(remains.memory().in_use(), 0);
        assert!(remains.free_some(1), "and stays so");
        assert!(calls > 1);
    }
}

#[test]
fn errors_name_the_page_and_change_nothing() {
    let table = table(Granule::K16, 36);
    table
        .map(Ipa(0x8_0000), Pa(0x4000), 0x4000, Attrs::RAM)
        .unwrap();
    let used = table.memory().in_use();
    let map = |ipa, pa, len| table.map(Ipa(ipa), Pa(pa), len, Attrs::RAM);
    assert_eq!(
        map(0, 0, 0x10_0000),
        Err(Error::AlreadyMapped(Ipa(0x8_0000)))
    );
    assert_eq!(table.translate(Ipa(0)), None);
    assert_eq!(map(0x1000, 0, 0x4000), Err(Error::Misaligned(0x1000)));
    assert_eq!(map(0, 0x1000, 0x4000), Err(Error::Misaligned(0x1000)));
    assert_eq!(map(0, 0, 0x1000), Err(Error::Misaligned(0x1000)));
    assert_eq!(map(0, 0, 0), Err(Error::Empty));
    assert_eq!(
        map(1 << 36, 0, 0x4000),
        Err(Error::IpaTooLarge(Ipa(1 << 36)))
    );
    assert_eq!(
        map(!0x3fff, 0, 0x8000),
        Err(Error::IpaTooLarge(Ipa(!0x3fff)))
    );
    assert_eq!(map(0, 1 << 48, 0x4000), Err(Error::PaTooLarge(Pa(1 << 48))));
    assert_eq!(map(0, !0x3fff, 0x8000), Err(Error::PaTooLarge(Pa(!0x3fff))));
    assert_eq!(
        table.unmap(Ipa(0x8_0000), 0x8000).unwrap_err(),
        Error::NotMapped(Ipa(0x8_4000))
    );
    assert!(table.translate(Ipa(0x8_0000)).is_some());
    assert_eq!(table.memory().in_use(), used);
}

//! Lists and batches.

use super::*;

#[test]
fn lists_in_one_call_read_each_entry_once() {
    let guest = Guest::new();
    let domain = guest.domain();
    let entries: Vec<_> = (0..256u64)
        .map(|n| (RAM + (n * 7 % 4096) * PAGE, PAGE))
        .collect();
    let list = guest.list(&entries);
    guest.ram.scribble.set(true);
    let reply = guest.call(Request::MapSg {
        domain,
        iova: BLOCK,
        list,
        count: 256,
        prot: RW,
    });
    assert_eq!(reply, [0, 256, 256 * PAGE, 0]);
    assert_eq!(guest.ram.reads.get(), 4, "chunks of 64, no second read");
    for (n, (address, _)) in entries.iter().enumerate() {
        let iova = BLOCK + n as u64 * PAGE;
        let found = translate(&guest.dma, domain, iova).unwrap().0;
        let pa = if *address < RAM_SPLIT {
            RAM_PA + address - RAM
        } else {
            RAM_PA2 + address - RAM_SPLIT
        };
        assert_eq!(found, pa);
    }
}

#[test]
fn lists_unmap_with_one_invalidation() {
    let guest = Guest::new();
    let domain = guest.domain();
    for n in 1..=40 {
        let reply = guest.call(Request::Map {
            domain,
            iova: 2 * n * PAGE,
            ipa: RAM,
            size: PAGE,
            prot: RW,
        });
        assert_eq!(reply, [0, PAGE, 0, 0]);
    }
    let entries: Vec<_> = (1..=40).map(|n| (2 * n * PAGE, PAGE)).collect();
    let list = guest.list(&entries);
    guest.dma.outside().take();
    let reply = guest.call(Request::UnmapSg {
        domain,
        list,
        count: 40,
        flags: UnmapFlags::empty(),
    });
    assert_eq!(reply, [0, 40, 40 * PAGE, 0]);
    let told = guest.dma.outside().take();
    assert!(matches!(&told[..], [Told::Invalidate(_, ranges)] if ranges.len() == 40));
}

#[test]
fn entries_that_adjoin_are_unmapped_together_and_judged_alone() {
    let guest = Guest::new();
    let domain = guest.domain();
    let unmap = |entries: &[(u64, u64)]| {
        let list = guest.list(entries);
        guest.call(Request::UnmapSg {
            domain,
            list,
            count: entries.len() as u32,
            flags: UnmapFlags::empty(),
        })
    };
    let map = |pages: u64| {
        let reply = guest.call(Request::Map {
            domain,
            iova: PAGE,
            ipa: RAM,
            size: pages * PAGE,
            prot: RW,
        });
        assert_eq!(reply, [0, pages * PAGE, 0, 0]);
    };
    let pages = |from: u64, to: u64| (from..to).map(|n| (n * PAGE, PAGE)).collect::<Vec<_>>();
    map(20);
    guest.dma.outside().take();
    assert_eq!(unmap(&pages(1, 21)), [0, 20, 20 * PAGE, 0]);
    let told = guest.dma.outside().take();
    assert!(matches!(&told[..], [Told::Invalidate(_, ranges)] if ranges.len() == 1));
    // A hole among them, or an entry that makes no sense: what comes before is done.
    map(2);
    let missing = code(Status::NotFound);
    assert_eq!(unmap(&pages(1, 5)), [missing, 2, 2 * PAGE, 0]);
    map(3);
    assert_eq!(
        unmap(&[(PAGE, 2 * PAGE), (3 * PAGE, 2 * PAGE)]),
        [missing, 1, 3 * PAGE, PAGE]
    );
    let invalid = code(Status::InvalidParameter);
    for bad in [0, 0x800, !0xfff] {
        map(3);
        let entries = [(PAGE, PAGE), (2 * PAGE, PAGE), (3 * PAGE, bad)];
        assert_eq!(unmap(&entries), [invalid, 2, 2 * PAGE, 0], "{bad:#x}");
        assert_eq!(unmap(&pages(3, 4)), [0, 1, PAGE, 0]);
    }
}

#[test]
fn bad_lists_get_codes() {
    let guest = Guest::new();
    let domain = guest.domain();
    let list = guest.list(&[(RAM, PAGE), (0x123_0000, PAGE), (RAM, PAGE)]);
    let call = |list, count| {
        guest.call(Request::MapSg {
            domain,
            iova: 0,
            list,
            count,
            prot: RW,
        })
    };
    for (at, count) in [(list + 8, 1), (list, 0), (list, 257), (list, u32::MAX)] {
        assert_eq!(call(at, count), [code(Status::InvalidParameter), 0, 0, 0]);
    }
    for at in [0, RAM + RAM_PAGES as u64 * PAGE, u64::MAX - 0xfff] {
        assert_eq!(call(at, 1), [code(Status::Denied), 0, 0, 0]);
    }
    assert_eq!(call(list, 3), [code(Status::Denied), 1, PAGE, 0]);
    assert!(translate(&guest.dma, domain, 0).is_some());
    assert!(translate(&guest.dma, domain, 2 * PAGE).is_none());
}

#[test]
fn batches_do_what_they_can_and_say_what_they_could_not() {
    let guest = Guest::new();
    let domain = guest.domain();
    let map = |iova, ipa, size| BatchEntry {
        op: BatchOp::Map as u16,
        prot: RW.bits(),
        domain,
        iova,
        ipa,
        size,
    };
    let unmap = |iova, prot| BatchEntry {
        op: BatchOp::Unmap as u16,
        prot,
        domain,
        iova,
        ipa: 0,
        size: PAGE,
    };
    guest.dma.outside().take();
    let (reply, statuses) = guest.batch(&[
        map(0x1000, RAM, PAGE),
        map(0x2000, 0x1234_5000, PAGE),
        map(0x1000, RAM, PAGE),
        map(0x10_0000, RAM + RAM_SIZE - PAGE, 3 * PAGE),
        BatchEntry {
            op: 9,
            ..map(0, 0, 0)
        },
        map(0, RAM, 513 * PAGE),
        unmap(0x1000, 0),
        unmap(0x1000, 2),
        map(0x3000, RAM, PAGE),
        unmap(0x3000, UNMAP_LAZY_PROT),
    ]);
    assert_eq!(reply, [0, 10, 6, 0]);
    assert_eq!(statuses, [0, -6, -8, -6, -3, -3, 0, -3, 0, 0]);
    assert!(
        translate(&guest.dma, domain, 0x10_0000).is_none(),
        "whole or not at all"
    );
    let told = guest.dma.outside().take();
    assert!(told.iter().any(
        |told| matches!(told, Told::Invalidate(_, ranges) if ranges.contains(&(0x1000, PAGE)))
    ));
}

#[test]
fn a_batch_stops_at_the_bound_and_goes_on_from_there() {
    let guest = Guest::new();
    let domain = guest.domain();
    let entries: Vec<_> = (0..5u64)
        .map(|n| BatchEntry {
            op: BatchOp::Map as u16,
            prot: RW.bits(),
            domain,
            iova: n * BLOCK,
            ipa: RAM + PAGE,
            size: 200 * PAGE,
        })
        .collect();
    let (reply, _) = guest.batch(&entries);
    assert_eq!(reply, [0, 2, 0, 0]);
    let reply = guest.call(Request::Batch {
        page: RAM + 2 * PAGE,
        count: 5,
        first: 2,
    });
    assert_eq!(reply, [0, 4, 0, 0]);
    for (page, count, first) in [
        (RAM + 8, 1, 0),
        (RAM, 113, 0),
        (RAM, 0, 0),
        (RAM, 5, 5),
        (RAM, 5, u32::MAX),
    ] {
        let reply = guest.call(Request::Batch { page, count, first });
        assert_eq!(reply, [code(Status::InvalidParameter), 0, 0, 0]);
    }
    let reply = guest.call(Request::Batch {
        page: 0,
        count: 1,
        first: 0,
    });
    assert_eq!(reply, [code(Status::Denied), 0, 0, 0]);
}

//! Calls that take long.

use super::*;

/// A list of pieces of two pages, none of which adjoins the next: each is work of its own.
fn pieces(count: u64, address: impl Fn(u64) -> u64) -> Vec<(u64, u64)> {
    (0..count).map(|n| (address(n), 2 * PAGE)).collect()
}

#[test]
fn calls_that_an_interrupt_cuts_short_say_how_far_they_came() {
    const COUNT: u64 = 100;
    let guest = Guest::new();
    let domain = guest.domain();
    guest.dma.outside().patience.store(1, Ordering::Relaxed);
    // As a driver goes on: by what was reported.
    let whole = |entries: Vec<(u64, u64)>, call: &dyn Fn(u64, u32, u64) -> Request| {
        let (mut done, mut bytes, mut calls) = (0, 0, 0);
        while done < entries.len() {
            let rest = &entries[done..];
            let list = guest.list(rest);
            let reply = guest.call(call(list, rest.len() as u32, bytes));
            let [0, now @ 1..=COUNT, more, 0] = reply else {
                panic!("{reply:?} after {done}")
            };
            done += now as usize;
            bytes += more;
            calls += 1;
        }
        assert_eq!(bytes, COUNT * 2 * PAGE);
        calls
    };
    let map = |list, count, bytes| Request::MapSg {
        domain,
        iova: BLOCK + bytes,
        list,
        count,
        prot: RW,
    };
    let calls = whole(pieces(COUNT, |n| RAM + (COUNT - n) * 4 * PAGE), &map);
    assert_eq!(calls, COUNT, "one piece for each interrupt");
    let unmap = |list, count, _| Request::UnmapSg {
        domain,
        list,
        count,
        flags: UnmapFlags::empty(),
    };
    let back = pieces(COUNT, |n| BLOCK + (COUNT - 1 - n) * 2 * PAGE);
    assert_eq!(whole(back, &unmap), COUNT);
    let entry = |n| BatchEntry {
        op: BatchOp::Map as u16,
        prot: RW.bits(),
        domain,
        iova: n * BLOCK,
        ipa: RAM,
        size: PAGE,
    };
    let (reply, statuses) = guest.batch(&[1, 2, 3].map(entry));
    assert_eq!((reply, statuses[0]), ([0, 1, 0, 0], 0));
    for n in [1, 2, 3] {
        let found = translate(&guest.dma, domain, n * BLOCK);
        assert_eq!(found.is_some(), n == 1);
    }
}

#[test]
fn a_long_call_is_made_again_until_it_is_done() {
    let guest = Guest::new();
    let domain = guest.domain();
    for n in 1..=40 {
        let map = Request::Map {
            domain,
            iova: n * BLOCK,
            ipa: RAM,
            size: PAGE,
            prot: RW,
        };
        assert_eq!(guest.call(map), [0, PAGE, 0, 0]);
    }
    guest.dma.outside().patience.store(1, Ordering::Relaxed);
    let calls = Calls::new(&guest.dma, &guest.ram);
    let registers = Request::DomainFree { domain }.encode();
    let times = (1..).find(|_| calls.handle(&registers).is_some());
    assert!(times > Some(10), "{times:?}");
    assert_eq!(
        guest.call(Request::DomainFree { domain }),
        [code(Status::NotFound), 0, 0, 0]
    );
}

use super::*;
use crate::dma::VmDma;
use crate::dma::testing::*;
use proptest::prelude::*;
use stagegate_abi::*;
use std::sync::atomic::Ordering;
use std::vec::Vec;

struct Guest {
    dma: VmDma<Machine>,
    ram: Ram,
}

impl Guest {
    fn new() -> Self {
        Self {
            dma: vm(),
            ram: Ram::new(),
        }
    }

    fn call(&self, request: Request) -> [u64; 4] {
        self.raw(request.encode())
    }

    fn raw(&self, registers: [u64; 8]) -> [u64; 4] {
        let calls = Calls::new(&self.dma, &self.ram);
        let again = || calls.handle(&registers);
        std::iter::repeat_with(again).flatten().next().unwrap().0
    }

    fn domain(&self) -> u32 {
        let [status, id, ..] = self.call(Request::DomainAlloc {
            flags: AllocFlags::empty(),
        });
        assert_eq!(status, 0);
        id as u32
    }

    fn list(&self, entries: &[(u64, u64)]) -> u64 {
        for (index, (address, size)) in entries.iter().enumerate() {
            let entry = ListEntry {
                address: *address,
                size: *size,
            };
            self.ram
                .put(RAM + PAGE + 16 * index as u64, entry.as_bytes());
        }
        RAM + PAGE
    }

    fn batch(&self, entries: &[BatchEntry]) -> ([u64; 4], Vec<i32>) {
        self.ram.put(RAM + 2 * PAGE, entries.as_bytes());
        let reply = self.call(Request::Batch {
            page: RAM + 2 * PAGE,
            count: entries.len() as u32,
            first: 0,
        });
        let statuses = self
            .ram
            .get(RAM + 2 * PAGE + BATCH_STATUS_OFFSET, 4 * entries.len());
        let statuses = statuses
            .chunks(4)
            .map(|word| i32::from_le_bytes(word.try_into().unwrap()))
            .collect();
        (reply, statuses)
    }
}

const RW: Prot = Prot::READ.union(Prot::WRITE);

fn code(status: Status) -> u64 {
    status.to_register()
}

#[test]
fn who_are_you() {
    let guest = Guest::new();
    assert_eq!(guest.call(Request::CallUid), UID.map(u64::from));
    assert_eq!(guest.call(Request::Revision), [1, 0, 0, 0]);
    assert_eq!(
        guest.raw([0x8601_ff01, 1, 2, 3, 4, 5, 6, 7]),
        UID.map(u64::from)
    );
    let [functions, flags, sizes, limits] = guest.call(Request::Features);
    assert_eq!(functions, 0xffff);
    assert_eq!(flags, 0x3f);
    assert_eq!(sizes, 0x4020_1000);
    assert_eq!(limits, 0x0100_0000 | 39);
    assert_eq!(
        guest.raw([0xc600_0200, 0, 0, 0, 0, 0, 0, 0]),
        [u64::MAX, 0, 0, 0]
    );
    assert!(is_ours(0xc601_0106) && !is_ours(0xc600_0010));
}

#[test]
fn a_life_of_a_domain() {
    let guest = Guest::new();
    let domain = guest.domain();
    let endpoint = 0x8;
    assert_eq!(guest.call(Request::Attach { domain, endpoint }), [0; 4]);
    let [status, flags, id, power] = guest.call(Request::DeviceInfo { endpoint });
    assert_eq!((status, id, power), (0, u64::from(domain), 1));
    assert_eq!(flags, 0b01111);
    let map = Request::Map {
        domain,
        iova: 0x1000,
        ipa: RAM,
        size: 2 * PAGE,
        prot: RW,
    };
    assert_eq!(guest.call(map), [0, 2 * PAGE, 0, 0]);
    assert_eq!(guest.call(map), [code(Status::Exists), 0, 0, 0]);
    assert_eq!(
        translate(&guest.dma, domain, 0x2000).unwrap().0,
        RAM_PA + PAGE
    );
    let unmap = |flags| Request::Unmap {
        domain,
        iova: 0x1000,
        size: 2 * PAGE,
        flags,
    };
    assert_eq!(guest.call(unmap(UnmapFlags::LAZY)), [0, 2 * PAGE, 0, 0]);
    assert_eq!(guest.call(Request::Sync { domain }), [0; 4]);
    assert_eq!(
        guest.call(Request::Sync { domain }),
        [code(Status::NotRequired), 0, 0, 0]
    );
    assert_eq!(
        guest.call(unmap(UnmapFlags::empty())),
        [code(Status::NotFound), 0, 0, 0]
    );
    assert_eq!(
        guest.call(Request::DomainFree { domain }),
        [code(Status::Busy), 0, 0, 0]
    );
    assert_eq!(guest.call(Request::Detach { domain, endpoint }), [0; 4]);
    assert_eq!(guest.call(Request::DomainFree { domain }), [0; 4]);
}

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

#[test]
fn power_statistics_and_events() {
    let guest = Guest::new();
    let endpoint = 0x10;
    let set = |state| guest.call(Request::PowerSet { endpoint, state });
    assert_eq!(set(PowerState::On), [0; 4]);
    guest
        .dma
        .outside()
        .dead
        .store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(set(PowerState::On), [code(Status::PoweredOff), 0, 0, 0]);
    assert_eq!(guest.call(Request::PowerGet { endpoint }), [0, 1, 2, 0]);
    assert_eq!(
        guest.call(Request::PowerGet { endpoint: 1 }),
        [code(Status::NotFound), 0, 0, 0]
    );
    let page = StatsPage::SmmuWork;
    assert_eq!(guest.call(Request::Stats { endpoint, page }), [0, 1, 3, 7]);
    assert_eq!(
        guest.call(Request::EventGet),
        [code(Status::NotRequired), 0, 0, 0]
    );
    let event = Event {
        reason: EventReason::Mapping,
        flags: EventFlags::READ | EventFlags::ADDRESS,
        endpoint,
        iova: 0x5000,
    };
    guest.dma.events.push(event);
    let [status, word, endpoint, iova] = guest.call(Request::EventGet);
    assert_eq!(status, 0);
    assert_eq!(Event::from_words(word, endpoint, iova), event);
}

fn hostile_word() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(u64::MAX),
        0..64u64,
        (0..0x2000u64).prop_map(|n| RAM + n * 0x800),
        (0..64u64).prop_map(|n| n * PAGE),
        (0..64u32).prop_map(|n| 1 << n),
        any::<u64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 16 }))]

    /// Whatever the registers and pages hold: no panic, a status, and nothing mapped that is not owned.
    #[test]
    fn hostile_guests_get_codes(
        page in proptest::collection::vec(any::<u8>(), 4096),
        calls in proptest::collection::vec((0..20u64, [hostile_word(), hostile_word(), hostile_word(),
            hostile_word(), hostile_word(), hostile_word(), hostile_word()]), 1..60),
    ) {
        let guest = Guest::new();
        guest.ram.put(RAM + PAGE, &page);
        for _ in 0..3 {
            guest.domain();
        }
        for (function, [x1, x2, x3, x4, x5, x6, x7]) in calls {
            let [x0, ..] = guest.raw([0xc600_0100 + function, x1, x2, x3, x4, x5, x6, x7]);
            let status = x0 as i64;
            prop_assert!(status >= -11, "{status}");
        }
        for id in 0..3 {
            if guest.dma.hold(id).unwrap().as_ref().is_some_and(|domain| domain.table().is_some()) {
                for page in 0..64 {
                    if let Some((pa, ..)) = translate(&guest.dma, id, page * PAGE) {
                        prop_assert!((RAM_PA..RAM_PA + RAM_SIZE).contains(&pa)
                            || (RAM_PA2..RAM_PA2 + RAM_SIZE).contains(&pa)
                            || pa == 0xa000_0000
                            || (DEVICE_PA..DEVICE_PA + 4 * PAGE).contains(&pa));
                    }
                }
            }
        }
        guest.dma.stop(|| ()).unwrap();
    }
}

mod lists;
mod long;

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

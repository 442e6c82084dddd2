//! Batch pages.

use super::input::Input;
use super::machine::{RAM, Ram, end, vm};
use hypervisor::hypercall::Calls;
use stagegate_abi::{BATCH_MAX, BatchEntry, Request};

/// The first three bytes are flags, the number of entries and which is first. The others are the page,
/// or what its entries are made of; it is carried out to its end.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let [how, count, first] = input.bytes();
    let (vm, ram) = (vm(), Ram::new(input.0, how & 1 != 0));
    if how & 2 == 0 {
        entries(&mut input, &ram, count);
    }
    let calls = Calls::new(&vm, &ram);
    let (count, mut first) = (u32::from(count), u32::from(first));
    for _ in 0..=BATCH_MAX {
        let [status, next, failed, _] = calls
            .answer(Request::Batch {
                page: RAM,
                count,
                first,
            })
            .0;
        vm.outside().smmu().look();
        if status != 0 {
            break;
        }
        assert!(next > u64::from(first), "a batch makes progress");
        assert!(next <= u64::from(count) && failed <= next);
        first = u32::try_from(next).expect("not above the count");
        if first == count {
            break;
        }
    }
    end(&vm);
}

/// Maps, unmaps and syncs, most of which make sense.
fn entries(input: &mut Input<'_>, ram: &Ram, count: u8) {
    const ENTRY: u64 = size_of::<BatchEntry>() as u64;
    for entry in 0..u64::from(count).min(BATCH_MAX.into()) {
        let [op, flags] = input.bytes();
        let domain = u64::from(input.domain());
        let (flags, rest) = match op % 8 {
            0 => (0, [0; 3]),
            n if n % 2 == 0 => (flags & 1, [input.iova(), 0, input.size()]),
            _ => (flags & 0xf, [input.iova(), input.ipa(), input.size()]),
        };
        let op = match op % 8 {
            0 => 3,
            n if n % 2 == 0 => 2,
            _ => 1,
        };
        let head = op | u64::from(flags) << 16 | domain << 32;
        ram.put(RAM + entry * ENTRY, [head, rest[0], rest[1], rest[2]]);
    }
}

//! List pages.

use super::input::Input;
use super::machine::{PAGE, RAM, Ram, end, vm};
use hypervisor::hypercall::Calls;
use stagegate_abi::{LIST_MAX, ListEntry, Prot, Request, UnmapFlags};

/// The first four bytes are flags, the number of entries, domain and IOVA. The others are the page, or
/// what its entries are made of; it is mapped, then unmapped as a list of IOVAs.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let [how, count, domain, iova] = input.bytes();
    let (vm, ram) = (vm(), Ram::new(input.0, how & 1 != 0));
    let calls = Calls::new(&vm, &ram);
    let (domain, count) = (u32::from(domain % 3), u32::from(count) + 1);
    let raw = how & 4 != 0;
    if !raw {
        entries(&mut input, &ram, RAM, count, |input| input.ipa());
    }
    let map = Request::MapSg {
        domain,
        iova: u64::from(iova) * PAGE,
        list: RAM,
        count,
        prot: Prot::READ,
    };
    let [status, done, bytes, extra] = calls.answer(map).0;
    vm.outside().smmu().look();
    assert!(done <= u64::from(count) && extra <= bytes, "{status:x}");
    assert!(bytes <= 512 * (1 << 30));
    if !raw {
        // Where it was mapped: from there on.
        let base = u64::from(iova % 0xf0);
        entries(&mut input, &ram, RAM, count, |input| {
            (base + u64::from(input.byte())) * PAGE
        });
    }
    let flags = UnmapFlags::from_bits_truncate(u64::from(how >> 1));
    let _ = calls.answer(Request::UnmapSg {
        domain,
        list: RAM,
        count,
        flags,
    });
    vm.outside().smmu().look();
    end(&vm);
}

/// Puts a list at `at`: `count` entries, as far as there is room for them.
pub fn entries(
    input: &mut Input<'_>,
    ram: &Ram,
    at: u64,
    count: u32,
    address: impl Fn(&mut Input<'_>) -> u64,
) {
    for entry in 0..u64::from(count.min(LIST_MAX)) {
        let place = at + entry * size_of::<ListEntry>() as u64;
        ram.put(place, [address(input), input.size()]);
    }
}

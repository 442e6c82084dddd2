//! List pages.

use super::input::Input;
use super::machine::{PAGE, RAM, Ram, vm};
use hypervisor::hypercall::Calls;
use stagegate_abi::{Prot, Request, UnmapFlags};

/// The bytes after the first four are the page; it is mapped, then unmapped as a list of IOVAs.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let [scribble, count, domain, iova] = input.bytes();
    let (vm, ram) = (vm(), Ram::new(input.0, scribble & 1 != 0));
    let calls = Calls::new(&vm, &ram);
    let (domain, count) = (u32::from(domain % 3), u32::from(count) + 1);
    let map = Request::MapSg {
        domain,
        iova: u64::from(iova) * PAGE,
        list: RAM,
        count,
        prot: Prot::READ,
    };
    let [status, entries, bytes, extra] = calls.answer(map).0;
    assert!(entries <= u64::from(count) && extra <= bytes, "{status:x}");
    assert!(bytes <= 512 * (1 << 30));
    let flags = UnmapFlags::from_bits_truncate(u64::from(scribble >> 1));
    let _ = calls.answer(Request::UnmapSg {
        domain,
        list: RAM,
        count,
        flags,
    });
    vm.stop().expect("the SMMU answers");
}

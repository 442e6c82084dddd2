//! Batch pages.

use super::input::Input;
use super::machine::{RAM, Ram, vm};
use hypervisor::hypercall::Calls;
use stagegate_abi::{BATCH_MAX, Request};

/// The bytes after the first three are the page; it is carried out to its end.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let [scribble, count, first] = input.bytes();
    let (vm, ram) = (vm(), Ram::new(input.0, scribble & 1 != 0));
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
    vm.stop().expect("the SMMU answers");
}

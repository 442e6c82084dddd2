//! Hypercall registers.

use super::input::Input;
use super::list::entries;
use super::machine::{PAGE, RAM, Ram, end, vm};
use hypervisor::hypercall::Calls;
use std::iter;

/// Where lists are put: no other argument looks there often.
const LIST: u64 = RAM + 15 * PAGE;

/// The first byte says whether RAM changes under reads; then calls, each an id and its arguments:
/// anything at all, or what makes some sense.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let scribble = input.byte() & 1 != 0;
    let (vm, ram) = (vm(), Ram::new(data, scribble));
    let calls = Calls::new(&vm, &ram);
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        let id = input.byte();
        let function = id & 0x1f;
        let arguments = if id & 0x80 == 0 {
            sensible(&mut input, &ram, function)
        } else {
            [(); 5].map(|()| input.argument())
        };
        let mut registers = [0; 8];
        registers[0] = 0xc600_0100 + u64::from(function);
        registers[1..6].copy_from_slice(&arguments);
        let again = || calls.handle(&registers);
        let reply = iter::repeat_with(again).flatten().next().expect("an end").0;
        // Looking takes long; what a call that failed has changed shows at the next one, or at the end.
        if reply[0] == 0 {
            vm.outside().smmu().look();
        }
        assert!(reply[0].cast_signed() >= -11, "{registers:x?} → {reply:x?}");
    }
    end(&vm);
}

/// Arguments of the kinds that the function takes; a list is put into RAM.
fn sensible(input: &mut Input<'_>, ram: &Ram, function: u8) -> [u64; 5] {
    let flags = u64::from(input.byte());
    let domain = u64::from(input.domain());
    match function {
        0x2 => [flags & 3, 0, 0, 0, 0],
        0x4 | 0x5 => [domain, input.endpoint().into(), 0, 0, 0],
        0x6 => [domain, input.iova(), input.ipa(), input.size(), flags & 0xf],
        0x7 => [domain, input.iova(), input.size(), flags & 1, 0],
        0x8 => {
            let iova = input.iova();
            let count = u32::from(input.byte() % 8) + 1;
            entries(input, ram, LIST, count, |input| input.ipa());
            [domain, iova, LIST, count.into(), flags & 0xf]
        }
        0xf => {
            let count = u32::from(input.byte() % 8) + 1;
            entries(input, ram, LIST, count, |input| input.iova());
            [domain, LIST, count.into(), flags & 1, 0]
        }
        0xb | 0xc | 0xe | 0x1 => [input.endpoint().into(), flags & 3, 0, 0, 0],
        _ => [domain, 0, 0, 0, 0],
    }
}

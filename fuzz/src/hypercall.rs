//! Hypercall registers.

use super::input::Input;
use super::machine::{Ram, vm};
use hypervisor::hypercall::Calls;

/// The first byte says whether RAM changes under reads; then calls, each an id and seven arguments.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let scribble = input.byte() & 1 != 0;
    let (vm, ram) = (vm(), Ram::new(data, scribble));
    let calls = Calls::new(&vm, &ram);
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        let mut registers = [0; 8];
        registers[0] = 0xc600_0100 + u64::from(input.byte() % 20);
        for register in registers.iter_mut().skip(1).take(5) {
            *register = input.argument();
        }
        let reply = calls.handle(&registers).0;
        assert!(reply[0].cast_signed() >= -11, "{registers:x?} → {reply:x?}");
    }
    vm.stop().expect("the SMMU answers");
}

//! Syndrome decoding.

use super::input::Input;
use hypervisor::trap::esr::{self, Exit};
use hypervisor::trap::features::{Features, Offer};
use hypervisor::trap::sysreg;

/// Each 24 bytes are a syndrome and two fault addresses.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let offer = Offer {
        gicv3: input.byte() & 1 != 0,
        ipa_bits: 40,
    };
    let features = Features::new(offer, |_| 0x1122_1122_1122_1112);
    while !input.is_empty() {
        let (esr, far, hpfar) = (input.long(), input.long(), input.long());
        let exit = esr::decode(esr, far, hpfar);
        let _ = format!("{}", esr::describe(esr));
        match exit {
            Exit::SysReg(access) => {
                let _ = sysreg::handle(access.reg, access.write.then_some(far), &features);
            }
            Exit::DataAbort(abort) => {
                if let Some(access) = abort.access {
                    assert!(matches!(access.size, 1 | 2 | 4 | 8));
                    let _ = access.load(far);
                }
            }
            _ => {}
        }
    }
}

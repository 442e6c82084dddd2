//! The hypercall interface, through the crate guests use.

use super::{Case, Outcome, Why, promised};
use crate::{check, psci};
use stagegate_abi::guest::{Conduit, Stagegate};
use stagegate_abi::{Function, Status, UID};

pub const CASES: &[Case] = &[
    promised("hypercall-identity", identity),
    promised("hypercall-features", features),
    promised("hypercall-sve-hint", sve_hint),
    promised("hypercall-unknown", unknown),
    promised("hypercall-foreign-endpoints", foreign_endpoints),
    promised("hypercall-foreign-domains", foreign_domains),
];

/// The way to Stagegate.
pub struct Hvc;

impl Conduit for Hvc {
    fn call(&self, registers: [u64; 8]) -> [u64; 4] {
        let mut args = [0; 5];
        args.copy_from_slice(&registers[1..6]);
        psci::call(registers[0], args)
    }
}

fn identity() -> Outcome {
    let words = psci::call(u64::from(Function::CallUid.id()), [0; 5]);
    for (got, want) in words.into_iter().zip(UID) {
        check!(got == u64::from(want), "a word of the UID", got);
    }
    check!(
        Stagegate::probe(Hvc).is_some(),
        "the guest crate does not find Stagegate",
        0
    );
    let kvm = [0xb66f_b428, 0xe911_c52e, 0x564b_cab2, 0x743a_004d];
    check!(words != kvm, "answers as KVM", words[0]);
    Ok(())
}

fn features() -> Outcome {
    let Some(stagegate) = Stagegate::probe(Hvc) else {
        check!(false, "no Stagegate", 0);
        return Ok(());
    };
    match stagegate.features() {
        Ok(features) => {
            check!(
                features.page_sizes & 0x1000 != 0,
                "no 4 KiB pages",
                features.page_sizes
            );
            check!(features.iova_bits >= 32, "IOVA bits", features.iova_bits);
        }
        Err(Status::NotSupported) => {
            return Err(Why::Skipped("this VM has no DMA endpoint"));
        }
        Err(status) => check!(false, "FEATURES", status.code()),
    }
    Ok(())
}

/// Some kernels set bit 16 to say that no SVE state is live.
fn sve_hint() -> Outcome {
    let plain = psci::call(u64::from(Function::CallUid.id()), [0; 5]);
    let hinted = psci::call(u64::from(Function::CallUid.id()) | 1 << 16, [0; 5]);
    check!(
        plain == hinted,
        "the SVE hint changes the answer",
        hinted[0]
    );
    Ok(())
}

fn unknown() -> Outcome {
    for function in [0xc600_01ff, 0xc600_0000, 0x8600_0123, 0xc600_ffff] {
        let status = psci::call(function, [0; 5])[0] as i32;
        check!(status == -1, "an unknown hypercall", function);
    }
    Ok(())
}

fn foreign_endpoints() -> Outcome {
    let Some(stagegate) = Stagegate::probe(Hvc) else {
        check!(false, "no Stagegate", 0);
        return Ok(());
    };
    for endpoint in [0xffff, 0x7fff_ffff, u32::MAX] {
        let found = stagegate.device_info(endpoint).is_ok();
        check!(!found, "an endpoint that is not ours", endpoint);
    }
    Ok(())
}

fn foreign_domains() -> Outcome {
    let Some(stagegate) = Stagegate::probe(Hvc) else {
        check!(false, "no Stagegate", 0);
        return Ok(());
    };
    let status = stagegate.attach(12_345, 0xffff);
    check!(status.is_err(), "attaching to a domain that is not ours", 0);
    check!(
        status != Err(Status::Success),
        "an error that says success",
        0
    );
    Ok(())
}

//! What a VM's vCPUs get for their calls, alone and at once.

use super::call::{decode, id};
use super::power::{Start, State, VcpuPower};
use super::*;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

const SMC64: u64 = 1 << 30;
const NOT_SUPPORTED: u64 = -1_i64 as u64;
const INVALID_PARAMETERS: u64 = -2_i64 as u64;
const ALREADY_ON: u64 = -4_i64 as u64;
const ON_PENDING: u64 = -5_i64 as u64;
const INVALID_ADDRESS: u64 = -9_i64 as u64;

/// Two clusters of two, MPIDR bit 31 set as hardware has it.
const MPIDRS: [u64; 4] = [0x8000_0000, 0x8000_0001, 0x8000_0100, 0x8000_0101];

struct Vm {
    powers: [VcpuPower; 4],
    mitigations: Mitigations,
}

impl Vm {
    fn new() -> Self {
        let vm = Self {
            powers: [const { VcpuPower::new() }; 4],
            mitigations: Mitigations::default(),
        };
        vm.boot(0);
        vm
    }

    fn boot(&self, index: usize) {
        let start = Start {
            entry: 0,
            context: 0,
        };
        self.powers[index].request(start).unwrap();
        self.powers[index].begin().unwrap();
    }

    fn call(&self, x0: u64, args: [u64; 3]) -> Outcome {
        let vcpus: Vec<Vcpu<'_>> = MPIDRS
            .iter()
            .zip(&self.powers)
            .map(|(&mpidr, power)| Vcpu { mpidr, power })
            .collect();
        let ram = 0x4000_0000..0x8000_0000;
        serve(
            decode(x0, args[0], args[1], args[2]),
            &vcpus,
            self.mitigations,
            |ipa| ram.contains(&ipa),
        )
    }

    fn returns(&self, x0: u64, args: [u64; 3]) -> u64 {
        match self.call(x0, args) {
            Outcome::Return(value) => value,
            other => panic!("{x0:#x}: {other:?}"),
        }
    }

    fn cpu_on(&self, target: u64) -> Outcome {
        self.call(0xc400_0003, [target, 0x4008_0000, 0x1234])
    }
}

#[test]
fn versions_are_psci_1_1_and_smccc_1_1() {
    let vm = Vm::new();
    assert_eq!(vm.returns(0x8400_0000, [0; 3]), 0x1_0001);
    assert_eq!(vm.returns(0x8000_0000, [0; 3]), 0x1_0001);
    assert_eq!(vm.returns(0x8400_0006, [0; 3]), 2);
}

/// What Linux asks before it trusts the conduit (`psci_init_smccc`).
#[test]
fn linux_finds_the_calling_convention() {
    let vm = Vm::new();
    assert_eq!(vm.returns(0x8400_000a, [0x8000_0000, 0, 0]), 0);
    assert_eq!(vm.returns(0x8000_0001, [0x8000_0001, 0, 0]), 0);
    assert_eq!(vm.returns(0x8000_0001, [0x8000_0002, 0, 0]), NOT_SUPPORTED);
    assert_eq!(vm.returns(0x8000_0001, [0x8000_7fff, 0, 0]), NOT_SUPPORTED);
    assert_eq!(vm.returns(0x8000_0001, [0x8000_3fff, 0, 0]), NOT_SUPPORTED);
}

#[test]
fn an_immune_cpu_needs_no_branch_predictor_call() {
    let mut vm = Vm::new();
    assert_eq!(vm.returns(0x8000_0001, [0x8000_8000, 0, 0]), NOT_SUPPORTED);
    vm.mitigations.csv2 = true;
    assert_eq!(vm.returns(0x8000_0001, [0x8000_8000, 0, 0]), 1);
    assert_eq!(vm.returns(0x8000_8000, [0; 3]), 0, "calling it is a no-op");
}

#[test]
fn features_names_exactly_what_is_served() {
    let vm = Vm::new();
    for low in 0..0x100_u64 {
        for function in [0x8400_0000 | low, 0xc400_0000 | low] {
            let offered = vm.returns(0x8400_000a, [function, 0, 0]) == 0;
            let served = vm.call(function, [0; 3]) != Outcome::Return(NOT_SUPPORTED);
            // PSCI_FEATURES(0) is a question about nothing.
            let asked_itself = function == u64::from(id::PSCI_FEATURES);
            assert_eq!(offered, served || asked_itself, "{function:#x}");
        }
    }
}

#[test]
fn a_vcpu_starts_once_with_its_arguments() {
    let vm = Vm::new();
    assert_eq!(vm.powers[2].begin(), None, "nobody asked");
    assert_eq!(vm.cpu_on(0x100), Outcome::Start(2));
    assert_eq!(vm.cpu_on(0x100), Outcome::Return(ON_PENDING));
    let start = Start {
        entry: 0x4008_0000,
        context: 0x1234,
    };
    assert_eq!(vm.powers[2].begin(), Some(start));
    assert_eq!(vm.powers[2].begin(), None);
    assert_eq!(vm.cpu_on(0x100), Outcome::Return(ALREADY_ON));
    vm.powers[2].off();
    assert_eq!(vm.cpu_on(0x100), Outcome::Start(2));
}

#[test]
fn bad_targets_and_entries_change_nothing() {
    let vm = Vm::new();
    for target in [2, 0x200, 0x8000_0001, 1 << 24, 1 << 40, 1 << 32, u64::MAX] {
        assert_eq!(vm.cpu_on(target), Outcome::Return(INVALID_PARAMETERS));
    }
    for entry in [0, 0x3fff_fffc, 0x8000_0000, 0x4008_0002, u64::MAX] {
        assert_eq!(
            vm.returns(0xc400_0003, [1, entry, 0]),
            INVALID_ADDRESS,
            "{entry:#x}"
        );
    }
    assert_eq!(vm.powers[1].state(), State::Off);
}

#[test]
fn affinity_info_follows_the_vcpu() {
    let vm = Vm::new();
    let info = |target, level| vm.returns(0xc400_0004, [target, level, 0]);
    assert_eq!((info(0, 0), info(1, 0)), (0, 1));
    assert_eq!(vm.cpu_on(0x101), Outcome::Start(3));
    assert_eq!(info(0x101, 0), 2);
    assert_eq!(info(0x100, 1), 2, "a cluster with one on its way");
    vm.powers[3].begin().unwrap();
    assert_eq!((info(0x101, 0), info(0x1ff, 1), info(0, 3)), (0, 0, 0));
    assert_eq!(vm.cpu_on(0x100), Outcome::Start(2));
    assert_eq!(info(0x100, 1), 0, "one on counts more than one on its way");
    vm.powers[2].begin().unwrap();
    vm.powers[2].off();
    vm.powers[3].off();
    assert_eq!((info(0x101, 0), info(0x100, 1), info(0, 2)), (1, 1, 0));
    assert_eq!(info(5, 0), INVALID_PARAMETERS);
    assert_eq!(info(0x300, 1), INVALID_PARAMETERS);
    assert_eq!(info(0, 4), INVALID_PARAMETERS);
    for reserved in [1 << 24, 1 << 31, 1 << 40, 1 << 50, 1 << 63] {
        for level in 0..4 {
            assert_eq!(info(reserved, level), INVALID_PARAMETERS, "{reserved:#x}");
        }
    }
    assert_eq!(vm.returns(0x8400_0004, [0, 1 << 32, 0]), 0, "32-bit level");
}

#[test]
fn the_vm_is_off_when_no_vcpu_is_on_or_on_its_way() {
    let vm = Vm::new();
    let off = || super::all_off(vm.powers.iter());
    assert!(!off(), "one is on");
    vm.powers[0].off();
    assert!(off());
    vm.boot(3);
    assert!(!off(), "the last in the list counts");
    vm.powers[3].off();
    assert!(off(), "having been on before does not count");
    assert_eq!(vm.cpu_on(0x100), Outcome::Start(2));
    assert!(!off(), "a start is under way");
    vm.powers[2].off();
    assert!(off(), "it was withdrawn");
}

#[test]
fn power_calls_become_outcomes() {
    let vm = Vm::new();
    assert_eq!(vm.call(0x8400_0002, [0; 3]), Outcome::CpuOff);
    assert_eq!(vm.call(0x8400_0008, [0; 3]), Outcome::SystemOff);
    assert_eq!(vm.call(0x8400_0009, [0; 3]), Outcome::SystemReset);
    assert_eq!(vm.call(0xc400_0012, [0; 3]), Outcome::SystemReset);
    for kind in [1, 0x8000_0000, 0xffff_ffff] {
        assert_eq!(vm.returns(0xc400_0012, [kind, 0, 0]), INVALID_PARAMETERS);
    }
    for state in [0, 0x1_0000, 0x0300_ffff] {
        assert_eq!(vm.call(0xc400_0001, [state, 0, 0]), Outcome::Standby);
    }
    for state in [0x2_0000, 0x0400_0000, 0x8000_0000] {
        assert_eq!(vm.returns(0xc400_0001, [state, 0, 0]), INVALID_PARAMETERS);
    }
    assert_eq!(vm.call(0xc600_0010, [0; 3]), Outcome::Foreign(0xc600_0010));
    assert_eq!(
        vm.returns(0x8400_0003 | SMC64, [1, 1 << 62, 0]),
        INVALID_ADDRESS
    );
}

/// Of any number of simultaneous CPU_ON calls one starts the vCPU, and its
/// arguments arrive unmixed.
#[test]
fn simultaneous_starts_have_one_winner() {
    const CALLERS: u64 = 4;
    for _ in 0..200 {
        let power = VcpuPower::new();
        let barrier = Barrier::new(CALLERS as usize);
        let wins = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for caller in 1..=CALLERS {
                let (power, barrier, wins) = (&power, &barrier, &wins);
                scope.spawn(move || {
                    barrier.wait();
                    let start = Start {
                        entry: caller,
                        context: caller,
                    };
                    match power.request(start) {
                        Ok(()) => wins.fetch_add(1, Ordering::Relaxed),
                        Err(error) => {
                            assert_eq!(error, Error::OnPending);
                            0
                        }
                    };
                });
            }
        });
        assert_eq!(wins.into_inner(), 1);
        let start = power.begin().expect("somebody won");
        assert_eq!(start.entry, start.context);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]

    #[test]
    fn no_call_is_too_strange(x0: u64, x1: u64, x2: u64, x3: u64, near in 0..0x40_u64) {
        let vm = Vm::new();
        let _ = vm.call(x0, [x1, x2, x3]);
        let _ = vm.call(0x8400_0000 | near, [x1, x2, x3]);
        let _ = vm.call(0xc400_0000 | near, [x1, x2, x3]);
    }
}

/// The short way and the long way give the same answer, for every function id
/// of the two ranges and both conventions.
#[test]
fn constants_are_what_serve_answers() {
    let mut known = 0;
    for base in [
        0x8000_0000_u64,
        0x8400_0000,
        0xc000_0000,
        0xc400_0000,
        0xc600_0000,
    ] {
        for function in base..base + 0x100 {
            let Some(value) = super::constant(function) else {
                continue;
            };
            known += 1;
            let call = super::decode(function, 0, 0, 0);
            let served = super::serve(call, &[], super::Mitigations::default(), |_| false);
            assert_eq!(served, super::Outcome::Return(value), "{function:#x}");
        }
    }
    assert_eq!(known, 3);
}

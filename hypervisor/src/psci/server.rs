//! What each call does.

use super::call::{Call, id};
use super::power::{Start, State, VcpuPower};
use super::{Error, SUCCESS};

/// PSCI 1.1.
const PSCI_VERSION: u64 = 0x1_0001;
/// SMCCC 1.1: what Linux needs before it uses any conduit but PSCI's own.
const SMCCC_VERSION: u64 = 0x1_0001;
/// MIGRATE_INFO_TYPE: no trusted OS that would need migration.
const MIGRATION_NOT_REQUIRED: u64 = 2;
/// MPIDR_EL1 affinity fields Aff3 and Aff2–Aff0.
const AFFINITY: u64 = 0xff_00ff_ffff;

/// One vCPU as PSCI sees it.
#[derive(Debug)]
pub struct Vcpu<'a> {
    /// Its VMPIDR_EL2; only affinity fields count.
    pub mpidr: u64,
    /// Its power state.
    pub power: &'a VcpuPower,
}

/// Answers to SMCCC_ARCH_FEATURES for the firmware mitigations.
///
/// 1 means "not required on this CPU", 0 "implemented", −1 "not supported".
/// 0 would promise that the call itself mitigates, so it is never offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mitigations {
    /// The CPU declares itself immune to branch target injection
    /// (ID_AA64PFR0_EL1.CSV2 ≥ 1).
    pub csv2: bool,
}

/// What the caller must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Put this into x0 and go on.
    Return(u64),
    /// Kick this vCPU (index into the slice), put SUCCESS into x0, go on.
    Start(usize),
    /// Idle until an interrupt is pending, then put SUCCESS into x0.
    Standby,
    /// Power this vCPU off: stop running guest code, then
    /// [`VcpuPower::off`], then wait for [`VcpuPower::begin`], unless
    /// [`all_off`](super::all_off) says that nobody is left to start it.
    CpuOff,
    /// Power the whole VM off.
    SystemOff,
    /// Reset the whole VM.
    SystemReset,
    /// Not a PSCI or SMCCC call: ask the other services, NOT_SUPPORTED if
    /// nobody knows it.
    Foreign(u32),
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        Self::Return(error.to_x0())
    }
}

/// The answer to function `x0` if it is the same for every VM at any time: for
/// the shortest way through the trap handler. [`serve`] gives the same.
#[inline]
#[must_use]
pub const fn constant(x0: u64) -> Option<u64> {
    match x0 as u32 {
        id::PSCI_VERSION => Some(PSCI_VERSION),
        id::SMCCC_VERSION => Some(SMCCC_VERSION),
        id::MIGRATE_INFO_TYPE => Some(MIGRATION_NOT_REQUIRED),
        _ => None,
    }
}

/// Serves one call of any vCPU of a VM. `executable(ipa)` tells whether an
/// address lies in the VM's RAM.
#[must_use]
pub fn serve(
    call: Call,
    vcpus: &[Vcpu<'_>],
    mitigations: Mitigations,
    executable: impl Fn(u64) -> bool,
) -> Outcome {
    match call {
        Call::PsciVersion => Outcome::Return(PSCI_VERSION),
        Call::SmcccVersion => Outcome::Return(SMCCC_VERSION),
        Call::MigrateInfoType => Outcome::Return(MIGRATION_NOT_REQUIRED),
        Call::Workaround => Outcome::Return(SUCCESS),
        Call::PsciFeatures { function } => features(function),
        Call::SmcccArchFeatures { function } => arch_features(function, mitigations),
        Call::CpuOn {
            target,
            entry,
            context,
        } => cpu_on(vcpus, target, Start { entry, context }, executable),
        Call::AffinityInfo { target, level } => affinity_info(vcpus, target, level),
        Call::CpuSuspend { power_state } => cpu_suspend(power_state),
        Call::CpuOff => Outcome::CpuOff,
        Call::SystemOff => Outcome::SystemOff,
        // A warm reset is any reset after which the system boots again.
        Call::SystemReset | Call::SystemReset2 { kind: 0, .. } => Outcome::SystemReset,
        Call::SystemReset2 { .. } => Error::InvalidParameters.into(),
        Call::Absent => Error::NotSupported.into(),
        Call::Foreign { function } => Outcome::Foreign(function),
    }
}

/// PSCI_FEATURES: 0 (no flags) for what exists in the form asked about.
fn features(function: u32) -> Outcome {
    const WITH_64_BIT_FORM: [u32; 4] = [
        id::CPU_SUSPEND,
        id::CPU_ON,
        id::AFFINITY_INFO,
        id::SYSTEM_RESET2,
    ];
    let offered = WITH_64_BIT_FORM.contains(&(function & !id::SMC64))
        || matches!(
            function,
            id::PSCI_VERSION
                | id::CPU_OFF
                | id::MIGRATE_INFO_TYPE
                | id::SYSTEM_OFF
                | id::SYSTEM_RESET
                | id::PSCI_FEATURES
                | id::SMCCC_VERSION
        );
    if offered {
        Outcome::Return(SUCCESS)
    } else {
        Error::NotSupported.into()
    }
}

fn arch_features(function: u32, mitigations: Mitigations) -> Outcome {
    match function {
        id::SMCCC_VERSION | id::SMCCC_ARCH_FEATURES => Outcome::Return(SUCCESS),
        id::SMCCC_ARCH_WORKAROUND_1 if mitigations.csv2 => Outcome::Return(1),
        _ => Error::NotSupported.into(),
    }
}

fn cpu_on(
    vcpus: &[Vcpu<'_>],
    target: u64,
    start: Start,
    executable: impl Fn(u64) -> bool,
) -> Outcome {
    // Surplus bits name no CPU; DEN 0022 5.6 wants them zero.
    let found = vcpus
        .iter()
        .position(|vcpu| vcpu.mpidr & AFFINITY == target);
    let Some((index, vcpu)) = found.and_then(|index| Some((index, vcpus.get(index)?))) else {
        return Error::InvalidParameters.into();
    };
    if start.entry & 3 != 0 || !executable(start.entry) {
        return Error::InvalidAddress.into();
    }
    match vcpu.power.request(start) {
        Ok(()) => Outcome::Start(index),
        Err(error) => error.into(),
    }
}

/// On if any matching vCPU is on, else pending if any is pending, else off.
fn affinity_info(vcpus: &[Vcpu<'_>], target: u64, level: u64) -> Outcome {
    let mask = match level {
        0 => AFFINITY,
        1 => 0xff_00ff_ff00,
        2 => 0xff_00ff_0000,
        3 => 0xff_0000_0000,
        _ => return Error::InvalidParameters.into(),
    };
    // As for CPU_ON: DEN 0022 wants bits outside the affinity fields zero.
    if target & !AFFINITY != 0 {
        return Error::InvalidParameters.into();
    }
    let states = vcpus
        .iter()
        .filter(|vcpu| vcpu.mpidr & mask == target & mask)
        .map(|vcpu| vcpu.power.state());
    // On before OnPending before Off.
    let rank = |state: &State| match state {
        State::On => 0,
        State::OnPending => 1,
        State::Off => 2,
    };
    match states.min_by_key(rank) {
        Some(state) => Outcome::Return(state as u64),
        None => Error::InvalidParameters.into(),
    }
}

/// Every state is entered as standby: DEN 0022 5.4 lets an implementation
/// return from a power-down request as if a wake-up had been pending.
fn cpu_suspend(power_state: u32) -> Outcome {
    // Original format: reserved bits 31:26 and 23:17 must be zero.
    if power_state & 0xfcfe_0000 != 0 {
        return Error::InvalidParameters.into();
    }
    Outcome::Standby
}

//! Register offsets per SoC, of the clocks and domains that SMMUs and their
//! TBUs use. Numbers are those of the device-tree bindings
//! (include/dt-bindings/clock/qcom,*.h), offsets those of the clock
//! controllers' register maps, as Linux 6.12 has them.
mod gcc;
mod gpucc;
mod mmcc;

/// A clock controller's clocks and domains.
#[derive(Debug)]
pub struct Table {
    /// Compatible string of the controller.
    pub compatible: &'static str,
    /// Its branch clocks.
    pub clocks: &'static [BranchEntry],
    /// Its power domains.
    pub domains: &'static [DomainEntry],
}

/// How a branch clock behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BranchKind {
    /// Starts and stops when told, and says so.
    Plain,
    /// Several processors vote; it stops with the last vote.
    Voted,
    /// Does not say whether it runs.
    Unseen,
    /// Runs for ever: stopping it would stop the SoC, or make registers that
    /// are needed to start it unreachable.
    Kept,
}

/// A branch clock: bit 0 of its control register (CBCR) starts it, bit 31
/// tells that it stands still.
#[derive(Debug, Clone, Copy)]
pub struct BranchEntry {
    /// Number in the device-tree binding.
    pub number: u16,
    /// How it behaves.
    pub kind: BranchKind,
    /// Offset of CBCR in bytes.
    pub register: u32,
}

/// How a power domain behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainKind {
    /// Goes up and down when told.
    Plain,
    /// Several processors vote; it goes down with the last vote.
    Voted,
    /// Never goes down.
    Kept,
}

/// A power domain (GDSC).
#[derive(Debug, Clone, Copy)]
pub struct DomainEntry {
    /// Number in the device-tree binding.
    pub number: u16,
    /// How it behaves.
    pub kind: DomainKind,
    /// Offset of GDSCR in bytes.
    pub register: u32,
    /// Offset of the register that holds the status; GDSCR itself, mostly.
    pub status: u32,
}

const fn clock(number: u16, kind: BranchKind, register: u32) -> BranchEntry {
    BranchEntry {
        number,
        kind,
        register,
    }
}

const fn branch(number: u16, register: u32) -> BranchEntry {
    clock(number, BranchKind::Plain, register)
}

const fn voted(number: u16, register: u32) -> BranchEntry {
    clock(number, BranchKind::Voted, register)
}

const fn unseen(number: u16, register: u32) -> BranchEntry {
    clock(number, BranchKind::Unseen, register)
}

const fn kept(number: u16, register: u32) -> BranchEntry {
    clock(number, BranchKind::Kept, register)
}

const fn domain(number: u16, register: u32) -> DomainEntry {
    DomainEntry {
        number,
        kind: DomainKind::Plain,
        register,
        status: register,
    }
}

const fn vote(number: u16, register: u32) -> DomainEntry {
    DomainEntry {
        number,
        kind: DomainKind::Voted,
        register,
        status: register,
    }
}

const fn domain_by(number: u16, register: u32, status: u32) -> DomainEntry {
    DomainEntry {
        number,
        kind: DomainKind::Voted,
        register,
        status,
    }
}

const fn always(number: u16, register: u32, status: u32) -> DomainEntry {
    DomainEntry {
        number,
        kind: DomainKind::Kept,
        register,
        status,
    }
}

/// All tables.
pub(super) const ALL: &[&Table] = &[
    &gcc::GCC_MSM8996,
    &gcc::GCC_MSM8998,
    &gcc::GCC_QCM2290,
    &gcc::GCC_SC7180,
    &gcc::GCC_SC7280,
    &gcc::GCC_SC8180X,
    &gcc::GCC_SC8280XP,
    &gcc::GCC_SDM630,
    &gcc::GCC_SDM660,
    &gcc::GCC_SDM845,
    &gcc::GCC_SM6115,
    &gcc::GCC_SM6350,
    &gcc::GCC_SM8150,
    &gcc::GCC_SM8250,
    &gcc::GCC_SM8350,
    &gcc::GCC_SM8450,
    &gcc::SA8775P_GCC,
    &gcc::SM6375_GCC,
    &gcc::SM8550_GCC,
    &gcc::SM8650_GCC,
    &gcc::X1E80100_GCC,
    &gpucc::QCM2290_GPUCC,
    &gpucc::SA8775P_GPUCC,
    &gpucc::SC7180_GPUCC,
    &gpucc::SC7280_GPUCC,
    &gpucc::SC8180X_GPUCC,
    &gpucc::SC8280XP_GPUCC,
    &gpucc::SDM845_GPUCC,
    &gpucc::SM6115_GPUCC,
    &gpucc::SM6350_GPUCC,
    &gpucc::SM6375_GPUCC,
    &gpucc::SM8150_GPUCC,
    &gpucc::SM8250_GPUCC,
    &gpucc::SM8350_GPUCC,
    &gpucc::SM8450_GPUCC,
    &gpucc::SM8550_GPUCC,
    &gpucc::SM8650_GPUCC,
    &gpucc::X1E80100_GPUCC,
    &mmcc::MMCC_MSM8996,
    &mmcc::MMCC_MSM8998,
    &mmcc::MMCC_SDM630,
    &mmcc::MMCC_SDM660,
];

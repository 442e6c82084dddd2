//! vCPUs. Each owns one physical CPU for as long as the machine runs, so its
//! registers simply stay in that CPU.

use crate::psci::VcpuPower;

/// What a VM keeps for each of its vCPUs.
#[derive(Debug)]
pub struct Vcpu {
    /// Off, starting or on, as PSCI sees it.
    pub power: VcpuPower,
    /// Index of the physical CPU that runs it.
    pub cpu: usize,
    /// `VMPIDR_EL2`.
    pub mpidr: u64,
}

/// `MPIDR_EL1` bit 31 is RES1; U (bit 30) stays clear in a multi-CPU guest.
const MPIDR_RES1: u64 = 1 << 31;

impl Vcpu {
    /// A vCPU that is off: number `index` of its VM, on physical CPU `cpu`.
    #[must_use]
    pub const fn new(index: usize, cpu: usize) -> Self {
        Self {
            power: VcpuPower::new(),
            cpu,
            mpidr: MPIDR_RES1 | index as u64,
        }
    }
}

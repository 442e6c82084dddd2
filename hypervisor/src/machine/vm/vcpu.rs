//! vCPUs. Each owns one physical CPU for as long as the machine runs, so its
//! registers simply stay in that CPU.

use super::{Vm, interrupts};
use crate::arch::{cache, percpu, regs, vectors::Frame};
use crate::machine::board::private;
use crate::psci::{Start, VcpuPower};
use crate::trap::config;

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

/// Names one vCPU of one VM; each CPU has at most one for ever.
#[derive(Clone, Copy)]
pub struct VcpuRef {
    /// Its VM.
    pub vm: &'static Vm,
    /// Its number in the VM.
    pub index: usize,
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

impl VcpuRef {
    /// This CPU's vCPU.
    #[must_use]
    #[inline]
    pub fn here() -> Option<Self> {
        percpu::try_get().and_then(|cpu| cpu.vcpu)
    }

    /// Its record. `index` is in range by construction.
    #[must_use]
    #[inline]
    pub fn state(&self) -> &'static Vcpu {
        &self.vm.vcpus[self.index]
    }

    /// The vCPU stops running here: nothing of it stays in the CPU's virtual
    /// interrupt interface, and its timers are silent.
    pub fn leave(&self) {
        private::silence_timers();
        interrupts::park(self);
        self.state().power.off();
    }

    /// Puts this CPU into the state that `start` and PSCI prescribe.
    pub fn enter(&self, start: Start, frame: &mut Frame) {
        self.set_traps();
        regs::reset_el1();
        regs::clear_simd();
        interrupts::unpark(self);
        frame.clear();
        frame.set(0, start.context);
        regs::elr_el2::write(start.entry);
        regs::spsr_el2::write(config::SPSR_RESET);
        cache::invalidate_vm();
        cache::invalidate_instructions();
    }

    /// What this VM may do and sees on this CPU.
    fn set_traps(&self) {
        regs::hcr_el2::write(config::hcr_el2(false));
        regs::cptr_el2::write(config::cptr_el2(false));
        regs::mdcr_el2::write(config::mdcr_el2(((regs::pmcr_el0() >> 11) & 0x1f) as u8));
        regs::hstr_el2::write(config::HSTR_EL2);
        regs::cnthctl_el2::write(config::cnthctl_el2(false));
        regs::fine_grained_traps_off();
        regs::cntvoff_el2::write(self.vm.counter_offset());
        regs::vpidr_el2::write(regs::midr_el1());
        regs::vmpidr_el2::write(self.state().mpidr);
        let (vtcr, vttbr) = self.vm.space.registers();
        regs::vtcr_el2::write(vtcr);
        regs::vttbr_el2::write(vttbr);
        cache::isb();
    }
}

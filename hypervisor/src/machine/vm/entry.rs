//! A vCPU comes to its CPU, and leaves it.

use super::{VcpuRef, interrupts};
use crate::arch::{cache, regs, vectors::Frame};
use crate::machine::board::private;
use crate::psci::Start;
use crate::trap::config;

impl VcpuRef {
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
        regs::hcr_el2::write(config::HCR_EL2);
        regs::cptr_el2::write(config::CPTR_EL2);
        regs::mdcr_el2::write(config::mdcr_el2(((regs::pmcr_el0() >> 11) & 0x1f) as u8));
        regs::hstr_el2::write(config::HSTR_EL2);
        regs::cnthctl_el2::write(config::CNTHCTL_EL2);
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

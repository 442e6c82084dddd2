//! Hypercalls: PSCI and SMCCC discovery, then Stagegate's own services.

use super::life::{self, Ending};
use super::run;
use super::vcpu::VcpuRef;
use crate::arch::vectors::Frame;
use crate::hypercall;
use crate::psci::{self, Outcome, SUCCESS};
use crate::scmi::SMC_ID;

/// SMCCC's answer to a function nobody knows.
const NOT_SUPPORTED: u64 = u64::MAX;

/// Serves HVC #0 or SMC #0: arguments and results are in x0 to x3.
#[inline]
pub fn call(me: VcpuRef, frame: &mut Frame) {
    let [x0, x1, x2, x3] = [frame.x[0], frame.x[1], frame.x[2], frame.x[3]];
    match psci::decode(x0, x1, x2, x3) {
        psci::Call::Foreign { function } => foreign(me, function, frame),
        call => standard(me, call, frame),
    }
}

/// MAP and UNMAP by HVC #0.
#[inline(always)]
pub fn mapping(me: VcpuRef, frame: &mut Frame) {
    let Some(dma) = me.vm.dma.get() else {
        frame.x[0] = NOT_SUPPORTED;
        return;
    };
    if let Some(registers) = frame.x.first_chunk() {
        let reply = dma.mapping(registers);
        frame.x[..4].copy_from_slice(&reply);
    }
}

/// Stagegate's own services: the vendor hypervisor range, and the SCMI bell.
#[inline]
fn foreign(me: VcpuRef, function: u32, frame: &mut Frame) {
    if let Some(reply) = hypercall::identity(u64::from(function)) {
        return frame.x[..4].copy_from_slice(&reply.0);
    }
    if u64::from(function) == u64::from(SMC_ID) {
        return ring(me, frame);
    }
    match me.vm.dma.get() {
        Some(dma) if hypercall::is_ours(u64::from(function)) => {
            if let Some(registers) = frame.x.first_chunk() {
                let reply = dma.call(registers);
                frame.x[..4].copy_from_slice(&reply);
            }
        }
        _ => frame.x[0] = NOT_SUPPORTED,
    }
}

/// A message waits in the VM's SCMI channel.
#[inline(never)]
fn ring(me: VcpuRef, frame: &mut Frame) {
    match &me.vm.scmi {
        Some(scmi) => {
            scmi.serve(me.vm);
            frame.x[0] = SUCCESS;
        }
        None => frame.x[0] = NOT_SUPPORTED,
    }
}

/// PSCI and the architecture's own calls.
#[inline(never)]
fn standard(me: VcpuRef, call: psci::Call, frame: &mut Frame) {
    let vcpus = me.vm.psci_view();
    let outcome = psci::serve(call, &vcpus, me.vm.mitigations, |address| {
        me.vm.ram.contains(address, 4)
    });
    match outcome {
        Outcome::Return(value) => frame.x[0] = value,
        Outcome::Start(index) => {
            frame.x[0] = SUCCESS;
            super::irq::kick(me.vm.vcpus[index].cpu);
        }
        Outcome::Standby => {
            frame.x[0] = SUCCESS;
            super::irq::standby(&me);
        }
        Outcome::CpuOff => run::restart(me, frame),
        Outcome::SystemOff => life::request_end(me.vm, Ending::PowerOff),
        Outcome::SystemReset => life::request_end(me.vm, Ending::Reset),
        Outcome::Foreign(_) => frame.x[0] = NOT_SUPPORTED,
    }
}

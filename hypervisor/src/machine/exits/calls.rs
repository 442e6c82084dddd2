//! Hypercalls: PSCI and SMCCC discovery, then Stagegate's own services.

use super::outcome;
use crate::arch::vectors::{CallFrame, Frame};
use crate::hypercall::{self, Calls};
use crate::life::Ending;
use crate::machine::board::kick::kick;
use crate::machine::irq;
use crate::machine::vm::VcpuRef;
use crate::machine::vm::guest_dma::Side;
use crate::machine::vm::ram::GuestRam;
use crate::psci::{self, Outcome, SUCCESS};
use crate::scmi::SMC_ID;
use stagegate_abi::Reply;

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

/// MAP of one page, if that can be done at once: whether it was.
#[inline(never)]
pub fn map_page(frame: &mut CallFrame) -> bool {
    at_once(frame, Calls::map_page)
}

/// UNMAP of one page, if that can be done at once: whether it was.
#[inline(never)]
pub fn unmap_page(frame: &mut CallFrame) -> bool {
    at_once(frame, Calls::unmap_page)
}

#[inline(always)]
fn at_once(
    frame: &mut CallFrame,
    answer: impl FnOnce(&Calls<'static, Side, GuestRam>, &[u64; 8]) -> Option<Reply>,
) -> bool {
    let dma = VcpuRef::here().and_then(|me| me.vm.dma.get());
    let (Some(dma), Some(registers)) = (dma, frame.first_chunk()) else {
        return false;
    };
    let Some(Reply(words)) = answer(dma.calls(), registers) else {
        return false;
    };
    frame[..4].copy_from_slice(&words);
    true
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
            let Some(registers) = frame.x.first_chunk() else {
                return;
            };
            match dma.calls().handle(registers) {
                Some(Reply(words)) => frame.x[..4].copy_from_slice(&words),
                None => outcome::again(),
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
            scmi.serve(&me.vm.masters);
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
        me.vm.space.ram.contains(address, 4)
    });
    match outcome {
        Outcome::Return(value) => frame.x[0] = value,
        Outcome::Start(index) => {
            frame.x[0] = SUCCESS;
            kick(me.vm.vcpus[index].cpu);
        }
        Outcome::Standby => {
            frame.x[0] = SUCCESS;
            irq::standby(&me);
        }
        Outcome::CpuOff => outcome::restart(me, frame),
        Outcome::SystemOff => me.vm.request_end(Ending::PowerOff),
        Outcome::SystemReset => me.vm.request_end(Ending::Reset),
        Outcome::Foreign(_) => frame.x[0] = NOT_SUPPORTED,
    }
}

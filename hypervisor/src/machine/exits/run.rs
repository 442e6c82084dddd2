//! Exits from guests: one match, then back.
//!
//! A hypercall and a register read of the virtual interrupt controller are the
//! exits that count; both stay on the straight path of this file.

use super::outcome::{again, crash, raise, restart, skip};
use super::{calls, mmio};
use crate::arch::regs::{self, far_el2, hpfar_el2};
use crate::arch::vectors::{CallFrame, Frame};
use crate::hypercall;
use crate::machine::vm::VcpuRef;
use crate::machine::vm::interrupts;
use crate::machine::{irq, life};
use crate::psci;
use crate::trap::esr::{self, Exit};
use crate::trap::inject::Exception;
use crate::trap::sysreg::{self, Action};

/// HVC #0 of this CPU's vCPU: answers it and says so, if that can be done at
/// once; otherwise all is as before.
///
/// What others want of the vCPU meanwhile is not looked at: they send a kick,
/// which ends the guest's time as soon as it has begun. So no call that has
/// consequences for its own vCPU is answered here.
pub extern "C" fn guest_call(frame: &mut CallFrame) -> bool {
    let [x0, ..] = *frame;
    if hypercall::is_map(x0) {
        return calls::map_page(frame);
    }
    if hypercall::is_unmap(x0) {
        return calls::unmap_page(frame);
    }
    if let Some(value) = psci::constant(x0) {
        frame[0] = value;
        return true;
    }
    let reply = hypercall::identity(x0);
    if let Some(reply) = reply {
        frame[..4].copy_from_slice(&reply.0);
    }
    reply.is_some()
}

/// A synchronous exit of this CPU's vCPU. Loads of the virtual interrupt
/// controller take the second shortest way.
pub extern "C" fn guest_sync(frame: &mut Frame, syndrome: u64) {
    if mmio::quick_load(frame, syndrome) {
        return;
    }
    let Some(me) = VcpuRef::here() else { return };
    dispatch(me, frame, syndrome);
    finish(me, frame);
}

/// Decodes the syndrome and acts: one match over exits.
#[inline(never)]
fn dispatch(me: VcpuRef, frame: &mut Frame, syndrome: u64) {
    match esr::decode(syndrome, far_el2::read(), hpfar_el2::read()) {
        Exit::Hvc { imm: 0 } => calls::call(me, frame),
        Exit::DataAbort(abort) => mmio::data_abort(me, frame, &abort),
        Exit::SysReg(access) => system_register(me, frame, access),
        Exit::Smc { imm: 0 } => {
            skip();
            calls::call(me, frame);
        }
        Exit::Wfx { .. } => skip(),
        Exit::InstructionAbort(abort) => {
            mmio::instruction_abort(me, abort.ipa, abort.va.unwrap_or(0));
        }
        Exit::Hvc { .. } => {
            again();
            raise(Exception::Undefined);
        }
        Exit::Smc { .. } | Exit::Undefined(_) | Exit::Aarch32Cp { .. } => {
            raise(Exception::Undefined);
        }
        _ => crash(me, frame, format_args!("{}", esr::describe(syndrome))),
    }
}

/// A physical interrupt arrived while the guest ran.
pub extern "C" fn guest_irq(frame: &mut Frame) {
    let Some(me) = VcpuRef::here() else { return };
    irq::handle_all();
    finish(me, frame);
}

/// An asynchronous external abort. If it concerns this guest only, it dies; a
/// contained error needs no more.
pub extern "C" fn guest_serror(frame: &mut Frame) {
    let Some(me) = VcpuRef::here() else { return };
    crash(
        me,
        frame,
        format_args!("SError: {}", esr::describe(regs::esr_el2::read())),
    );
    finish(me, frame);
}

/// This CPU becomes its vCPU: waits for the first start.
pub extern "C" fn first_entry(frame: &mut Frame) {
    let Some(me) = VcpuRef::here() else { return };
    let start = life::wait_for_start(me);
    me.enter(start, frame);
    finish(me, frame);
}

/// What must be right before the guest goes on.
#[inline]
fn finish(me: VcpuRef, frame: &mut Frame) {
    while !me.vm.life.runs() {
        restart(me, frame);
    }
    interrupts::before_enter(&me);
}

/// A trapped system register.
fn system_register(me: VcpuRef, frame: &mut Frame, access: esr::SysRegAccess) {
    let write = access.write.then(|| frame.get(access.rt));
    match sysreg::handle(access.reg, write, &me.vm.features) {
        Action::Value(value) => frame.set(access.rt, value),
        Action::Ignored => {}
        Action::Sgi { value, .. } => interrupts::send_guest_sgi(&me, value),
        Action::InjectUndef => {
            me.vm.counters.undefined(access.reg);
            return raise(Exception::Undefined);
        }
    }
    skip();
}

//! The life of a VM: starting, ending, and the meeting of its CPUs in between.
//!
//! A VM ends when its last CPU has left the guest for good. Whoever decides
//! that it ends ([`Vm::request_end`]) kicks the others; each one comes here by
//! itself, puts its interrupts aside and counts itself in; the last does the
//! rest alone. So nobody ever waits for another CPU, and a CPU that a guest
//! keeps busy is fetched by an interrupt it cannot mask.
//!
//! When the last CPU goes off by itself the VM is powered off: only its own
//! CPUs can start one another.

mod load;
mod reset;

use crate::life::{Ending, Phase};
use crate::machine::board::console;
use crate::machine::board::kick::kick;
use crate::machine::irq;
use crate::machine::operator::off;
use crate::machine::probing::late;
use crate::machine::vm::{VcpuRef, Vm};
use crate::psci::{self, Start};
use reset::{clean, prepare};

/// Runs on a vCPU's own CPU whenever the vCPU does not: waits, asleep, until it
/// is told to start. Takes part in ends and beginnings of its VM meanwhile.
pub fn wait_for_start(me: VcpuRef) -> Start {
    me.leave();
    // Nobody is left who could start a CPU: for ever, if the VM runs.
    if psci::all_off(me.vm.vcpus.iter().map(|vcpu| &vcpu.power)) {
        me.vm.request_end(Ending::PowerOff);
    }
    let mut counted = None;
    loop {
        match me.vm.life.phase() {
            (Phase::Running, _) => {
                if let Some(start) = me.state().power.begin() {
                    return start;
                }
            }
            (Phase::Ending(ending), number) if counted != Some(number) => {
                counted = Some(number);
                // A start that was under way when the VM ended is void.
                me.state().power.off();
                if me.vm.life.arrive(me.vm.vcpus.len() as u32) {
                    conclude(me.vm, ending);
                    continue;
                }
            }
            _ => {}
        }
        irq::sleep();
    }
}

/// All CPUs of the VM are here: leaves nothing of the guest, then starts it
/// again or leaves it off.
fn conclude(vm: &'static Vm, ending: Ending) {
    let name = &vm.name;
    // A CPU that came late may have asked another to start after that one was
    // here: void, or it would start where the old kernel wanted.
    for vcpu in &vm.vcpus {
        vcpu.power.off();
    }
    clean(vm);
    if matches!(ending, Ending::PowerOn | Ending::Reset) {
        if ending == Ending::Reset {
            vm.life.count_reset();
            log::info!("{name}: reset");
        }
        late::starts(vm, true);
        match prepare(vm) {
            Ok(start) => {
                let first = &vm.vcpus[0];
                let _ = first.power.request(start);
                vm.life.run();
                late::starts(vm, false);
                kick(first.cpu);
                return;
            }
            Err(error) => log::error!("{name}: cannot start: {error}"),
        }
    }
    vm.life.rest(ending);
    // Said only now that it is so: its memory is zero, and it may be started.
    match ending {
        Ending::Crash => log::error!("{name}: stopped after a crash"),
        _ => log::info!("{name}: powered off"),
    }
    console::release(vm.id);
    off::vm_went_off();
}

//! Accesses to addresses that stage 2 does not map: emulated devices, or a
//! guest that aims at nothing.

use super::devices::{self, Loaded, Stored};
use super::outcome;
use crate::arch::regs::{self, far_el2, hpfar_el2};
use crate::arch::vectors::Frame;
use crate::guest::map;
use crate::life::Ending;
use crate::machine::board::lists::Lrs;
use crate::machine::irq;
use crate::machine::vm::{VcpuRef, Vm, interrupts};
use crate::trap::esr::{Access, DataAbort, Fault};
use crate::trap::inject::Exception;
use crate::vgic::{Read, Region};

/// `ESR_EL2` bits that must be so for [`quick_load`]: a data abort from a lower
/// level (class 0x24) with a described access (ISV), not for cache maintenance
/// or a table walk, a read, a translation fault.
const QUICK_MASK: u64 = 0x3f << 26 | 1 << 24 | 1 << 8 | 1 << 7 | 1 << 6 | 0x3c;
const QUICK: u64 = 0x24 << 26 | 1 << 24 | 0x04;

/// Serves a load of a virtual interrupt controller's register, if the syndrome
/// is of one and the register can be read from here; otherwise changes nothing.
#[inline(always)]
pub fn quick_load(frame: &mut Frame, syndrome: u64) -> bool {
    if syndrome & QUICK_MASK != QUICK {
        return false;
    }
    // FIPA, bits 43:4, is IPA[51:12].
    let ipa = (hpfar_el2::read() & 0x0fff_ffff_fff0) << 8 | far_el2::read() & 0xfff;
    let Some(me) = VcpuRef::here() else {
        return false;
    };
    let Some((region, offset)) = gic(me.vm, ipa) else {
        return false;
    };
    // Only whole words without sign: everything that drivers do.
    if syndrome >> 21 & 0b111 != 0b100 {
        return false;
    }
    let Read::Value(value) = me
        .vm
        .vgic
        .read(me.index, region, offset, 4, &mut Lrs::here())
    else {
        return false;
    };
    frame.set((syndrome >> 16 & 0x1f) as u8, value);
    outcome::skip();
    // Reading a pending or active register may have emptied list registers.
    interrupts::before_enter(&me);
    true
}

/// A load or store to `abort.ipa`.
#[inline]
pub fn data_abort(me: VcpuRef, frame: &mut Frame, abort: &DataAbort) {
    let (Some(ipa), Some(access)) = (abort.ipa, abort.access) else {
        return undecodable(me, frame, abort);
    };
    if abort.stage1_walk {
        return nowhere(me, frame, abort);
    }
    let done = if abort.write {
        match store(me, ipa, access, access.store(frame.get(access.reg))) {
            Stored::Done => true,
            Stored::Again => return,
            Stored::Nothing => false,
        }
    } else {
        match load(me, ipa, access) {
            Loaded::Value(value) => {
                frame.set(access.reg, access.load(value));
                true
            }
            Loaded::Again => return,
            Loaded::Nothing => false,
        }
    };
    if done {
        outcome::skip()
    } else {
        nowhere(me, frame, abort)
    }
}

#[inline]
fn load(me: VcpuRef, ipa: u64, access: Access) -> Loaded {
    let vm = me.vm;
    if let Some((region, offset)) = gic(vm, ipa) {
        return match vm.vgic.read(
            me.index,
            region,
            offset,
            access.size.into(),
            &mut Lrs::here(),
        ) {
            Read::Value(value) => Loaded::Value(value),
            Read::Retry(kick) => {
                vm.kick(kick.without(me.index));
                irq::take_pending();
                Loaded::Again
            }
        };
    }
    devices::read(me, ipa, access.size)
}

#[inline]
fn store(me: VcpuRef, ipa: u64, access: Access, value: u64) -> Stored {
    let vm = me.vm;
    if let Some((region, offset)) = gic(vm, ipa) {
        let effects = vm.vgic.write(
            me.index,
            region,
            offset,
            access.size.into(),
            value,
            &mut Lrs::here(),
        );
        interrupts::apply(&me, effects);
        return Stored::Done;
    }
    devices::write(me, ipa, access.size, value)
}

/// The register frame that `ipa` lies in.
#[inline]
fn gic(vm: &Vm, ipa: u64) -> Option<(Region, usize)> {
    let at = ipa.wrapping_sub(map::GICD.base);
    if at < map::GICD.size {
        return Some((Region::Distributor, at as usize));
    }
    let at = ipa.wrapping_sub(map::GICR_BASE);
    (at < vm.redistributor_bytes).then_some((Region::Redistributors, at as usize))
}

/// No device, no memory: the guest gets what a bus without an answer gives, an
/// external abort. A guest whose vectors are not up yet would loop for ever in
/// them; it is stopped instead.
#[cold]
fn nowhere(me: VcpuRef, frame: &Frame, abort: &DataAbort) {
    let ipa = abort.ipa.unwrap_or(0);
    if abort.fault == Fault::Translation && me.vm.space.changing(ipa) {
        return;
    }
    if regs::vbar_el1::read() == 0 {
        let what = if abort.write { "write to" } else { "read from" };
        return outcome::crash(
            me,
            frame,
            format_args!("{what} {ipa:#x}, where nothing is, before it set up exception vectors"),
        );
    }
    me.vm.counters.aborts(ipa);
    outcome::raise(Exception::DataAbort {
        va: abort.va.unwrap_or(0),
        write: abort.write,
    });
}

/// An access that the syndrome does not describe. Cache maintenance by address
/// has nothing to do on a device; the rest cannot be emulated.
#[cold]
fn undecodable(me: VcpuRef, frame: &Frame, abort: &DataAbort) {
    if abort.cache_maintenance {
        return outcome::skip();
    }
    nowhere(me, frame, abort);
}

/// A fetch from where no memory is.
#[cold]
pub fn instruction_abort(me: VcpuRef, ipa: Option<u64>, va: u64) {
    if regs::vbar_el1::read() == 0 {
        log::error!(
            "{} vCPU {}: runs at {:#x}, where nothing is",
            me.vm.name,
            me.index,
            ipa.unwrap_or(va)
        );
        return me.vm.request_end(Ending::Crash);
    }
    outcome::raise(Exception::InstructionAbort { va });
}

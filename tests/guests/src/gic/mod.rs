//! The interrupt controller, version 2 or 3, found out from the CPU itself.

pub mod v2;
pub mod v3;

use crate::cpu::{read32, write8, write32};
use crate::mrs;

/// The distributor of both versions.
pub const GICD: u64 = 0x0800_0000;

/// Distributor registers.
pub mod reg {
    #![allow(missing_docs)]
    pub const CTLR: u64 = 0x000;
    pub const TYPER: u64 = 0x004;
    pub const IIDR: u64 = 0x008;
    pub const IGROUPR: u64 = 0x080;
    pub const ISENABLER: u64 = 0x100;
    pub const ICENABLER: u64 = 0x180;
    pub const ISPENDR: u64 = 0x200;
    pub const ICPENDR: u64 = 0x280;
    pub const ISACTIVER: u64 = 0x300;
    pub const ICACTIVER: u64 = 0x380;
    pub const IPRIORITYR: u64 = 0x400;
    pub const ITARGETSR: u64 = 0x800;
    pub const ICFGR: u64 = 0xc00;
    pub const IROUTER: u64 = 0x6000;
}

/// Whether the CPU has the system-register interface of GICv3.
pub fn is_v3() -> bool {
    (mrs!("id_aa64pfr0_el1") >> 24) & 0xf != 0
}

/// Page that holds the registers of an interrupt: for SGIs and PPIs of GICv3
/// that is this CPU's redistributor.
pub fn bank(intid: u32) -> u64 {
    if is_v3() && intid < 32 {
        v3::sgi_base()
    } else {
        GICD
    }
}

/// Readies the distributor; all interrupts of group 1, priority 0xa0.
pub fn init() {
    if is_v3() {
        v3::init_distributor();
    } else {
        v2::init_distributor();
    }
    init_cpu();
}

/// Readies this CPU's interface.
pub fn init_cpu() {
    if is_v3() {
        v3::init_cpu()
    } else {
        v2::init_cpu()
    }
    for intid in 0..32 {
        set_priority(intid, 0xa0);
    }
}

fn bit(register: u64, intid: u32) -> (u64, u32) {
    (
        bank(intid) + register + u64::from(intid / 32) * 4,
        1 << (intid % 32),
    )
}

/// Writes an interrupt's bit in a set- or clear-register.
pub fn poke(register: u64, intid: u32) {
    let (address, mask) = bit(register, intid);
    write32(address, mask);
}

/// Reads an interrupt's bit.
pub fn peek(register: u64, intid: u32) -> bool {
    let (address, mask) = bit(register, intid);
    read32(address) & mask != 0
}

/// Lets an interrupt through.
pub fn enable(intid: u32) {
    poke(reg::ISENABLER, intid);
}

/// Keeps an interrupt back.
pub fn disable(intid: u32) {
    poke(reg::ICENABLER, intid);
    if is_v3() {
        v3::wait_for_writes(intid);
    }
}

/// Sets an interrupt's priority, by byte.
pub fn set_priority(intid: u32, priority: u8) {
    write8(bank(intid) + reg::IPRIORITYR + u64::from(intid), priority);
}

/// Makes an interrupt edge- or level-sensitive.
pub fn set_edge(intid: u32, edge: bool) {
    let address = bank(intid) + reg::ICFGR + u64::from(intid / 16) * 4;
    let mask = 2 << (intid % 16 * 2);
    let value = read32(address);
    write32(address, if edge { value | mask } else { value & !mask });
}

/// Sends an SPI to one CPU.
pub fn route(intid: u32, cpu: usize) {
    if is_v3() {
        crate::cpu::write64(GICD + reg::IROUTER + u64::from(intid) * 8, cpu as u64);
    } else {
        write8(GICD + reg::ITARGETSR + u64::from(intid), 1 << cpu);
    }
}

/// Sends an SGI to the CPUs of a mask.
pub fn send_sgi(intid: u32, cpus: u32) {
    crate::cpu::sync();
    if is_v3() {
        v3::send_sgi(intid, cpus)
    } else {
        v2::send_sgi(intid, cpus)
    }
}

/// Sends an SGI to all CPUs but this one.
pub fn send_sgi_others(intid: u32) {
    crate::cpu::sync();
    if is_v3() {
        v3::send_sgi_others(intid)
    } else {
        v2::send_sgi_others(intid)
    }
}

/// Takes the highest pending interrupt.
pub fn acknowledge() -> u32 {
    if is_v3() {
        v3::acknowledge()
    } else {
        v2::acknowledge()
    }
}

/// Drops the running priority and, unless split, deactivates.
pub fn end(intid: u32) {
    if is_v3() {
        v3::end(intid)
    } else {
        v2::end(intid)
    }
}

/// Deactivates, in split mode.
pub fn deactivate(intid: u32) {
    if is_v3() {
        v3::deactivate(intid)
    } else {
        v2::deactivate(intid)
    }
}

/// Whether end and deactivate are two steps.
pub fn split_end(split: bool) {
    if is_v3() {
        v3::split_end(split)
    } else {
        v2::split_end(split)
    }
}

/// Sets the lowest priority that gets through.
pub fn set_mask(priority: u8) {
    if is_v3() {
        v3::set_mask(priority)
    } else {
        v2::set_mask(priority)
    }
}

/// The priority of what is being handled, 0xff for nothing.
pub fn running_priority() -> u8 {
    if is_v3() {
        v3::running_priority()
    } else {
        v2::running_priority()
    }
}

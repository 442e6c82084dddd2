//! GICv2 (IHI 0048).

use super::{GICD, reg};
use crate::cpu::{read32, write32};
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

const GICC: u64 = 0x0801_0000;
const CTLR: u64 = GICC;
const PMR: u64 = GICC + 0x4;
const IAR: u64 = GICC + 0xc;
const EOIR: u64 = GICC + 0x10;
const RPR: u64 = GICC + 0x14;
const DIR: u64 = GICC + 0x1000;

/// What IAR returned, per CPU: EOIR wants the sender of an SGI back.
static TAKEN: [AtomicU32; 8] = [const { AtomicU32::new(0) }; 8];

fn taken() -> &'static AtomicU32 {
    &TAKEN[crate::smp::index()]
}

pub fn init_distributor() {
    write32(GICD + reg::CTLR, 1);
}

pub fn init_cpu() {
    write32(PMR, 0xf0);
    write32(CTLR, 1);
}

pub fn send_sgi(intid: u32, cpus: u32) {
    write32(GICD + 0xf00, cpus << 16 | intid);
}

pub fn send_sgi_others(intid: u32) {
    write32(GICD + 0xf00, 1 << 24 | intid);
}

pub fn acknowledge() -> u32 {
    let value = read32(IAR);
    taken().store(value, SeqCst);
    value & 0x3ff
}

fn with_sender(intid: u32) -> u32 {
    let value = taken().load(SeqCst);
    if value & 0x3ff == intid { value } else { intid }
}

pub fn end(intid: u32) {
    write32(EOIR, with_sender(intid));
}

pub fn deactivate(intid: u32) {
    write32(DIR, with_sender(intid));
}

pub fn split_end(split: bool) {
    write32(CTLR, if split { 1 | 1 << 9 } else { 1 });
}

pub fn set_mask(priority: u8) {
    write32(PMR, u32::from(priority));
}

pub fn running_priority() -> u8 {
    read32(RPR) as u8
}

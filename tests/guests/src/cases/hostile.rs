//! A guest that makes every DMA call with whatever comes to its mind, from two
//! CPUs, while a third rewrites the pages that the calls point to. It may get
//! any answer, but must leave nothing behind when it resets itself.

use super::bad::Garbage;
use super::{Case, Outcome, last};
use crate::{check, cpu, println, psci, smp};
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

pub const CASES: &[Case] = &[last("hostile-calls", calls)];

const ROUNDS: u32 = 20_000;
/// Entries of 16 bytes that a page of lists has.
const ENTRIES: u64 = 256;

#[repr(C, align(4096))]
struct Pages([u64; 1024]);
static mut PAGES: Pages = Pages([0; 1024]);
static DONE: AtomicBool = AtomicBool::new(false);

fn pages() -> u64 {
    (&raw const PAGES) as u64
}

/// An address: mine, a neighbour of mine, nobody's, or none at all.
fn address(garbage: &mut Garbage) -> u64 {
    let n = garbage.next();
    match n % 8 {
        0..=3 => 0x4100_0000 + (n >> 16 & 0x1ff) * 4096,
        4 => 0x4400_0000 - (n >> 16 & 3) * 4096,
        5 => 0x0800_0000 + (n >> 16 & 0xffff) * 256,
        6 => (n >> 16 & 0x7f) * 4096,
        _ => n,
    }
}

fn size(garbage: &mut Garbage) -> u64 {
    let n = garbage.next();
    match n % 8 {
        0..=4 => (1 + (n >> 8 & 7)) * 4096,
        5 => 2 << 20,
        6 => n >> 8 & 0xffff,
        _ => n,
    }
}

/// Small numbers: domains, flags, counts; sometimes the device itself.
fn small(garbage: &mut Garbage) -> u64 {
    match garbage.next() {
        n if n % 4 == 0 => 0x30,
        n if n % 64 == 1 => n,
        n => n >> 8 & 7,
    }
}

fn call(garbage: &mut Garbage) {
    let n = garbage.next();
    let id = 0x100 + (n & 0xf);
    let page = pages() + (n >> 8 & 1) * 4096;
    let domain = small(garbage);
    let args = match id {
        0x106 => [
            domain,
            address(garbage),
            address(garbage),
            size(garbage),
            n >> 16 & 0x3f,
        ],
        0x107 => [domain, address(garbage), size(garbage), n >> 16 & 1, 0],
        0x108 => [
            domain,
            address(garbage),
            page,
            n >> 16 & 0x1ff,
            n >> 32 & 0x3f,
        ],
        0x10f => [domain, page, n >> 16 & 0x1ff, n >> 32 & 1, 0],
        0x10a => [page, n >> 16 & 0x7f, n >> 32 & 3, 0, 0],
        _ => [domain, small(garbage), 0, 0, 0],
    };
    psci::call(0xc600_0000 | id, args);
}

fn hammer(seed: u64) {
    let mut garbage = Garbage(seed);
    for _ in 0..ROUNDS {
        call(&mut garbage);
    }
}

/// Rewrites both pages until told to stop: entries change while calls read them.
fn scribble() {
    let mut garbage = Garbage(0x7363_7269);
    while !DONE.load(SeqCst) {
        let at = pages() + (garbage.next() % (2 * ENTRIES)) * 16;
        cpu::write64(at, address(&mut garbage));
        cpu::write64(at + 8, size(&mut garbage));
    }
}

fn calls() -> Outcome {
    println!("ABOUT hostile-calls");
    check!(smp::start(1) == 0, "CPU 1 does not start", 0);
    check!(smp::start(2) == 0, "CPU 2 does not start", 0);
    smp::post(1, scribble);
    smp::post(2, || hammer(0x6861_6d6d));
    hammer(0x686f_7374);
    while !smp::wait(2) {}
    DONE.store(true, SeqCst);
    println!("hostile: {ROUNDS} calls from each of two CPUs");
    psci::call(psci::SYSTEM_RESET, [0; 5]);
    check!(false, "SYSTEM_RESET came back", 0);
    Ok(())
}

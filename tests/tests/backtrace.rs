//! What the console says when the hypervisor itself fails, and that its memory
//! is protected from itself.

mod common;

use common::{LIMIT, dir, ok};
use stagegate_tests::cases::{self, spec};
use stagegate_tests::machine::{Machine, Running};
use stagegate_tests::ram::{IMAGE, RamFile};
use stagegate_tests::setup::Setup;

/// What Ctrl-a `d` calls, and nobody before.
const VICTIM: &str = "hypervisor::machine::operator::report::lines";

/// Replaces the start of a function in the machine's memory before it was ever
/// run, has it run, and waits for a line with all of `words`. They get the
/// function's place in the image.
fn breaks(name: &str, code: &[u32], words: impl Fn(u64) -> Vec<String>) -> Running {
    let dir = dir(&format!("backtrace-{name}"));
    let mut setup = ok(Setup::new(Machine::virt(2, 1024)));
    let ram = RamFile::of(&mut setup.machine, 1024, &dir);
    let kernel = ok(setup.module(&ok(cases::image())));
    setup.vms(&[spec(&kernel, "guest", 1, "bad-sleep-forever")]);
    let mut running = ok(setup.start(&dir));
    ok(running.console.expect_from("guest", "ABOUT", LIMIT));
    let address = ok(ok(ram.open()).replace(VICTIM, code));
    ok(running.console.send(&[0x01, b'd']));
    let words = words(address);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    ok(running.console.expect_all(&words, LIMIT));
    running
}

/// The report's line, without a place.
fn fault(words: &str) -> Vec<String> {
    vec![format!("synchronous exception at EL2: {words}")]
}

#[test]
fn a_fault_at_el2_is_reported_with_names() {
    // udf #0
    let mut running = breaks("names", &[0], |address| {
        let mut words = fault("undefined instruction (ESR 0x2000000, EC 0x0)");
        words.push(format!("(image+{address:#x} <{VICTIM}+0x0>)"));
        words
    });
    ok(running
        .console
        .expect_all(&["called from image+0x", "<hypervisor::machine::"], LIMIT));
    ok(running.quit());
}

#[test]
fn code_cannot_be_written() {
    // adr x0, .; str x0, [x0]
    let running = breaks("write", &[0x1000_0000, 0xf900_0000], |address| {
        let mut words = fault("data abort at EL2, write, permission fault");
        words.push(format!("far {:#x}", 0x4000_0000 + IMAGE + address));
        words
    });
    ok(running.quit());
}

#[test]
fn data_cannot_be_executed() {
    // mov x0, sp; br x0
    let running = breaks("execute", &[0x9100_03e0, 0xd61f_0000], |_| {
        fault("instruction abort at EL2, permission fault")
    });
    ok(running.quit());
}

/// Below each stack there is nothing; the report needs another stack.
#[test]
fn a_stack_ends_in_a_guard() {
    // 1: str xzr, [sp, #-16]!; b 1b
    let running = breaks("stack", &[0xf81f_0fff, 0x17ff_ffff], |address| {
        let mut words = fault("data abort at EL2, write, translation fault");
        words.push(format!("(image+{address:#x} <{VICTIM}+0x0>)"));
        words
    });
    ok(running.quit());
}

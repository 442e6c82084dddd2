//! What the console says when the hypervisor itself fails.

mod common;

use common::{LIMIT, dir, ok};
use stagegate::symbols::Symbols;
use stagegate_tests::cases::{self, spec};
use stagegate_tests::machine::Machine;
use stagegate_tests::setup::Setup;
use stagegate_tests::{paths, scmi_firmware};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

/// Where QEMU puts the image: 2 MiB into RAM, whose file starts with it.
const IMAGE: u64 = 0x20_0000;
/// What Ctrl-a `d` calls, and nobody before.
const VICTIM: &str = "hypervisor::machine::report::lines";

/// The syndrome of an undefined instruction, in words.
const WORDS: &str = "undefined instruction (ESR 0x2000000, EC 0x0)";

/// The test breaks a function in the machine's memory before it was ever run.
#[test]
fn a_fault_at_el2_is_reported_with_names() {
    let dir = dir("backtrace");
    let ram = dir.join("ram");
    let mut setup = ok(Setup::new(Machine::virt(2, 1024)));
    setup.machine.extra.extend(scmi_firmware::ram(&ram, 1024));
    let kernel = ok(setup.module(&ok(cases::image())));
    setup.vms(&[spec(&kernel, "guest", 1, "bad-sleep-forever")]);
    let mut running = ok(setup.start(&dir));
    ok(running.console.expect_from("guest", "ABOUT", LIMIT));
    let elf = fs::read(ok(paths::hypervisor())).expect("image");
    let address = Symbols::read(&elf).expect("names").address(VICTIM);
    let address = address.unwrap_or_else(|| panic!("{VICTIM} is not a function of its own"));
    let memory = OpenOptions::new().write(true).open(&ram).expect("RAM");
    // UDF #0.
    memory.write_all_at(&[0; 4], IMAGE + address).expect("RAM");
    ok(running.console.send(&[0x01, b'd']));
    let fault = format!("(image+{address:#x} <{VICTIM}+0x0>)");
    ok(running
        .console
        .expect_all(&["synchronous exception at EL2: ", WORDS, &fault], LIMIT));
    ok(running
        .console
        .expect_all(&["called from image+0x", "<hypervisor::machine::"], LIMIT));
    let ended = running.quit();
    let _ = fs::remove_file(&ram);
    ok(ended);
}

//! A bus that answers the hypervisor with an error, and a CPU that fails: what
//! the neighbours notice of it.

mod common;

use std::time::Instant;

use common::{LIMIT, all_passed, dir, ok};
use stagegate_tests::cases::{self, spec};
use stagegate_tests::console::Console;
use stagegate_tests::devicetree::{Template, reg};
use stagegate_tests::gates;
use stagegate_tests::machine::Machine;
use stagegate_tests::ram::{Ram, RamFile};
use stagegate_tests::setup::{Setup, VmSpec};

/// QEMU's configuration window, bytes.
const ECAM: (u64, u64) = (0x40_1000_0000, 0x1000_0000);
/// As many addresses where QEMU has nothing: accesses there abort.
const NOTHING: u64 = 0x40_3000_0000;

/// A second host bridge, which the board does not have.
fn absent_bridge() -> Template {
    let text = format!(
        "/dts-v1/; /plugin/;
         &{{/}} {{ absent: pcie@{NOTHING:x} {{ compatible = \"pci-host-ecam-generic\";
             device_type = \"pci\"; #address-cells = <3>; #size-cells = <2>;
             reg = <{}>; bus-range = <0 255>;
             ranges = <0x02000000 0 0x70000000 0x45 0 0 0x10000000>; }}; }};",
        reg(NOTHING, ECAM.1)
    );
    Template::text("absent-bridge", &text)
}

#[test]
fn a_host_bridge_that_does_not_answer_has_no_functions() {
    let mut setup = ok(Setup::new(Machine::virt(2, 1024)));
    let kernel = ok(setup.module(&ok(cases::image())));
    setup.overlay(absent_bridge());
    setup.vms(&[spec(&kernel, "guest", 1, "psci-version")]);
    let mut running = ok(setup.start(&dir("aborts-absent")));
    let path = format!("/pcie@{NOTHING:x}: ");
    let lost = "read of 00:00.0 register 0x0 aborted: all ones";
    ok(running.console.expect_all(&[&path, lost], LIMIT));
    ok(running.console.expect_all(&[&path, "0 functions"], LIMIT));
    all_passed(running);
}

/// The image and its first heap, which holds what is known of the board and
/// EL2's own tables.
fn words(ram: &Ram) -> Vec<u64> {
    ok(ram.start(16 << 20))
        .chunks_exact(8)
        .filter_map(|bytes| bytes.try_into().ok().map(u64::from_le_bytes))
        .collect()
}

/// Where in RAM the hypervisor keeps the address of QEMU's configuration
/// window, with its length behind it.
fn places(ram: &Ram) -> Vec<u64> {
    let words = words(ram);
    let found = words.windows(2).enumerate();
    let found = found.filter(|(_, two)| **two == [ECAM.0, ECAM.1]);
    found.map(|(index, _)| 8 * index as u64).collect()
}

/// EL2's registers for its own translations, as other CPUs start with them:
/// `TTBR0_EL2`, `TCR_EL2`, `MAIR_EL2`.
fn translation(words: &[u64]) -> [u64; 3] {
    // Attributes 0 to 3 and nothing behind them; 48 bits, 4 KiB.
    let is = |three: &&[u64]| three[2] == 0x0044_ff04 && three[1] & 0xc03f == 16;
    let mut found = words.windows(3).filter(is);
    match (found.next(), found.next()) {
        (Some(&[ttbr, tcr, mair]), None) => [ttbr, tcr, mair],
        _ => panic!("EL2's registers are not in memory, or twice"),
    }
}

/// The kind of memory (a byte of MAIR) that EL2 sees at an address, as a walker
/// finds it in its tables (DDI 0487, D8.3).
fn memory_kind(words: &[u64], address: u64) -> u8 {
    const RAM: u64 = 0x4000_0000;
    let [mut table, _, mair] = translation(words);
    for level in 0..4 {
        let index = address >> (39 - 9 * level) & 0x1ff;
        let at = (table & 0xffff_ffff_f000) + 8 * index - RAM;
        let word = words[at as usize / 8];
        assert!(word & 1 != 0, "{address:#x} is not mapped");
        if level == 3 || word & 2 == 0 {
            return mair.to_le_bytes()[(word >> 2 & 7) as usize];
        }
        table = word;
    }
    unreachable!("level 3 has no tables")
}

/// A configuration write is not posted: it is complete when the function has it
/// (PCIe base 5.0, 7.2.2). Writes to other registers may be answered for on the way.
#[test]
fn writes_to_configuration_space_end_at_the_device() {
    const NGNRNE: u8 = 0x00;
    const NGNRE: u8 = 0x04;
    const UART: u64 = 0x0900_0000;
    let dir = dir("aborts-attributes");
    let mut setup = ok(Setup::new(Machine::virt(2, 1024)));
    let ram = RamFile::of(&mut setup.machine, 1024, &dir);
    let kernel = ok(setup.module(&ok(cases::image())));
    setup.vms(&[spec(&kernel, "guest", 1, "bad-sleep-forever")]);
    let mut running = ok(setup.start(&dir));
    ok(running
        .console
        .expect_from("guest", "ABOUT bad-sleep", LIMIT));
    let words = words(&ok(ram.open()));
    assert_eq!(memory_kind(&words, ECAM.0), NGNRNE);
    assert_eq!(memory_kind(&words, ECAM.0 + ECAM.1 - 1), NGNRNE);
    assert_eq!(memory_kind(&words, UART), NGNRE);
    ok(running.quit());
}

/// The way to the device's configuration space is lost while its guest uses it,
/// as if a link went down, and comes back.
#[test]
fn a_function_that_stops_answering_reads_as_ones() {
    let dir = dir("aborts-function");
    let mut setup = ok(Setup::new(cases::with_edu(Machine::virt(2, 1024), &[6, 7])));
    let ram = RamFile::of(&mut setup.machine, 1024, &dir);
    let kernel = ok(setup.module(&ok(cases::image())));
    setup.overlay(ok(Template::named("clock-gate")));
    // Maps the addresses without anything for EL2.
    setup.overlay(absent_bridge());
    let vm = |name, cases, slot| VmSpec {
        name,
        ..cases::with_devices(&kernel, cases, &[slot])
    };
    setup.vms(&[
        vm("left", "config-abort", 6),
        vm("right", "bad-sleep-forever", 7),
    ]);
    let mut running = ok(setup.start(&dir));
    ok(running
        .console
        .expect_from("left", "ABOUT config-abort", LIMIT));
    let ram = ok(ram.open());
    let places = places(&ram);
    assert!(!places.is_empty(), "no configuration window in memory");
    let aim = |base: u64| {
        for place in &places {
            // The one byte that differs: nobody sees half of the address.
            ok(ram.write(place + 3, &base.to_le_bytes()[3..4]));
        }
    };
    aim(NOTHING);
    ok(running
        .console
        .expect_all(&["/pcie@", " of 00:06.0 register ", "aborted"], LIMIT));
    ok(running
        .console
        .expect_from("left", "SEEN config-abort gone", LIMIT));
    ok(running.console.send(&[0x01, b'f']));
    ok(running
        .console
        .expect("configuration accesses to 00:06.0 aborted", LIMIT));
    aim(ECAM.0);
    ok(running
        .console
        .expect_from("left", "PASS config-abort", LIMIT));
    let lines = ok(running.quit()).lines;
    let told = lines
        .iter()
        .filter(|l| l.text.contains("register") && l.text.contains("aborted"));
    let (first, last) = (lines.first(), lines.last());
    let seconds = first
        .zip(last)
        .and_then(|(a, b)| b.at.duration_since(a.at).ok());
    let most = seconds.expect("time goes on").as_secs() as usize + 2;
    assert!(told.count() <= most, "more than one line a second");
}

/// Asks for the power links until the line with `start` ends so.
fn ask_until(console: &mut Console, start: &str, end: &str) {
    let deadline = Instant::now() + LIMIT;
    loop {
        ok(console.send(&[0x01, b'k']));
        let line = ok(console.expect(start, LIMIT)).text;
        if line.ends_with(end) {
            return;
        }
        assert!(Instant::now() < deadline, "still: {line}");
    }
}

/// Breaks what a key of the monitor calls, so that the boot CPU fails. Its VM
/// is gone for good, the SMMU behind which it had an active device sleeps, and
/// the other VM has the console and goes on until it is told to stop.
#[test]
fn a_cpu_that_fails_takes_its_vm_and_nothing_else() {
    let dir = dir("aborts-cpu");
    let machine = Machine::virt(2, 1024).trace(["pl061_set_output"]);
    let mut setup = ok(Setup::new(cases::with_edu(machine, &[6])));
    let ram = RamFile::of(&mut setup.machine, 1024, &dir);
    let kernel = ok(setup.module(&ok(cases::image())));
    setup.overlay(ok(Template::named("clock-gate")));
    let left = VmSpec {
        name: "left",
        ..cases::with_devices(&kernel, "config-hold", &[6])
    };
    setup.vms(&[left, spec(&kernel, "right", 1, "bad-sleep-forever")]);
    let mut running = ok(setup.start(&dir));
    ok(running
        .console
        .expect_from("left", "ABOUT config-hold", LIMIT));
    let right = running
        .console
        .expect_once_from("right", "ABOUT bad-sleep", LIMIT);
    ok(right);
    // udf #0
    ok(ok(ram.open()).replace("hypervisor::machine::operator::report::table", &[0]));
    let console = &mut running.console;
    ok(console.send(&[0x01, b'p']));
    ok(console.expect("synchronous exception at EL2", LIMIT));
    ok(console.expect("left: stopped: its CPU 0 failed", LIMIT));
    for words in [["left", "failed"], ["right", "running"]] {
        ok(console.send(&[0x01, b'v']));
        ok(console.expect_all(&words, LIMIT));
    }
    // Its report is complete before its devices have been silenced.
    ask_until(console, "edu6 of left: ", "Idle (VmStopped)");
    ask_until(console, "(/smmuv3@9050000), ", "gated");
    for number in [b'1', b'2'] {
        ok(console.send(&[0x01, b'0', b's', number]));
    }
    ok(console.expect("left has lost a CPU", LIMIT));
    ok(console.expect("right: powered off", LIMIT));
    ok(console.expect("every VM is off", LIMIT));
    let finished = ok(running.finish(LIMIT));
    let gates = gates::movements(&finished.trace, 5);
    let last = gates.last().expect("the SMMU's clock was never on");
    assert!(!last.open, "the clock still runs: {gates:?}");
}

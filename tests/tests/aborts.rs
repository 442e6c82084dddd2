//! A bus that answers the hypervisor with an error, and a CPU that fails: what
//! the neighbours notice of it.

mod common;

use common::{LIMIT, all_passed, dir, ok};
use stagegate_tests::cases::{self, spec};
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

/// Where in RAM the hypervisor keeps the address of QEMU's configuration
/// window, with its length behind it.
fn places(ram: &Ram) -> Vec<u64> {
    // The image and its first heap, which holds what is known of the board.
    let content = ok(ram.start(16 << 20));
    let words: Vec<u64> = content
        .chunks_exact(8)
        .filter_map(|bytes| bytes.try_into().ok().map(u64::from_le_bytes))
        .collect();
    let found = words.windows(2).enumerate();
    let found = found.filter(|(_, two)| **two == [ECAM.0, ECAM.1]);
    found.map(|(index, _)| 8 * index as u64).collect()
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
    for (key, words) in [
        (b'v', ["left", "failed"]),
        (b'v', ["right", "running"]),
        (b'k', ["edu6 of left", "Idle (VmStopped)"]),
    ] {
        ok(console.send(&[0x01, key]));
        ok(console.expect_all(&words, LIMIT));
    }
    let mut smmu = String::new();
    while !smmu.ends_with("gated") {
        ok(console.send(&[0x01, b'k']));
        smmu = ok(console.expect("(/smmuv3@9050000), ", LIMIT)).text;
    }
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

//! A clock that does not start when a device wakes: the guest's request gets its
//! protocol's error, the device reaches nothing, nobody else notices, and once
//! the clock starts again so does all the rest.

mod common;

use common::{LIMIT, dir, ok};
use stagegate_tests::cases::{self, NAME, spec};
use stagegate_tests::devicetree::Template;
use stagegate_tests::machine::Machine;
use stagegate_tests::scmi_firmware::{self, Firmware, Mood};
use stagegate_tests::setup::Setup;

const CASE: &str = "power-refused";
const SLOT: u32 = 6;
/// Boots, tries a few things, and resets itself, for ever.
const NEIGHBOUR: &str = "psci-system-reset";

#[test]
fn a_clock_that_does_not_start() {
    let dir = dir("failing-supply");
    let ram = dir.join("ram");
    let traces = ["smmuv3_translate_success"];
    let machine = cases::with_edu(Machine::virt(2, 1024).trace(traces), &[SLOT]);
    let mut setup = ok(Setup::new(machine));
    let args = scmi_firmware::ram(&ram, 1024);
    setup.machine.extra.extend(args);
    setup.overlay(Template::text("supply", &scmi_firmware::overlay()));
    let kernel = ok(setup.module(&ok(cases::image())));
    setup.vms(&[
        cases::with_devices(&kernel, CASE, &[SLOT]),
        spec(&kernel, "other", 1, NEIGHBOUR),
    ]);
    let mut running = ok(setup.start(&dir));
    let firmware = ok(Firmware::start(&ram, Mood::Works));
    let console = &mut running.console;
    ok(console.expect_from(NAME, "MARK break", LIMIT));
    firmware.becomes(Mood::Fails);
    let supplier = ["/firmware/scmi", "does not switch on", "-9"];
    ok(console.expect_all(&supplier, LIMIT));
    let consumer = ["edu6", "/smmuv3", "does not come up", "clock 0 failed"];
    ok(console.expect_all(&consumer, LIMIT));
    ok(console.expect_from(NAME, "MARK refused", LIMIT));
    ok(console.expect_from(NAME, "MARK mend", LIMIT));
    // Its neighbour lives on meanwhile.
    ok(console.expect_from("other", "guest at EL1", LIMIT));
    firmware.becomes(Mood::Works);
    ok(console.expect_from(NAME, "MARK woken", LIMIT));
    ok(console.expect_from(NAME, &format!("PASS {CASE}"), LIMIT));
    let finished = ok(running.quit());
    let _ = std::fs::remove_file(&ram);
    let told = |l: &&stagegate_tests::console::Line| l.text.contains("does not switch on");
    assert!(finished.lines.iter().filter(told).count() >= 2);
    assert!(firmware.end() >= 3, "off, on, off, on");
}

//! `stagegate,bypass`: the operator's word, for one device, and what it means.

mod common;

use common::{LIMIT, dir, ok};
use stagegate_tests::devicetree::Template;
use stagegate_tests::machine::Machine;
use stagegate_tests::paths;
use stagegate_tests::setup::{Setup, VmSpec, bootargs};

const NAME: &str = "edu";
/// The device's requester id: slot 6 of the root bus.
const STREAM: u64 = 0x30;
/// The kernel's file in the board's memory: the first module. Its header has
/// zeros at 32 and its magic at 56.
const SPARE: u64 = 0x5000_0020;
const MAGIC: u32 = u32::from_le_bytes(*b"ARMd");

/// Lets a guest aim its device at the board's own addresses. Returns the word
/// that the device was to overwrite, as QEMU's monitor reads it afterwards, and
/// the numbers of bypassed and refused transactions in QEMU's trace.
fn copy_physical(property: &str) -> (u32, usize, usize) {
    let name = if property.is_empty() { "none" } else { "one" };
    let dir = dir(&format!("bypass-{name}"));
    let machine = Machine::virt(1, 1024)
        .args(["-device", "edu,addr=06.0,dma_mask=0xffffffffffff"])
        .args(["-no-shutdown"])
        .trace(["smmuv3_translate*", "smmuv3_record_event"]);
    let mut setup = ok(Setup::new(machine));
    setup.overlay(ok(Template::named("clock-gate")));
    let linux = ok(setup.linux(&ok(paths::kernel("6.12"))));
    setup.vms(&[VmSpec {
        name: NAME,
        cpus: 1,
        memory_mib: 256,
        modules: linux.nodes(&bootargs(NAME, 1, 256, "edu_physical")),
        more: format!(
            "devices {{ #address-cells = <1>; #size-cells = <0>; device@0 {{ reg = <0>;
             label = \"edu\"; device = <&pcie {STREAM:#x}>; {property} }}; }};"
        ),
    }]);
    let mut running = ok(setup.start(&dir));
    ok(running.console.expect("mark copied", LIMIT));
    if property.is_empty() {
        // The operator can list what was refused.
        ok(running.console.send(&[0x01, b'f']));
        ok(running.console.expect("SMMU: VM: master: fault", LIMIT));
        let fault = ["edu: edu (stream 0x30): write at 0x50000020"];
        ok(running.console.expect_all(&fault, LIMIT));
    }
    let word = ok(running.qmp.read_u32(SPARE));
    let trace = ok(running.quit()).trace;
    let count = |names: &[&str]| {
        let named = trace.iter().filter(|e| names.contains(&e.name.as_str()));
        named.filter(|e| e.number("sid") == Some(STREAM)).count()
    };
    let bypassed = count(&["smmuv3_translate_bypass"]);
    (word, bypassed, count(&["smmuv3_record_event"]))
}

#[test]
fn a_bypassed_device_reaches_all_memory() {
    let (word, bypassed, refused) = copy_physical("stagegate,bypass;");
    assert_eq!((word, refused), (MAGIC, 0));
    assert!(bypassed >= 2, "{bypassed} transactions");
}

/// What the first test shows is the property's doing.
#[test]
fn without_the_operators_word_it_does_not() {
    let (word, bypassed, refused) = copy_physical("");
    assert_eq!((word, bypassed), (0, 0));
    assert!(refused >= 1);
}

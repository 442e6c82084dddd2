//! What becomes of a device whose SMMU waits for a clock that comes late, never,
//! or fails: each line of the table in docs/configuration.md.

mod common;

use common::{LIMIT, dir, ok};
use stagegate_tests::cases::{self, NAME, spec};
use stagegate_tests::checks::Checks;
use stagegate_tests::devicetree::Template;
use stagegate_tests::director::Director;
use stagegate_tests::machine::{Machine, Running};
use stagegate_tests::scmi_firmware::{self, Firmware, Mood};
use stagegate_tests::setup::{Setup, VmSpec, bootargs};
use stagegate_tests::timeline::epoch_us;
use stagegate_tests::trace::Event;
use stagegate_tests::{activity, gates, paths};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

const MEMORY_MIB: u32 = 1024;
/// The device, behind the SMMU.
const EDU: &str = "edu,addr=06.0,dma_mask=0xffffffffffff";

/// A VM with the device, on a machine whose SMMU is supplied as `overlay` says.
fn setup(overlay: &str, cases: &str, properties: &str) -> Setup {
    let machine = Machine::virt(2, MEMORY_MIB).args(["-device", EDU]);
    let mut setup = ok(Setup::new(machine));
    setup.overlay(Template::text("supply", overlay));
    let kernel = ok(setup.module(&ok(cases::image())));
    let device = format!(
        "devices {{ #address-cells = <1>; #size-cells = <0>; device@0 {{ reg = <0>; label = \"edu\";
         device = <&pcie 0x30>; {properties} }}; }};"
    );
    setup.vms(&[VmSpec {
        more: device,
        ..spec(&kernel, NAME, 1, cases)
    }]);
    setup
}

/// The VM runs without the device, whose SMMU does not work; all of `lines` were
/// said before.
fn refused(running: Running, lines: &[&[&str]]) {
    let last: &[&str] = &["edu", "its SMMU does not work", "not given"];
    runs_without(running, &[lines, &[last]].concat());
}

/// The VM runs without the device; all of `lines` were said before.
fn runs_without(mut running: Running, lines: &[&[&str]]) {
    for words in lines {
        ok(running.console.expect_all(words, LIMIT));
    }
    ok(running
        .console
        .expect_from(NAME, "DONE passed 1 failed 0", LIMIT));
    assert!(ok(running.finish(LIMIT)).status.success());
}

/// Two gates, one behind the other; in the tree the outer one comes first.
#[test]
fn a_chain_in_the_wrong_order() {
    let gates = "/dts-v1/; /plugin/; &{/} {
        outer: a-gate { compatible = \"gpio-gate-clock\"; #clock-cells = <0>;
            clocks = <&inner>; enable-gpios = <&pl061 6 0>; };
        inner: b-gate { compatible = \"gpio-gate-clock\"; #clock-cells = <0>;
            clocks = <&apb_pclk>; enable-gpios = <&pl061 5 0>; }; };
        &smmu { clocks = <&outer>; clock-names = \"smmu\"; };";
    let power = "stagegate,power-source = \"hypercall\";";
    let mut setup = setup(gates, "dma-device", power);
    setup.machine = setup.machine.trace(["pl061_set_output"]);
    let mut running = ok(setup.start(&dir("deferral-chain")));
    ok(running
        .console
        .expect_from(NAME, "DONE passed 1 failed 0", LIMIT));
    let finished = ok(running.finish(LIMIT));
    assert!(finished.status.success());
    let rises = |text: &str| finished.trace.iter().position(|e| e.text.ends_with(text));
    let (inner, outer) = (rises("output 5 to 1"), rises("output 6 to 1"));
    assert!(inner.is_some() && inner < outer, "{inner:?} {outer:?}");
}

#[test]
fn no_driver() {
    let unknown = "/dts-v1/; /plugin/; &{/} { clk: odd-clock { compatible = \"acme,odd-clock\";
        #clock-cells = <0>; }; }; &smmu { clocks = <&clk>; };";
    let running = ok(setup(unknown, "psci-version", "").start(&dir("deferral-none")));
    refused(running, &[&["smmuv3", "refused: /odd-clock: no driver"]]);
}

/// The SMMU works; what the device's host bridge needs never comes. The risk that
/// the operator takes is another one.
#[test]
fn a_host_bridge_without_its_clock() {
    let unknown = "/dts-v1/; /plugin/; &{/} { clk: odd-clock { compatible = \"acme,odd-clock\";
        #clock-cells = <0>; }; }; &pcie { clocks = <&clk>; }; &smmu { stagegate,always-on; };";
    for (name, risk) in [("bridge", ""), ("bridge-risk", "stagegate,optional;")] {
        let setup = setup(unknown, "psci-version", risk);
        let running = ok(setup.start(&dir(&format!("deferral-{name}"))));
        let words: &[&str] = &[
            "edu",
            "refused: /pcie@",
            "/odd-clock: no driver",
            "not given",
        ];
        runs_without(running, &[words]);
    }
}

/// The clock of the device's host bridge runs before configuration space is
/// touched, and for good: not even an SMMU that sleeps and has the same clock
/// stops it.
#[test]
fn a_host_bridge_with_a_clock_to_start() {
    let gate = "/dts-v1/; /plugin/; &{/} { clk: a-gate { compatible = \"gpio-gate-clock\";
        #clock-cells = <0>; clocks = <&apb_pclk>; enable-gpios = <&pl061 5 0>; }; };
        &pcie { clocks = <&clk>; };
        &smmu { clocks = <&clk>; clock-names = \"smmu\"; };";
    let power = "stagegate,power-source = \"hypercall\";";
    let mut setup = setup(gate, "dma-device", power);
    let wanted = ["pl061_set_output", "pci_cfg_read", "pci_cfg_write"];
    setup.machine = setup.machine.trace(wanted);
    let mut running = ok(setup.start(&dir("deferral-bridge-gate")));
    ok(running
        .console
        .expect_from(NAME, "DONE passed 1 failed 0", LIMIT));
    let finished = ok(running.finish(LIMIT));
    assert!(finished.status.success());
    let moves = gates::movements(&finished.trace, 5);
    let [risen] = &moves[..] else {
        panic!("{moves:?}");
    };
    let mut events = finished.trace.iter();
    let touched = events.position(|e| e.name.starts_with("pci_cfg_"));
    assert!(Some(risen.index) < touched, "{risen:?} {touched:?}");
}

#[test]
fn a_disabled_supplier() {
    let gate = "/dts-v1/; /plugin/; &pl061 { status = \"disabled\"; };
        &{/} { clk: gate { compatible = \"gpio-gate-clock\"; #clock-cells = <0>;
            clocks = <&apb_pclk>; enable-gpios = <&pl061 5 0>; }; };
        &smmu { clocks = <&clk>; };";
    let running = ok(setup(gate, "psci-version", "").start(&dir("deferral-disabled")));
    let words: &[&str] = &["smmuv3", "refused: /gate needs /pl061@9030000: disabled"];
    refused(running, &[words]);
}

#[test]
fn a_ring() {
    let ring = "/dts-v1/; /plugin/; &{/} {
        a: a-gate { compatible = \"gpio-gate-clock\"; #clock-cells = <0>;
            clocks = <&b>; enable-gpios = <&pl061 6 0>; };
        b: b-gate { compatible = \"gpio-gate-clock\"; #clock-cells = <0>;
            clocks = <&a>; enable-gpios = <&pl061 5 0>; }; };
        &smmu { clocks = <&a>; };";
    let running = ok(setup(ring, "psci-version", "").start(&dir("deferral-ring")));
    refused(
        running,
        &[
            &["/smmuv3", "waits for itself"],
            &["-gate", "waits for itself", "→"],
        ],
    );
}

/// A machine's RAM in a file, which goes when the test ends.
struct Ram(PathBuf);

impl Drop for Ram {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A machine with RAM in a file, and its SMMU's clock from firmware.
fn with_firmware(name: &str, cases: &str, more: &str) -> (Setup, PathBuf, Ram) {
    let dir = dir(&format!("deferral-{name}"));
    let ram = dir.join("ram");
    let mut setup = setup(&scmi_firmware::overlay(), cases, more);
    let args = scmi_firmware::ram(&ram, MEMORY_MIB);
    setup.machine.extra.extend(args);
    (setup, dir, Ram(ram))
}

/// Firmware that comes up only when the hypervisor has said that it waits.
#[test]
fn late_firmware() {
    let power = "stagegate,power-source = \"hypercall\";";
    let (mut setup, dir, ram) = with_firmware("late", "dma-device", power);
    patience(&mut setup, 60_000_000);
    let mut running = ok(setup.start(&dir));
    ok(running.console.expect_all(
        &[
            "/firmware/scmi",
            "deferred: its firmware does not answer yet",
        ],
        LIMIT,
    ));
    ok(running
        .console
        .expect_all(&["/smmuv3", "deferred: waits for"], LIMIT));
    let firmware = ok(Firmware::start(&ram.0, Mood::Works));
    ok(running
        .console
        .expect_all(&["/smmuv3", "ready after"], LIMIT));
    ok(running
        .console
        .expect_from(NAME, "DONE passed 1 failed 0", LIMIT));
    assert!(ok(running.finish(LIMIT)).status.success());
    assert!(firmware.end() >= 1, "the clock was never switched");
}

/// It is waited for as long as the machine runs; the guest goes on without the
/// device.
#[test]
fn firmware_that_never_answers() {
    let (mut setup, dir, _ram) = with_firmware("never", "psci-version", "");
    patience(&mut setup, 100_000);
    let running = ok(setup.start(&dir));
    let deferred: &[&str] = &[
        "/firmware/scmi",
        "deferred: its firmware does not answer yet",
    ];
    let started: &[&str] = &["/smmuv3", "deferred", "guests start without its masters"];
    let last: &[&str] = &["edu", "deferred", "given when that has come"];
    runs_without(running, &[deferred, started, last]);
}

/// Firmware that answers when guests run, but not as it should.
#[test]
fn late_firmware_that_does_not_work() {
    for (name, case, mood, reason) in [
        (
            "late-refuses",
            "bad-spin",
            Mood::Refuses,
            "its firmware refuses",
        ),
        (
            "late-fails",
            "bad-sleep-forever",
            Mood::Fails,
            "given to nobody",
        ),
    ] {
        let (mut setup, dir, ram) = with_firmware(name, case, "");
        patience(&mut setup, 100_000);
        let mut running = ok(setup.start(&dir));
        let waits = &["edu", "deferred", "given when that has come"];
        ok(running.console.expect_all(waits, LIMIT));
        let _firmware = ok(Firmware::start(&ram.0, mood));
        ok(running.console.expect_all(&["/smmuv3", reason], LIMIT));
        ok(running
            .console
            .expect_all(&["edu", "refused", "it is not given"], LIMIT));
    }
}

/// Firmware that comes up when guests run. A stock guest finds the disk when it
/// scans its bus again, and both devices after its reset.
#[test]
fn firmware_that_answers_when_guests_run() {
    let dir = dir("deferral-running");
    let ram = Ram(dir.join("ram"));
    let (mut setup, disk) = (ok(Setup::new(late_machine(&dir))), &ram.0);
    setup
        .machine
        .extra
        .extend(scmi_firmware::ram(disk, MEMORY_MIB));
    setup.overlay(Template::text("supply", &scmi_firmware::overlay()));
    let stream = "/dts-v1/; /plugin/; &{/pl031@9010000} { iommus = <&smmu 0x7700>; };";
    setup.overlay(Template::text("stream", stream));
    let linux = ok(setup.linux(&ok(paths::kernel("6.12"))));
    let steps = "boot,absent,meet:late,rescan,nvme_copy,msi:nvme,reset";
    let args = bootargs(NAME, 1, 320, steps) + " stagegate.again=nvme_copy,msi:nvme,rtc";
    setup.vms(&[VmSpec {
        name: NAME,
        cpus: 1,
        memory_mib: 320,
        modules: linux.nodes(&args),
        more: LATE_DEVICES.to_string(),
    }]);
    patience(&mut setup, 100_000);
    let mut running = ok(setup.start(&dir));
    let mut director = Director::new(&[NAME]);
    let mut firmware = None;
    let mut hook = |what: &str, running: &mut Running, _: &mut Checks| {
        if what == "late" {
            // The operator sees who is missing, and why.
            running.console.send(b"\x01p")?;
            said(
                running,
                &[
                    &["nvme", "waits"],
                    &["rtc", "waits"],
                    &["/firmware/scmi:", "its firmware does not answer yet"],
                    &["/smmuv3", "deferred: waits for"],
                ],
            )?;
            firmware = Some((
                epoch_us(SystemTime::now()),
                Firmware::start(&ram.0, Mood::Works)?,
            ));
            said(
                running,
                &[
                    &["/smmuv3", "ready after"],
                    &["nvme", "ready after", "a scan of its PCI bus finds it"],
                    &["rtc", "ready after", "given at its VM's next start"],
                ],
            )?;
        }
        Ok(())
    };
    ok(director.watch(&mut running, LIMIT, &mut hook));
    let tail = running.console.tail(60);
    let finished = ok(running.finish(LIMIT));
    assert!(
        finished.status.success() && director.checks.passed(),
        "{tail}"
    );
    assert_eq!(director.vms[0].boots, 2, "{tail}");
    let (came_us, firmware) = firmware.expect("the guest came to its meeting");
    assert!(firmware.end() >= 1, "the clock was never switched");
    let before = |e: &&Event| e.at_us < came_us;
    let early = finished.trace.iter().filter(before);
    assert_eq!(
        early.clone().find(|e| gates::touches_smmu(e)),
        None,
        "no clock yet"
    );
    let quiet = activity::changes(&finished.trace, "nvme");
    assert!(quiet.iter().any(|change| change.active), "the disk did DMA");
    let first = quiet.iter().find(|change| change.active).map(|c| c.at_us);
    assert!(
        first > Some(came_us),
        "the disk mastered the bus without an SMMU"
    );
    let past = ["smmuv3_translate_bypass", "smmuv3_translate_disable"];
    let passed = |e: &&Event| past.contains(&e.name.as_str());
    assert_eq!(finished.trace.iter().find(passed), None, "nothing passes");
}

#[test]
fn firmware_that_refuses() {
    let (setup, dir, ram) = with_firmware("refuses", "psci-version", "");
    let file = std::fs::File::create(&ram.0).unwrap_or_else(|e| panic!("{e}"));
    file.set_len(u64::from(MEMORY_MIB) << 20)
        .unwrap_or_else(|e| panic!("{e}"));
    let firmware = ok(Firmware::start(&ram.0, Mood::Refuses));
    let running = ok(setup.start(&dir));
    refused(running, &[&["/smmuv3", "refused", "its firmware refuses"]]);
    assert_eq!(firmware.end(), 0);
}

/// The operator wrote that the device may run without: it does, and the
/// console says so.
#[test]
fn the_operators_risk() {
    let unknown = "/dts-v1/; /plugin/; &{/} { clk: odd-clock { compatible = \"acme,odd-clock\";
        #clock-cells = <0>; }; }; &smmu { clocks = <&clk>; };";
    let optional = "stagegate,optional;";
    let mut running = ok(setup(unknown, "psci-version", optional).start(&dir("deferral-risk")));
    ok(running
        .console
        .expect_all(&["device@0", "bypassed:", "never came"], LIMIT));
    ok(running
        .console
        .expect_from(NAME, "DONE passed 1 failed 0", LIMIT));
    let lines = ok(running.finish(LIMIT)).lines;
    assert!(!lines.iter().any(|l| l.text.contains("not given")));
}

/// All of these lines come, in whatever order.
fn said(running: &mut Running, lines: &[&[&str]]) -> stagegate_tests::Result<()> {
    let mut missing = lines.to_vec();
    let deadline = Instant::now() + LIMIT;
    while !missing.is_empty() {
        let line = running.console.next(deadline);
        let line = line.map_err(|end| format!("{end:?} before {missing:?}"))?;
        missing.retain(|words| !words.iter().all(|word| line.text.contains(word)));
    }
    Ok(())
}

/// A disk and a clock.
const LATE_DEVICES: &str = "devices { #address-cells = <1>; #size-cells = <0>;
    device@0 { reg = <0>; label = \"nvme\"; device = <&pcie 0x08>; };
    device@1 { reg = <1>; label = \"rtc\"; stagegate,path = \"/pl031@9010000\"; }; };";

/// The machine for these, with what QEMU saw.
fn late_machine(dir: &Path) -> Machine {
    let image = dir.join("disk.img");
    let file = File::create(&image).and_then(|file| file.set_len(64 << 20));
    file.unwrap_or_else(|e| panic!("{}: {e}", image.display()));
    let drive = format!("if=none,id=disk,format=raw,file={}", image.display());
    let disk = "nvme,drive=disk,serial=1,addr=1";
    Machine::virt(2, MEMORY_MIB)
        .args(["-drive", &drive, "-device", disk])
        .trace(["smmuv3_read_mmio", "smmuv3_write_mmio"])
        .trace(["pci_cfg_write", "pci_pm_transition", "smmuv3_translate_*"])
}

/// How long the start waits.
fn patience(setup: &mut Setup, micros: u32) {
    setup.overlay(Template::text(
        "patience",
        &format!(
            "/dts-v1/; /plugin/; &{{/chosen/stagegate}} {{
             stagegate,probe-timeout-us = <{micros}>; }};"
        ),
    ));
}

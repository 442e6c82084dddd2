//! A board or a configuration that cannot work gets one line that says why.
//! More of them are in `boot.rs`.

mod common;

use common::{LIMIT, dir, ok};
use stagegate_tests::cases::{self, spec};
use stagegate_tests::console::Line;
use stagegate_tests::devicetree;
use stagegate_tests::machine::{Machine, Running};
use stagegate_tests::setup::{Setup, VmSpec};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A machine with one small guest.
fn setup() -> Setup {
    let mut setup = ok(Setup::new(Machine::virt(2, 1024)));
    let kernel = ok(setup.module(&ok(cases::image())));
    setup.vms(&[spec(&kernel, "guest", 1, "psci-version")]);
    setup
}

/// Changes a device tree that is complete, by `fdtput`.
fn change(machine: &Machine, args: &[&str]) {
    let tree: &PathBuf = machine.dtb.as_ref().expect("a device tree");
    let (options, rest) = args.split_at(1);
    let mut command = Command::new("fdtput");
    command.args(options).arg(tree).args(rest);
    ok(devicetree::run(&mut command));
}

fn says_once(running: &mut Running, words: &[&str]) {
    ok(running.console.expect_all(words, LIMIT));
}

/// Ends the machine: no guest may have run, and just one error was printed
/// with all of `words`.
fn nothing_ran(running: Running, words: &[&str]) {
    let lines = ok(running.quit()).lines;
    let text = |l: &Line| l.text.clone();
    let all: Vec<_> = lines.iter().map(text).collect();
    assert!(!all.iter().any(|l| l.contains("guest at EL1")), "{all:#?}");
    let said = all.iter().filter(|l| words.iter().all(|w| l.contains(w)));
    assert_eq!(said.count(), 1, "{all:#?}");
}

#[test]
fn no_interrupt_controller() {
    let dir = dir("refused-gic");
    let machine = ok(setup().finish(&dir));
    change(&machine, &["-ts", "/intc@8000000", "status", "disabled"]);
    let mut running = ok(machine.start(&dir));
    let words = ["[stagegate] error", "no GICv2 or GICv3 is described"];
    says_once(&mut running, &words);
    says_once(&mut running, &["nothing is started"]);
    nothing_ran(running, &words);
}

/// Without `-kernel`, so that QEMU leaves the device tree as it is: a loader
/// of three instructions.
fn load_by_hand(mut machine: Machine, dir: &Path) -> Machine {
    const LOADER: u64 = 0x4010_0000;
    const IMAGE: u64 = 0x4020_0000;
    const TREE: u64 = 0x4800_0000;
    // ldr x0, tree; ldr x1, image; br x1
    let mut code = Vec::new();
    for word in [0x5800_0080_u32, 0x5800_00a1, 0xd61f_0020, 0xd503_201f] {
        code.extend(word.to_le_bytes());
    }
    code.extend(TREE.to_le_bytes());
    code.extend(IMAGE.to_le_bytes());
    let loader = dir.join("loader.bin");
    fs::write(&loader, code).expect("loader");
    let image = machine.kernel.take().expect("image");
    let tree = machine.dtb.take().expect("device tree");
    machine
        .blobs
        .extend([(loader, LOADER), (image, IMAGE), (tree, TREE)]);
    machine.args(["-device", &format!("loader,addr={LOADER:#x},cpu-num=0")])
}

#[test]
fn no_memory() {
    let dir = dir("refused-no-memory");
    let machine = ok(setup().finish(&dir));
    change(&machine, &["-r", "/memory@40000000"]);
    let mut running = ok(load_by_hand(machine, &dir).start(&dir));
    let words = ["[stagegate] error", "describes no memory"];
    says_once(&mut running, &words);
    nothing_ran(running, &words);
}

/// The same loader with a tree that is complete: what `no_memory` shows is
/// not the loader's doing.
#[test]
fn loaded_by_hand_it_boots() {
    let dir = dir("loaded-by-hand");
    let machine = ok(setup().finish(&dir));
    let mut running = ok(load_by_hand(machine, &dir).start(&dir));
    ok(running
        .console
        .expect_from("guest", "DONE passed 1 failed 0", LIMIT));
    assert!(ok(running.finish(LIMIT)).status.success());
}

/// No firmware between reset and Stagegate.
#[test]
fn el3_start_is_explained() {
    let dir = dir("refused-el3");
    let machine = ok(setup().finish(&dir)).args(["-machine", "secure=on"]);
    let mut running = ok(load_by_hand(machine, &dir).start(&dir));
    let words = ["[stagegate] error", "started at EL3, needs EL2", "TF-A"];
    says_once(&mut running, &words);
    nothing_ran(running, &words);
}

/// Nobody can be told. Guests need no console, so they run.
#[test]
fn no_console_at_all() {
    let dir = dir("no-console");
    let machine = ok(setup().finish(&dir));
    change(&machine, &["-r", "/pl011@9000000"]);
    let running = ok(machine.start(&dir));
    let finished = ok(running.finish(LIMIT));
    assert!(finished.status.success());
    assert!(finished.lines.is_empty(), "{:#?}", finished.lines);
}

/// `stdout-path` leads nowhere: said, and the port that is there is used.
#[test]
fn console_path_leads_nowhere() {
    let dir = dir("console-path");
    let machine = ok(setup().finish(&dir));
    change(&machine, &["-ts", "/chosen", "stdout-path", "/nowhere"]);
    let mut running = ok(machine.start(&dir));
    says_once(
        &mut running,
        &["[stagegate] warning", "/nowhere names no node"],
    );
    ok(running
        .console
        .expect_from("guest", "DONE passed 1 failed 0", LIMIT));
    assert!(ok(running.finish(LIMIT)).status.success());
}

/// Each VM alone would fit; a CPU belongs to one VM only.
#[test]
fn two_vms_on_one_cpu() {
    let mut setup = ok(Setup::new(Machine::virt(3, 1024)));
    let kernel = ok(setup.module(&ok(cases::image())));
    setup.vms(&[
        spec(&kernel, "one", 2, "psci-version"),
        spec(&kernel, "two", 2, "psci-version"),
    ]);
    let mut running = ok(setup.start(&dir("refused-shared-cpu")));
    let words = ["[stagegate] error", "CPU"];
    says_once(&mut running, &words);
    says_once(&mut running, &["nothing is started"]);
    nothing_ran(running, &words);
}

#[test]
fn a_device_that_is_not_there() {
    let mut setup = ok(Setup::new(Machine::virt(2, 1024)));
    let kernel = ok(setup.module(&ok(cases::image())));
    setup.vms(&[VmSpec {
        more: "devices { #address-cells = <1>; #size-cells = <0>; device@0 { reg = <0>; \
               stagegate,path = \"/no-such-device\"; }; };"
            .into(),
        ..spec(&kernel, "guest", 1, "psci-version")
    }]);
    let mut running = ok(setup.start(&dir("refused-device")));
    let words = ["[stagegate] error", "device@0", "/no-such-device"];
    says_once(&mut running, &words);
    says_once(&mut running, &["nothing is started"]);
    nothing_ran(running, &words);
}

/// A stock kernel of which the loader brought half: its VM is skipped, the
/// other one runs.
#[test]
fn half_a_stock_kernel_beside_a_whole_guest() {
    let dir = dir("refused-half");
    let whole = ok(stagegate_tests::paths::kernel("6.12"));
    let whole = fs::read(whole.image).expect("kernel");
    let half = dir.join("half");
    fs::write(&half, &whole[..whole.len() / 2]).expect("kernel");
    let mut setup = ok(Setup::new(Machine::virt(4, 1024)));
    let kernel = ok(setup.module(&ok(cases::image())));
    let half = ok(setup.module(&half));
    setup.vms(&[
        VmSpec {
            memory_mib: 256,
            ..spec(&half, "half", 2, "")
        },
        spec(&kernel, "good", 2, "psci-version"),
    ]);
    let mut running = ok(setup.start(&dir));
    ok(running.console.expect_all(
        &["[stagegate] error", "half", "kernel file is truncated"],
        LIMIT,
    ));
    let finished = ok(running.finish(LIMIT));
    assert!(finished.status.success());
    let done = |l: &Line| l.is("good", "DONE passed 1 failed 0");
    assert!(finished.lines.iter().any(done), "{:#?}", finished.lines);
}

/// Two functions behind one bridge to conventional PCI, which sends for both
/// under one requester id and lets them reach each other.
fn behind_one_bridge(dir: &str, one: &str, two: &str) -> Vec<Line> {
    let mut machine = Machine::virt(3, 1024);
    machine.smmu = true;
    let mut setup = ok(Setup::new(machine.args([
        "-device",
        "pcie-pci-bridge,id=conventional,addr=5",
        "-device",
        "edu,bus=conventional,addr=1",
        "-device",
        "edu,bus=conventional,addr=2",
    ])));
    setup.overlay(ok(devicetree::Template::named("clock-gate")));
    let kernel = ok(setup.module(&ok(cases::image())));
    let spec = |name, devices: &str| VmSpec {
        more: format!("devices {{ #address-cells = <1>; #size-cells = <0>; {devices} }};"),
        ..spec(&kernel, name, 1, "psci-version")
    };
    setup.vms(&[spec("one", one), spec("two", two)]);
    let finished = ok(ok(setup.start(&self::dir(dir))).finish(LIMIT));
    assert!(finished.status.success(), "{:#?}", finished.lines);
    for name in ["one", "two"] {
        let done = |l: &Line| l.is(name, "DONE passed 1 failed 0");
        assert!(finished.lines.iter().any(done), "{:#?}", finished.lines);
    }
    finished.lines
}

const FIRST: &str = "device@0 { reg = <0>; label = \"first\"; device = <&pcie 0x108>; \
                     stagegate,power-source = \"hypercall\"; };";
const SECOND: &str = "device@1 { reg = <1>; label = \"second\"; device = <&pcie 0x110>; \
                      stagegate,power-source = \"hypercall\"; };";

#[test]
fn functions_that_reach_each_other_in_two_vms() {
    let lines = behind_one_bridge("refused-group", FIRST, SECOND);
    let words = [
        "error: two: second: function 01:02.0 can reach function 01:01.0 of one",
        "give both to one VM",
        "it is not given",
    ];
    let all = |l: &&Line| words.iter().all(|word| l.text.contains(word));
    assert_eq!(lines.iter().filter(all).count(), 1, "{lines:#?}");
}

/// The same two in one VM are nobody's trouble.
#[test]
fn functions_that_reach_each_other_in_one_vm() {
    let both = format!("{FIRST} {SECOND}");
    let lines = behind_one_bridge("group-of-one-vm", &both, "");
    let refused = |l: &Line| l.text.contains("not given");
    assert!(!lines.iter().any(refused), "{lines:#?}");
}

//! The same image on different machines, and what it says when it cannot run.

mod common;

use common::{LIMIT, board, dir, ok};
use stagegate_tests::cases::{self, spec};
use stagegate_tests::devicetree::Template;
use stagegate_tests::machine::{Board, Machine};
use stagegate_tests::setup::{Setup, VmSpec};
use std::fs;
use std::process::Command;

fn boots(machine: Machine, vm_cpus: u32) {
    let name = format!(
        "boot-{:?}-{}-{}",
        machine.board, machine.cpus, machine.memory_mib
    );
    let mut setup = ok(Setup::new(machine));
    let kernel = ok(setup.module(&ok(cases::image())));
    setup.vms(&[spec(
        &kernel,
        "guest",
        vm_cpus,
        "psci-version,timer-virtual,gic-sgi-self",
    )]);
    let mut running = ok(setup.start(&dir(&name)));
    ok(running
        .console
        .expect_from("guest", "DONE passed 3 failed 0", LIMIT));
    assert!(ok(running.finish(LIMIT)).status.success());
}

#[test]
fn gicv3_1_to_8_cpus_1_to_8_gib() {
    for (cpus, gib) in [(1, 1), (2, 2), (4, 4), (8, 8)] {
        boots(board(Board::VirtGicV3, cpus, gib << 10), cpus);
    }
}

#[test]
fn gicv2_1_to_8_cpus_1_to_8_gib() {
    for (cpus, gib) in [(1, 8), (2, 1), (4, 2), (8, 4)] {
        boots(board(Board::VirtGicV2, cpus, gib << 10), cpus);
    }
}

/// The same image, started by U-Boot's `booti`.
#[test]
fn from_u_boot() {
    let mut setup = ok(Setup::new(Machine::virt(2, 1024)));
    let kernel = ok(setup.module(&ok(cases::image())));
    setup.vms(&[spec(
        &kernel,
        "guest",
        2,
        "psci-version,timer-virtual,gic-sgi-self",
    )]);
    let mut running = ok(setup.start_from_u_boot(&dir("boot-u-boot")));
    ok(running
        .console
        .expect_from("guest", "DONE passed 3 failed 0", LIMIT));
    assert!(ok(running.finish(LIMIT)).status.success());
}

/// A kernel as some distributions ship it.
#[test]
fn a_kernel_packed_by_gzip() {
    let dir = dir("boot-gzip");
    let packed = Command::new("gzip")
        .arg("-c")
        .arg(ok(cases::image()))
        .output()
        .expect("gzip");
    assert!(packed.status.success());
    let file = dir.join("guest.gz");
    fs::write(&file, packed.stdout).expect("kernel");
    let mut setup = ok(Setup::new(Machine::virt(2, 1024)));
    let kernel = ok(setup.module(&file));
    setup.vms(&[spec(&kernel, "guest", 2, "psci-version,timer-virtual")]);
    let mut running = ok(setup.start(&dir));
    ok(running
        .console
        .expect_from("guest", "DONE passed 2 failed 0", LIMIT));
    assert!(ok(running.finish(LIMIT)).status.success());
}

/// A VM whose kernel is packed with the hypervisor: nothing has an address.
fn packed_vm() -> Template {
    Template::text(
        "vms",
        "/dts-v1/; /plugin/; &{/chosen} { #address-cells = <2>; #size-cells = <2>; stagegate {\n\
         compatible = \"stagegate,config-v1\"; #address-cells = <1>; #size-cells = <0>;\n\
         vm@1 { compatible = \"stagegate,vm-v1\"; reg = <1>; label = \"guest\"; cpus = <2>;\n\
         memory = <0 0x10000>; #address-cells = <2>; #size-cells = <2>; stagegate,vuart;\n\
         module@0 { compatible = \"multiboot,kernel\", \"multiboot,module\";\n\
         stagegate,file = \"guest.bin\"; bootargs = \"cases=psci-version,timer-virtual,gic-sgi-self\"; };\n\
         }; }; };",
    )
}

/// One file, and QEMU's own device tree, which is padded to 1 MiB.
#[test]
fn packed_with_everything() {
    let mut setup = ok(Setup::new(Machine::virt(2, 1024)));
    setup.overlay(packed_vm());
    let kernel = ok(cases::image());
    let files = [("guest.bin", kernel.as_path())];
    let mut running = ok(setup.start_packed(&files, &dir("boot-packed")));
    ok(running
        .console
        .expect_from("guest", "DONE passed 3 failed 0", LIMIT));
    assert!(ok(running.finish(LIMIT)).status.success());
}

/// The same image as a UEFI program: by itself, and below GRUB. Overlays and
/// kernel ride on it and are taken apart by the hypervisor.
#[test]
fn from_uefi_and_grub() {
    for grub in [false, true] {
        let mut setup = ok(Setup::new(Machine::virt(2, 1024)));
        setup.machine.acpi = false;
        setup.overlay(packed_vm());
        let kernel = ok(cases::image());
        let files = [("guest.bin", kernel.as_path())];
        let dir = dir(if grub { "boot-grub" } else { "boot-uefi" });
        let mut running = ok(setup.start_from_uefi(&files, grub, &dir));
        ok(running
            .console
            .expect_from("guest", "DONE passed 3 failed 0", LIMIT));
        assert!(ok(running.finish(LIMIT)).status.success());
    }
}

/// UEFI without EL2, and UEFI that offers ACPI alone: one line each.
#[test]
fn uefi_that_will_not_do_is_explained() {
    type Change = fn(&mut Machine);
    let refusals: [(&str, Change, &[&str]); 2] = [
        (
            "el1",
            |machine| machine.virtualization = false,
            &["EL1", "EL2"],
        ),
        (
            "acpi",
            |machine| machine.acpi = true,
            &["no device tree", "acpi=off"],
        ),
    ];
    for (name, change, words) in refusals {
        let mut setup = ok(Setup::new(Machine::virt(1, 1024)));
        setup.machine.acpi = false;
        change(&mut setup.machine);
        let mut running = ok(setup.start_from_uefi(&[], false, &dir(&format!("uefi-{name}"))));
        let words = [&["[stagegate]", "error"], words].concat();
        ok(running.console.expect_all(&words, LIMIT));
        ok(running.quit());
    }
}

/// Starts a configuration that must be refused: one error must contain all of
/// `words`, and no guest may run.
fn refused(name: &str, words: &[&str], prepare: impl FnOnce(&mut Setup)) {
    let mut setup = ok(Setup::new(Machine::virt(4, 1024)));
    prepare(&mut setup);
    let mut running = ok(setup.start(&dir(&format!("refused-{name}"))));
    let words = [&["[stagegate]", "error"], words].concat();
    ok(running.console.expect_all(&words, LIMIT));
    // A machine on which nothing can run may have ended by itself.
    let lines = match running.quit() {
        Ok(finished) => finished.lines,
        Err(error) => panic!("{error}"),
    };
    let ran = lines.iter().any(|l| l.text.contains("guest at EL1"));
    assert!(!ran, "a guest ran all the same");
}

fn guest_module(setup: &mut Setup) -> stagegate_tests::setup::Module {
    ok(setup.module(&ok(cases::image())))
}

#[test]
fn too_much_memory_is_refused() {
    refused("memory", &["memory"], |setup| {
        let kernel = guest_module(setup);
        let vm = VmSpec {
            memory_mib: 4096,
            ..spec(&kernel, "guest", 1, "psci")
        };
        setup.vms(&[vm]);
    });
}

#[test]
fn too_many_cpus_are_refused() {
    refused("cpus", &["CPU"], |setup| {
        let kernel = guest_module(setup);
        setup.vms(&[spec(&kernel, "guest", 5, "psci")]);
    });
}

#[test]
fn a_truncated_kernel_is_refused() {
    refused("truncated", &["kernel"], |setup| {
        let whole = fs::read(ok(cases::image())).expect("image");
        let file = dir("refused-truncated-image").join("guest.bin");
        fs::write(&file, &whole[..40]).expect("image");
        let kernel = ok(setup.module(&file));
        setup.vms(&[spec(&kernel, "guest", 1, "psci")]);
    });
}

#[test]
fn a_module_outside_ram_is_refused() {
    refused("module", &["module"], |setup| {
        let text = Template::text(
            "vms",
            "/dts-v1/; /plugin/; &{/chosen} { #address-cells = <2>; #size-cells = <2>; stagegate {\n\
             compatible = \"stagegate,config-v1\"; #address-cells = <1>; #size-cells = <0>;\n\
             vm@1 { compatible = \"stagegate,vm-v1\"; reg = <1>; label = \"guest\"; cpus = <1>;\n\
             memory = <0 0x10000>; #address-cells = <2>; #size-cells = <2>;\n\
             module@90000000 { compatible = \"multiboot,kernel\", \"multiboot,module\";\n\
             reg = <0 0x90000000 0 0x1000>; bootargs = \"\"; }; }; }; };",
        );
        setup.overlay(text);
    });
}

/// Without EL2 there is one clear line, and then nothing.
#[test]
fn el1_start_is_explained() {
    let mut machine = Machine::virt(1, 1024);
    machine.virtualization = false;
    let setup = ok(Setup::new(machine));
    let mut running = ok(setup.start(&dir("refused-el1")));
    ok(running.console.expect_all(&["EL1", "EL2"], LIMIT));
    ok(running.quit());
}

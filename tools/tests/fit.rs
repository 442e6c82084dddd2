//! U-Boot's own tools take the FIT source that `stagegate image` writes.
mod common;

use common::installed;
use std::path::{Path, PathBuf};
use std::process::Command;

fn run(program: &str, directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(directory).output();
    let output = output.unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{program}: {said}");
    said
}

#[test]
fn mkimage_makes_a_fit_that_holds_the_packed_image() {
    let needed = ["mkimage", "dumpimage"];
    if !needed.iter().all(|tool| installed(tool, "u-boot-tools")) {
        return;
    }
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fit");
    std::fs::create_dir_all(&directory).unwrap();
    let mut hypervisor = vec![0u8; 4096];
    hypervisor[16..24].copy_from_slice(&6000u64.to_le_bytes());
    hypervisor[56..60].copy_from_slice(b"ARM\x64");
    std::fs::write(directory.join("plain.bin"), &hypervisor).unwrap();
    let board = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/board.dts");
    let file = format!("kernel={board}");
    let arguments = ["image", "plain.bin", "--file", &file, "-o", "packed.img"];
    let fit = ["--its", "boot.its", "--load", "0x48000000"];
    let program = env!("CARGO_BIN_EXE_stagegate");
    run(program, &directory, &[&arguments[..], &fit[..]].concat());

    run("mkimage", &directory, &["-f", "boot.its", "boot.fit"]);
    let said = run("dumpimage", &directory, &["-l", "boot.fit"]);
    for line in ["Stagegate", "AArch64", "0x48000000", "sha256"] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
    let out = ["-T", "flat_dt", "-p", "0", "-o", "out.img", "boot.fit"];
    run("dumpimage", &directory, &out);
    let read = |name: &str| std::fs::read(directory.join(name)).unwrap();
    assert!(read("out.img") == read("packed.img"), "contents differ");
}

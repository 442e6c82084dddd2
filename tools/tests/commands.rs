//! The program as people call it.
use platform::pack::Pack;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

fn stagegate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stagegate"))
        .args(arguments)
        .output()
        .unwrap()
}

fn data(name: &str) -> String {
    Path::new(DATA).join(name).to_str().unwrap().into()
}

fn scratch(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    path.to_str().unwrap().into()
}

fn text(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn check_prints_the_plan_and_its_verdict() {
    let said = text(&stagegate(&[
        "check",
        &data("board.dts"),
        &data("good.dtso"),
    ]));
    for line in [
        "  4 CPUs, 1024 MiB, GICv3, PSCI by smc, console /soc/serial@9000000",
        "  1 net: 1 CPUs, 256 MiB, serial port",
        "    device nic: requester 0x8 at /pcie@10000000, line 36",
        "      stream 0x1008 at /soc/iommu@9050000",
        "    idle 5000 us: clocks stop; 1000000 us: power goes",
        "fine: 0 errors, 0 warnings",
    ] {
        assert!(
            said.lines().any(|l| l == line),
            "{line:?} is not in\n{said}"
        );
    }
    let bare = text(&stagegate(&["check", &data("board.dts")]));
    assert!(bare.starts_with("note[bare-board]"), "{bare}");
}

#[test]
fn check_fails_with_the_right_status() {
    let twice = stagegate(&["check", &data("board.dts"), &data("board.dts")]);
    assert_eq!(twice.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&twice.stdout).contains("error[not-overlay]"));
    let nothing = stagegate(&["check", "/nonexistent.dtb"]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("/nonexistent.dtb"));
    let broken = scratch("broken.dts");
    std::fs::write(&broken, "/dts-v1/;\n/ {").unwrap();
    assert!(String::from_utf8_lossy(&stagegate(&["check", &broken]).stderr).contains("line 2"));
}

#[test]
fn check_speaks_json() {
    let said = text(&stagegate(&[
        "check",
        "--json",
        &data("board.dts"),
        &data("good.dtso"),
    ]));
    for part in [
        "{\"ok\":true,\"findings\":[",
        "\"name\":\"net\",\"cpus\":1,\"memory\":268435456,",
        "\"streams\":[{\"smmu\":\"/soc/iommu@9080000\",\"id\":256,\"mask\":15}]",
        "\"idle_delay_us\":5000,\"off_delay_us\":1000000,\"always_on\":false",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    let open = said.matches(['{', '[']).count();
    assert_eq!(open, said.matches(['}', ']']).count());
    assert_eq!(said.lines().count(), 1);
}

#[test]
fn what_new_proposes_is_fine() {
    let proposal = scratch("proposal.dtso");
    let _ = std::fs::remove_file(&proposal);
    text(&stagegate(&["new", &data("board.dts"), "-o", &proposal]));
    let said = text(&stagegate(&["check", &data("board.dts"), &proposal]));
    assert!(said.ends_with("fine: 0 errors, 0 warnings\n"), "{said}");
    let source = std::fs::read_to_string(&proposal).unwrap();
    let able = source.split("These cannot").next().unwrap();
    assert!(able.contains("/soc/dma@20000000") && able.contains("/pcie@10000000"));
    assert!(!able.contains("/soc/gpu@20004000") && source.contains("/soc/gpu@20004000"));
    // Taken at its word: the devices it lists can really be given.
    let taken = source
        .replace("/* These can be given to a VM:", "")
        .replacen("\t\t\t\t */", "", 1);
    std::fs::write(&proposal, taken).unwrap();
    let said = stagegate(&["check", "-q", &data("board.dts"), &proposal]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let errors: Vec<&str> = said.lines().filter(|l| l.starts_with("error")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn graph_draws_everything_once() {
    let arguments = ["graph", &data("board.dts"), &data("good.dtso")];
    let svg = text(&stagegate(&arguments));
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    for title in [
        ">nic<",
        ">dma@20001000<",
        ">iommu@9080000<",
        ">clock-gate<",
        ">disk<",
    ] {
        assert_eq!(svg.matches(title).count(), 1, "{title}");
    }
    assert_eq!(svg.matches("<g ").count(), svg.matches("</g>").count());
    let dot = text(&stagegate(&["graph", "--dot", arguments[1], arguments[2]]));
    assert!(dot.starts_with("digraph") && dot.contains("nvme"));
}

#[test]
fn image_packs_what_a_configuration_asks_for() {
    let (plain, packed, its) = (
        scratch("plain.bin"),
        scratch("packed.bin"),
        scratch("boot.its"),
    );
    let mut hypervisor = vec![0u8; 4096];
    hypervisor[16..24].copy_from_slice(&6000u64.to_le_bytes());
    hypervisor[56..60].copy_from_slice(b"ARM\x64");
    std::fs::write(&plain, &hypervisor).unwrap();
    let kernel = format!("debian={}", data("board.dts"));
    let overlay = data("good.dtso");
    let said = text(&stagegate(&[
        "image",
        &plain,
        "--overlay",
        &overlay,
        "--file",
        &kernel,
        "-o",
        &packed,
        "--its",
        &its,
    ]));
    assert!(said.contains("debian") && said.contains("overlay good"));
    let bytes = std::fs::read(&packed).unwrap();
    let pack = Pack::open(&bytes[8192..]).unwrap();
    let names: Vec<&str> = pack.files().map(|f| f.name).collect();
    assert_eq!(names, ["good", "debian"]);
    assert!(pack.files().all(|f| f.is_intact()));
    assert!(
        std::fs::read_to_string(&its)
            .unwrap()
            .contains("arch = \"arm64\"")
    );
    let again = stagegate(&["image", &packed, "-o", &scratch("again.bin")]);
    assert_eq!(again.status.code(), Some(2));
}

#[test]
fn merge_and_compile_write_blobs_and_completions_are_scripts() {
    let (blob, merged) = (scratch("good.dtbo"), scratch("merged.dtb"));
    text(&stagegate(&["compile", &data("good.dtso"), "-o", &blob]));
    text(&stagegate(&[
        "merge",
        &data("board.dts"),
        &blob,
        "-o",
        &merged,
    ]));
    let said = text(&stagegate(&["check", &merged]));
    assert!(said.ends_with("fine: 0 errors, 0 warnings\n"));
    assert!(text(&stagegate(&["completions", "bash"])).contains("_stagegate"));
}

/// What went wrong, what to do about it, and status 2.
#[test]
fn errors_name_the_remedy() {
    let (board, good, mine) = (data("board.dts"), data("good.dtso"), scratch("mine.dtso"));
    std::fs::write(&mine, "edited").unwrap();
    let below_a_file = format!("{mine}/x");
    let cases: [(&[&str], &str); 10] = [
        (&["chek"], "a similar subcommand exists: 'check'"),
        (
            &["check", "--jsn", &board],
            "a similar argument exists: '--json'",
        ),
        (
            &["check", "/none.dtb"],
            "cannot read /none.dtb: No such file",
        ),
        (&["check", &board, "none.dtso"], "correct the name"),
        (&["check", DATA], "; name a file in it"),
        (
            &["graph", &board, "-o", "/none/a/x.svg"],
            "make its directory: mkdir -p /none/a",
        ),
        (
            &["compile", &good, "-o", &below_a_file],
            "is a file: name another place",
        ),
        (&["compile", &good, "-o", DATA], "; name a file in it"),
        (
            &["compile", "/dev/null", "-o", &mine],
            "must end in .dts or .dtso",
        ),
        (&["new", &board, "-o", &mine], "or --force to write over it"),
    ];
    for (arguments, words) in cases {
        let output = stagegate(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    assert_eq!(std::fs::read_to_string(&mine).unwrap(), "edited");
    text(&stagegate(&["new", &board, "-o", &mine, "--force"]));
    assert_ne!(std::fs::read_to_string(&mine).unwrap(), "edited");
}

/// A full disk is an error; a reader that has seen enough is none.
#[test]
fn output_that_nobody_takes() {
    use std::process::Stdio;
    let check = |out: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stagegate"));
        command.args(["check", &data("board.dts"), &data("good.dtso")]);
        let child = command.stdout(out).stderr(Stdio::piped()).spawn();
        let output = child.unwrap().wait_with_output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let full = std::fs::File::options().write(true).open("/dev/full");
    let full = check(full.unwrap().into());
    assert_eq!(full.0, Some(2));
    assert!(full.1.contains("No space left"), "{}", full.1);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(check(writer.into()), (Some(141), String::new()));
}

/// The program names its own functions: it is an ELF file like any other.
#[test]
fn symbolize_names_what_stands_at_an_offset() {
    let program = env!("CARGO_BIN_EXE_stagegate");
    let elf = std::fs::read(program).unwrap();
    let symbols = stagegate::symbols::Symbols::read(&elf).unwrap();
    let entry = u64::from_le_bytes(elf[24..32].try_into().unwrap());
    let (name, inside) = symbols.find(entry).expect("the entry point has a name");
    let log = scratch("report.log");
    let report = format!("[stagegate]   called from image+{entry:#x}\n[vm] \u{fffd}\n");
    std::fs::write(&log, &report).unwrap();
    let said = text(&stagegate(&["symbolize", program, &log]));
    let named = format!("called from image+{entry:#x} <{name}+{inside:#x}>");
    assert!(said.contains(&named), "{said}");
    let lost = stagegate(&["symbolize", &log]);
    assert!(!lost.status.success(), "a log is no ELF file");
}

/// Each command that `--help` lists has a page, and the page its options.
#[test]
fn every_command_has_a_manual_page() {
    let directory = scratch("man");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    let said = text(&stagegate(&["man", &directory]));
    let help = text(&stagegate(&["--help"]));
    let commands = help.split("Commands:\n").nth(1).unwrap();
    let commands = commands.lines().take_while(|l| !l.is_empty());
    let names = commands.map(|l| l.split_whitespace().next().unwrap());
    let names: Vec<&str> = names.filter(|n| *n != "help").collect();
    assert!(names.contains(&"check") && names.contains(&"man"), "{help}");
    assert_eq!(said.lines().count(), names.len() + 1, "{said}");
    for name in names {
        let page = Path::new(&directory).join(format!("stagegate-{name}.1"));
        let page = std::fs::read_to_string(page).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{name}: {page}");
    }
    let check = std::fs::read_to_string(Path::new(&directory).join("stagegate-check.1")).unwrap();
    assert!(check.contains("json"), "{check}");
    let missing = stagegate(&["man", &format!("{directory}/none")]);
    assert_eq!(missing.status.code(), Some(2));
}

/// A QEMU that is too old, none at all, and something that is no QEMU.
#[test]
fn run_says_which_qemu_it_needs() {
    use std::os::unix::fs::PermissionsExt;
    let fake = scratch("qemu-fake");
    let run = |says: &str| {
        std::fs::write(&fake, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&fake, executable).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_stagegate"));
        let output = command
            .args(["run", "none.img"])
            .env("STAGEGATE_QEMU", &fake);
        let output = output.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let old = run("QEMU emulator version 8.2.2 (Debian 1:8.2.2)");
    assert!(
        old.contains("is QEMU 8.2.2, and 9 or later is needed; install"),
        "{old}"
    );
    assert!(run("hello").contains("does not say that it is QEMU"));
    let new = run("QEMU emulator version 9.0.0");
    assert!(!new.contains("is needed"), "{new}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_stagegate"));
    let none = command
        .args(["run", "none.img"])
        .env("STAGEGATE_QEMU", "/none");
    let none = String::from_utf8(none.output().unwrap().stderr).unwrap();
    assert!(
        none.contains("no QEMU: /none") && none.contains("STAGEGATE_QEMU="),
        "{none}"
    );
}

//! `stagegate run` as an operator meets it: on a terminal and on a pipe, with
//! the real QEMU and the bare-metal guest.

mod common;

use common::{LIMIT, dir, ok};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use stagegate_tests::cases;
use stagegate_tests::devicetree::Template;
use stagegate_tests::image;
use stagegate_tests::paths;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Runs the case with a device behind the SMMU; the device's power is seen by
/// its bus-master bit.
const VM: &str = r#"/dts-v1/;
/plugin/;
&{/chosen} {
	stagegate {
		compatible = "stagegate,config-v1";
		#address-cells = <1>;
		#size-cells = <0>;
		vm@1 {
			compatible = "stagegate,vm-v1";
			reg = <1>;
			label = "guest";
			cpus = <1>;
			memory = <0x0 0x10000>;
			stagegate,vuart;
			kernel {
				compatible = "multiboot,kernel", "multiboot,module";
				stagegate,file = "kernel";
				bootargs = "cases=@case@";
			};
			devices {
				#address-cells = <1>;
				#size-cells = <0>;
				device@0 { reg = <0>; label = "edu"; device = <&pcie 0x30>; };
			};
		};
	};
};
"#;

/// `stagegate run` with a guest that runs `case`.
fn command(case: &str, at: &Path) -> Command {
    let overlays = [
        ok(Template::named("symbols")),
        ok(Template::named("clock-gate")),
        Template::text("vm", VM).set("case", case),
    ];
    let overlays = overlays.map(|overlay| ok(overlay.compile(at)));
    let program = paths::target().join("runner/stagegate");
    let mut command = Command::new(ok(paths::existing(program, "see docs/testing.md")));
    command
        .arg("run")
        .arg(ok(image::flatten(&ok(paths::hypervisor()))));
    for overlay in overlays {
        command.arg("--overlay").arg(overlay);
    }
    let kernel = format!("kernel={}", ok(cases::image()).display());
    command.args([
        "--file", &kernel, "--cpus", "2", "--memory", "1024", "--dir",
    ]);
    command.arg(at.join("run"));
    command
}

const DEVICE: [&str; 3] = ["--", "-device", "edu,addr=06.0,dma_mask=0xffffffffffff"];

/// A program on a terminal of its own.
struct Terminal {
    keyboard: File,
    output: Receiver<Vec<u8>>,
    seen: vt100::Parser,
    child: Child,
}

fn size(size: u16) -> NonZero<u16> {
    NonZero::new(size).expect("not 0")
}

impl Terminal {
    fn start(command: Command, rows: u16, columns: u16) -> Self {
        let pty = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&pty).and_then(|()| unlockpt(&pty)).expect("usable");
        let name = ptsname(&pty, Vec::new()).expect("a name");
        let name = PathBuf::from(name.to_str().expect("text"));
        let open = || File::options().read(true).write(true).open(&name);
        let side = || Stdio::from(open().expect("the other side"));
        let keyboard = File::from(pty);
        let mut reader = keyboard.try_clone().expect("a reader");
        // Reading fails while nobody has the other side open: held until the
        // program has it.
        let held = open().expect("the other side");
        set_size(&held, rows, columns);
        let mut session = Command::new("setsid");
        session.arg("--ctty").arg(command.get_program());
        session.args(command.get_args());
        session
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("NO_COLOR");
        let mut terminal = Self {
            keyboard,
            output: {
                let (sender, output) = channel();
                thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    while let Ok(count @ 1..) = reader.read(&mut buffer) {
                        if sender.send(buffer[..count].to_vec()).is_err() {
                            break;
                        }
                    }
                });
                output
            },
            seen: vt100::Parser::new(size(rows), size(columns), 500),
            child: {
                session.stdin(side()).stdout(side()).stderr(side());
                session.spawn().expect("setsid of util-linux")
            },
        };
        drop(held);
        terminal.until("QEMU", |t| t.contents().contains("QEMU "));
        terminal
    }

    fn contents(&self) -> String {
        self.seen.screen().contents()
    }

    /// Reads until the screen is as wanted.
    fn until(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !wanted(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.seen.process(&bytes),
                Err(error) => panic!("{what}: {error}; the screen:\n{}", self.contents()),
            }
        }
    }

    fn row(&self, beginning: &str) -> Option<String> {
        let contents = self.contents();
        let found = contents.lines().find(|l| l.starts_with(beginning));
        found.map(str::to_string)
    }

    fn resize(&mut self, rows: u16, columns: u16) {
        set_size(&self.keyboard, rows, columns);
        self.seen.screen_mut().set_size(size(rows), size(columns));
    }

    /// Reads to the end; the program's exit status.
    fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + LIMIT;
        loop {
            while let Ok(bytes) = self.output.recv_timeout(Duration::from_millis(20)) {
                self.seen.process(&bytes);
            }
            if let Some(status) = self.child.try_wait().expect("its status") {
                return status;
            }
            assert!(Instant::now() < deadline, "no end:\n{}", self.contents());
        }
    }

    fn is_cooked(&self) -> bool {
        let modes = tcgetattr(&self.keyboard).expect("modes").local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn set_size(terminal: &File, rows: u16, columns: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).expect("a size");
}

/// A terminal of this size, in which a guest with a device sleeps.
fn sleeping_guest(at: &Path, rows: u16, columns: u16) -> Terminal {
    let mut command = command("bad-sleep-forever", at);
    command.args(DEVICE);
    let mut terminal = Terminal::start(command, rows, columns);
    terminal.until("the guest", |t| t.contents().contains("[guest] ABOUT"));
    terminal
}

/// The view stands below the consoles, follows the terminal's size, takes keys,
/// and leaves the terminal as it was.
#[test]
fn on_a_terminal() {
    let at = dir("run-terminal");
    let mut terminal = sleeping_guest(&at, 30, 100);
    terminal.until("the table", |t| t.row("edu ").is_some());
    let smmu = |t: &Terminal| t.row("smmuv3@9050000");
    // Nobody needs it: the guest has not touched its device.
    terminal.until("it gates", |t| {
        smmu(t).is_some_and(|r| r.contains(" gated "))
    });
    let state = |row: &str| row.split_whitespace().nth(1) == Some("idle");
    assert!(terminal.row("edu ").is_some_and(|r| state(&r)));
    assert!(!terminal.is_cooked(), "keys are taken one by one");

    for (rows, columns) in [(12, 60), (40, 140), (24, 80)] {
        terminal.resize(rows, columns);
        terminal.until("a title of the new width", |t| {
            let wide = t
                .row("── ")
                .is_some_and(|r| r.chars().count() == usize::from(columns));
            wide && t.row("edu ").is_some()
        });
        let contents = terminal.contents();
        assert_eq!(contents.matches("── 0").count(), 1, "{contents}");
        assert_eq!(
            contents.lines().last().map(|l| l.starts_with("edu ")),
            Some(true)
        );
    }

    // Stagegate's monitor answers, above the view.
    terminal.keyboard.write_all(b"\x01v").expect("typed");
    terminal.until("VMs", |t| t.contents().contains("VM name"));
    assert!(terminal.row("── ").is_some());
    terminal.keyboard.write_all(b"\x14x").expect("typed");
    assert_eq!(terminal.end().code(), Some(130));
    assert!(terminal.is_cooked());
    let contents = terminal.contents();
    assert!(!contents.contains("── 0"), "the title is gone:\n{contents}");
    assert!(
        contents
            .trim_end()
            .ends_with(&format!("logs are in {}", at.join("run").display()))
    );
    assert!(contents.contains("smmuv3@9050000"), "{contents}");
}

#[test]
fn a_signal_ends_it_and_restores_the_terminal() {
    let mut terminal = sleeping_guest(&dir("run-signal"), 24, 80);
    assert!(!terminal.is_cooked());
    // setsid has become the program.
    let target = terminal.child.id().to_string();
    let killed = Command::new("kill").args(["-TERM", &target]).status();
    assert!(killed.is_ok_and(|s| s.success()));
    assert_eq!(terminal.end().code(), Some(143), "{}", terminal.contents());
    assert!(terminal.is_cooked());
}

/// What a run on a pipe printed, and its status.
fn piped(command: &mut Command) -> (String, Option<i32>) {
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    let said = [output.stdout, output.stderr].concat();
    (
        String::from_utf8_lossy(&said).into_owned(),
        output.status.code(),
    )
}

/// Plain lines, and a status that says how it went.
#[test]
fn on_a_pipe() {
    let at = dir("run-pipe");
    let (said, status) = piped(command("psci-version", &at).args(DEVICE));
    assert_eq!(status, Some(0), "{said}");
    assert!(!said.contains('\x1b') && !said.contains('\r'), "{said:?}");
    for line in [
        "[guest] PASS psci-version",
        "smmuv3@9050000: gated",
        "switched itself off",
    ] {
        assert!(said.contains(line), "no '{line}' in\n{said}");
    }
    let trace = std::fs::read_to_string(at.join("run/trace.log")).unwrap_or_default();
    assert!(trace.contains("pl061_set_output"));
    let last = said.lines().rev().nth(1).unwrap_or_default();
    assert!(last.starts_with("edu "), "{said}");
}

#[test]
fn a_limit_and_errors_have_their_status() {
    let at = dir("run-status");
    let mut endless = command("bad-sleep-forever", &at);
    let endless = piped(endless.args(["--limit", "2"]).args(DEVICE));
    assert_eq!(endless.1, Some(124), "{}", endless.0);
    // The device that the overlay gives away is absent: nothing can start.
    let absent = piped(&mut command("x", &at));
    assert_eq!(absent.1, Some(1), "{}", absent.0);
    assert!(absent.0.contains("started nothing"), "{}", absent.0);
    let mut without = Command::new(paths::target().join("runner/stagegate"));
    let flat = ok(image::flatten(&ok(paths::hypervisor())));
    let without = piped(
        without
            .arg("run")
            .arg(flat)
            .arg("--dir")
            .arg(at.join("none")),
    );
    assert_eq!(without.1, Some(1), "{}", without.0);
    assert!(without.0.contains("no VM is configured"), "{}", without.0);
    let broken = piped(command("x", &at).args(["--", "-device", "no-such-device"]));
    assert_eq!(broken.1, Some(2), "{}", broken.0);
    assert!(broken.0.contains("no-such-device"), "{}", broken.0);
}

/// QEMU that somebody else ends has not been switched off by its machine.
#[test]
fn a_qemu_that_is_killed_has_failed() {
    let at = dir("run-killed");
    let mut command = command("bad-sleep-forever", &at);
    let child = command
        .args(DEVICE)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = child.spawn().expect("it starts");
    let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut lines = lines.map_while(std::result::Result::ok);
    assert!(lines.any(|l| l.contains("[guest] ABOUT")));
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let qemu = std::fs::read_to_string(children).expect("QEMU's id");
    let killed = Command::new("kill").arg(qemu.trim()).status();
    assert!(killed.is_ok_and(|s| s.success()));
    let last = lines.last().unwrap_or_default();
    assert!(
        last.contains("QEMU failed") && last.contains("host-signal"),
        "{last}"
    );
    assert_eq!(child.wait().expect("its status").code(), Some(3));
}

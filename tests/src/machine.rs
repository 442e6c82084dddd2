//! A machine under QEMU: described by a builder, then running until it ends,
//! is told to quit, or is dropped. Nothing outlives its [`Running`].

use crate::console::Console;
use crate::devicetree;
use crate::qmp::Qmp;
use crate::trace::{self, Event};
use crate::{LIMIT, Result, context, paths};
use std::fs::{self, File};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// The machine type and the part of the command line that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Board {
    /// QEMU `virt` with GICv2 and no SMMU (QEMU offers none with it that
    /// would be of use: `iommu=smmuv3` itself does not care).
    VirtGicV2,
    /// QEMU `virt` with GICv3.
    VirtGicV3,
    /// QEMU `xlnx-zcu102`.
    Zcu102,
}

/// A machine to be started.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Board.
    pub board: Board,
    /// CPUs.
    pub cpus: u32,
    /// RAM in MiB.
    pub memory_mib: u32,
    /// Whether CPUs start at EL2.
    pub virtualization: bool,
    /// Whether there is an SMMUv3 in front of PCI.
    pub smmu: bool,
    /// Whether firmware finds ACPI tables beside the device tree.
    pub acpi: bool,
    /// What `-kernel` takes.
    pub kernel: Option<PathBuf>,
    /// What `-initrd` takes.
    pub initrd: Option<PathBuf>,
    /// What `-append` takes.
    pub bootargs: Option<String>,
    /// A device tree to use instead of QEMU's own.
    pub dtb: Option<PathBuf>,
    /// Files placed in memory before reset.
    pub blobs: Vec<(PathBuf, u64)>,
    /// Count instructions: one instruction takes `2^n` ns of guest time.
    pub icount: Option<u8>,
    /// Patterns of events to trace.
    pub traces: Vec<String>,
    /// Further arguments.
    pub extra: Vec<String>,
    /// Whether a reset of the machine ends QEMU.
    pub no_reboot: bool,
    /// Whether to show the console while running.
    pub echo: bool,
}

impl Machine {
    /// QEMU `virt` as Stagegate likes it: EL2, GICv3, SMMUv3.
    pub fn virt(cpus: u32, memory_mib: u32) -> Self {
        Self {
            board: Board::VirtGicV3,
            cpus,
            memory_mib,
            virtualization: true,
            smmu: true,
            acpi: true,
            kernel: None,
            initrd: None,
            bootargs: None,
            dtb: None,
            blobs: Vec::new(),
            icount: None,
            traces: Vec::new(),
            extra: Vec::new(),
            no_reboot: true,
            echo: false,
        }
    }

    /// The same machine without EL2 and SMMU: what a guest expects to see,
    /// and what runs guests without Stagegate for comparison.
    pub fn bare(cpus: u32, memory_mib: u32) -> Self {
        Self {
            virtualization: false,
            smmu: false,
            ..Self::virt(cpus, memory_mib)
        }
    }

    /// Adds arguments.
    pub fn args<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.extra.extend(args.map(str::to_string));
        self
    }

    /// Adds event patterns to trace.
    pub fn trace<const N: usize>(mut self, patterns: [&str; N]) -> Self {
        self.traces.extend(patterns.map(str::to_string));
        self
    }

    fn machine_option(&self) -> String {
        let virt = if self.virtualization { "on" } else { "off" };
        let smmu = if self.smmu { ",iommu=smmuv3" } else { "" };
        let acpi = if self.acpi { "" } else { ",acpi=off" };
        match self.board {
            Board::VirtGicV2 => format!("virt,gic-version=2,virtualization={virt}{smmu}{acpi}"),
            Board::VirtGicV3 => format!("virt,gic-version=3,virtualization={virt}{smmu}{acpi}"),
            Board::Zcu102 => format!("xlnx-zcu102,virtualization={virt}"),
        }
    }

    /// The arguments that shape the hardware, and with it the device tree.
    fn hardware(&self) -> Vec<String> {
        let mut args = vec!["-M".into(), self.machine_option()];
        if self.board != Board::Zcu102 {
            // QEMU's own pointer signing instead of QARMA: same behaviour, and
            // kernels, which sign every return address, boot twice as fast.
            args.extend(["-cpu".into(), "max,pauth-impdef=on".into()]);
        } else {
            // Its display port wants to play sound.
            args.extend(["-audio".into(), "none".into()]);
        }
        args.extend(["-smp".into(), self.cpus.to_string()]);
        args.extend(["-m".into(), format!("{}M", self.memory_mib)]);
        args.extend(["-display", "none", "-nodefaults"].map(String::from));
        args
    }

    /// Writes the device tree of this hardware: QEMU's own, or where it has
    /// none, the one that comes with Linux.
    pub fn dump_dtb(&self, out: &Path) -> Result<()> {
        if self.board == Board::Zcu102 {
            let file = paths::zcu102_dtb()?;
            return fs::copy(&file, out)
                .map(drop)
                .map_err(context(file.display()));
        }
        let mut args = self.hardware();
        args[1] = format!("{},dumpdtb={}", args[1], out.display());
        devicetree::run(Command::new(paths::qemu()).args(&args)).map(drop)
    }

    fn arguments(&self) -> Vec<String> {
        let mut args = self.hardware();
        let mut push = |items: &[&str]| args.extend(items.iter().map(ToString::to_string));
        let shown = |path: &Path| path.display().to_string();
        if self.no_reboot {
            push(&["-no-reboot"]);
        }
        for (flag, file) in [
            ("-kernel", &self.kernel),
            ("-initrd", &self.initrd),
            ("-dtb", &self.dtb),
        ] {
            if let Some(file) = file {
                push(&[flag, &shown(file)]);
            }
        }
        if let Some(bootargs) = &self.bootargs {
            push(&["-append", bootargs]);
        }
        for (file, address) in &self.blobs {
            let file = shown(file);
            push(&[
                "-device",
                &format!("loader,file={file},addr={address:#x},force-raw=on"),
            ]);
        }
        if let Some(shift) = self.icount {
            push(&["-icount", &format!("shift={shift},sleep=off")]);
        }
        for pattern in &self.traces {
            push(&["-trace", pattern]);
        }
        args.extend(self.extra.iter().cloned());
        args
    }

    /// Where logs go and how we talk to it.
    fn plumbing(dir: &Path) -> Vec<String> {
        let shown = |name: &str| dir.join(name).display().to_string();
        let (trace, console, qmp) = (shown("trace.log"), shown("console.sock"), shown("qmp.sock"));
        [
            "-msg",
            "timestamp=on",
            "-D",
            &trace,
            "-chardev",
            &format!("socket,id=con,path={console}"),
            "-serial",
            "chardev:con",
            "-qmp",
            &format!("unix:{qmp}"),
            // The machine waits until we listen: a short run could end first.
            "-S",
        ]
        .map(str::to_string)
        .to_vec()
    }

    /// Runs QEMU on this terminal until it ends. Ctrl-t is QEMU's own key
    /// (Ctrl-t x ends it): Ctrl-a belongs to Stagegate.
    pub fn interactive(&self) -> Result<ExitStatus> {
        Command::new(paths::qemu())
            .args(self.arguments())
            .args([
                "-chardev",
                "stdio,id=con,mux=on,signal=off",
                "-serial",
                "chardev:con",
            ])
            .args(["-mon", "chardev=con,mode=readline", "-echr", "0x14"])
            .status()
            .map_err(context(paths::qemu().display()))
    }

    /// Starts QEMU; logs and sockets go to `dir`.
    pub fn start(&self, dir: &Path) -> Result<Running> {
        // Sockets have a length limit, and checkouts may lie deep.
        let sockets = SocketDir::new(dir)?;
        let console = sockets.listen("console.sock")?;
        let monitor = sockets.listen("qmp.sock")?;
        let args = [self.arguments(), Self::plumbing(&sockets.path)].concat();
        let log = dir.join("qemu.log");
        let errors = File::create(&log).map_err(context(log.display()))?;
        let line = format!("{} {}\n", paths::qemu().display(), args.join(" "));
        let _ = fs::write(dir.join("command"), line);
        let child = Command::new(paths::qemu())
            .args(&args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .map_err(context(paths::qemu().display()))?;
        let mut guard = Guard(child);
        let console = sockets.accept("console.sock", console, &mut guard, &log)?;
        let monitor = sockets.accept("qmp.sock", monitor, &mut guard, &log)?;
        let console = Console::new(console, &dir.join("console.log"), self.echo)?;
        let mut qmp = Qmp::new(monitor).map_err(|e| said(&log, &e))?;
        qmp.execute("cont", serde_json::json!({}))?;
        Ok(Running {
            console,
            qmp,
            child: guard,
            dir: dir.to_path_buf(),
            _sockets: sockets,
        })
    }
}

/// An error with what QEMU printed.
fn said(log: &Path, error: &str) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    format!("{error}: {}", text.trim())
}

/// A short-named directory for sockets, reached from the run's directory's
/// files through links; gone when dropped.
struct SocketDir {
    path: PathBuf,
}

impl SocketDir {
    fn new(run: &Path) -> Result<Self> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("stagegate-{}-{number}", std::process::id()));
        // Left by a process that was killed and had our number.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).map_err(context(path.display()))?;
        let trace = run.join("trace.log");
        let trace = std::path::absolute(&trace).map_err(context(trace.display()))?;
        std::os::unix::fs::symlink(trace, path.join("trace.log")).map_err(context("trace.log"))?;
        Ok(Self { path })
    }

    fn listen(&self, name: &str) -> Result<UnixListener> {
        let path = self.path.join(name);
        UnixListener::bind(&path).map_err(context(path.display()))
    }

    /// Waits until QEMU connects; a QEMU that ends instead is reported with
    /// what it printed.
    fn accept(
        &self,
        name: &str,
        listener: UnixListener,
        child: &mut Guard,
        log: &Path,
    ) -> Result<UnixStream> {
        let (sender, receiver) = channel();
        let waiter = thread::spawn(move || sender.send(listener.accept()));
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            match receiver.recv_timeout(Duration::from_millis(200)) {
                Ok(stream) => return stream.map(|(s, _)| s).map_err(context(name)),
                Err(_) if child.0.try_wait().is_ok_and(|s| s.is_some()) => break,
                Err(_) => {}
            }
        }
        // Ends the waiting thread.
        let _ = UnixStream::connect(self.path.join(name));
        let _ = waiter.join();
        Err(said(log, "QEMU did not start"))
    }
}

impl Drop for SocketDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Ends QEMU when dropped.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running machine.
pub struct Running {
    /// The serial line.
    pub console: Console,
    /// The monitor.
    pub qmp: Qmp,
    child: Guard,
    dir: PathBuf,
    _sockets: SocketDir,
}

impl Running {
    /// Waits until QEMU has closed its console and ended.
    pub fn finish(mut self, limit: Duration) -> Result<Finished> {
        self.console.drain(limit)?;
        let status = self.child.0.wait().map_err(context("QEMU"))?;
        let trace = self.dir.join("trace.log");
        Ok(Finished {
            status,
            lines: self.console.seen().to_vec(),
            trace: if trace.exists() {
                trace::read(&trace)?
            } else {
                Vec::new()
            },
        })
    }

    /// Tells QEMU to end, then as [`Running::finish`].
    pub fn quit(mut self) -> Result<Finished> {
        self.qmp.quit()?;
        self.finish(LIMIT)
    }

    /// The events traced so far. QEMU writes them through a buffer, so the
    /// newest may be missing.
    pub fn trace_so_far(&self) -> Result<Vec<Event>> {
        trace::read(&self.dir.join("trace.log"))
    }
}

/// What is left of a machine that has ended.
pub struct Finished {
    /// QEMU's exit status.
    pub status: ExitStatus,
    /// The whole console output.
    pub lines: Vec<crate::console::Line>,
    /// All traced events.
    pub trace: Vec<Event>,
}

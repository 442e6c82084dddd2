//! A machine under QEMU: described by a builder, then running until it ends,
//! is told to quit, or is dropped. Nothing outlives its [`Running`].

use super::console::{Console, Line};
use super::process::{self, Child, Output, Started};
use super::qmp::Qmp;
use super::trace::{self, Event};
use super::{LIMIT, Result, program, run};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

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
    /// What QEMU's random numbers begin with, so that a run repeats.
    pub seed: Option<u32>,
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
            seed: None,
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

    /// Writes QEMU's own device tree of this hardware.
    ///
    /// # Errors
    /// QEMU has none for this board, or does not start.
    pub fn dump_dtb(&self, out: &Path) -> Result<()> {
        if self.board == Board::Zcu102 {
            return Err("QEMU makes no device tree for this board".into());
        }
        let mut args = self.hardware();
        args[1] = format!("{},dumpdtb={}", args[1], out.display());
        run(Command::new(program()).args(&args)).map(drop)
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
        if let Some(seed) = self.seed {
            push(&["-seed", &seed.to_string()]);
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

    /// Starts QEMU for someone who reads its console and messages as they come;
    /// the sockets' directory and the command line go to `dir`.
    ///
    /// # Errors
    /// QEMU does not start.
    pub fn launch(&self, output: Output, dir: &Path) -> Result<Started> {
        process::start(&program(), &self.arguments(), output, dir)
    }

    /// Starts QEMU; logs and sockets go to `dir`.
    pub fn start(&self, dir: &Path) -> Result<Running> {
        let parts = self.launch(Output::Files, dir)?;
        let console = Console::new(parts.console, &dir.join("console.log"), self.echo)?;
        Ok(Running {
            console,
            qmp: parts.qmp,
            child: parts.child,
            dir: dir.to_path_buf(),
        })
    }
}

/// A running machine.
pub struct Running {
    /// The serial line.
    pub console: Console,
    /// The monitor.
    pub qmp: Qmp,
    child: Child,
    dir: PathBuf,
}

impl Running {
    /// Waits until QEMU has closed its console and ended.
    pub fn finish(mut self, limit: Duration) -> Result<Finished> {
        self.console.drain(limit)?;
        let status = self.child.wait()?;
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
}

/// What is left of a machine that has ended.
pub struct Finished {
    /// QEMU's exit status.
    pub status: ExitStatus,
    /// The whole console output.
    pub lines: Vec<Line>,
    /// All traced events.
    pub trace: Vec<Event>,
}

//! One stock Debian guest with an NVMe disk behind the SMMU, for tests of what
//! lies between the two.

use crate::checks::Checks;
use crate::devicetree::Template;
use crate::guest::{self, Vm};
use crate::machine::{Board, Finished, Machine};
use crate::setup::{Setup, VmSpec, bootargs};
use crate::{Result, context, paths};
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

const CPUS: u32 = 2;
const MEMORY_MIB: u32 = 512;
/// The disk's requester id is that of slot 1 of the root bus.
const DEVICES: &str = "devices { #address-cells = <1>; #size-cells = <0>;
    device@0 { reg = <0>; label = \"nvme\"; device = <&pcie 0x08>; }; };";

/// What a test wants.
pub struct Wish<'a> {
    /// Label of the VM.
    pub name: &'a str,
    /// Further properties of the VM.
    pub properties: &'a str,
    /// What the guest does.
    pub steps: &'a str,
    /// More of the configuration.
    pub overlays: Vec<Template>,
    /// The machine.
    pub board: Board,
    /// Further words for the kernel's command line.
    pub kernel: &'a str,
}

impl<'a> Wish<'a> {
    /// The usual machine and nothing special.
    pub fn new(name: &'a str, steps: &'a str) -> Self {
        Self {
            name,
            properties: "",
            steps,
            overlays: Vec::new(),
            board: Board::VirtGicV3,
            kernel: "",
        }
    }
}

/// What came of it.
pub struct Outcome {
    /// What the guest said of itself.
    pub vm: Vm,
    /// The guest's own verdicts.
    pub checks: Checks,
    /// All that was printed and traced.
    pub finished: Finished,
}

impl Outcome {
    /// Whether one line of the console has all of `words`.
    pub fn said(&self, words: &[&str]) -> bool {
        let all = |line: &str| words.iter().all(|word| line.contains(word));
        self.finished.lines.iter().any(|line| all(&line.text))
    }

    /// The guest ran to its end and was content, and so was QEMU.
    pub fn good(&self) -> bool {
        let off = self.vm.exit.as_deref() == Some("poweroff");
        self.checks.passed() && off && self.finished.status.success()
    }

    /// The console, for those who ask why not.
    pub fn console(&self) -> String {
        let lines: Vec<&str> = self
            .finished
            .lines
            .iter()
            .map(|l| l.text.as_str())
            .collect();
        lines.join("\n")
    }
}

/// Runs the guest to its end; files go to `dir`.
pub fn run(wish: Wish<'_>, dir: &Path, limit: Duration) -> Result<Outcome> {
    let disk = dir.join("disk.img");
    let file = File::create(&disk).map_err(context(disk.display()))?;
    file.set_len(64 << 20).map_err(context(disk.display()))?;
    let mut machine = Machine::virt(CPUS, 1024);
    machine.smmu = true;
    machine.board = wish.board;
    let drive = format!("if=none,id=disk,format=raw,file={}", disk.display());
    let nvme = "nvme,drive=disk,serial=1,addr=1";
    let machine = machine.args(["-drive", &drive, "-device", nvme]);
    let mut setup = Setup::new(machine)?;
    setup.overlay(Template::named("clock-gate")?);
    for overlay in wish.overlays {
        setup.overlay(overlay);
    }
    let linux = setup.linux(&paths::kernel("6.12")?)?;
    let args = bootargs(wish.name, CPUS, MEMORY_MIB, wish.steps);
    let nodes = linux.nodes(&format!("{args} {}", wish.kernel));
    setup.vms(&[VmSpec {
        name: wish.name,
        cpus: CPUS,
        memory_mib: MEMORY_MIB,
        // Properties come before nodes.
        modules: format!("{}{nodes}", wish.properties),
        more: DEVICES.into(),
    }]);
    let mut running = setup.start(dir)?;
    let (mut vm, mut checks) = (Vm::new(wish.name), Checks::default());
    let deadline = Instant::now() + limit;
    while let Ok(line) = running.console.next(deadline) {
        if let Some(said) = guest::parse(&line.text) {
            vm.hear(said, &line, &mut checks);
        }
    }
    let finished = running.finish(limit)?;
    Ok(Outcome {
        vm,
        checks,
        finished,
    })
}

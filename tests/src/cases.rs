//! Runs the bare-metal guest (`tests/guests`) and reads its verdicts.

use crate::devicetree::Template;
use crate::image;
use crate::machine::{Board, Machine, Running};
use crate::setup::{Module, Setup, VmSpec};
use crate::{LIMIT, Result, paths};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// CPUs and memory of the guest.
pub const CPUS: u32 = 3;
/// Memory of the guest in MiB.
pub const MEMORY_MIB: u32 = 64;
/// Label of its VM.
pub const NAME: &str = "guest";

/// What a guest said about its cases.
#[derive(Debug, Default)]
pub struct Verdicts {
    /// Names of cases that passed.
    pub passed: Vec<String>,
    /// Names and reasons of cases that failed.
    pub failed: Vec<String>,
    /// Cases that do not apply.
    pub skipped: Vec<String>,
    /// Figures: name and value.
    pub figures: Vec<(String, u64)>,
    /// Whether the guest came to its end.
    pub done: bool,
}

impl Verdicts {
    fn take(&mut self, words: &str) {
        let Some((verb, rest)) = words.split_once(' ') else {
            return;
        };
        let own = rest.to_string();
        match verb {
            "PASS" => self.passed.push(own),
            "FAIL" => self.failed.push(own),
            "SKIP" => self.skipped.push(own),
            "DONE" => self.done = true,
            "BENCH" => {
                if let Some((name, Ok(value))) = rest.split_once(' ').map(|(n, v)| (n, v.parse())) {
                    self.figures.push((name.to_string(), value));
                }
            }
            _ => {}
        }
    }

    /// An error unless all cases passed and there was at least one.
    pub fn all_passed(&self) -> Result<()> {
        if !self.failed.is_empty() {
            return Err(format!("failed: {}", self.failed.join("; ")));
        }
        match (self.done, self.passed.len()) {
            (true, 1..) => Ok(()),
            (true, 0) => Err("no case passed; is the name right?".into()),
            (false, _) => Err(format!(
                "the guest did not finish after {:?}",
                self.passed.last()
            )),
        }
    }
}

/// The guest's image.
pub fn image() -> Result<PathBuf> {
    let elf = paths::target().join("aarch64-unknown-none-softfloat/release/stagegate-guest");
    let remedy = "build it: cargo build --release -p stagegate-guests --target aarch64-unknown-none-softfloat";
    image::flatten(&paths::existing(elf, remedy)?)
}

/// Starts the guest on a machine without Stagegate.
pub fn start_bare(board: Board, cases: &str, dir: &Path) -> Result<Running> {
    let mut machine = Machine::bare(CPUS, MEMORY_MIB);
    machine.board = board;
    machine.kernel = Some(image()?);
    machine.bootargs = Some(format!("bare cases={cases}"));
    machine.start(dir)
}

/// Starts the guest as the only VM under Stagegate.
pub fn start_hosted(machine: Machine, cases: &str, dir: &Path) -> Result<Running> {
    let mut setup = Setup::new(machine)?;
    let kernel = setup.module(&image()?)?;
    setup.vms(&[spec(&kernel, NAME, CPUS, cases)]);
    setup.start(dir)
}

/// As [`start_hosted`], with an `edu` device behind an SMMU whose clock can be
/// gated, and whose power the guest tells by hypercall.
pub fn start_with_device(machine: Machine, cpus: u32, cases: &str, dir: &Path) -> Result<Running> {
    let mut setup = Setup::new(with_edu(machine, &[6]))?;
    let kernel = setup.module(&image()?)?;
    setup.overlay(Template::named("clock-gate")?);
    setup.vms(&[VmSpec {
        cpus,
        ..with_devices(&kernel, cases, &[6])
    }]);
    setup.start(dir)
}

/// A machine with `edu` devices in these slots.
pub fn with_edu(machine: Machine, slots: &[u32]) -> Machine {
    slots.iter().fold(machine, |machine, slot| {
        let device = format!("edu,addr={slot:02x}.0,dma_mask=0xffffffffffff");
        machine.args(["-device", &device])
    })
}

/// A VM that runs cases, with the devices in these slots, whose power it tells
/// by hypercall.
pub fn with_devices(kernel: &Module, cases: &str, slots: &[u32]) -> VmSpec<'static> {
    let devices = slots.iter().map(|slot| {
        format!(
            "device@{slot} {{ reg = <{slot}>; label = \"edu{slot}\"; device = <&pcie {:#x}>; \
             stagegate,power-source = \"hypercall\"; }};",
            slot << 3
        )
    });
    let devices: String = devices.collect();
    VmSpec {
        more: format!("devices {{ #address-cells = <1>; #size-cells = <0>; {devices} }};"),
        ..spec(kernel, NAME, 1, cases)
    }
}

/// A VM that runs cases.
pub fn spec<'a>(kernel: &Module, name: &'a str, cpus: u32, cases: &str) -> VmSpec<'a> {
    VmSpec {
        name,
        cpus,
        memory_mib: MEMORY_MIB,
        modules: kernel.as_kernel(&format!("cases={cases}")),
        more: String::new(),
    }
}

/// Reads verdicts until the guest is done or the machine ends.
pub fn listen(running: &mut Running) -> Verdicts {
    let deadline = Instant::now() + LIMIT;
    let mut verdicts = Verdicts::default();
    while !verdicts.done
        && let Ok(line) = running.console.next(deadline)
    {
        verdicts.take(line.words());
    }
    verdicts
}

/// As [`listen`], for VMs side by side.
pub fn listen_to<const N: usize>(running: &mut Running, names: [&str; N]) -> [Verdicts; N] {
    let deadline = Instant::now() + LIMIT;
    let mut all = names.map(|_| Verdicts::default());
    while !all.iter().all(|verdicts| verdicts.done)
        && let Ok(line) = running.console.next(deadline)
    {
        let source = line.source();
        let own = names.iter().zip(&mut all);
        for (_, verdicts) in own.filter(|(name, _)| source.is_some_and(|(s, _)| s == **name)) {
            verdicts.take(line.words());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_collected() {
        let mut verdicts = Verdicts::default();
        for line in ["PASS a", "PASS b", "SKIP c why", "BENCH x 12", "noise"] {
            verdicts.take(line);
        }
        assert_eq!(verdicts.passed, ["a", "b"]);
        assert_eq!(verdicts.figures, [("x".to_string(), 12)]);
        assert!(verdicts.all_passed().is_err(), "not done yet");
        verdicts.take("DONE passed 2 failed 0 skipped 1");
        assert!(verdicts.all_passed().is_ok());
        verdicts.take("FAIL d: broken");
        assert!(verdicts.all_passed().unwrap_err().contains("broken"));
    }
}

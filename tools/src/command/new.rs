//! `stagegate new`: a first overlay for a board.
use super::Survey;
use crate::input::{Error, tree, write};
use platform::config::Inputs;
use platform::facts::stream::masters;
use platform::fdt::Blob;
use platform::overlay::{Named, merge};
use platform::report::Report;
use platform::tree::NodeId;
use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `stagegate new`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The board's device tree (.dtb, or .dts source)
    board: PathBuf,
    /// Number of VMs to propose
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    vms: u32,
    /// Where to write the overlay source; standard output if not given
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write over a file that exists
    #[arg(long)]
    force: bool,
}

/// A device that might be given to a VM.
struct Candidate {
    /// Its line in a `devices` node, without braces.
    target: String,
    /// Why it cannot be given; empty if it can.
    obstacles: Vec<String>,
}

pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result<ExitCode, Error> {
    let bytes = tree(&options.board)?;
    let content = |what: String| Error::Content(options.board.clone(), what);
    let blob = Blob::check(&bytes).map_err(|error| content(error.to_string()))?;
    let survey = Survey::new(blob, Inputs::default());
    let source = overlay(&survey, options.vms);
    match &options.output {
        Some(path) if path.exists() && !options.force => {
            return Err(Error::Exists(path.clone()));
        }
        Some(path) => {
            write(path, source.as_bytes())?;
            writeln!(out, "{}: edit it, then stagegate check it", path.display())?;
        }
        None => out.write_all(source.as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The overlay's source.
fn overlay(survey: &Survey<'_>, vms: u32) -> String {
    let board = &survey.board;
    let vms = usize::try_from(vms)
        .unwrap_or(1)
        .min(board.cpus.len().max(1));
    let candidates: Vec<Candidate> = masters(&survey.tree)
        .map(|id| candidate(survey, id))
        .collect();
    let mut text = String::from("/dts-v1/;\n/plugin/;\n\n");
    let _ = writeln!(
        text,
        "/* A first configuration for {}.",
        board.model.replace("*/", "")
    );
    text.push_str(" * Values to look at: cpus, memory, files, devices. */\n\n");
    for smmu in board
        .smmus
        .iter()
        .filter(|s| s.enabled && !s.is_switchable())
    {
        let _ = writeln!(
            text,
            "/* Nothing can switch this SMMU off yet: give it clocks. */"
        );
        let _ = writeln!(text, "&{{{}}} {{\n\tstagegate,always-on;\n}};\n", smmu.path);
    }
    // Through the root: not every tree has a /chosen yet.
    text.push_str("&{/} { chosen {\n\tstagegate {\n\t\tcompatible = \"stagegate,config-v1\";\n");
    text.push_str("\t\t#address-cells = <1>;\n\t\t#size-cells = <0>;\n");
    for number in 1..=vms {
        let listed: &[Candidate] = if number == 1 { &candidates } else { &[] };
        vm(&mut text, survey, (number, vms), listed);
    }
    text.push_str("\t};\n}; };\n");
    text
}

fn vm(
    text: &mut String,
    survey: &Survey<'_>,
    (number, of): (usize, usize),
    candidates: &[Candidate],
) {
    let board = &survey.board;
    let cpus = (board.cpus.len() / of).max(1);
    let kib = memory_kib(board.memory.free(), of);
    let _ = write!(
        text,
        "\n\t\tvm@{number:x} {{\n\t\t\tcompatible = \"stagegate,vm-v1\";\n\
         \t\t\treg = <{number}>;\n\t\t\tlabel = \"vm{number}\";\n\
         \t\t\tcpus = <{cpus}>;\n\
         \t\t\tmemory = <{:#x} {:#x}>; /* {} MiB, in KiB */\n\
         \t\t\t#address-cells = <2>;\n\t\t\t#size-cells = <2>;\n\
         \t\t\tstagegate,vuart;\n\n\
         \t\t\tkernel {{\n\
         \t\t\t\tcompatible = \"multiboot,kernel\", \"multiboot,module\";\n\
         \t\t\t\tstagegate,file = \"kernel\";\n\
         \t\t\t\tbootargs = \"console=ttyAMA0\";\n\t\t\t}};\n\
         \t\t\tramdisk {{\n\
         \t\t\t\tcompatible = \"multiboot,ramdisk\", \"multiboot,module\";\n\
         \t\t\t\tstagegate,file = \"ramdisk\";\n\t\t\t}};\n",
        kib >> 32,
        kib & 0xffff_ffff,
        kib / 1024,
    );
    if !candidates.is_empty() {
        devices(text, candidates);
    }
    text.push_str("\t\t};\n");
}

/// An equal share, in 2 MiB steps, leaving an eighth for the hypervisor and
/// what is loaded; 256 MiB where the tree does not say how much there is.
fn memory_kib(free: u64, vms: usize) -> u64 {
    let share = free / 8 * 7 / vms as u64;
    let whole = share / (2 << 20) * 2048;
    if whole < 16 * 1024 { 256 * 1024 } else { whole }
}

fn devices(text: &mut String, candidates: &[Candidate]) {
    text.push_str("\n\t\t\tdevices {\n\t\t\t\t#address-cells = <1>;\n");
    text.push_str("\t\t\t\t#size-cells = <0>;\n\n\t\t\t\t/* These can be given to a VM:\n");
    let able = candidates.iter().filter(|c| c.obstacles.is_empty());
    for (index, candidate) in able.enumerate() {
        let _ = writeln!(
            text,
            "\t\t\t\tdevice@{index:x} {{ reg = <{index}>; {} }};",
            candidate.target
        );
    }
    text.push_str("\t\t\t\t */\n\n\t\t\t\t/* These cannot, and why:\n");
    for candidate in candidates.iter().filter(|c| !c.obstacles.is_empty()) {
        let _ = writeln!(text, "\t\t\t\t{}", candidate.target);
        for obstacle in &candidate.obstacles {
            let _ = writeln!(text, "\t\t\t\t\t{}", obstacle.replace("*/", ""));
        }
    }
    text.push_str("\t\t\t\t */\n\t\t\t};\n");
}

/// Asks the checker itself whether a VM could have the device.
fn candidate(survey: &Survey<'_>, id: NodeId) -> Candidate {
    let path = survey.tree.path(id);
    let is_bridge = survey.board.pci_host_at(id).is_some();
    let rid = if is_bridge {
        " stagegate,requester-id = <0x08>;"
    } else {
        ""
    };
    let target = format!("stagegate,path = \"{path}\";{rid}");
    let trial = trial(survey, &target);
    let obstacles = match platform::dts::compile(&trial) {
        Ok(overlay) => obstacles(survey, &overlay),
        Err(error) => vec![error.to_string()],
    };
    Candidate { target, obstacles }
}

/// An overlay that gives one device to one VM and does nothing else.
fn trial(survey: &Survey<'_>, target: &str) -> String {
    let mut text = String::from("/dts-v1/; /plugin/;\n");
    for smmu in survey
        .board
        .smmus
        .iter()
        .filter(|s| s.enabled && !s.is_switchable())
    {
        let _ = writeln!(text, "&{{{}}} {{ stagegate,always-on; }};", smmu.path);
    }
    let _ = write!(
        text,
        "&{{/}} {{ chosen {{ stagegate {{ compatible = \"stagegate,config-v1\";\n\
         vm@1 {{ compatible = \"stagegate,vm-v1\"; reg = <1>; cpus = <1>; memory = <0x4000>;\n\
         kernel {{ compatible = \"multiboot,kernel\", \"multiboot,module\"; \
         stagegate,file = \"k\"; }};\n\
         devices {{ device@0 {{ reg = <0>; {target} }}; }}; }}; }}; }}; }};\n"
    );
    text
}

fn obstacles(survey: &Survey<'_>, overlay: &[u8]) -> Vec<String> {
    let mut report = Report::new();
    let named = [Named {
        name: "trial",
        bytes: overlay,
    }];
    if let Some(merged) = merge(&survey.tree.blob(), &named, &mut report)
        && let Ok(blob) = Blob::check(&merged)
    {
        report = Survey::new(blob, Inputs::default()).report;
    }
    // What the bare board already lacks is no fault of this device.
    let known = |what: &str| survey.report.errors().any(|f| f.what == what);
    let errors = report.errors().filter(|f| !known(&f.what));
    errors.map(|f| f.what.clone()).collect()
}

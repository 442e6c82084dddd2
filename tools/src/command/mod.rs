//! The commands.
mod check;
mod compile;
mod graph;
mod image;
mod man;
mod new;
mod run;
mod survey;
mod symbolize;

pub use survey::Survey;

use crate::input::Error;
use clap::{CommandFactory, Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Check, draw, pack and run Stagegate configurations
///
/// A configuration is a board's device tree and overlays that describe the VMs.
/// Begin with `new`, edit what it writes, `check` it, `image` packs it, and `run`
/// tries it on QEMU.
///
/// Exit status: 0 done; 1 the configuration has errors, which are printed; 2 the
/// command cannot do its work: wrong use, or a file that cannot be read or
/// written. `run` has more.
#[derive(Debug, Parser)]
#[command(name = "stagegate", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a board tree and overlays, and explain the resulting plan
    Check(check::Options),
    /// Draw the power links: suppliers, SMMUs, masters and VMs
    Graph(graph::Options),
    /// Write a first overlay for a board
    New(new::Options),
    /// Apply overlays to a board tree
    Merge(compile::MergeOptions),
    /// Compile device-tree source
    Compile(compile::Options),
    /// Pack hypervisor, overlays, kernels and RAM disks into one bootable file
    Image(image::Options),
    // Described where its options are: at length.
    Run(run::Options),
    /// Name the functions in a report of the hypervisor
    Symbolize(symbolize::Options),
    /// Write the manual pages
    Man(man::Options),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What several commands take.
#[derive(Debug, Clone, clap::Args)]
pub struct Trees {
    /// The board's device tree (.dtb, or .dts source)
    pub board: PathBuf,
    /// Overlays in the order they apply (.dtbo, or .dtso source)
    pub overlays: Vec<PathBuf>,
}

/// Runs a command; its output goes to `out`.
///
/// # Errors
/// [`Error`] when a file cannot be read or written.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Error> {
    match &arguments.command {
        Command::Check(options) => check::run(options, out),
        Command::Graph(options) => graph::run(options, out),
        Command::New(options) => new::run(options, out),
        Command::Merge(options) => compile::merge(options, out),
        Command::Compile(options) => compile::run(options),
        Command::Image(options) => image::run(options, out),
        Command::Run(options) => run::run(options, out),
        Command::Symbolize(options) => symbolize::run(options, out),
        Command::Man(options) => man::run(options, out),
        Command::Completions { shell } => {
            let mut command = Arguments::command();
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut command, "stagegate", &mut script);
            out.write_all(&script)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Success, or 1 when there were errors.
const fn verdict(errors: bool) -> ExitCode {
    if errors {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

//! `stagegate compile` and `stagegate merge`.
use super::{Trees, verdict};
use crate::input::{Error, merged, tree, write};
use platform::report::Report;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `stagegate compile`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The source (.dts or .dtso)
    source: PathBuf,
    /// Where to write the blob
    #[arg(short, long)]
    output: PathBuf,
}

/// Options of `stagegate merge`.
#[derive(Debug, clap::Args)]
pub struct MergeOptions {
    #[command(flatten)]
    trees: Trees,
    /// Where to write the merged tree
    #[arg(short, long)]
    output: PathBuf,
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Error> {
    write(&options.output, &tree(&options.source)?)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn merge(options: &MergeOptions, out: &mut dyn Write) -> Result<ExitCode, Error> {
    let mut report = Report::new();
    let merged = merged(&options.trees.board, &options.trees.overlays, &mut report)?;
    for finding in &report.findings {
        writeln!(out, "{finding}")?;
    }
    if let Some(bytes) = &merged {
        write(&options.output, bytes)?;
    }
    Ok(verdict(merged.is_none()))
}

//! `stagegate compile` and `stagegate merge`.
use super::{Trees, verdict};
use crate::input::{Error, is_source, merged, tree, write};
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
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Options of `stagegate merge`.
#[derive(Debug, clap::Args)]
pub struct MergeOptions {
    #[command(flatten)]
    trees: Trees,
    /// Where to write the merged tree
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Error> {
    let source = &options.source;
    if !is_source(source) {
        let what = "not device-tree source by its name, which must end in .dts or .dtso";
        return Err(Error::Content(source.clone(), what.into()));
    }
    write(&options.output, &tree(source)?)?;
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

//! `stagegate check`.
mod json;
mod text;

pub(super) use text::findings;

use super::{Survey, Trees, verdict};
use crate::input::{Error, merged};
use platform::config::Inputs;
use platform::fdt::Blob;
use platform::report::Report;
use std::io::Write;
use std::process::ExitCode;

/// Options of `stagegate check`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    trees: Trees,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    /// Print findings only
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result<ExitCode, Error> {
    let mut report = Report::new();
    let merged = merged(&options.trees.board, &options.trees.overlays, &mut report)?;
    let blob = merged.as_deref().and_then(|bytes| Blob::check(bytes).ok());
    let survey = blob.map(|blob| Survey::new(blob, Inputs::default()));
    if let Some(survey) = &survey {
        report
            .findings
            .extend(survey.report.findings.iter().cloned());
    }
    if options.json {
        writeln!(out, "{}", json::render(&report, survey.as_ref()).render())?;
    } else {
        text::findings(&report, out)?;
        if let Some(survey) = survey.as_ref().filter(|_| !options.quiet) {
            text::plan(survey, out)?;
        }
        text::summary(&report, out)?;
    }
    Ok(verdict(report.has_errors()))
}

//! `stagegate graph`.
mod dot;
mod layout;
mod legend;
mod model;
mod svg;

use super::{Survey, Trees, verdict};
use crate::input::{Error, merged, write};
use model::Picture;
use platform::config::Inputs;
use platform::fdt::Blob;
use platform::report::Report;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `stagegate graph`.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    trees: Trees,
    /// Write Graphviz DOT instead of SVG
    #[arg(long)]
    dot: bool,
    /// Where to write; standard output if not given
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result<ExitCode, Error> {
    let mut report = Report::new();
    let merged = merged(&options.trees.board, &options.trees.overlays, &mut report)?;
    let Some(blob) = merged.as_deref().and_then(|bytes| Blob::check(bytes).ok()) else {
        for finding in &report.findings {
            eprintln!("{finding}");
        }
        return Ok(verdict(true));
    };
    let picture = Picture::of(&Survey::new(blob, Inputs::default()));
    let text = if options.dot {
        dot::render(&picture)
    } else {
        svg::render(&picture)
    };
    match &options.output {
        Some(path) => write(path, text.as_bytes())?,
        None => out.write_all(text.as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

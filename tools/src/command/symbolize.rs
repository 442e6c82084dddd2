//! `stagegate symbolize`.
use crate::input::{Error, read};
use crate::symbols::Symbols;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `stagegate symbolize`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The hypervisor's ELF file, of the same build as the image
    elf: PathBuf,
    /// What the console said; standard input if absent
    log: Option<PathBuf>,
}

pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result<ExitCode, Error> {
    let symbols = Symbols::read(&read(&options.elf)?)
        .map_err(|what| Error::Content(options.elf.clone(), what))?;
    let source: Box<dyn Read> = match &options.log {
        Some(path) => Box::new(
            std::fs::File::open(path).map_err(|error| Error::Unreadable(path.clone(), error))?,
        ),
        None => Box::new(std::io::stdin()),
    };
    // Bytes, not text: a guest may have said anything.
    for line in BufReader::new(source).split(b'\n') {
        let line = line?;
        writeln!(out, "{}", symbols.explain(&String::from_utf8_lossy(&line)))?;
    }
    Ok(ExitCode::SUCCESS)
}

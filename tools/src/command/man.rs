//! `stagegate man`: the manual pages, from the very options that are parsed.
use super::Arguments;
use crate::input::{Error, write};
use clap::CommandFactory;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `stagegate man`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// An existing directory for the pages, such as /usr/local/share/man/man1
    directory: PathBuf,
}

pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result<ExitCode, Error> {
    let mut all = Arguments::command().disable_help_subcommand(true);
    // Gives each command its whole name, `stagegate-check`, and usage line.
    all.build();
    page(options, &all, out)?;
    for command in all.get_subcommands() {
        page(options, command, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn page(options: &Options, command: &clap::Command, out: &mut dyn Write) -> Result<(), Error> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let path = options.directory.join(format!("{name}.1"));
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    write(&path, &text)?;
    writeln!(out, "{}", path.display())?;
    Ok(())
}

//! A QEMU under our eyes: the process, its serial line, its monitor and its
//! event trace. `stagegate run` and the project's whole-system tests use it.
pub mod console;
pub mod machine;
pub mod process;
pub mod qmp;
pub mod trace;

use std::path::PathBuf;
use std::process::Command;

/// What these return: a sentence for the person who started it.
pub type Result<T> = std::result::Result<T, String>;

/// How long anything is waited for. What works takes a small part of it, on a
/// computer that has other things to do a larger one; only what hangs takes all.
pub const LIMIT: std::time::Duration = std::time::Duration::from_secs(300);

/// Adds the file or action to an I/O error.
pub fn context<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}

/// QEMU for AArch64: `STAGEGATE_QEMU`, else `QEMU`, else the one on the `PATH`.
pub fn program() -> PathBuf {
    let named = ["STAGEGATE_QEMU", "QEMU"].into_iter().find_map(|variable| {
        let value = std::env::var_os(variable)?;
        (!value.is_empty()).then(|| PathBuf::from(value))
    });
    named.unwrap_or_else(|| PathBuf::from("qemu-system-aarch64"))
}

/// Runs a program and returns its output.
///
/// # Errors
/// What it complained about.
pub fn run(command: &mut Command) -> Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(context(&name))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(format!(
            "{name} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}

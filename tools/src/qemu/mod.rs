//! A QEMU under our eyes: the process, its serial line, its monitor and its
//! event trace. `stagegate run` and the project's whole-system tests use it.
pub mod console;
pub mod process;
pub mod qmp;
pub mod trace;

/// What these return: a sentence for the person who started it.
pub type Result<T> = std::result::Result<T, String>;

/// How long anything is waited for. What works takes a small part of it, on a
/// computer that has other things to do a larger one; only what hangs takes all.
pub const LIMIT: std::time::Duration = std::time::Duration::from_secs(300);

/// Adds the file or action to an I/O error.
pub fn context<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}

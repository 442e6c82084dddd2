//! Whether the QEMU at hand will do.
use crate::qemu::{Result, program, run};
use std::process::Command;

/// The oldest QEMU whose SMMUv3 translates in two stages and whose PL061 traces
/// its lines.
pub const OLDEST: u32 = 9;

const REMEDY: &str = "install Debian's qemu-system-arm (from backports where the release is older), \
     or name one: STAGEGATE_QEMU=/path/to/qemu-system-aarch64";

/// The version of the QEMU that will be started.
///
/// # Errors
/// There is none, or it is older than [`OLDEST`]; with what to do.
pub fn check() -> Result<String> {
    let program = program();
    let said = run(Command::new(&program).arg("--version"));
    let said = said.map_err(|error| format!("no QEMU: {error}; {REMEDY}"))?;
    let said = String::from_utf8_lossy(&said);
    let version = said
        .strip_prefix("QEMU emulator version ")
        .and_then(|rest| rest.split_whitespace().next());
    let shown = program.display();
    let Some(version) = version else {
        return Err(format!("{shown} does not say that it is QEMU; {REMEDY}"));
    };
    match major(version) {
        Some(major) if major >= OLDEST => Ok(version.into()),
        _ => Err(format!(
            "{shown} is QEMU {version}, and {OLDEST} or later is needed; {REMEDY}"
        )),
    }
}

fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_counts() {
        assert_eq!(major("10.0.8"), Some(10));
        assert_eq!(major("8.2.0-rc1"), Some(8));
        assert_eq!(major("next"), None);
    }
}

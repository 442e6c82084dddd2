//! Why nothing starts, for the operator.

use core::fmt;
use platform::report::{Report, Severity};

/// Why nothing was started. The text is all that an operator gets: it names
/// the cause and the remedy.
pub struct Stop(pub &'static str);

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Prints findings; errors say what to do.
pub fn show(report: &Report) {
    for finding in &report.findings {
        match finding.severity {
            Severity::Error => log::error!("{finding}"),
            Severity::Warning => log::warn!("{finding}"),
            Severity::Note => log::info!("{finding}"),
        }
    }
}

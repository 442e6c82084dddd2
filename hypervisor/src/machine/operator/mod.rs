//! What the operator sees and does: the console, its monitor, and reports.

pub mod dump;
pub mod faults;
pub mod monitor;
pub mod report;

//! What the operator sees and does: the monitor of the console, reports, and the
//! end of the machine.

pub mod dump;
pub mod faults;
pub mod monitor;
pub mod off;
pub mod report;

//! `stagegate run`: QEMU with Stagegate on it, the guests' consoles, and a
//! live view of who keeps which SMMU powered.
//!
//! * [`layout`]: what there is to watch, from the configuration;
//! * [`power`]: what it does, from QEMU's event trace;
//! * [`table`]: how that looks;
//! * [`text`]: the serial line as lines, with an editable last one;
//! * [`screen`], [`terminal`], [`keys`]: the operator's terminal;
//! * [`session`]: all of it together.
pub mod keys;
pub mod layout;
pub mod power;
pub mod screen;
pub mod session;
pub mod table;
pub mod terminal;
pub mod text;
pub mod version;

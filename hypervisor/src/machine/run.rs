//! Exits from guests: one match, then back.

use crate::arch::vectors::Frame;

/// A synchronous exit.
pub extern "C" fn guest_sync(_frame: &mut Frame, _esr: u64) {}
/// An interrupt.
pub extern "C" fn guest_irq(_frame: &mut Frame) {}
/// serror
pub extern "C" fn guest_serror(_frame: &mut Frame) {}
/// First
pub extern "C" fn first_entry(_frame: &mut Frame) {}

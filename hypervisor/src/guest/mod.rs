//! Preparing a guest: its device tree and its kernel.

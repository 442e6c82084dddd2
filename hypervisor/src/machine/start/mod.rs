//! From the first line of Rust to running guests.

pub mod assign;
pub mod boot;
pub mod compose;
pub mod owners;
pub mod stop;

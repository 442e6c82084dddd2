//! Tests against the fake hierarchy.

mod physical;
mod reset;

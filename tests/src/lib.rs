//! Whole-system tests of Stagegate.

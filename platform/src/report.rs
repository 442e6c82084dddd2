//! Findings about a board and its configuration, in the operator's words.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth reading; nothing is refused.
    Note,
    /// Something is ignored or will not work as might be expected.
    Warning,
    /// Nothing starts until this is put right.
    Error,
}

/// One finding: where, what, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Stable short name, by which the documentation lists the message.
    pub code: &'static str,
    /// Path of the node concerned.
    pub node: String,
    /// Property concerned; empty when it is the node itself.
    pub property: String,
    /// What is wrong.
    pub what: String,
    /// What the operator can do.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity}[{}]: {}", self.code, self.node)?;
        if !self.property.is_empty() {
            write!(f, " {}", self.property)?;
        }
        write!(f, ": {}", self.what)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Everything found so far, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The findings in the order they were made.
    pub findings: Vec<Finding>,
}

impl Report {
    /// An empty report.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            findings: Vec::new(),
        }
    }

    /// Whether any finding is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// The errors among the findings.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(|f| f.severity == Severity::Error)
    }

    /// Adds an error.
    pub fn error(
        &mut self,
        code: &'static str,
        place: (&str, &str),
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.push(Severity::Error, code, place, what.into(), remedy.into());
    }

    /// Adds a warning.
    pub fn warning(
        &mut self,
        code: &'static str,
        place: (&str, &str),
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.push(Severity::Warning, code, place, what.into(), remedy.into());
    }

    /// Adds a note.
    pub fn note(&mut self, code: &'static str, place: (&str, &str), what: impl Into<String>) {
        self.push(Severity::Note, code, place, what.into(), String::new());
    }

    fn push(
        &mut self,
        severity: Severity,
        code: &'static str,
        (node, property): (&str, &str),
        what: String,
        remedy: String,
    ) {
        self.findings.push(Finding {
            severity,
            code,
            node: node.into(),
            property: property.into(),
            what,
            remedy,
        });
    }
}

//! Verdicts: what was to be shown, whether it was, and what shows it.

use serde_json::{Value, json};

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Requirement, e.g. `A3`.
    pub id: String,
    /// What was to be shown, as a short statement.
    pub what: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was seen.
    pub evidence: String,
}

/// The checks of a run, in the order they were decided.
#[derive(Default)]
pub struct Checks {
    list: Vec<Check>,
}

impl Checks {
    /// Notes a verdict and prints it.
    pub fn note(
        &mut self,
        id: &str,
        what: impl Into<String>,
        ok: bool,
        evidence: impl Into<String>,
    ) {
        let check = Check {
            id: id.to_string(),
            what: what.into(),
            ok,
            evidence: evidence.into(),
        };
        let mark = if check.ok { "pass" } else { "FAIL" };
        println!(
            "{mark}  {:<4} {} ({})",
            check.id, check.what, check.evidence
        );
        self.list.push(check);
    }

    /// All of them.
    pub fn all(&self) -> &[Check] {
        &self.list
    }

    /// How many passed and how many failed.
    pub fn count(&self) -> (usize, usize) {
        let passed = self.list.iter().filter(|c| c.ok).count();
        (passed, self.list.len() - passed)
    }

    /// Whether there is at least one check and all passed.
    pub fn passed(&self) -> bool {
        matches!(self.count(), (1.., 0))
    }

    /// As `report.json` has it.
    pub fn json(&self) -> Value {
        self.list
            .iter()
            .map(|c| json!({"id": c.id, "what": c.what, "ok": c.ok, "evidence": c.evidence}))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_checked_is_not_a_pass() {
        let mut checks = Checks::default();
        assert!(!checks.passed());
        checks.note("A1", "boots", true, "seen");
        assert!(checks.passed());
        checks.note("A2", "shines", false, "dark");
        assert!(!checks.passed());
        assert_eq!(checks.count(), (1, 1));
        assert_eq!(checks.json()[1]["ok"], false);
    }
}

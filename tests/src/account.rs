//! The hypervisor's own accounting, printed when the machine ends:
//! `@sg smmu NAME key=value…` and `@sg master NAME key=value…`.

use crate::console::Line;
use std::collections::BTreeMap;

/// Names in `report.json` and what the hypervisor calls them.
pub const COUNTERS: [(&str, &str); 5] = [
    ("wakes", "wakes"),
    ("gates", "gates"),
    ("deferrals_cancelled", "cancelled"),
    ("invalidations_elided", "elided"),
    ("sync_timeouts", "timeouts"),
];

/// One account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// SMMU or master.
    pub name: String,
    values: BTreeMap<String, u64>,
}

impl Account {
    /// A figure, 0 if it was not told.
    pub fn get(&self, key: &str) -> u64 {
        self.values.get(key).copied().unwrap_or(0)
    }
}

/// All accounts of a kind, `smmu` or `master`.
pub fn read(lines: &[Line], kind: &str) -> Vec<Account> {
    let start = format!("@sg {kind} ");
    let told = lines.iter().filter(|l| l.is("stagegate", &start));
    told.filter_map(|l| account(l.words().strip_prefix(&start)?))
        .collect()
}

fn account(text: &str) -> Option<Account> {
    let mut words = text.split_ascii_whitespace();
    let name = words.next()?.to_string();
    let pairs = words.filter_map(|w| w.split_once('='));
    let values = pairs.filter_map(|(key, value)| Some((key.to_string(), value.parse().ok()?)));
    Some(Account {
        name,
        values: values.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_and_words_skipped() {
        let line = |text: &str| Line {
            at: std::time::SystemTime::now(),
            text: text.into(),
        };
        let lines = [
            line("[stagegate] @sg smmu smmuv3 on=12 wakes=3"),
            line("[stagegate] @sg master igb vm=nic streams=16 faults=2"),
            line("[nic] @sg smmu forged wakes=9"),
        ];
        let smmus = read(&lines, "smmu");
        assert_eq!(
            (smmus.len(), smmus[0].get("wakes"), smmus[0].get("gates")),
            (1, 3, 0)
        );
        assert_eq!(read(&lines, "master")[0].get("faults"), 2);
    }
}

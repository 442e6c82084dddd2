//! The moments of a timeline that its scale hides: the milliseconds between the
//! last master's idling and the stopping clock, and the microseconds between the
//! clock's return and the first master.

use crate::timeline::{Lane, Span};

/// How long after its clock an SMMU may wait for a master to be part of the
/// same wake.
const WAKE_US: u64 = 100_000;

/// A stretch of time to be drawn large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closeup {
    /// What happens.
    pub title: String,
    /// Where it begins; the picture counts from here.
    pub from_us: u64,
    /// Where it ends.
    pub to_us: u64,
    /// A moment that may not come before it, and its name: the end of the delay.
    pub limit: Option<(u64, String)>,
}

/// Each time the SMMU went to sleep: from its last master's idling to the stop
/// of its clock.
pub fn sleeps(smmu: &Lane, masters: &[Lane], delay_us: u64) -> Vec<Closeup> {
    let gated = smmu.spans.iter().enumerate();
    let gated = gated.filter(|(_, span)| span.state == "gated");
    let closeups = gated.filter_map(|(at, span)| {
        let idle = smmu.spans[..at].iter().rfind(|s| s.state == "idle")?;
        let who = last_idle(masters, idle.from_us).unwrap_or("the start");
        Some(Closeup {
            title: format!("{}: after {who}", seconds(span.from_us)),
            from_us: idle.from_us,
            to_us: span.from_us,
            limit: Some((idle.from_us + delay_us, format!("{} ms", delay_us / 1000))),
        })
    });
    closeups.collect()
}

/// Each time it woke: from its clock to the first master that may go on.
pub fn wakes(smmu: &Lane, masters: &[Lane]) -> Vec<Closeup> {
    let gated = smmu.spans.iter().filter(|s| s.state == "gated");
    let wakes = gated.filter_map(|span| {
        let from_us = span.to_us;
        let first = |lane: &'_ Lane| {
            let mut active = lane.spans.iter().filter(|s| s.state == "active");
            active.find(|s| s.from_us >= from_us).map(|s| s.from_us)
        };
        let found = masters.iter().filter_map(|m| Some((first(m)?, m)));
        let (to_us, master) = found.min_by_key(|(at, _)| *at)?;
        (to_us - from_us < WAKE_US).then(|| Closeup {
            title: format!("{}: for {}", seconds(from_us), master.name),
            from_us,
            to_us,
            limit: None,
        })
    });
    wakes.collect()
}

/// The master that became idle at this moment, the last of all.
fn last_idle(masters: &[Lane], at_us: u64) -> Option<&str> {
    let idle = |s: &Span| s.state == "idle" && s.from_us == at_us && at_us > 0;
    let master = masters.iter().find(|m| m.spans.iter().any(idle));
    master.map(|m| m.name.as_str())
}

fn seconds(at_us: u64) -> String {
    format!("{:.1} s", at_us as f64 / 1e6)
}

/// A length of time as people say it.
pub fn length(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(name: &str, changes: &[(u64, &str)]) -> Lane {
        let changes: Vec<_> = changes.iter().map(|(at, s)| (*at, s.to_string())).collect();
        Lane::from_changes(name, "", &changes, 10_000_000)
    }

    #[test]
    fn a_sleep_lasts_from_the_last_masters_idling_to_the_clock() {
        let smmu = lane(
            "SMMU",
            &[
                (0, "deny"),
                (10, "idle"),
                (1_000_000, "on"),
                (2_000_000, "idle"),
                (2_020_500, "deny"),
                (2_020_600, "gated"),
                (3_000_000, "deny"),
                (3_000_200, "on"),
            ],
        );
        let nvme = lane(
            "nvme",
            &[(0, "idle"), (1_000_000, "active"), (2_000_000, "idle")],
        );
        let igb = lane("igb", &[(0, "idle"), (3_000_230, "active")]);
        let masters = [nvme, igb];
        let found = sleeps(&smmu, &masters, 20_000);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].title, "2.0 s: after nvme");
        assert_eq!((found[0].from_us, found[0].to_us), (2_000_000, 2_020_600));
        assert_eq!(found[0].limit, Some((2_020_000, "20 ms".into())));
        let found = wakes(&smmu, &masters);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].title, "3.0 s: for igb");
        assert_eq!((found[0].from_us, found[0].to_us), (3_000_000, 3_000_230));
    }

    #[test]
    fn the_end_of_the_run_is_no_wake() {
        let smmu = lane("SMMU", &[(0, "idle"), (1_000, "gated")]);
        let nvme = lane("nvme", &[(0, "idle")]);
        assert_eq!(wakes(&smmu, std::slice::from_ref(&nvme)), []);
        assert_eq!(sleeps(&smmu, &[nvme], 0)[0].title, "0.0 s: after the start");
    }

    #[test]
    fn lengths_have_the_unit_that_fits() {
        assert_eq!(length(230), "230 µs");
        assert_eq!(length(20_640), "20.6 ms");
        assert_eq!(length(1_500_000), "1.50 s");
    }
}

//! Verdicts about the guests' own DMA domains.

use crate::checks::Checks;
use crate::director::Mark;
use crate::scenario::hardware::MASTERS;
use crate::trace::Event;

/// The address of an `unmapped...` mark.
fn page(mark: &str) -> Option<u64> {
    u64::from_str_radix(mark.strip_prefix("unmapped 0x")?, 16).ok()
}

/// From the moment a driver had unmapped a page, the device that was aimed
/// there got an event instead of a translation.
pub fn unmapped(trace: &[Event], marks: &[Mark], checks: &mut Checks) {
    let edu = MASTERS.iter().find(|m| m.name == "edu");
    let sid = edu.map(|m| u64::from(m.rid));
    let told: Vec<(u64, usize, usize)> = marks
        .iter()
        .filter_map(|m| Some((page(&m.what)?, m.at_us)))
        .map(|(page, from)| {
            let own = |e: &&Event| e.at_us > from && e.number("sid") == sid;
            let own: Vec<&Event> = trace.iter().filter(own).collect();
            let translated = own
                .iter()
                .filter(|e| e.name == "smmuv3_translate_success" && e.number("iova") == Some(page));
            let events = own.iter().filter(|e| e.name == "smmuv3_record_event");
            (page, translated.count(), events.count())
        })
        .collect();
    let stopped = |&(_, hits, events): &(u64, usize, usize)| hits == 0 && events > 0;
    let ok = !told.is_empty() && told.iter().all(stopped);
    let evidence = told
        .iter()
        .map(|(page, hits, events)| format!("{page:#x}: {hits} translations, {events} events"))
        .collect::<Vec<_>>();
    checks.note(
        "C4",
        "DMA to a page just unmapped is terminated",
        ok,
        format!("QEMU trace: {}", evidence.join("; ")),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::parse;

    fn verdict(after: &str) -> bool {
        let trace = parse(&format!(
            "1@1.000000:smmuv3_translate_success m sid=0x30 iova=0xff000 translated=0x1 stage=2\n{after}"
        ));
        let mark = |at_us, what: &str| Mark {
            at_us,
            who: "nic".into(),
            what: what.into(),
        };
        let marks = [mark(0, "idle nvme"), mark(2_000_000, "unmapped 0xff000")];
        let mut checks = Checks::default();
        unmapped(&trace, &marks, &mut checks);
        checks.passed()
    }

    #[test]
    fn a_translation_after_the_unmap_fails() {
        let event = "1@3.000000:smmuv3_record_event F_TRANSLATION sid=0x30\n";
        assert!(verdict(event));
        assert!(!verdict(""), "nothing was tried");
        let hit = "1@3.000000:smmuv3_translate_success m sid=0x30 iova=0xff000 translated=0x1\n";
        assert!(!verdict(&format!("{event}{hit}")));
        let other = hit.replace("0x30", "0x10");
        assert!(verdict(&format!("{event}{other}")), "another device's");
    }
}

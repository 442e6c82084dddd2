//! The rule of `docs/power.md` stated once more, in another shape, and held
//! against the code.

use super::*;
use proptest::prelude::*;

const ALL: [Source; 4] = [
    Source::Pci,
    Source::Scmi,
    Source::Hypercall,
    Source::AlwaysOn,
];
const BOTH: [Word; 2] = [Word::Active, Word::Idle];

fn sources() -> impl Iterator<Item = Sources> {
    (0..16u8).map(|bits| Sources { bits })
}

/// Every value that evidence can have: 16 × 2 × 2³.
fn every() -> impl Iterator<Item = Evidence> {
    let words = BOTH.into_iter().flat_map(|pci| {
        BOTH.into_iter()
            .flat_map(move |scmi| BOTH.map(|hypercall| (pci, scmi, hypercall)))
    });
    let words: Vec<_> = words.collect();
    sources().flat_map(move |sources| {
        let words = words.clone();
        [VmLife::Running, VmLife::Stopped]
            .into_iter()
            .flat_map(move |vm| {
                words
                    .clone()
                    .into_iter()
                    .map(move |(pci, scmi, hypercall)| Evidence {
                        sources,
                        vm,
                        pci,
                        scmi,
                        hypercall,
                    })
            })
    })
}

fn events() -> Vec<Event> {
    let mut events = vec![Event::Vm(VmLife::Running), Event::Vm(VmLife::Stopped)];
    for word in BOTH {
        events.extend([Event::Pci(word), Event::Scmi(word), Event::Hypercall(word)]);
    }
    events
}

fn word(e: Evidence, source: Source) -> Word {
    match source {
        Source::Pci => e.pci,
        Source::Scmi => e.scmi,
        Source::Hypercall => e.hypercall,
        Source::AlwaysOn => Word::Active,
    }
}

#[test]
fn the_rule() {
    for e in every() {
        let vetoed = ALL
            .into_iter()
            .any(|s| e.sources.has(s) && word(e, s) == Word::Idle);
        let active = e.vm == VmLife::Running && (e.sources.has(Source::AlwaysOn) || !vetoed);
        assert_eq!(e.verdict().0 == Word::Active, active, "{e:?}");
    }
}

#[test]
fn the_reason_is_the_strongest_evidence() {
    for e in every() {
        let (verdict, reason) = e.verdict();
        let rank = [
            (e.vm == VmLife::Stopped, Reason::VmStopped),
            (e.sources.has(Source::AlwaysOn), Reason::AlwaysOn),
            (
                e.sources.has(Source::Pci) && e.pci == Word::Idle,
                Reason::Pci,
            ),
            (
                e.sources.has(Source::Scmi) && e.scmi == Word::Idle,
                Reason::Scmi,
            ),
            (
                e.sources.has(Source::Hypercall) && e.hypercall == Word::Idle,
                Reason::Hypercall,
            ),
            (true, Reason::Default),
        ];
        let first = rank.into_iter().find(|(holds, _)| *holds).unwrap().1;
        assert_eq!(reason, first, "{e:?}");
        let idle = !matches!(reason, Reason::AlwaysOn | Reason::Default);
        assert_eq!(verdict == Word::Idle, idle);
    }
}

#[test]
fn a_dead_vm_has_no_active_master() {
    for e in every() {
        let dead = e.after(Event::Vm(VmLife::Stopped));
        for event in events()
            .into_iter()
            .filter(|e| *e != Event::Vm(VmLife::Running))
        {
            let (next, step) = dead.step(event);
            assert_eq!(
                (next.verdict().0, step),
                (Word::Idle, Step::Stay),
                "{event:?}"
            );
        }
    }
}

#[test]
fn a_new_life_knows_nothing_of_the_last() {
    for e in every() {
        let reborn = e
            .after(Event::Vm(VmLife::Stopped))
            .after(Event::Vm(VmLife::Running));
        assert_eq!(
            reborn,
            Evidence::new(e.sources).after(Event::Vm(VmLife::Running))
        );
    }
}

#[test]
fn sources_that_are_not_named_are_not_heard() {
    for e in every() {
        for event in events() {
            let source = match event {
                Event::Pci(_) => Source::Pci,
                Event::Scmi(_) => Source::Scmi,
                Event::Hypercall(_) => Source::Hypercall,
                Event::Vm(_) => continue,
            };
            if !e.sources.has(source) {
                assert_eq!(e.step(event).1, Step::Stay, "{e:?} {event:?}");
            }
        }
    }
}

#[test]
fn more_evidence_of_idleness_never_wakes() {
    for e in every() {
        for event in [
            Event::Pci(Word::Idle),
            Event::Scmi(Word::Idle),
            Event::Hypercall(Word::Idle),
        ] {
            assert_ne!(e.step(event).1, Step::Wake, "{e:?} {event:?}");
        }
    }
}

#[test]
fn each_source_is_one_of_its_own() {
    for source in ALL {
        let one = Sources::from_iter([source]);
        assert!(
            ALL.into_iter()
                .all(|other| one.has(other) == (other == source))
        );
    }
}

#[test]
fn sources_follow_a_device_if_a_word_can_put_it_to_sleep() {
    for sources in sources() {
        let events = events().into_iter();
        let words = events.filter(|event| !matches!(event, Event::Vm(_)));
        let awake = Evidence {
            sources,
            vm: VmLife::Running,
            pci: Word::Active,
            scmi: Word::Active,
            hypercall: Word::Active,
        };
        let sleeps = words
            .map(|word| awake.step(word).1)
            .any(|step| step == Step::Sleep);
        assert_eq!(sources.follow(), sleeps, "{sources:?}");
    }
}

#[test]
fn what_each_kind_of_master_is_before_anybody_spoke() {
    let start = |sources: &[Source]| {
        let e = Evidence::new(sources.iter().copied().collect());
        e.after(Event::Vm(VmLife::Running)).verdict()
    };
    assert_eq!(start(&[]), (Word::Active, Reason::Default));
    assert_eq!(start(&[Source::Pci]), (Word::Idle, Reason::Pci));
    assert_eq!(start(&[Source::Scmi]), (Word::Idle, Reason::Scmi));
    assert_eq!(start(&[Source::Hypercall]), (Word::Active, Reason::Default));
    assert_eq!(
        start(&[Source::AlwaysOn, Source::Pci]),
        (Word::Active, Reason::AlwaysOn)
    );
}

proptest! {
    /// Summed over any history, wakes and sleeps alternate and end where the
    /// verdict says: a counter fed by the steps is never off by one.
    #[test]
    fn steps_alternate(bits in 0u8..16, picks in prop::collection::vec(any::<prop::sample::Index>(), 0..64)) {
        let mut e = Evidence::new(Sources { bits });
        let mut links = 0i32;
        let events = events();
        for pick in picks {
            let (next, step) = e.step(events[pick.index(events.len())]);
            links += match step { Step::Wake => 1, Step::Sleep => -1, Step::Stay => 0 };
            prop_assert_eq!(links == 1, next.verdict().0 == Word::Active);
            prop_assert!((0..=1).contains(&links));
            e = next;
        }
    }

    /// A wake that failed keeps the old evidence; saying it again asks again.
    #[test]
    fn a_failed_wake_is_asked_for_again(bits in 0u8..16, pick in any::<prop::sample::Index>()) {
        for e in every().filter(|e| e.sources.bits == bits) {
            let events = events();
            let event = events[pick.index(events.len())];
            if e.step(event).1 == Step::Wake {
                prop_assert_eq!(e.verdict().0, Word::Idle);
                prop_assert_eq!(e.step(event).1, Step::Wake);
            }
        }
    }
}

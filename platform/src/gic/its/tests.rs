//! The driver against the model.

use super::model::{Model, Quirks, Ram};
use super::spec::{INDIRECT, INNER_CACHE_SHIFT, PAGE_SIZE_SHIFT, SHAREABILITY};
use super::{Error, Events, Its, RedistributorId};
use crate::gic::LpiTables;

const CPUS: u16 = 4;

fn cpu(number: u16) -> RedistributorId {
    RedistributorId {
        address: 0x80a_0000 + u64::from(number) * 0x2_0000,
        number,
    }
}

fn events(device: u32, first_lpi: u32) -> Events {
    Events {
        device,
        events: 80..144,
        first_lpi,
    }
}

/// A driver that has mapped all collections.
fn ready<'a>(model: &'a Model<'a>, ram: &'a Ram) -> Its<&'a Model<'a>, &'a Ram> {
    let mut its = Its::new(model, ram, CPUS, true).unwrap();
    for number in 0..CPUS {
        its.map_collection(number, cpu(number)).unwrap();
    }
    its
}

fn with(quirks: Quirks, test: impl FnOnce(&Model<'_>, &Ram)) {
    let ram = Ram::new();
    let model = Model::new(&ram, quirks);
    test(&model, &ram);
    assert_eq!(*model.violations.borrow(), [""; 0]);
}

/// What every ITS must do: a device signals its own events, at the right CPU,
/// and nothing else.
fn a_life(quirks: Quirks, target: impl Fn(u16) -> u64) {
    with(quirks, |model, ram| {
        let mut its = ready(model, ram);
        its.map(&events(0x08, 8192), 1).unwrap();
        its.map(&events(0xff08, 8256), 2).unwrap();
        assert!(model.settled());
        assert_eq!(model.signal(0x08, 80), Some((8192, target(1))));
        assert_eq!(model.signal(0x08, 143), Some((8255, target(1))));
        assert_eq!(model.signal(0xff08, 80), Some((8256, target(2))));
        for (device, event) in [(0x08, 79), (0x08, 144), (0x09, 80), (0, 0)] {
            assert_eq!(model.signal(device, event), None, "{device:#x} {event}");
        }
        its.move_event([0x08, 0xff08].into_iter(), 81, (1, 3))
            .unwrap();
        assert_eq!(model.signal(0x08, 81), Some((8193, target(3))));
        assert_eq!(model.signal(0x08, 82), Some((8194, target(1))));
        its.discard(&events(0x08, 8192), &[1]).unwrap();
        assert!(model.settled());
        assert_eq!(model.signal(0x08, 80), None);
        assert_eq!(model.signal(0xff08, 80), Some((8256, target(2))));
        // The VM starts again: the same table serves.
        let left = ram.left.get();
        its.map(&events(0x08, 8192), 1).unwrap();
        assert_eq!(model.signal(0x08, 80), Some((8192, target(1))));
        assert_eq!(ram.left.get(), left, "memory is taken once");
    });
}

#[test]
fn a_device_signals_its_own_events_and_no_others() {
    a_life(Quirks::default(), |number| u64::from(number) << 16);
}

#[test]
fn redistributors_may_be_named_by_address() {
    let by_address = Quirks {
        by_address: true,
        ..Quirks::default()
    };
    a_life(by_address, |number| cpu(number).address);
}

#[test]
fn tables_are_as_the_registers_ask() {
    for (code, flat) in [(0, false), (1, false), (2, false), (0, true), (2, true)] {
        let quirks = Quirks {
            page_size: Some(code),
            flat,
            ..Quirks::default()
        };
        if flat && code == 0 {
            // 256 pages of 4 KiB hold 65,536 devices of 16 bytes: just enough.
            with(quirks, |model, ram| {
                ready(model, ram);
                assert_eq!(model.baser(0) & 0xff, 255);
            });
        }
        a_life(quirks, |number| u64::from(number) << 16);
        with(quirks, |model, ram| {
            ready(model, ram);
            assert_eq!(model.baser(0) & INDIRECT != 0, !flat);
            assert_eq!(model.baser(0) >> PAGE_SIZE_SHIFT & 0b11, code);
            // Collections: one page, one level.
            assert_eq!(model.baser(1) & (INDIRECT | 0xff), 0);
        });
    }
}

#[test]
fn an_its_that_does_not_snoop_is_told_not_to_cache() {
    for (quirks, coherent) in [
        (
            Quirks {
                uncached: true,
                ..Quirks::default()
            },
            true,
        ),
        (Quirks::default(), false),
    ] {
        with(quirks, |model, ram| {
            Its::new(model, ram, CPUS, coherent).unwrap();
            let baser = model.baser(0);
            assert_eq!(baser & SHAREABILITY, 0);
            assert_eq!(baser >> INNER_CACHE_SHIFT & 0b111, 0b001);
        });
    }
}

#[test]
fn what_does_not_fit_is_refused_before_the_its_hears_of_it() {
    with(Quirks::default(), |model, ram| {
        let mut its = ready(model, ram);
        let before = model.done();
        assert_eq!(
            its.map(&events(0x1_0000, 8192), 0),
            Err(Error::Device(0x1_0000))
        );
        let wide = Events {
            events: 1000..1025,
            ..events(8, 8192)
        };
        assert_eq!(its.map(&wide, 0), Err(Error::Event(1024)));
        assert_eq!(its.map(&events(8, 8192), 4), Err(Error::Collection(4)));
        assert_eq!(its.discard(&events(8, 8192), &[0]), Err(Error::Device(8)));
        assert_eq!(its.map_collection(9, cpu(0)), Err(Error::Collection(9)));
        assert_eq!(model.done(), before);
    });
}

#[test]
fn a_queue_goes_round() {
    with(Quirks::default(), |model, ram| {
        let mut its = ready(model, ram);
        // 131 commands a round, in a queue of 2048.
        for _ in 0..40 {
            its.map(&events(8, 8192), 0).unwrap();
            its.discard(&events(8, 8192), &[0]).unwrap();
        }
        assert!(model.done() > 2 * 2048);
        let many = Events {
            events: 0..1024,
            ..events(9, 9000)
        };
        for first_lpi in [9000, 9000] {
            its.map(
                &Events {
                    first_lpi,
                    ..many.clone()
                },
                0,
            )
            .unwrap();
            assert_eq!(model.signal(9, 1023), Some((10023, 0)));
            its.discard(&many, &[0]).unwrap();
        }
    });
}

/// An ITS that misbehaves is noticed within bounds, and not waited for again.
#[test]
fn a_queue_that_does_not_move_is_given_up() {
    let stuck = |its: Result<(), Error>| assert_eq!(its, Err(Error::Timeout(0x90)));
    for quirks in [
        Quirks {
            stuck: true,
            ..Quirks::default()
        },
        Quirks {
            wild: Some(0xffff_ffff_ffff_fff0),
            ..Quirks::default()
        },
        Quirks {
            wild: Some(0x40),
            ..Quirks::default()
        },
    ] {
        with(quirks, |model, ram| {
            let mut its = Its::new(model, ram, CPUS, true).unwrap();
            stuck(its.map_collection(0, cpu(0)));
            let done = model.done();
            stuck(its.map(&events(8, 8192), 0));
            assert_eq!(model.done(), done, "it was asked again");
        });
    }
}

#[test]
fn a_stalled_queue_is_told_with_the_place() {
    let quirks = Quirks {
        stalls_after: Some(12),
        ..Quirks::default()
    };
    with(quirks, |model, ram| {
        // Four collections take twelve commands.
        let mut its = ready(model, ram);
        let stalled = Err(Error::Stalled(12 * 32));
        assert_eq!(its.map(&events(8, 8192), 0), stalled);
        assert_eq!(its.map(&events(9, 8256), 0), stalled);
    });
}

#[test]
fn an_its_that_cannot_be_used_is_not() {
    let new = |quirks, left| {
        let ram = Ram::new();
        ram.left.set(left);
        let model = Model::new(&ram, quirks);
        Its::new(&model, &ram, CPUS, true).err()
    };
    let plain = Quirks::default();
    let restless = Quirks {
        restless: true,
        ..plain
    };
    assert_eq!(new(restless, 1 << 20), Some(Error::Timeout(0)));
    for deaf in [0, 1] {
        let quirks = Quirks {
            deaf: Some(deaf),
            ..plain
        };
        assert_eq!(new(quirks, 1 << 20), Some(Error::Table(deaf)));
    }
    assert_eq!(new(plain, 0x1_0000), Some(Error::Memory));
    assert_eq!(new(plain, 0x3_0000), None);
}

#[test]
fn memory_beyond_the_registers_reach_is_refused() {
    let ram = Ram::new();
    ram.next.set(1 << 48);
    let model = Model::new(&ram, Quirks::default());
    assert_eq!(
        Its::new(&model, &ram, CPUS, true).err(),
        Some(Error::Memory)
    );
}

#[test]
fn lpis_are_enabled_one_by_one() {
    let ram = Ram::new();
    let tables = LpiTables::new(&ram, 1 << 24, true).unwrap();
    assert_eq!(tables.end(), 1 << 16);
    tables.enable(8200, 3);
    let at = 0x4000_0000 + 8;
    assert_eq!([0, 1, 2].map(|n| ram.byte(at + n)), [0xa3; 3]);
    assert_eq!((ram.byte(at - 1), ram.byte(at + 3)), (0, 0));
    // Nothing is written outside the table.
    tables.enable(0xffff, 100);
    tables.enable(100, 100);
    assert!(LpiTables::new(&ram, 8192, true).is_none());
}

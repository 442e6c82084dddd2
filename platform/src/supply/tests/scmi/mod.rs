//! The SCMI client against firmware that is late, wrong or silent, behind
//! each doorbell.
mod fake;

use crate::probe::Probed;
use crate::supply::SupplyError::{Firmware, Protocol, Timeout};
use alloc::vec;
use alloc::vec::Vec;
use fake::{DOORBELLS, Deed, FREE, HEADER, LENGTH, Mischief, PAYLOAD, Rig, STATUS, honest};

/// Longest wait for one answer, in microseconds.
const LIMIT: u64 = 30_000;
/// What looking at the clock adds.
const SLACK: u64 = 200;

/// The answer with one word changed.
fn changed(mut answer: Vec<(usize, u32)>, at: usize, value: u32) -> Vec<Deed> {
    answer.retain(|word| word.0 != at);
    answer.insert(0, (at, value));
    vec![(0, answer)]
}

fn silent(_: u32, _: Vec<(usize, u32)>) -> Vec<Deed> {
    Vec::new()
}

#[test]
fn domains_and_clocks_switch_and_read_back() {
    for doorbell in DOORBELLS {
        let rig = Rig::new(doorbell);
        for (which, switch) in [&rig.domain, &rig.clock].into_iter().enumerate() {
            assert_eq!(switch.is_on(), Ok(false));
            switch.enable().unwrap();
            assert_eq!(switch.is_on(), Ok(true));
            assert!(rig.firmware.on.lock()[which]);
            switch.disable().unwrap();
            assert_eq!(switch.is_on(), Ok(false));
            assert!(!rig.firmware.on.lock()[which]);
        }
    }
}

#[test]
fn an_answer_may_take_its_time() {
    const LATE: [(u64, Mischief); 4] = [
        (1, |_, answer| vec![(1, answer)]),
        (7, |_, answer| vec![(7, answer)]),
        (500, |_, answer| vec![(500, answer)]),
        // 29 ms of 30.
        (2_900, |_, answer| vec![(2_900, answer)]),
    ];
    for doorbell in DOORBELLS {
        for (looks, mischief) in LATE {
            let rig = Rig::with(doorbell, mischief);
            let (on, took) = rig.timed(|rig| rig.clock.enable());
            assert_eq!(on, Ok(()), "{looks}");
            // Two messages; a look is 10 us.
            assert!((20 * looks..20 * looks + SLACK).contains(&took), "{took}");
            assert!(rig.firmware.on.lock()[1]);
        }
    }
}

/// Nothing for ever, and something too late. What came too late neither counts
/// for the next message nor stands in its way.
#[test]
fn an_answer_that_does_not_come_is_given_up_on() {
    for doorbell in DOORBELLS {
        let rig = Rig::with(doorbell, silent);
        let (off, took) = rig.timed(|rig| rig.domain.enable());
        assert_eq!(off, Err(Timeout(LIMIT)));
        assert!((LIMIT..LIMIT + SLACK).contains(&took), "{took}");
        // The channel is still firmware's: nothing is written into it.
        let header = rig.firmware.word(HEADER);
        let (off, took) = rig.timed(|rig| rig.clock.enable());
        assert_eq!(off, Err(Timeout(LIMIT)));
        assert!((LIMIT..LIMIT + SLACK).contains(&took), "{took}");
        assert_eq!(rig.firmware.messages.lock().len(), 1);
        assert_eq!(rig.firmware.word(HEADER), header);
        // It comes back with an answer to what was asked long ago.
        rig.firmware
            .put(&[(LENGTH, 8), (PAYLOAD, 0), (STATUS, FREE)]);
        *rig.firmware.mischief.lock() = honest;
        assert_eq!(rig.clock.enable(), Ok(()));
        assert_eq!(rig.domain.is_on(), Ok(true), "the first message was read");
    }
}

/// The longest that a message takes: the last answer comes at the end of the
/// wait for a free channel, and its own at the end of the wait for that.
#[test]
fn a_message_takes_twice_the_limit_at_most() {
    for doorbell in DOORBELLS {
        let rig = Rig::with(doorbell, |_, answer| vec![(5_900, answer)]);
        assert_eq!(rig.domain.is_on(), Err(Timeout(LIMIT)));
        *rig.firmware.mischief.lock() = |_, answer| vec![(2_990, answer)];
        let (state, took) = rig.timed(|rig| rig.domain.is_on());
        assert_eq!(state, Ok(false));
        assert!((LIMIT..2 * LIMIT).contains(&took), "{took}");
    }
}

/// An answer to something else is not taken, nor is a wait for the right one
/// longer for it.
#[test]
fn an_answer_to_another_message_is_not_taken() {
    const OTHERS: [(u32, Mischief); 4] = [
        // Token, message, protocol, type.
        (1 << 18, |h, answer| changed(answer, HEADER, h ^ 1 << 18)),
        (1, |h, answer| changed(answer, HEADER, h ^ 1)),
        (1 << 10, |h, answer| changed(answer, HEADER, h ^ 1 << 10)),
        (2 << 8, |h, answer| changed(answer, HEADER, h ^ 2 << 8)),
    ];
    for doorbell in DOORBELLS {
        for (bit, mischief) in OTHERS {
            let rig = Rig::with(doorbell, mischief);
            let (state, took) = rig.timed(|rig| rig.domain.is_on());
            // The third message: tokens count from one, the first asked for
            // the version of the clocks' protocol.
            let sent = 5 | 0x11 << 10 | 2 << 18;
            assert_eq!(state, Err(Protocol(sent ^ bit)));
            assert!((LIMIT..LIMIT + SLACK).contains(&took), "{took}");
            *rig.firmware.mischief.lock() = honest;
            assert_eq!(rig.domain.is_on(), Ok(false));
        }
    }
}

/// Firmware with one channel for everything: a delayed response and a
/// notification are there before the answer, each in a free channel.
#[test]
fn what_comes_in_between_is_passed_over() {
    for doorbell in DOORBELLS {
        let rig = Rig::with(doorbell, |header, mut answer| {
            let stray = |header, word| {
                let words = [
                    (LENGTH, 12),
                    (HEADER, header),
                    (PAYLOAD, 0),
                    (PAYLOAD + 4, word),
                ];
                words.into_iter().chain([(STATUS, FREE)]).collect()
            };
            answer.insert(0, (HEADER, header));
            vec![
                (3, stray(header & 0xff | 0x11 << 10 | 2 << 8 | 1 << 18, 0)),
                (2, stray(0x11 << 10 | 3 << 8, 1)),
                (40, answer),
            ]
        });
        assert_eq!(rig.domain.is_on(), Ok(false));
        assert_eq!(rig.domain.enable(), Ok(()));
        assert_eq!(rig.domain.is_on(), Ok(true));
    }
}

#[test]
fn each_error_is_told_as_it_is() {
    const CODES: [(u32, Mischief); 4] = [
        (-1i32 as u32, |_, a| changed(a, PAYLOAD, -1i32 as u32)),
        (-3i32 as u32, |_, a| changed(a, PAYLOAD, -3i32 as u32)),
        (-9i32 as u32, |_, a| changed(a, PAYLOAD, -9i32 as u32)),
        (i32::MIN as u32, |_, a| changed(a, PAYLOAD, i32::MIN as u32)),
    ];
    for doorbell in DOORBELLS {
        for (code, mischief) in CODES {
            let rig = Rig::with(doorbell, mischief);
            let refused = Err(Firmware(code as i32));
            assert_eq!(rig.domain.enable(), refused);
            assert_eq!(rig.clock.enable(), refused);
            assert_eq!(rig.domain.is_on().err(), refused.err());
        }
        // No status is positive.
        let rig = Rig::with(doorbell, |_, a| changed(a, PAYLOAD, 7));
        assert_eq!(rig.clock.enable(), Err(Protocol(7)));
    }
}

/// A length that does not cover what is wanted, or more than there can be.
/// The arguments, which are where the answer would be, are not taken for it.
#[test]
fn a_length_that_cannot_be_is_refused() {
    const LENGTHS: [(u32, Mischief); 6] = [
        (0, |_, _| vec![(0, vec![(LENGTH, 0), (STATUS, FREE)])]),
        (4, |_, _| vec![(0, vec![(LENGTH, 4), (STATUS, FREE)])]),
        (7, |_, a| changed(a, LENGTH, 7)),
        (4097, |_, a| changed(a, LENGTH, 4097)),
        (0xffff_fffc, |_, a| changed(a, LENGTH, 0xffff_fffc)),
        (u32::MAX, |_, a| changed(a, LENGTH, u32::MAX)),
    ];
    for doorbell in DOORBELLS {
        for (length, mischief) in LENGTHS {
            let rig = Rig::with(doorbell, mischief);
            assert_eq!(rig.domain.enable(), Err(Protocol(length)), "{length}");
            assert_eq!(rig.clock.is_on(), Err(Protocol(length)), "{length}");
        }
        // A status alone is enough for "set", not for "get".
        let rig = Rig::with(doorbell, |_, a| changed(a, LENGTH, 8));
        assert_eq!(
            rig.clock.disable(),
            Err(crate::supply::SupplyError::Unbalanced)
        );
        assert_eq!(rig.clock.enable(), Err(Protocol(8)));
        assert!(rig.firmware.on.lock()[1], "set was taken");
        // More than is known of is what a later version says.
        let rig = Rig::with(doorbell, |_, a| changed(a, LENGTH, 64));
        assert_eq!(rig.clock.enable(), Ok(()));
    }
}

/// The error bit ends the wait, with the channel free or not; the next message
/// clears it.
#[test]
fn a_channel_in_error_is_not_waited_for() {
    const ERRORS: [(u32, Mischief); 3] = [
        (3, |_, a| changed(a, STATUS, 3)),
        (2, |_, a| changed(a, STATUS, 2)),
        // Nothing there: the bus reads ones.
        (u32::MAX, |_, _| {
            let ones = [STATUS, LENGTH, HEADER, PAYLOAD];
            vec![(0, ones.map(|at| (at, u32::MAX)).to_vec())]
        }),
    ];
    for doorbell in DOORBELLS {
        for (status, mischief) in ERRORS {
            let rig = Rig::with(doorbell, mischief);
            let (error, took) = rig.timed(|rig| rig.domain.is_on());
            assert_eq!(error, Err(Protocol(status)));
            assert!(took < SLACK, "{took}");
            rig.firmware.put(&[(STATUS, FREE | 2)]);
            *rig.firmware.mischief.lock() = honest;
            assert_eq!(rig.domain.enable(), Ok(()));
        }
    }
}

#[test]
fn busy_firmware_is_asked_again_for_a_while() {
    const BUSY: u32 = -6i32 as u32;
    for doorbell in DOORBELLS {
        // Busy for tokens that are no multiple of eight.
        let rig = Rig::with(doorbell, |header, answer| match header >> 18 & 7 {
            0 => honest(header, answer),
            _ => changed(answer, PAYLOAD, BUSY),
        });
        assert_eq!(rig.clock.enable(), Ok(()));
        assert!((9..=16).contains(&rig.firmware.messages.lock().len()));
        *rig.firmware.mischief.lock() = |_, mut answer| {
            answer.insert(0, (PAYLOAD + 64, 0));
            let mut deeds = changed(answer, PAYLOAD, BUSY);
            deeds[0].0 = 290;
            deeds
        };
        let (state, took) = rig.timed(|rig| rig.clock.is_on());
        assert_eq!(state, Err(Firmware(-6)));
        assert!((LIMIT..2 * LIMIT).contains(&took), "{took}");
    }
}

/// A doorbell that is refused has reached nobody: the channel is given back.
#[test]
fn a_doorbell_that_is_refused_leaves_the_channel_free() {
    for doorbell in &DOORBELLS[..2] {
        let rig = Rig::new(doorbell);
        *rig.firmware.refusal.lock() = u64::from(u32::MAX);
        let (refused, took) = rig.timed(|rig| rig.domain.enable());
        assert_eq!(refused, Err(Firmware(-1)));
        assert!(took < SLACK, "{took}");
        *rig.firmware.refusal.lock() = 0;
        assert_eq!(rig.domain.enable(), Ok(()));
    }
}

/// Firmware agrees, and does it later, or never.
#[test]
fn on_is_what_firmware_says_it_is_afterwards() {
    for doorbell in DOORBELLS {
        for which in 0..2 {
            let rig = Rig::new(doorbell);
            let switch = [&rig.domain, &rig.clock][which];
            *rig.firmware.laziness.lock() = Some(20);
            assert_eq!(switch.enable(), Ok(()));
            assert_eq!(rig.firmware.messages.lock().len(), 21);
            switch.disable().unwrap();
            rig.firmware.on.lock()[which] = false;
            *rig.firmware.laziness.lock() = None;
            let (off, took) = rig.timed(|_| switch.enable());
            assert_eq!(off, Err(Timeout(LIMIT)));
            assert!((LIMIT..LIMIT + SLACK).contains(&took), "{took}");
        }
    }
}

/// A refusal to stop is followed by a start, each with its own wait.
#[test]
fn firmware_that_dies_leaves_a_doubt() {
    for doorbell in DOORBELLS {
        let rig = Rig::new(doorbell);
        rig.domain.enable().unwrap();
        *rig.firmware.mischief.lock() = silent;
        let (off, took) = rig.timed(|rig| rig.domain.disable());
        assert_eq!((off, rig.domain.doubt()), (Ok(()), Some(Timeout(LIMIT))));
        assert!((2 * LIMIT..2 * LIMIT + SLACK).contains(&took), "{took}");
        *rig.firmware.mischief.lock() = honest;
        rig.firmware.put(&[(STATUS, FREE)]);
        assert!(
            !rig.firmware.on.lock()[0],
            "the message was obeyed after all"
        );
        rig.domain.enable().unwrap();
        assert!(rig.firmware.on.lock()[0]);
        // And a refusal leaves it on, with its user.
        *rig.firmware.mischief.lock() = |header, a| match header & 0xff {
            4 if a.len() == 3 => changed(a, PAYLOAD, -3i32 as u32),
            _ => honest(header, a),
        };
        assert_eq!(rig.domain.disable(), Ok(()), "nor does it start: a doubt");
        assert_eq!(rig.domain.doubt(), Some(Firmware(-3)));
    }
}

#[test]
fn a_clock_message_is_as_long_as_its_version_has_it() {
    use super::fake::World;
    use crate::supply::scmi::{Channel, ScmiClock};
    use crate::supply::{SupplyError, Switch};
    use alloc::sync::Arc;
    /// A doorbell that answers whatever is asked with "on".
    struct Yes(super::fake::Registers, spin::Mutex<Vec<u32>>);
    impl crate::supply::scmi::Doorbell for Yes {
        fn ring(&self) -> Result<(), SupplyError> {
            use crate::mmio::Mmio;
            self.1.lock().push(self.0.read32(LENGTH));
            for (at, word) in [(LENGTH, 12), (PAYLOAD, 0), (PAYLOAD + 4, 1), (STATUS, FREE)] {
                self.0.set(at, word);
            }
            Ok(())
        }
    }
    for (version, bytes) in [
        (0x1_0000, 12),
        (0x2_0000, 12),
        (0x2_0001, 16),
        (0x3_0000, 16),
    ] {
        let page = super::fake::Registers::new(super::fake::keep);
        page.set(STATUS, FREE);
        let bell = Arc::new(Yes(page.clone(), spin::Mutex::default()));
        let channel = Channel::new(page, bell.clone(), World::silent());
        ScmiClock::new(Arc::new(channel), 1, version)
            .enable()
            .unwrap();
        assert_eq!(bell.1.lock()[0], bytes, "{version:#x}");
    }
}

#[test]
fn the_node_of_a_slow_firmware_may_ask_for_more_time_but_not_for_ever() {
    for (asked_ms, limit) in [(1_000, 1_000_000), (u32::MAX, 10_000_000)] {
        for doorbell in DOORBELLS {
            let node = alloc::format!("{doorbell} arm,max-rx-timeout-ms = <{asked_ms}>;");
            let rig = Rig::with(&node, silent);
            let (answer, took) = rig.timed(|rig| rig.domain.is_on());
            assert_eq!(answer, Err(Timeout(limit)));
            assert!((limit..limit + SLACK).contains(&took), "{took}");
        }
    }
}

#[test]
fn probing_waits_for_silent_firmware_and_not_for_wrong_one() {
    for doorbell in DOORBELLS {
        let mut rig = Rig::with(doorbell, silent);
        let not_yet = Probed::NotYet("its firmware does not answer yet");
        assert_eq!(rig.probe(), not_yet);
        assert_eq!(rig.probe(), not_yet, "its channel is still taken");
        rig.firmware.put(&[(STATUS, FREE)]);
        *rig.firmware.mischief.lock() = |_, a| vec![(600, a)];
        assert_eq!(rig.probe(), Probed::Ready);
        *rig.firmware.mischief.lock() = |_, a| changed(a, PAYLOAD, -1i32 as u32);
        assert_eq!(rig.probe(), Probed::Failed("its firmware refuses"));
    }
}

/// Whatever firmware does, each request ends within its bound, and once it
/// behaves again everything works.
#[test]
fn random_mischief_ends_in_time_and_leaves_nothing_behind() {
    fn random(header: u32, answer: Vec<(usize, u32)>) -> Vec<Deed> {
        let mut seed = header.wrapping_mul(0x9e37_79b9) ^ header >> 7;
        let mut next = move |below: u32| {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            seed % below
        };
        let places = [STATUS, LENGTH, HEADER, PAYLOAD, PAYLOAD + 4];
        let mut deeds = Vec::new();
        for _ in 0..next(4) {
            let words =
                (0..next(4)).map(|_| (places[next(5) as usize], next(u32::MAX) >> next(32)));
            let words = words.collect();
            deeds.push((next(50), words));
        }
        deeds.push((next(4_000), answer));
        deeds
    }
    for doorbell in DOORBELLS {
        let rig = Rig::new(doorbell);
        let mut outcomes = [0; 2];
        for round in 0..1_500 {
            *rig.firmware.mischief.lock() = random;
            let (result, took) = rig.timed(|rig| match round % 3 {
                0 => rig.domain.is_on().map(drop),
                1 => rig.clock.enable(),
                _ => rig.clock.disable(),
            });
            outcomes[usize::from(result.is_err())] += 1;
            assert!(took < 9 * LIMIT, "{round}: {took}");
            if round % 10 == 0 {
                *rig.firmware.mischief.lock() = honest;
                rig.firmware.put(&[(STATUS, FREE)]);
                let _ = rig.domain.is_on();
                assert!(rig.domain.is_on().is_ok(), "{round}");
            }
        }
        assert!(outcomes.iter().all(|&n| n > 100), "{outcomes:?}");
    }
}

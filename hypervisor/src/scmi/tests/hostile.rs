//! Any page, any number of times: always a sound reply, never a change that
//! was not asked for.

use super::{Vm, header};
use proptest::prelude::*;

fn message() -> impl Strategy<Value = (u32, u32, Vec<u32>)> {
    let likely = (prop::sample::select(vec![0x10u32, 0x11, 0x14]), 0u32..9)
        .prop_map(|(protocol, id)| header(protocol, id));
    let head = prop_oneof![4 => likely, 1 => any::<u32>()];
    let word = prop_oneof![
        6 => 0u32..4,
        2 => Just(0x4000_0000u32),
        1 => any::<u32>(),
    ];
    let args = prop::collection::vec(word, 0..6);
    let length = prop_oneof![6 => Just(None), 1 => any::<u32>().prop_map(Some), 1 => (0u32..140).prop_map(Some)];
    (head, length, args).prop_map(|(head, length, args)| {
        let length = length.unwrap_or(4 + 4 * args.len() as u32);
        (head, length, args)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("STAGEGATE_SCMI_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(300)
    ))]

    #[test]
    fn any_message_gets_a_sound_reply(
        messages in prop::collection::vec((message(), any::<bool>(), any::<u32>()), 1..40),
    ) {
        let mut vm = Vm::new();
        let mut on = [false; 3];
        for ((head, length, args), no_power, race) in messages {
            vm.switch.fail = no_power.then_some(super::Status::HardwareError);
            vm.page.send(head, &args);
            vm.page.set(0x14, length);
            vm.page.race.set(if race % 3 == 0 { race } else { 0 });
            let beyond: Vec<u32> = vm.page.words.borrow()[39..].to_vec();
            vm.ring();
            vm.page.race.set(0);
            prop_assert!(vm.page.word(4) == 1 || vm.page.word(4) == 3);
            let reply = vm.page.reply();
            prop_assert!((-11..=0).contains(&(reply[0] as i32)), "{:x}", reply[0]);
            prop_assert_eq!(&vm.page.words.borrow()[39..], beyond.as_slice(), "beyond the payload");
            prop_assert!(vm.page.reads.borrow().iter().all(|&n| n <= 1), "double fetch");
            // The switch hears each device wake and sleep by turns, wakes only
            // when power is there, and only for the two commands that can.
            for (device, woke) in vm.switch.log.drain(..) {
                let command = (head >> 10) as u8;
                let id = head as u8;
                prop_assert!((command, id) == (0x11, 4) || (command, id) == (0x14, 7));
                prop_assert_ne!(on[usize::from(device)], woke);
                prop_assert!(!(woke && no_power));
                on[usize::from(device)] = woke;
            }
        }
        for (device, &on) in (0u32..).zip(&on) {
            let domain = vm.call(header(0x11, 5), &[device])[1] == 0;
            let clock = vm.call(header(0x14, 3), &[device])[1] & 1 == 1;
            prop_assert_eq!(on, domain || clock, "the guest reads what the power code was told");
        }
    }
}

//! What is seen on the wire, and who hears what is typed.

use crate::vuart::{Focus, HYPERVISOR, Mux, Typed};
use proptest::prelude::*;
use std::collections::VecDeque;

type Mux4 = Mux<4>;

fn mux() -> Mux4 {
    let mut mux = Mux4::new("stagegate");
    assert_eq!(mux.add_vm("one"), Some(0));
    assert_eq!(mux.add_vm("two"), Some(1));
    mux
}

/// Everything `source` says, and what the wire then carries.
fn say(mux: &mut Mux4, source: usize, text: &str) -> String {
    let mut bytes: VecDeque<u8> = text.bytes().collect();
    let mut wire = String::new();
    while mux.pump(|from, out| fetch(&mut bytes, from == source, out)) || !wire_of(mux, &mut wire) {
    }
    wire
}

fn fetch(bytes: &mut VecDeque<u8>, mine: bool, out: &mut [u8]) -> usize {
    let count = if mine { bytes.len().min(out.len()) } else { 0 };
    for slot in out.iter_mut().take(count) {
        *slot = bytes.pop_front().unwrap();
    }
    count
}

/// Empties the wire into `text`; `true` if there was nothing on it.
fn wire_of(mux: &mut Mux4, text: &mut String) -> bool {
    let before = text.len();
    let left = mux.drain(|byte| {
        text.push(byte as char);
        true
    });
    assert!(!left);
    text.len() == before
}

/// Colours, cursor movements, titles, a line made to look like another's.
#[test]
fn only_the_guest_in_focus_commands_the_terminal() {
    let said = "a\x1b[31mred\x1b[0m\x1b]0;title\x07b\x1b[2K\x1b[1G\x08[two] no\x1bcc\tö\n";
    let mut mux = mux();
    assert_eq!(say(&mut mux, 1, said), "[one] aredb[two] noc\tÃ¶\r\n");
    // A sequence that never ends takes nothing with it but itself.
    assert_eq!(say(&mut mux, 1, "\x1bP q\nstill\n"), "[one] \r\n[one] \r\n");
    assert_eq!(say(&mut mux, 1, "\x18x\n"), "[one] x\r\n");
    assert!(mux.set_focus(Focus::Vm(0)));
    assert_eq!(say(&mut mux, 1, "\x1b[31mred\n"), "[one] \x1b[31mred\r\n");
}

/// The focus moves in the middle of a sequence.
#[test]
fn a_sequence_cut_off_is_cancelled() {
    let mut mux = mux();
    assert!(mux.set_focus(Focus::Vm(0)));
    assert_eq!(say(&mut mux, 1, "x\x1b[3"), "[one] x\x1b[3");
    assert!(mux.set_focus(Focus::Vm(1)));
    let wire = say(&mut mux, 2, "hello\n");
    assert!(wire.starts_with('\x18'), "{wire:?}");
    // The rest of it is no text.
    assert!(mux.set_focus(Focus::Monitor));
    assert_eq!(say(&mut mux, 1, "1mred\n"), "[one] red\r\n");
}

#[test]
fn each_line_is_marked_with_its_source() {
    let mut mux = mux();
    assert_eq!(
        say(&mut mux, 1, "hello\r\nworld\n"),
        "[one] hello\r\n[one] world\r\n"
    );
    assert_eq!(say(&mut mux, HYPERVISOR, "up\n"), "[stagegate] up\r\n");
}

#[test]
fn half_a_line_waits_unless_in_focus() {
    let mut mux = mux();
    mux.set_focus(Focus::Vm(0));
    assert_eq!(say(&mut mux, 1, "login: "), "[one] login: ");
    assert_eq!(say(&mut mux, 2, "half"), "");
    assert_eq!(say(&mut mux, 2, " whole\n"), "\r\n[two] half whole\r\n");
    assert_eq!(say(&mut mux, 1, "root\r\n"), "[one] root\r\n");
}

#[test]
fn focus_shows_what_was_held_back() {
    let mut mux = mux();
    assert_eq!(say(&mut mux, 2, "prompt> "), "");
    assert!(mux.set_focus(Focus::Vm(1)));
    assert_eq!(say(&mut mux, 1, ""), "[two] prompt> ");
    assert!(!mux.set_focus(Focus::Vm(2)), "no such VM");
}

#[test]
fn a_guest_in_focus_may_move_its_cursor() {
    let mut mux = mux();
    mux.set_focus(Focus::Vm(0));
    assert_eq!(say(&mut mux, 1, "10%\r20%\r\n"), "[one] 10%\r20%\r\n");
    assert_eq!(say(&mut mux, 2, "10%\r20%\r\n"), "[two] 10%20%\r\n");
}

#[test]
fn an_endless_line_is_broken_not_lost() {
    let mut mux = mux();
    let wire = say(&mut mux, 1, &"x".repeat(600));
    mux.release_line(1);
    let mut rest = String::new();
    wire_of(&mut mux, &mut rest);
    assert_eq!((wire + &rest).matches('x').count(), 600);
}

fn type_all(mux: &mut Mux4, keys: &[u8]) -> Vec<Typed> {
    let all = keys.iter().map(|key| mux.typed(*key));
    all.filter(|typed| *typed != Typed::Nothing).collect()
}

#[test]
fn three_times_ctrl_a_moves_the_focus_round() {
    let mut mux = mux();
    let around = [Focus::Vm(0), Focus::Vm(1), Focus::Monitor];
    for focus in around {
        assert_eq!(type_all(&mut mux, &[1, 1, 1]), [Typed::Switched(focus)]);
        assert_eq!(mux.focus(), focus);
    }
    let mut wire = String::new();
    wire_of(&mut mux, &mut wire);
    assert!(wire.contains("console input to one\r\n"), "{wire}");
}

#[test]
fn keys_go_to_the_focus_and_commands_to_the_monitor() {
    let mut mux = mux();
    assert_eq!(type_all(&mut mux, b"p"), [Typed::ForMonitor(b'p')]);
    assert_eq!(
        type_all(&mut mux, b"\x012x"),
        [Typed::Switched(Focus::Vm(1)), Typed::ForVm(1, b'x')]
    );
    assert_eq!(type_all(&mut mux, b"\x01a"), [Typed::ForVm(1, 1)]);
    assert_eq!(type_all(&mut mux, b"\x01p"), [Typed::Menu(b'p')]);
    assert_eq!(
        type_all(&mut mux, b"\x019"),
        [Typed::Menu(b'9')],
        "no ninth VM"
    );
    assert_eq!(
        type_all(&mut mux, b"\x010"),
        [Typed::Switched(Focus::Monitor)]
    );
}

#[test]
fn more_vms_than_places_are_refused_and_names_cleaned() {
    let mut mux = mux();
    assert_eq!(mux.add_vm("a\x1b[2Jverylongnamethatdoesnotend"), Some(2));
    assert_eq!(mux.add_vm("four"), None);
    assert_eq!(say(&mut mux, 3, "x\n"), "[a[2Jverylongname] x\r\n");
}

#[test]
fn a_slow_wire_holds_the_sources_off() {
    let mut mux = mux();
    let mut given = 0;
    while mux.pump(|from, out| {
        let count = if from == 1 { out.len() } else { 0 };
        out.iter_mut().take(count).for_each(|slot| *slot = b'\n');
        given += count;
        count
    }) {}
    let mut wire = String::new();
    wire_of(&mut mux, &mut wire);
    assert!(given > 0);
    assert_eq!(
        wire.matches("[one] \r\n").count(),
        given,
        "taken and not sent"
    );
    // One byte at a time is enough for a UART without a FIFO.
    say(&mut mux, 1, "");
    mux.pump(|from, out| {
        fetch(
            &mut VecDeque::from(*b"ab\n"),
            from == 1 && out.len() > 2,
            out,
        )
    });
    assert!(mux.drain(|_| false), "something is left");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever the guests print: every line on the wire is whole and belongs
    /// to one of them, and nothing printable is lost.
    #[test]
    fn lines_never_mix(
        focus in 0..3_usize,
        pieces in prop::collection::vec((1..3_usize, "[ab]{0,40}(\r?\n)?"), 0..60),
    ) {
        let mut mux = mux();
        mux.set_focus(if focus == 0 { Focus::Monitor } else { Focus::Vm(focus - 1) });
        let mut wire = String::new();
        let mut said = [0, 0, 0];
        for (source, piece) in pieces {
            // Each source has a letter of its own.
            let piece = piece.replace(['a', 'b'], if source == 1 { "x" } else { "y" });
            said[source] += piece.matches(['x', 'y']).count();
            wire += &say(&mut mux, source, &piece);
        }
        (1..3).for_each(|source| mux.release_line(source));
        wire_of(&mut mux, &mut wire);
        for line in wire.split("\r\n").filter(|line| !line.is_empty()) {
            let text = line.strip_prefix("[one] ").map(|t| (t, 'x'));
            let text = text.or(line.strip_prefix("[two] ").map(|t| (t, 'y')));
            let (text, letter) = text.expect("a line without a mark");
            prop_assert!(text.chars().all(|c| c == letter), "{line:?}");
        }
        prop_assert_eq!(wire.matches('x').count(), said[1]);
        prop_assert_eq!(wire.matches('y').count(), said[2]);
    }
}

//! The SMMU's own interrupts, by wire and by message.

use crate::common::{IDLE, Rig, Setup};
use crate::{Three, setup};
use smmu::model::{Device, Loss};
use smmu::power::State;
use smmu::v3::Interrupts;
use smmu::{Error, Stage2};
use std::cell::Cell;

thread_local! {
    static WANTED: Cell<Interrupts> = const { Cell::new(Interrupts::Wired) };
}

/// What this thread's rigs are set up with.
pub fn wanted() -> Interrupts {
    WANTED.get()
}

const EVENTS: (u64, u32) = (0x0809_0040, 0x11);
const ERRORS: (u64, u32) = (0x0809_0040, 0x12);

fn by_message() {
    WANTED.set(Interrupts::Message {
        events: EVENTS,
        errors: ERRORS,
    });
}

fn with_messages(loss: Loss) -> Setup {
    let mut setup = setup(None);
    setup.nature.messages = true;
    setup.nature.loss = loss;
    setup.delays.off_ns = Some(2 * IDLE);
    setup
}

/// Each event and each error is told by its message, after a loss of power,
/// too; never while the SMMU is on its way down, and never by the wire.
#[test]
fn messages_name_their_cause() {
    by_message();
    for loss in [Loss::Retain, Loss::Reset, Loss::Scramble] {
        let rig = Rig::<Three>::new(with_messages(loss));
        let guest = rig.guest(&[7], 0);
        let mut expected = Vec::new();
        for _ in 0..3 {
            guest.active().unwrap();
            rig.model.dma(7, 0x1_0000, true);
            expected.push(EVENTS);
            assert_eq!(rig.model.messages(), expected);
            let mut seen = 0;
            rig.smmu.handle_event_irq(&mut |_| seen += 1);
            assert_eq!(seen, 1);
            rig.model.fail_event();
            expected.push(ERRORS);
            assert_eq!(rig.model.messages(), expected);
            rig.smmu.handle_error_irq();
            assert_eq!(rig.model.errors(), 0);
            guest.idle();
            rig.pass(4 * IDLE);
            assert_eq!(rig.smmu.state(), State::Off);
        }
        assert_eq!(rig.model.interrupts(), (0, 0));
        rig.check();
    }
}

/// With wires, what the message registers hold after power came back must not
/// become a write to anywhere.
#[test]
fn wires_write_nothing() {
    let rig = Rig::<Three>::new(with_messages(Loss::Scramble));
    let guest = rig.guest(&[7], 0);
    for turn in 1..4 {
        guest.active().unwrap();
        rig.model.dma(7, 0x1_0000, true);
        assert_eq!(rig.model.interrupts(), (turn, 0));
        guest.idle();
        rig.pass(4 * IDLE);
        assert_eq!(rig.smmu.state(), State::Off);
    }
    assert_eq!(rig.model.messages(), []);
    rig.check();
}

/// A message that gets nowhere is a global error, which is told and forgiven;
/// the event is there all the same.
#[test]
fn a_message_that_is_lost() {
    by_message();
    let rig = Rig::<Three>::new(with_messages(Loss::Reset));
    let guest = rig.guest(&[7], 0);
    guest.active().unwrap();
    rig.model.refuse_message();
    rig.model.dma(7, 0x1_0000, true);
    assert_eq!(rig.model.messages(), [ERRORS]);
    assert_ne!(rig.model.errors(), 0);
    rig.smmu.handle_error_irq();
    assert_eq!(rig.model.errors(), 0);
    let mut seen = 0;
    rig.smmu.handle_event_irq(&mut |_| seen += 1);
    assert_eq!(seen, 1);
    rig.model.dma(7, 0x2_0000, true);
    assert_eq!(rig.model.messages(), [ERRORS, EVENTS]);
    rig.check();
}

#[test]
fn messages_need_an_smmu_that_writes_them() {
    by_message();
    let refused = Rig::<Three>::try_new(setup(None)).map(drop);
    let why = Error::Unsupported("message interrupts (IDR0.MSI)");
    assert_eq!(refused, Err(why));
}

/// Every global error that can be forgiven is acknowledged, and changes
/// nothing for anybody.
#[test]
fn global_errors_are_acknowledged() {
    let rig = Rig::<Three>::new(setup(None));
    let guest = rig.guest(&[7], 0);
    guest.active().unwrap();
    for turn in 1..4 {
        rig.model.fail_event();
        assert_eq!(rig.model.interrupts(), (0, turn));
        rig.smmu.handle_error_irq();
        assert_eq!(rig.model.errors(), 0);
        assert_eq!(rig.smmu.state(), State::On);
    }
    let tables = Stage2::of(guest.table.root(), guest.table.config());
    assert!(rig.smmu.create_domain(&tables, None).is_ok());
    rig.check();
}

//! One switch with several users, and those it depends on.
use super::fake::Recorder;
use crate::supply::{Counted, SupplyError, Switch};
use alloc::sync::Arc;
use alloc::vec::Vec;
use spin::Mutex;

type Log = Arc<Mutex<Vec<&'static str>>>;

/// A clock that needs two parents, all writing to one log.
fn family() -> (Counted, Log, [Arc<Recorder>; 3]) {
    let log = Log::default();
    let make = |names| {
        Arc::new(Recorder {
            log: log.clone(),
            names,
            fails: Mutex::default(),
        })
    };
    let [a, b, own] = [
        make(("+a", "-a")),
        make(("+b", "-b")),
        make(("+own", "-own")),
    ];
    let counted = Counted::new(own.clone(), alloc::vec![a.clone(), b.clone()]);
    (counted, log, [a, b, own])
}

#[test]
fn parents_go_on_first_and_off_last_and_once() {
    let (counted, log, _) = family();
    counted.enable().unwrap();
    counted.enable().unwrap();
    counted.disable().unwrap();
    assert_eq!(
        log.lock().drain(..).collect::<Vec<_>>(),
        ["+a", "+b", "+own"]
    );
    counted.disable().unwrap();
    assert_eq!(
        log.lock().drain(..).collect::<Vec<_>>(),
        ["-own", "-b", "-a"]
    );
    assert_eq!(counted.disable(), Err(SupplyError::Unbalanced));
}

#[test]
fn a_failed_start_leaves_nothing_on() {
    let (counted, log, [_, b, own]) = family();
    own.fails.lock().push("+own");
    assert!(counted.enable().is_err());
    assert_eq!(
        log.lock().drain(..).collect::<Vec<_>>(),
        ["+a", "+b", "+own", "-b", "-a"]
    );
    b.fails.lock().push("+b");
    assert!(counted.enable().is_err());
    assert_eq!(log.lock().drain(..).collect::<Vec<_>>(), ["+a", "+b", "-a"]);
    assert_eq!(counted.disable(), Err(SupplyError::Unbalanced));
}

/// What refuses to stop may stop late: it is started again, so that the user
/// it still has can rely on it.
#[test]
fn what_will_not_stop_is_started_again_and_keeps_its_user() {
    let (counted, log, [_, _, own]) = family();
    counted.enable().unwrap();
    log.lock().clear();
    own.fails.lock().push("-own");
    assert!(counted.disable().is_err());
    assert_eq!(log.lock().drain(..).collect::<Vec<_>>(), ["-own", "+own"]);
    assert_eq!(counted.doubt(), None, "it is on");
    own.fails.lock().clear();
    counted.disable().unwrap();
    assert_eq!(
        log.lock().drain(..).collect::<Vec<_>>(),
        ["-own", "-b", "-a"]
    );
}

/// Neither stops nor starts: nobody may rely on it. The next user starts it
/// anew, and its parents are counted once.
#[test]
fn what_nobody_can_vouch_for_counts_as_off() {
    let (counted, log, [_, _, own]) = family();
    counted.enable().unwrap();
    log.lock().clear();
    own.fails.lock().extend(["-own", "+own"]);
    assert_eq!(counted.disable(), Ok(()));
    assert_eq!(counted.doubt(), Some(SupplyError::Timeout(1)));
    assert_eq!(counted.disable(), Err(SupplyError::Unbalanced));
    assert_eq!(log.lock().drain(..).collect::<Vec<_>>(), ["-own", "+own"]);
    own.fails.lock().clear();
    counted.enable().unwrap();
    assert_eq!(counted.doubt(), None);
    assert_eq!(log.lock().drain(..).collect::<Vec<_>>(), ["+own"]);
    counted.disable().unwrap();
    assert_eq!(
        log.lock().drain(..).collect::<Vec<_>>(),
        ["-own", "-b", "-a"]
    );
}

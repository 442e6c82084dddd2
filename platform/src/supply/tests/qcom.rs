//! Qualcomm's clocks and domains: hardware that follows late, or never, or for
//! others too.
use super::fake::{Words, World, words};
use crate::mmio::Mmio;
use crate::supply::SupplyError::{Stuck, Timeout};
use crate::supply::qcom::{
    self, BranchEntry, BranchKind, Controller, DomainEntry, DomainKind, Table,
};
use crate::supply::{Counted, OpenError, SupplyKind, Switch};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use spin::Mutex;

const PLAIN: usize = 0x10;
const VOTED: usize = 0x20;
const UNSEEN: usize = 0x30;
const KEPT: usize = 0x38;
const OWN: usize = 0x40;
const VOTE: usize = 0x50;
const VOTE_STATUS: usize = 0x60;
const KEPT_DOMAIN: usize = 0x70;

const STATUS: u32 = 1 << 31;
const CLOCK_LIMIT: u64 = 200;
const DOMAIN_LIMIT: u64 = 1_500;
/// What looking at the clock adds.
const SLACK: u64 = 10;

static TABLE: Table = Table {
    compatible: "test,cc",
    clocks: &[
        BranchEntry {
            number: 1,
            kind: BranchKind::Plain,
            register: 0x10,
        },
        BranchEntry {
            number: 2,
            kind: BranchKind::Voted,
            register: 0x20,
        },
        BranchEntry {
            number: 3,
            kind: BranchKind::Unseen,
            register: 0x30,
        },
        BranchEntry {
            number: 4,
            kind: BranchKind::Kept,
            register: 0x38,
        },
    ],
    domains: &[
        DomainEntry {
            number: 0,
            kind: DomainKind::Plain,
            register: 0x40,
            status: 0x40,
        },
        DomainEntry {
            number: 1,
            kind: DomainKind::Voted,
            register: 0x50,
            status: 0x60,
        },
        DomainEntry {
            number: 2,
            kind: DomainKind::Kept,
            register: 0x70,
            status: 0x70,
        },
    ],
};

/// A clock controller whose status follows some time after a write.
#[derive(Clone)]
struct Hardware(Arc<Mutex<State>>);

struct State {
    world: Arc<World>,
    file: BTreeMap<usize, u32>,
    /// When status follows the last write to a register, and what it is until
    /// then.
    due: BTreeMap<usize, (u64, bool)>,
    /// When it was asked to.
    asked: u64,
    delay: u64,
    /// Others vote for what can be voted for.
    others: bool,
    /// What is written does not arrive.
    deaf: bool,
    /// A status of its own says "on" for a moment after each request.
    flickers: bool,
    writes: Vec<(u64, usize, u32)>,
}

words!(Hardware);

impl State {
    fn word(&self, offset: usize) -> u32 {
        self.file.get(&offset).copied().unwrap_or(0)
    }

    /// What is on once hardware has followed.
    fn meant(&self, register: usize) -> bool {
        let voted = self.others && matches!(register, VOTED | VOTE);
        let on = self.word(register) & 1 == 1;
        voted || if register >= OWN { !on } else { on }
    }

    fn on(&self, register: usize) -> bool {
        match self.due.get(&register) {
            Some(&(due, before)) if self.world.elapsed() < due => before,
            _ => self.meant(register),
        }
    }
}

impl Words for Hardware {
    fn read(&self, offset: usize) -> u32 {
        let state = self.0.lock();
        let status = |on: bool| if on { STATUS } else { 0 };
        match offset {
            // A clock says that it is off, a domain that it is on.
            PLAIN | VOTED => state.word(offset) | status(!state.on(offset)),
            OWN | KEPT_DOMAIN => state.word(offset) | status(state.on(offset)),
            VOTE_STATUS => {
                let flicker = state.flickers && state.world.elapsed() <= state.asked + 1;
                status(flicker || state.on(VOTE))
            }
            _ => state.word(offset),
        }
    }

    fn write(&self, offset: usize, value: u32) {
        let mut state = self.0.lock();
        let now = state.world.elapsed();
        state.writes.push((now, offset, value));
        if !state.deaf {
            let before = state.on(offset);
            let due = now.saturating_add(state.delay);
            state.due.insert(offset, (due, before));
            state.asked = now;
            state.file.insert(offset, value & !STATUS);
        }
    }
}

struct Rig {
    hardware: Hardware,
    world: Arc<World>,
    controller: Arc<Controller<Hardware>>,
}

/// Everything off, and `delay` us until hardware follows.
fn rig(delay: u64) -> Rig {
    let world = World::fine();
    let hardware = Hardware(Arc::new(Mutex::new(State {
        world: world.clone(),
        file: [(OWN, 1), (VOTE, 1), (KEPT_DOMAIN, 1)].into(),
        due: BTreeMap::new(),
        asked: 0,
        delay,
        others: false,
        deaf: false,
        flickers: false,
        writes: Vec::new(),
    })));
    Rig {
        controller: Arc::new(Controller::new(hardware.clone(), &TABLE)),
        hardware,
        world,
    }
}

impl Rig {
    fn open(&self, kind: SupplyKind, number: u32) -> Result<Arc<dyn Switch>, OpenError> {
        qcom::switch(self.controller.clone(), self.world.clone(), kind, number)
    }

    fn clock(&self, number: u32) -> Arc<dyn Switch> {
        self.open(SupplyKind::Clock, number).unwrap()
    }

    fn domain(&self, number: u32) -> Arc<dyn Switch> {
        self.open(SupplyKind::PowerDomain, number).unwrap()
    }

    fn set(&self, f: impl FnOnce(&mut State)) {
        f(&mut self.hardware.0.lock());
    }

    fn timed<T>(&self, f: impl FnOnce() -> T) -> (T, u64) {
        let before = self.world.elapsed();
        let result = f();
        (result, self.world.elapsed() - before)
    }
}

#[test]
fn hardware_may_take_its_time() {
    for delay in [0, 1, 7, 150, 199, 1_400] {
        let rig = rig(delay);
        let clocks = [rig.clock(1), rig.clock(2)];
        let domains = [rig.domain(0), rig.domain(1)];
        let fit = if delay < CLOCK_LIMIT {
            &clocks[..]
        } else {
            &[]
        };
        for switch in fit.iter().chain(&domains) {
            assert_eq!(switch.is_on(), Ok(false));
            let (on, took) = rig.timed(|| switch.enable());
            assert_eq!(on, Ok(()), "{delay}");
            assert!((delay..delay + SLACK).contains(&took), "{delay}: {took}");
            assert_eq!(switch.is_on(), Ok(true));
            assert_eq!(switch.disable(), Ok(()));
            rig.world.pass(delay);
            assert_eq!(switch.is_on(), Ok(false));
        }
    }
}

#[test]
fn hardware_that_does_not_follow_is_given_up_on() {
    for delay in [CLOCK_LIMIT + 50, DOMAIN_LIMIT + 50, u64::MAX / 2] {
        let rig = rig(delay);
        let late = |switch: Arc<dyn Switch>, limit| {
            let (on, took) = rig.timed(|| switch.enable());
            assert_eq!(on, Err(Timeout(limit)));
            assert!((limit..limit + SLACK).contains(&took), "{took}");
        };
        late(rig.clock(1), CLOCK_LIMIT);
        late(rig.clock(2), CLOCK_LIMIT);
        if delay > DOMAIN_LIMIT {
            late(rig.domain(0), DOMAIN_LIMIT);
            late(rig.domain(1), DOMAIN_LIMIT);
        }
    }
    let rig = rig(0);
    let (clock, domain) = (rig.clock(1), rig.domain(0));
    clock.enable().unwrap();
    domain.enable().unwrap();
    rig.set(|s| s.delay = u64::MAX / 2);
    let (off, took) = rig.timed(|| clock.disable());
    assert_eq!(off, Err(Timeout(CLOCK_LIMIT)));
    assert!(took < CLOCK_LIMIT + SLACK);
    let (off, took) = rig.timed(|| domain.disable());
    assert_eq!(off, Err(Timeout(DOMAIN_LIMIT)));
    assert!(took < DOMAIN_LIMIT + SLACK);
}

/// The user of a clock that stops too late hears that it is still on: so it
/// has to be, for as long as it is not told again.
#[test]
fn what_would_stop_too_late_does_not_stop() {
    for (kind, number, delay) in [
        (SupplyKind::Clock, 1, CLOCK_LIMIT + 20),
        (SupplyKind::PowerDomain, 0, DOMAIN_LIMIT + 20),
    ] {
        let rig = rig(0);
        let counted = Counted::new(rig.open(kind, number).unwrap(), Vec::new());
        counted.enable().unwrap();
        rig.set(|s| s.delay = delay);
        assert!(counted.disable().is_err());
        for _ in 0..100 {
            rig.world.pass(delay / 10);
            assert_eq!(counted.is_on(), Ok(true));
        }
    }
}

#[test]
fn what_is_voted_for_may_stay_on_for_others() {
    let rig = rig(5);
    for switch in [rig.clock(2), rig.domain(1)] {
        rig.set(|s| s.others = true);
        assert_eq!(switch.is_on(), Ok(true), "it says what is");
        assert_eq!(switch.enable(), Ok(()));
        let (off, took) = rig.timed(|| switch.disable());
        assert_eq!(off, Ok(()));
        assert!(took < 10 + SLACK, "nothing to wait for: {took}");
        rig.world.pass(5);
        assert_eq!(switch.is_on(), Ok(true));
        rig.set(|s| s.others = false);
        assert_eq!(switch.is_on(), Ok(false));
    }
}

/// A domain that is just going does not take a vote.
#[test]
fn votes_for_a_domain_leave_time_between() {
    let rig = rig(5);
    let domain = rig.domain(1);
    for idle in [0, 100, 499, 3_000] {
        domain.enable().unwrap();
        domain.disable().unwrap();
        rig.world.pass(idle);
        rig.set(|s| s.writes.clear());
        let dropped = rig.world.elapsed() - idle;
        domain.enable().unwrap();
        let voted = rig.hardware.0.lock().writes[0].0;
        assert!(voted - dropped >= 500, "{idle}: {}", voted - dropped);
        assert!(voted - dropped <= 500_u64.max(idle) + 2 * SLACK, "{idle}");
    }
}

/// The controller of a domain raises its status before it has looked.
#[test]
fn a_status_that_flickers_is_not_believed() {
    let rig = rig(900);
    rig.set(|s| s.flickers = true);
    let domain = rig.domain(1);
    let (on, took) = rig.timed(|| domain.enable());
    assert_eq!(on, Ok(()));
    assert!(took >= 900, "believed after {took} us");
}

/// Left to hardware by the boot loader: stopping it would do nothing, and it
/// might go by itself.
#[test]
fn software_takes_a_domain_over_from_hardware() {
    let rig = rig(0);
    rig.set(|s| s.file.extend([(OWN, 0x0022_f007)]));
    rig.domain(0).enable().unwrap();
    assert_eq!(rig.hardware.0.lock().word(OWN), 0x0022_f000);
    rig.domain(0).disable().unwrap();
    assert_eq!(rig.hardware.0.lock().word(OWN), 0x0022_f001);
}

/// A clock that hardware stops while nobody needs it says "off" whenever it
/// likes: what is wanted is all that can be told.
#[test]
fn a_clock_that_hardware_stops_is_not_waited_for() {
    let rig = rig(u64::MAX / 2);
    rig.set(|s| s.file.extend([(PLAIN, 0xf2), (VOTED, 0xf2)]));
    for clock in [rig.clock(1), rig.clock(2), rig.clock(3)] {
        let (on, took) = rig.timed(|| clock.enable());
        assert_eq!((on, clock.is_on()), (Ok(()), Ok(true)));
        assert!((10..10 + SLACK).contains(&took), "{took}");
        let (off, took) = rig.timed(|| clock.disable());
        assert_eq!((off, clock.is_on()), (Ok(()), Ok(false)));
        assert!(took < 10 + SLACK, "{took}");
    }
    let file = &rig.hardware.0.lock().file;
    assert_eq!((file[&PLAIN], file[&VOTED]), (0xf2, 0xf2), "other bits");
}

#[test]
fn a_write_that_does_not_arrive_is_noticed() {
    let rig = rig(0);
    rig.set(|s| {
        s.deaf = true;
        s.file.insert(PLAIN, 2);
    });
    assert_eq!(rig.clock(1).enable(), Err(Stuck(2 | STATUS)));
    assert_eq!(rig.clock(2).enable(), Err(Timeout(CLOCK_LIMIT)));
    assert_eq!(rig.clock(3).enable(), Err(Stuck(0)));
    assert_eq!(rig.domain(0).enable(), Err(Timeout(DOMAIN_LIMIT)));
    assert_eq!(rig.domain(1).enable(), Err(Timeout(DOMAIN_LIMIT)));
    rig.set(|s| s.file.extend([(VOTED, 1), (UNSEEN, 1)]));
    assert_eq!(rig.clock(2).disable(), Err(Stuck(1)));
    assert_eq!(rig.clock(3).disable(), Err(Stuck(1)));
}

#[test]
fn a_network_on_chip_that_says_on_counts_as_on() {
    let rig = rig(u64::MAX / 2);
    rig.set(|s| s.file.extend([(PLAIN, 2 << 28)]));
    assert_eq!(rig.clock(1).is_on(), Ok(true));
    assert_eq!(rig.clock(1).enable(), Ok(()));
    rig.set(|s| s.file.extend([(PLAIN, 3 << 28)]));
    assert_eq!(rig.clock(1).enable(), Err(Timeout(CLOCK_LIMIT)));
}

/// Started when it is opened, unless it is on, and never touched again.
#[test]
fn what_must_stay_on_is_started_once_and_never_stopped() {
    let rig = rig(100);
    for (kind, number) in [(SupplyKind::Clock, 4), (SupplyKind::PowerDomain, 2)] {
        for written in [1, 0] {
            rig.set(|s| s.writes.clear());
            let switch = rig.open(kind, number).unwrap();
            assert_eq!(rig.hardware.0.lock().writes.len(), written);
            switch.enable().unwrap();
            switch.disable().unwrap();
            assert!(switch.is_fixed());
            assert_eq!(rig.hardware.0.lock().writes.len(), written);
        }
    }
    let state = rig.hardware.0.lock();
    assert!(state.word(KEPT) & 1 == 1 && state.on(KEPT_DOMAIN));
}

#[test]
fn what_must_stay_on_and_does_not_come_cannot_be_opened() {
    let rig = rig(u64::MAX / 2);
    let domain = rig.open(SupplyKind::PowerDomain, 2);
    let told = OpenError::Start(Timeout(DOMAIN_LIMIT));
    assert_eq!(domain.err(), Some(told));
    rig.set(|s| s.deaf = true);
    let clock = rig.open(SupplyKind::Clock, 4);
    assert_eq!(clock.err(), Some(OpenError::Start(Stuck(0))));
    let words = alloc::format!("{told}");
    assert_eq!(words, "it must be on, and is not: no effect within 1500 us");
}

#[test]
fn what_is_not_in_the_table_is_unknown() {
    let rig = rig(0);
    for (kind, number) in [
        (SupplyKind::Clock, 9),
        (SupplyKind::PowerDomain, 9),
        // Not taken for number one.
        (SupplyKind::Clock, 0x1_0001),
    ] {
        let unknown = OpenError::Unknown(number);
        assert_eq!(rig.open(kind, number).err(), Some(unknown));
    }
    assert!(rig.hardware.0.lock().writes.is_empty());
}

#[test]
fn the_tables_are_in_order_and_aligned() {
    let mut seen = BTreeSet::new();
    let mut entries = 0;
    for table in qcom::all() {
        assert!(table.compatible.starts_with("qcom,") && seen.insert(table.compatible));
        assert!(
            table.clocks.windows(2).all(|p| p[0].number < p[1].number),
            "{table:?}"
        );
        assert!(
            table.domains.windows(2).all(|p| p[0].number < p[1].number),
            "{table:?}"
        );
        let clocks = table.clocks.iter().map(|c| c.register);
        let domains = table.domains.iter().flat_map(|d| [d.register, d.status]);
        assert!(
            clocks.chain(domains).all(|r| r % 4 == 0 && r < 0x20_0000),
            "{table:?}"
        );
        entries += table.clocks.len() + table.domains.len();
    }
    assert!(entries > 100);
}

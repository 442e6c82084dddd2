use super::fake::{Registers, World, keep};
use crate::facts::Conduit;
use crate::mmio::Mmio;
use crate::supply::eemi::{Eemi, EemiClock, EemiNode};
use crate::supply::scmi::{Channel, Doorbell, ScmiClock, ScmiDomain};
use crate::supply::{SupplyError, Switch};
use alloc::sync::Arc;
use alloc::vec::Vec;
use spin::Mutex;

const STATUS: usize = 0x04;
const LENGTH: usize = 0x14;
const HEADER: usize = 0x18;
const PAYLOAD: usize = 0x1c;

/// What the fake firmware does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Fine,
    /// Never frees the channel.
    Silent,
    /// Answers an older message.
    Stale,
    /// Sets the channel's error bit.
    ChannelError,
    /// Refuses with DENIED.
    Denies,
    /// Forgets the payload.
    Short,
    /// Says yes to "on" and leaves it off.
    Lazy,
}

/// SCMI firmware with one domain (2) and one clock (1).
struct Firmware {
    page: Registers,
    mood: Mutex<Mood>,
    domain: Mutex<u32>,
    clock: Mutex<u32>,
    messages: Mutex<Vec<(u32, u32, usize)>>,
}

impl Doorbell for Arc<Firmware> {
    fn ring(&self) -> Result<(), SupplyError> {
        let header = self.page.read32(HEADER);
        let (message, protocol) = (header & 0xff, header >> 10 & 0xff);
        let words = self.page.read32(LENGTH) as usize / 4 - 1;
        self.messages.lock().push((protocol, message, words));
        let arg = |i: usize| self.page.read32(PAYLOAD + 4 * i);
        let mood = *self.mood.lock();
        let mut reply: Vec<u32> = match (protocol, message) {
            (_, 0) => alloc::vec![0, 0x2_0001],
            (0x11, 4) if arg(1) == 2 => {
                if mood != Mood::Lazy {
                    *self.domain.lock() = arg(2);
                }
                alloc::vec![0]
            }
            (0x11, 5) if arg(0) == 2 => alloc::vec![0, *self.domain.lock()],
            (0x14, 7) if arg(0) == 1 => {
                *self.clock.lock() = arg(1);
                alloc::vec![0]
            }
            (0x14, 3) if arg(0) == 1 => alloc::vec![0, *self.clock.lock()],
            _ => alloc::vec![-4i32 as u32],
        };
        match mood {
            Mood::Silent => return Ok(()),
            Mood::Stale => self.page.set(HEADER, header ^ 1 << 18),
            Mood::Denies => reply = alloc::vec![-3i32 as u32],
            Mood::Short => reply.truncate(1),
            _ => {}
        }
        self.page.set(LENGTH, 4 + 4 * reply.len() as u32);
        for (i, word) in reply.iter().enumerate() {
            self.page.set(PAYLOAD + 4 * i, *word);
        }
        self.page
            .set(STATUS, if mood == Mood::ChannelError { 3 } else { 1 });
        Ok(())
    }
}

fn scmi(mood: Mood) -> (Arc<Channel<Registers>>, Arc<Firmware>, Arc<World>) {
    let (channel, firmware, world) = unshared(mood);
    (Arc::new(channel), firmware, world)
}

fn unshared(mood: Mood) -> (Channel<Registers>, Arc<Firmware>, Arc<World>) {
    let page = Registers::new(keep);
    page.set(STATUS, 1);
    let firmware = Arc::new(Firmware {
        page: page.clone(),
        mood: Mutex::new(mood),
        domain: Mutex::new(0x4000_0000),
        clock: Mutex::new(0),
        messages: Mutex::default(),
    });
    let world = World::silent();
    let channel = Channel::new(page, Arc::new(firmware.clone()), world.clone());
    (channel, firmware, world)
}

#[test]
fn the_node_of_a_slow_firmware_may_ask_for_more_time_but_not_for_ever() {
    for (asked_ms, limit_us) in [(1_000, 1_000_000), (u32::MAX, 10_000_000)] {
        let (channel, _, world) = unshared(Mood::Silent);
        let answer = channel.waiting(asked_ms).version(0x11);
        assert_eq!(answer, Err(SupplyError::Timeout(limit_us)));
        assert!(world.elapsed() < limit_us + limit_us / 10);
    }
}

#[test]
fn scmi_domains_and_clocks_switch_and_read_back() {
    let (channel, firmware, _) = scmi(Mood::Fine);
    let domain = ScmiDomain::new(channel.clone(), 2);
    assert_eq!(domain.is_on(), Ok(false));
    domain.enable().unwrap();
    assert_eq!((domain.is_on(), *firmware.domain.lock()), (Ok(true), 0));
    domain.disable().unwrap();
    assert_eq!(
        (domain.is_on(), *firmware.domain.lock()),
        (Ok(false), 0x4000_0000)
    );
    let version = channel.version(0x14).unwrap();
    let clock = ScmiClock::new(channel, 1, version);
    clock.enable().unwrap();
    assert_eq!(clock.is_on(), Ok(true));
    clock.disable().unwrap();
    assert_eq!(clock.is_on(), Ok(false));
}

#[test]
fn a_clock_message_is_as_long_as_its_version_has_it() {
    let (channel, firmware, _) = scmi(Mood::Fine);
    ScmiClock::new(channel.clone(), 1, 0x1_0000)
        .enable()
        .unwrap();
    ScmiClock::new(channel, 1, 0x2_0001).enable().unwrap();
    assert_eq!(*firmware.messages.lock(), [(0x14, 7, 2), (0x14, 7, 3)]);
}

#[test]
fn scmi_failures_are_told_apart_and_bounded() {
    let enable = |mood| {
        let (channel, _, world) = scmi(mood);
        (ScmiDomain::new(channel, 2).enable(), world.elapsed())
    };
    let (silent, elapsed) = enable(Mood::Silent);
    assert_eq!(silent, Err(SupplyError::Timeout(30_000)));
    assert!(elapsed < 61_000);
    assert!(matches!(
        enable(Mood::Stale).0,
        Err(SupplyError::Protocol(_))
    ));
    assert_eq!(enable(Mood::ChannelError).0, Err(SupplyError::Protocol(3)));
    assert_eq!(enable(Mood::Denies).0, Err(SupplyError::Firmware(-3)));
    assert_eq!(enable(Mood::Short).0, Err(SupplyError::Protocol(8)));
    assert_eq!(enable(Mood::Lazy).0, Err(SupplyError::Stuck(0x4000_0000)));
    let (channel, ..) = scmi(Mood::Fine);
    assert_eq!(
        ScmiDomain::new(channel, 3).enable(),
        Err(SupplyError::Firmware(-4))
    );
}

#[test]
fn firmware_that_wakes_up_late_is_answered() {
    let (channel, firmware, _) = scmi(Mood::Silent);
    assert!(channel.version(0x11).is_err());
    *firmware.mood.lock() = Mood::Fine;
    firmware.page.set(STATUS, 1);
    assert_eq!(channel.version(0x11), Ok(0x2_0001));
}

/// EEMI firmware: records calls, knows clock 5 and node 0x45.
fn eemi(log: Arc<Mutex<Vec<(u32, u64, u64)>>>, conduit: Conduit) -> Eemi {
    let on = Mutex::new(false);
    let world = World::new(move |_, function, args| {
        let (api, first) = (function & 0xffff, args[0] & 0xffff_ffff);
        log.lock().push((function, args[0], args[1]));
        let mut on = on.lock();
        let ok = |value: u64| [value << 32, 0, 0, 0];
        match (api, first) {
            (1, _) => ok(0x1_0001),
            (36, 5) => {
                *on = true;
                ok(0)
            }
            (37, 5) => {
                *on = false;
                ok(0)
            }
            (13, 0x45) if *on => [2009, 0, 0, 0],
            (13, 0x45) => {
                *on = true;
                ok(0)
            }
            (14, 0x45) => {
                *on = false;
                ok(0)
            }
            (38 | 3, 5 | 0x45) => ok(u64::from(*on)),
            _ => [2002, 0, 0, 0],
        }
    });
    Eemi::new(world, conduit)
}

#[test]
fn eemi_clocks_and_nodes_switch() {
    let log = Arc::default();
    let firmware = eemi(Arc::clone(&log), Conduit::Smc);
    assert_eq!(firmware.version(), Ok(0x1_0001));
    let clock = EemiClock::new(firmware.clone(), 5);
    clock.enable().unwrap();
    assert_eq!(clock.is_on(), Ok(true));
    clock.disable().unwrap();
    assert_eq!(clock.is_on(), Ok(false));
    let node = EemiNode::new(firmware.clone(), 0x45);
    node.enable().unwrap();
    node.enable().unwrap();
    assert_eq!(node.is_on(), Ok(true));
    node.disable().unwrap();
    assert_eq!(node.is_on(), Ok(false));
    let request = log.lock().iter().copied().find(|c| c.0 == 0xc200_000d);
    assert_eq!(request, Some((0xc200_000d, 0x1_0000_0045, 0x1_0000_0000)));
    assert_eq!(
        EemiClock::new(firmware, 6).enable(),
        Err(SupplyError::Firmware(2002))
    );
}

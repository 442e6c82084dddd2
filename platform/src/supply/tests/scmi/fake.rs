//! SCMI firmware with a page, behind each doorbell, that is late or wrong.
use super::super::fake::{Words, World, words};
use crate::facts::Supply;
use crate::facts::reference::{CLOCKS, POWER_DOMAINS, supplies};
use crate::fdt::Blob;
use crate::mmio::Mmio;
use crate::probe::Probed;
use crate::region::Region;
use crate::supply::{Environment, Services, Suppliers, SupplyKind, Switch};
use crate::tree::Tree;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use spin::Mutex;

pub(super) const STATUS: usize = 0x04;
pub(super) const LENGTH: usize = 0x14;
pub(super) const HEADER: usize = 0x18;
pub(super) const PAYLOAD: usize = 0x1c;
pub(super) const FREE: u32 = 1;

const OFF: u32 = 0x4000_0000;
const DENIED: i32 = -3;
const NOT_FOUND: i32 = -4;

/// What firmware puts into its page, once the status word has been looked at
/// so many times more.
pub(super) type Deed = (u32, Vec<(usize, u32)>);
/// From a message's header and a right answer to what is done instead.
pub(super) type Mischief = fn(u32, Vec<(usize, u32)>) -> Vec<Deed>;

/// Answers at once, rightly.
pub(super) fn honest(_: u32, answer: Vec<(usize, u32)>) -> Vec<Deed> {
    alloc::vec![(0, answer)]
}

/// Firmware with one domain (2) and one clock (1).
pub(super) struct Firmware {
    page: Mutex<BTreeMap<usize, u32>>,
    due: Mutex<VecDeque<Deed>>,
    pub(super) mischief: Mutex<Mischief>,
    /// Domain and clock are on.
    pub(super) on: Mutex<[bool; 2]>,
    /// What was last asked for, and how often the state has yet to be asked
    /// before that is true; `None` if it never will be.
    wanted: Mutex<[(bool, Option<u32>); 2]>,
    pub(super) laziness: Mutex<Option<u32>>,
    /// Protocol, message and number of arguments.
    pub(super) messages: Mutex<Vec<(u32, u32, u32)>>,
    /// The doorbell's answer, where it has one.
    pub(super) refusal: Mutex<u64>,
}

impl Firmware {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            page: Mutex::new([(STATUS, FREE)].into()),
            due: Mutex::default(),
            mischief: Mutex::new(honest),
            on: Mutex::default(),
            wanted: Mutex::default(),
            laziness: Mutex::new(Some(0)),
            messages: Mutex::default(),
            refusal: Mutex::default(),
        })
    }

    pub(super) fn word(&self, offset: usize) -> u32 {
        self.page.lock().get(&offset).copied().unwrap_or(0)
    }

    pub(super) fn put(&self, words: &[(usize, u32)]) {
        self.page.lock().extend(words.iter().copied());
    }

    /// A look at the status word: time passes for what is due.
    fn look(&self) {
        let mut due = self.due.lock();
        match due.front_mut() {
            Some((0, _)) => {}
            Some((left, _)) => {
                *left -= 1;
                return;
            }
            None => return,
        }
        if let Some((_, words)) = due.pop_front() {
            self.put(&words);
        }
    }

    /// What a switch is asked to be, and whether it is.
    fn ask(&self, which: usize, on: bool) -> Vec<u32> {
        self.wanted.lock()[which] = (on, *self.laziness.lock());
        self.follow(which);
        alloc::vec![0]
    }

    fn follow(&self, which: usize) -> bool {
        let mut wanted = self.wanted.lock();
        let mut on = self.on.lock();
        match &mut wanted[which] {
            (_, None) => {}
            (state, Some(0)) => on[which] = *state,
            (_, Some(left)) => *left -= 1,
        }
        on[which]
    }

    fn ring(&self) -> u64 {
        let refusal = *self.refusal.lock();
        if refusal != 0 {
            return refusal;
        }
        assert_eq!(self.word(STATUS), 0, "rung with the channel not taken");
        let header = self.word(HEADER);
        let (message, protocol) = (header & 0xff, header >> 10 & 0xff);
        let words = self.word(LENGTH) / 4 - 1;
        self.messages.lock().push((protocol, message, words));
        let arg = |i: usize| self.word(PAYLOAD + 4 * i);
        let reply = match (protocol, message) {
            (_, 0) => alloc::vec![0, 0x2_0001],
            (0x11, 4) if arg(1) == 2 && arg(2) & !OFF != 0 => alloc::vec![DENIED.cast_unsigned()],
            (0x11, 4) if arg(1) == 2 => self.ask(0, arg(2) == 0),
            (0x11, 5) if arg(0) == 2 => alloc::vec![0, if self.follow(0) { 0 } else { OFF }],
            (0x14, 7) if arg(0) == 1 => self.ask(1, arg(1) & 1 == 1),
            (0x14, 3) if arg(0) == 1 => alloc::vec![0, u32::from(self.follow(1))],
            _ => alloc::vec![NOT_FOUND.cast_unsigned()],
        };
        let mut answer = alloc::vec![(LENGTH, 4 + 4 * reply.len() as u32)];
        let places = (PAYLOAD..).step_by(4);
        answer.extend(places.zip(reply));
        answer.push((STATUS, FREE));
        let mischief = *self.mischief.lock();
        let deeds = mischief(header, answer);
        *self.due.lock() = deeds.into();
        0
    }
}

/// What the drivers see of it.
#[derive(Clone)]
pub(super) enum Window {
    Page(Arc<Firmware>),
    Mhu(Arc<Firmware>),
}

words!(Window);

impl Words for Window {
    fn read(&self, offset: usize) -> u32 {
        match self {
            Self::Page(firmware) => {
                if offset == STATUS {
                    firmware.look();
                }
                firmware.word(offset)
            }
            Self::Mhu(_) => 0,
        }
    }

    fn write(&self, offset: usize, value: u32) {
        match self {
            Self::Page(firmware) => firmware.put(&[(offset, value)]),
            Self::Mhu(firmware) => {
                assert_eq!((offset, value), (0x128, 1 << 3), "another doorbell");
                firmware.ring();
            }
        }
    }
}

struct Board {
    firmware: Arc<Firmware>,
    world: Arc<World>,
}

impl Environment for Board {
    type Registers = Window;

    fn registers(&self, region: Region) -> Option<Window> {
        Some(match region.base {
            0x5000 => Window::Page(self.firmware.clone()),
            _ => Window::Mhu(self.firmware.clone()),
        })
    }

    fn services(&self) -> Arc<dyn Services> {
        self.world.clone()
    }

    fn tell(&self, _: &str, _: &str) {}
}

/// How firmware is rung: what its node says.
pub(super) const DOORBELLS: [&str; 3] = [
    "compatible = \"arm,scmi-smc\"; arm,smc-id = <0x82000010>;",
    "compatible = \"arm,scmi-smc-param\", \"arm,scmi-smc\"; arm,smc-id = <0x82000010>;",
    "compatible = \"arm,scmi\"; mboxes = <&mhu 1 3>, <&mhu 0 1>;",
];

/// A board with such firmware, and what it supplies.
pub(super) struct Rig {
    pub(super) firmware: Arc<Firmware>,
    pub(super) world: Arc<World>,
    pub(super) domain: Arc<dyn Switch>,
    pub(super) clock: Arc<dyn Switch>,
    blob: Vec<u8>,
    suppliers: Suppliers<Board>,
}

impl Rig {
    pub(super) fn new(doorbell: &str) -> Self {
        let blob = crate::dts::compile(&alloc::format!(
            "/dts-v1/; / {{ #address-cells = <1>; #size-cells = <1>;
            psci {{ compatible = \"arm,psci-1.0\"; method = \"smc\"; }};
            mhu: mailbox@7000 {{ compatible = \"arm,mhu-doorbell\"; #mbox-cells = <2>;
                reg = <0x7000 0x1000>; }};
            shmem: shmem@5000 {{ compatible = \"arm,scmi-shmem\"; reg = <0x5000 0x1000>; }};
            scmi {{ {doorbell} shmem = <&shmem>; #address-cells = <1>; #size-cells = <0>;
                domains: protocol@11 {{ reg = <0x11>; #power-domain-cells = <1>; }};
                clocks: protocol@14 {{ reg = <0x14>; #clock-cells = <1>; }}; }};
            user {{ power-domains = <&domains 2>; clocks = <&clocks 1>; }}; }};"
        ));
        let blob = blob.unwrap();
        let firmware = Firmware::new();
        let rung = firmware.clone();
        let parameters = doorbell.contains("-param");
        let world = World::new(move |_, function, args| {
            assert_eq!(function, 0x8200_0010);
            assert_eq!(args[..2], [if parameters { 5 } else { 0 }, 0]);
            [rung.ring(), 0, 0, 0]
        });
        let mut suppliers = Suppliers::new(Board {
            firmware: firmware.clone(),
            world: world.clone(),
        });
        let tree = Tree::new(Blob::check(&blob).unwrap());
        let mut open = |kind, list| {
            let user = tree.find("/user").unwrap();
            let listed: Vec<Supply> = supplies(&tree, user, list).unwrap();
            suppliers.open(&tree, kind, &listed[0]).unwrap()
        };
        let domain = open(SupplyKind::PowerDomain, POWER_DOMAINS);
        let clock = open(SupplyKind::Clock, CLOCKS);
        firmware.messages.lock().clear();
        Self {
            firmware,
            world,
            domain,
            clock,
            blob,
            suppliers,
        }
    }

    /// The same, with this mischief from now on.
    pub(super) fn with(doorbell: &str, mischief: Mischief) -> Self {
        let rig = Self::new(doorbell);
        *rig.firmware.mischief.lock() = mischief;
        rig
    }

    /// What `f` comes to, and how many microseconds it took.
    pub(super) fn timed<T>(&self, f: impl FnOnce(&Self) -> T) -> (T, u64) {
        let before = self.world.elapsed();
        let result = f(self);
        (result, self.world.elapsed() - before)
    }

    pub(super) fn probe(&mut self) -> Probed {
        let tree = Tree::new(Blob::check(&self.blob).unwrap());
        let node = tree.find("/scmi").unwrap();
        self.suppliers.probe(&tree, node)
    }
}

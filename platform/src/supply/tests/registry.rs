use super::fake::{Registers, World, keep};
use crate::facts::Supply;
use crate::facts::reference::{CLOCKS, POWER_DOMAINS, supplies};
use crate::fdt::Blob;
use crate::probe::Probed;
use crate::region::Region;
use crate::supply::{Environment, OpenError, Services, Suppliers, SupplyKind, Switch};
use crate::tree::Tree;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use spin::Mutex;

/// Registers by address, each a plain memory.
pub(super) struct Fakes {
    pub(super) windows: Arc<Mutex<BTreeMap<u64, Registers>>>,
    pub(super) world: Arc<World>,
    pub(super) told: Arc<Mutex<Vec<String>>>,
}

impl Environment for Fakes {
    type Registers = Registers;

    fn registers(&self, region: Region) -> Option<Registers> {
        (region.base != 0xbad_0000).then(|| {
            let mut windows = self.windows.lock();
            windows
                .entry(region.base)
                .or_insert_with(|| Registers::new(keep))
                .clone()
        })
    }

    fn services(&self) -> Arc<dyn Services> {
        self.world.clone()
    }

    fn tell(&self, path: &str, what: &str) {
        self.told.lock().push(alloc::format!("{path}: {what}"));
    }
}

const SOURCE: &str = r#"/dts-v1/; / { #address-cells = <1>; #size-cells = <1>;
    psci { compatible = "arm,psci-1.0"; method = "smc"; };
    osc: osc { compatible = "fixed-clock"; #clock-cells = <0>; };
    half: half { compatible = "fixed-factor-clock"; #clock-cells = <0>; clocks = <&osc>; };
    gpio: gpio@1000 { compatible = "arm,pl061"; #gpio-cells = <2>; reg = <0x1000 0x1000>; };
    lost: gpio@bad0000 { compatible = "arm,pl061"; #gpio-cells = <2>; reg = <0xbad0000 0x1000>; };
    gate: gate { compatible = "gpio-gate-clock"; #clock-cells = <0>; clocks = <&half>; enable-gpios = <&gpio 5 0>; };
    inner: inner { compatible = "gpio-gate-clock"; #clock-cells = <0>; clocks = <&gate>; enable-gpios = <&gpio 6 0>; };
    ninth: ninth { compatible = "gpio-gate-clock"; #clock-cells = <0>; enable-gpios = <&gpio 8 0>; };
    nogpio: nogpio { compatible = "gpio-gate-clock"; #clock-cells = <0>; };
    nobank: nobank { compatible = "gpio-gate-clock"; #clock-cells = <0>; enable-gpios = <&lost 1 0>; };
    drain: drain { compatible = "gpio-gate-clock"; #clock-cells = <0>; enable-gpios = <&gpio 1 6>; };
    ring: ring { compatible = "gpio-gate-clock"; #clock-cells = <0>; clocks = <&ring>; enable-gpios = <&gpio 1 0>; };
    odd: odd { compatible = "test,clock"; #clock-cells = <0>; };
    eemi: zynqmp-firmware { compatible = "xlnx,zynqmp-firmware"; method = "smc"; #power-domain-cells = <1>;
        zclk: clock-controller { compatible = "xlnx,zynqmp-clk"; #clock-cells = <1>; }; };
    firmware { scmi { compatible = "arm,scmi-smc"; arm,smc-id = <0x82000010>; shmem = <&shmem>;
        #address-cells = <1>; #size-cells = <0>;
        domains: protocol@11 { reg = <0x11>; #power-domain-cells = <1>; };
        voltage: protocol@17 { reg = <0x17>; #power-domain-cells = <1>; }; }; };
    mhu: mailbox@7000 { compatible = "arm,mhu-doorbell"; #mbox-cells = <2>; reg = <0x7000 0x1000>; };
    scp { compatible = "arm,scmi"; mboxes = <&mhu 1 3>, <&mhu 0 1>; shmem = <&shmem>;
        #address-cells = <1>; #size-cells = <0>;
        scp_domains: protocol@11 { reg = <0x11>; #power-domain-cells = <1>; }; };
    deaf { compatible = "arm,scmi"; mboxes = <&mhu 2 0>; shmem = <&shmem>; };
    shmem: shmem@5000 { compatible = "arm,scmi-shmem"; reg = <0x5000 0x1000>; };
    user { clocks = <&gate>, <&gate>, <&inner>, <&half>, <&zclk 5>;
        power-domains = <&domains 2>, <&eemi 0x45>, <&voltage 1>; };
    broken { clocks = <&ninth>, <&nogpio>, <&nobank>, <&ring>, <&odd>, <&drain>; };
};"#;

type Opened = Vec<Result<Arc<dyn Switch>, OpenError>>;
type Windows = Arc<Mutex<BTreeMap<u64, Registers>>>;

fn open(node: &str, kind: SupplyKind) -> (Opened, Windows) {
    let bytes = crate::dts::compile(SOURCE).unwrap();
    let tree = Tree::new(Blob::check(&bytes).unwrap());
    let windows = Windows::default();
    let environment = Fakes {
        windows: windows.clone(),
        world: World::new(|_, _, _| [0x1_0001 << 32, 0, 0, 0]),
        told: Arc::default(),
    };
    let mut suppliers = Suppliers::new(environment);
    let list = if kind == SupplyKind::Clock {
        CLOCKS
    } else {
        POWER_DOMAINS
    };
    let listed = supplies(&tree, tree.find(node).unwrap(), list).unwrap();
    (
        listed
            .iter()
            .map(|s| suppliers.open(&tree, kind, s))
            .collect(),
        windows,
    )
}

#[test]
fn gates_are_opened_shared_and_chained() {
    let (clocks, windows) = open("/user", SupplyKind::Clock);
    let clocks: Vec<_> = clocks.into_iter().map(Result::unwrap).collect();
    let [gate, same, inner, half, _] = clocks.as_slice() else {
        panic!()
    };
    assert!(Arc::ptr_eq(gate, same));
    assert!(half.is_fixed() && !gate.is_fixed());
    let level = |line: usize| {
        let windows = windows.lock();
        windows[&0x1000]
            .file
            .lock()
            .get(&((1 << line) << 2))
            .copied()
            .unwrap_or(0)
            != 0
    };
    inner.enable().unwrap();
    assert_eq!((level(5), level(6)), (true, true));
    gate.enable().unwrap();
    inner.disable().unwrap();
    assert_eq!(
        (level(5), level(6)),
        (true, false),
        "the other user keeps the outer gate open"
    );
    same.disable().unwrap();
    assert!(!level(5));
}

/// A board without PMU firmware, as QEMU's: nobody can switch anything.
#[test]
fn absent_firmware_counts_as_always_on() {
    let blob = crate::dts::compile(SOURCE).unwrap();
    let tree = Tree::new(Blob::check(&blob).unwrap());
    let told = Arc::default();
    let environment = Fakes {
        windows: Arc::default(),
        world: World::silent(),
        told: Arc::clone(&told),
    };
    let mut suppliers = Suppliers::new(environment);
    let firmware = tree
        .ids()
        .find(|&id| tree.node(id).is_compatible("xlnx,zynqmp-firmware"));
    let firmware = firmware.unwrap();
    assert_eq!(suppliers.probe(&tree, firmware), Probed::Ready);
    assert_eq!(told.lock().len(), 1);
    let node = Supply {
        name: String::new(),
        provider: firmware,
        path: tree.path(firmware),
        args: alloc::vec![0x45],
    };
    let switch = suppliers.open(&tree, SupplyKind::PowerDomain, &node);
    assert!(switch.unwrap().is_fixed());
}

#[test]
fn what_cannot_be_opened_says_why() {
    let (clocks, _) = open("/broken", SupplyKind::Clock);
    let errors: Vec<_> = clocks.into_iter().map(|c| c.err().unwrap()).collect();
    assert_eq!(
        errors,
        [
            OpenError::Unknown(8),
            OpenError::Property("enable-gpios"),
            OpenError::Registers,
            OpenError::Cycle,
            OpenError::NoDriver,
            OpenError::Property("enable-gpios"),
        ]
    );
}

#[test]
fn firmware_supplies_are_opened() {
    let (clocks, _) = open("/user", SupplyKind::Clock);
    clocks[4].as_ref().unwrap().enable().unwrap();
    let (domains, _) = open("/user", SupplyKind::PowerDomain);
    assert!(domains[0].is_ok() && domains[1].is_ok());
    assert_eq!(domains[2].as_ref().err(), Some(&OpenError::Property("reg")));
}

#[test]
fn probing_tells_not_yet_from_never() {
    let bytes = crate::dts::compile(SOURCE).unwrap();
    let tree = Tree::new(Blob::check(&bytes).unwrap());
    let environment = Fakes {
        windows: Windows::default(),
        world: World::new(|_, _, _| [0x1_0001 << 32, 0, 0, 0]),
        told: Arc::default(),
    };
    let world = environment.world.clone();
    let mut suppliers = Suppliers::new(environment);
    let mut probe = |path: &str| suppliers.probe(&tree, tree.find(path).unwrap());
    assert_eq!(probe("/osc"), Probed::Ready);
    assert_eq!(probe("/gate"), Probed::Ready);
    assert_eq!(probe("/zynqmp-firmware"), Probed::Ready);
    // The page never says "free": firmware is not there yet.
    assert_eq!(
        probe("/firmware/scmi"),
        Probed::NotYet("its firmware does not answer yet")
    );
    // It is not waited for either: guests may be running by now.
    assert!(world.now_us() < 1000, "{} us", world.now_us());
    assert_eq!(probe("/nogpio"), Probed::Failed("enable-gpios"));
    assert_eq!(
        probe("/gpio@bad0000"),
        Probed::Failed("its registers cannot be reached")
    );
    assert_eq!(probe("/odd"), Probed::Failed("no driver"));
}

#[test]
fn a_mailbox_rings_its_own_bit() {
    let bytes = crate::dts::compile(SOURCE).unwrap();
    let tree = Tree::new(Blob::check(&bytes).unwrap());
    let windows = Windows::default();
    // Firmware that frees the channel at the ring of bit 3 of the high channel,
    // and answers that all is well.
    let page = Registers::new(|file, offset, value| {
        file.insert(offset, value);
        if offset == 0x04 {
            file.insert(0x04, 1);
            file.insert(0x14, 12);
            file.insert(0x1c, 0);
            file.insert(0x20, 0x3_0000);
        }
    });
    page.set(0x04, 1);
    windows.lock().insert(0x5000, page);
    let environment = Fakes {
        windows: windows.clone(),
        world: World::silent(),
        told: Arc::default(),
    };
    let mut suppliers = Suppliers::new(environment);
    assert_eq!(
        suppliers.probe(&tree, tree.find("/scp").unwrap()),
        Probed::Ready
    );
    assert_eq!(*windows.lock()[&0x7000].writes.lock(), [(0x128, 1 << 3)]);
    assert_eq!(
        suppliers.probe(&tree, tree.find("/deaf").unwrap()),
        Probed::Failed("no driver")
    );
}

/// A gate goes on behind those above it; a domain after the clocks of its
/// transitions and the domain it is part of.
#[test]
fn rockchips_gates_and_domains_follow_their_tree() {
    let bytes = crate::dts::compile(super::rockchip::SOURCE).unwrap();
    let tree = Tree::new(Blob::check(&bytes).unwrap());
    let windows = Windows::default();
    let pmu = Registers::new(keep);
    pmu.set(0x290, u32::MAX);
    windows.lock().insert(0xfd8d_8000, pmu.clone());
    let mut suppliers = Suppliers::new(Fakes {
        windows: windows.clone(),
        world: World::silent(),
        told: Arc::default(),
    });
    let user = tree.find("/user").unwrap();
    let mut open = |kind, list| {
        let listed = supplies(&tree, user, list).unwrap();
        let open = |s: &Supply| suppliers.open(&tree, kind, s);
        listed.iter().map(open).collect::<Opened>()
    };
    let clocks = open(SupplyKind::Clock, CLOCKS);
    let domains = open(SupplyKind::PowerDomain, POWER_DOMAINS);
    let cru = windows.lock()[&0xfd7c_0000].clone();
    clocks[0].as_ref().unwrap().enable().unwrap();
    let started = [(0x880, 1 << 22), (0x880, 1 << 24), (0x888, 1 << 23)];
    assert_eq!(*cru.writes.lock(), started);
    // The other clock is one of those, so it stays when the first stops.
    clocks[1].as_ref().unwrap().enable().unwrap();
    clocks[0].as_ref().unwrap().disable().unwrap();
    assert_eq!(cru.writes.lock()[3..], [(0x888, 1 << 23 | 1 << 7)]);
    cru.writes.lock().clear();
    domains[0].as_ref().unwrap().enable().unwrap();
    let order: Vec<_> = cru.writes.lock().iter().map(|w| w.1.ilog2()).collect();
    assert_eq!(order, [16, 23], "what already runs is not started again");
    assert_eq!(*pmu.writes.lock(), [(0x110, 1 << 21)], "the outer domain");
    let unknown = |n: usize| domains[n].as_ref().err().copied();
    assert_eq!(unknown(1), Some(OpenError::Unknown(33)));
    assert_eq!(unknown(2), Some(OpenError::Unknown(9)));
    let power = "/power-management@fd8d8000/power-controller";
    let power = tree.find(power).unwrap();
    assert_eq!(suppliers.probe(&tree, power), Probed::Ready);
    let needs = crate::probe::suppliers_of(&tree, power);
    assert_eq!(
        needs,
        [tree.find("/clock-controller@fd7c0000").unwrap()],
        "the clocks of its domains come from there"
    );
}

/// A clock behind a line of each kind of bank that the registry has to look
/// up in a special way.
#[test]
fn banks_are_found_where_their_nodes_say() {
    const SOURCE: &str = r#"/dts-v1/; / { #address-cells = <1>; #size-cells = <1>;
        syscon@1000 { compatible = "syscon"; reg = <0x1000 0x2000>;
            inner: gpio { compatible = "marvell,armada-8k-gpio"; offset = <0x40>; ngpios = <20>;
                #gpio-cells = <2>; };
            lost: gpio2 { compatible = "marvell,armada-8k-gpio"; #gpio-cells = <2>; }; };
        big: gpio@5000 { compatible = "fsl,qoriq-gpio"; reg = <0x5000 0x100>; #gpio-cells = <2>; };
        g0: g0 { compatible = "gpio-gate-clock"; #clock-cells = <0>; enable-gpios = <&inner 3 0>; };
        g1: g1 { compatible = "gpio-gate-clock"; #clock-cells = <0>; enable-gpios = <&inner 20 0>; };
        g2: g2 { compatible = "gpio-gate-clock"; #clock-cells = <0>; enable-gpios = <&lost 3 0>; };
        g3: g3 { compatible = "gpio-gate-clock"; #clock-cells = <0>; enable-gpios = <&big 3 0>; };
        user { clocks = <&g0>, <&g1>, <&g2>, <&g3>; }; };"#;
    let bytes = crate::dts::compile(SOURCE).unwrap();
    let tree = Tree::new(Blob::check(&bytes).unwrap());
    let windows = Windows::default();
    let mut suppliers = Suppliers::new(Fakes {
        windows: windows.clone(),
        world: World::silent(),
        told: Arc::default(),
    });
    let listed = supplies(&tree, tree.find("/user").unwrap(), CLOCKS).unwrap();
    let mut open = |n: usize| suppliers.open(&tree, SupplyKind::Clock, &listed[n]);
    open(0).unwrap().enable().unwrap();
    let window = windows.lock()[&0x1000].clone();
    assert_eq!(window.file.lock()[&0x40], 1 << 3);
    assert_eq!(open(1).err(), Some(OpenError::Unknown(20)));
    assert_eq!(open(2).err(), Some(OpenError::Property("offset")));
    assert_eq!(open(3).err(), Some(OpenError::Property("little-endian")));
}

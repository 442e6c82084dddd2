use super::fake::{Lagging, Registers, Words, World, keep, words};
use crate::mmio::Mmio;
use crate::supply::rockchip::{Domain, Gate, table};
use crate::supply::{SupplyError, SupplyKind, Switch, lacks};
use crate::{fdt::Blob, tree::Tree};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

type File = BTreeMap<usize, u32>;

/// What the trees say of an RK3588, as far as it matters here.
pub(super) const SOURCE: &str = r#"/dts-v1/; / { #address-cells = <1>; #size-cells = <1>;
    cru: clock-controller@fd7c0000 { compatible = "rockchip,rk3588-cru"; #clock-cells = <1>;
        reg = <0xfd7c0000 0x5c000>; };
    pmu: power-management@fd8d8000 { compatible = "rockchip,rk3588-pmu", "syscon", "simple-mfd";
        reg = <0xfd8d8000 0x400>;
        power: power-controller { compatible = "rockchip,rk3588-power-controller";
            #address-cells = <1>; #size-cells = <0>; #power-domain-cells = <1>;
            power-domain@32 { reg = <32>; #address-cells = <1>; #size-cells = <0>;
                #power-domain-cells = <0>;
                power-domain@34 { reg = <34>; clocks = <&cru 343>, <&cru 346>, <&cru 347>;
                    #power-domain-cells = <0>; }; }; }; };
    user { clocks = <&cru 313>, <&cru 348>; power-domains = <&power 34>, <&power 33>, <&power 9>; };
};"#;

fn with_table<T>(
    node: &str,
    f: impl FnOnce(SupplyKind, &'static crate::supply::rockchip::Table) -> T,
) -> T {
    let bytes = crate::dts::compile(SOURCE).unwrap();
    let tree = Tree::new(Blob::check(&bytes).unwrap());
    let (kind, table) = table(&tree.node(tree.find(node).unwrap())).unwrap();
    f(kind, table)
}

const CRU: &str = "/clock-controller@fd7c0000";
const POWER: &str = "/power-management@fd8d8000/power-controller";

/// The upper half of a word chooses what changes.
fn masked(file: &mut File, offset: usize, value: u32) {
    let old = file.get(&offset).copied().unwrap_or(0);
    let chosen = value >> 16;
    file.insert(offset, old & !chosen | value & chosen & 0xffff);
}

fn gate(registers: &Registers, number: u32) -> Gate<Registers> {
    with_table(CRU, |_, table| {
        Gate::new(Arc::new(registers.clone()), table.gate(number).unwrap())
    })
}

#[test]
fn a_gate_changes_its_own_bit_only() {
    let registers = Registers::new(masked);
    // CLKGATE_CON(34), with neighbours stopped.
    registers.set(0x888, 0x0150);
    let mmu = gate(&registers, 313);
    assert_eq!((mmu.is_on(), mmu.is_fixed()), (Ok(true), false));
    mmu.disable().unwrap();
    assert_eq!(registers.file.lock()[&0x888], 0x01d0);
    assert_eq!(mmu.is_on(), Ok(false));
    mmu.enable().unwrap();
    assert_eq!(registers.file.lock()[&0x888], 0x0150);
    let words = [(0x888, 0x0080_0080), (0x888, 0x0080_0000)];
    assert_eq!(*registers.writes.lock(), words);
}

#[test]
fn a_shared_root_is_started_and_never_stopped() {
    let registers = Registers::new(masked);
    registers.set(0x880, 0x00c1);
    for number in [343, 346, 347] {
        let root = gate(&registers, number);
        root.enable().unwrap();
        root.disable().unwrap();
        assert_eq!(root.is_on(), Ok(true));
    }
    assert_eq!(registers.file.lock()[&0x880], 0);
}

#[test]
fn a_gate_that_does_not_follow_is_reported() {
    let registers = Registers::new(|_, _, _| {});
    registers.set(0x888, 0x0080);
    assert_eq!(
        gate(&registers, 313).enable(),
        Err(SupplyError::Stuck(0x80))
    );
    registers.set(0x888, 0);
    assert_eq!(gate(&registers, 313).disable(), Err(SupplyError::Stuck(0)));
}

/// No register: how many more reads pass before status follows, and which
/// status never does.
const PENDING: usize = 0x1_0000;
const STUCK: usize = 0x1_0004;
const DELAY: u32 = 40;
const BUS: u32 = 1 << 21;
const MEMORY: u32 = 1 << 29;
const UP: u32 = 1 << 20;

fn pmu_write(file: &mut File, offset: usize, value: u32) {
    masked(file, offset, value);
    file.insert(PENDING, DELAY);
}

/// PD_PHP: bit 5 of the second words of power, memory power and request.
fn pmu_read(file: &mut File, _: usize) {
    let get = |file: &File, at: usize| file.get(&at).copied().unwrap_or(0);
    if let Some(left) = get(file, PENDING).checked_sub(1) {
        file.insert(PENDING, left);
        return;
    }
    let on = |file: &File, at: usize| get(file, at) >> 5 & 1 != 0;
    let (off, forgets, idle) = (on(file, 0x150), on(file, 0x1a4), on(file, 0x110));
    let status = [
        (0x290, UP, !off),
        (0x1f0, MEMORY, !off),
        (0x1f8, MEMORY, forgets),
        (0x118, BUS, idle),
        (0x120, BUS, idle),
    ];
    let stuck = get(file, STUCK);
    for (at, bit, value) in status.into_iter().filter(|(at, ..)| *at as u32 != stuck) {
        let old = get(file, at) & !bit;
        file.insert(at, if value { old | bit } else { old });
    }
}

fn php(registers: &Registers) -> (Domain<Registers>, Arc<World>) {
    let world = World::silent();
    let domain = with_table(POWER, |_, table| {
        Domain::new(
            Arc::new(registers.clone()),
            world.clone(),
            &table.pmu,
            table.domain(32).unwrap(),
        )
    });
    (domain, world)
}

fn pmu() -> Registers {
    let registers = Registers::late(pmu_write, pmu_read);
    registers.set(0x290, UP | 1);
    registers
}

/// What was written, most telling part first: register and whether the bit
/// was set.
fn steps(registers: &Registers) -> Vec<(usize, bool)> {
    let writes = registers.writes.lock().drain(..).collect::<Vec<_>>();
    let bit = |(at, value): (usize, u32)| {
        assert_eq!(value >> 16, 1 << 5, "another bit at {at:#x}");
        (at, value & 1 << 5 != 0)
    };
    writes.into_iter().map(bit).collect()
}

#[test]
fn a_domain_goes_after_its_bus_and_comes_before_it() {
    let registers = pmu();
    let (domain, world) = php(&registers);
    assert_eq!(domain.is_on(), Ok(true));
    domain.disable().unwrap();
    assert_eq!(steps(&registers), [(0x110, true), (0x150, true)]);
    assert_eq!(domain.is_on(), Ok(false));
    assert!(world.elapsed() > 400, "it waited for late hardware");
    domain.enable().unwrap();
    // Its memory kept its power: a cycle of its own.
    let cycle = [
        (0x150, false),
        (0x1a4, true),
        (0x1a4, false),
        (0x110, false),
    ];
    assert_eq!(steps(&registers), cycle);
    assert_eq!(domain.is_on(), Ok(true));
    assert_eq!(registers.file.lock()[&0x290] & 1, 1, "others' bits");
}

#[test]
fn memory_without_power_needs_no_cycle() {
    let registers = pmu();
    let (domain, _) = php(&registers);
    domain.disable().unwrap();
    registers.set(0x1f8, MEMORY);
    registers.set(0x1a4, 1 << 5);
    steps(&registers);
    domain.enable().unwrap();
    assert_eq!(steps(&registers), [(0x150, false), (0x110, false)]);
}

#[test]
fn a_domain_that_is_up_only_lets_its_bus_go() {
    let registers = pmu();
    let (domain, _) = php(&registers);
    domain.enable().unwrap();
    assert_eq!(steps(&registers), [(0x110, false)]);
}

/// Each status that never comes ends the wait, and the domain stays on.
#[test]
fn a_domain_that_does_not_go_stays_on() {
    const TAKEN_BACK: [(usize, bool); 2] = [(0x110, true), (0x110, false)];
    for (stuck, steps_taken) in [(0x118, &TAKEN_BACK[..]), (0x120, &TAKEN_BACK)] {
        let registers = pmu();
        registers.set(STUCK, stuck);
        let (domain, world) = php(&registers);
        assert_eq!(domain.disable(), Err(SupplyError::Timeout(10_000)));
        assert_eq!(steps(&registers), steps_taken, "{stuck:#x}");
        assert!(world.elapsed() < 40_000, "{stuck:#x}");
        assert_eq!(domain.is_on(), Ok(true));
    }
    let registers = pmu();
    registers.set(STUCK, 0x290);
    let (domain, _) = php(&registers);
    assert_eq!(domain.disable(), Err(SupplyError::Timeout(10_000)));
    let all = [(0x110, true), (0x150, true), (0x150, false), (0x110, false)];
    assert_eq!(steps(&registers), all);
}

#[test]
fn a_domain_that_does_not_come_is_given_up_on() {
    for stuck in [0x1f0, 0x1f8, 0x290] {
        let registers = pmu();
        let (domain, world) = php(&registers);
        domain.disable().unwrap();
        // As it is while power is off.
        registers.set(0x1f0, 0);
        registers.set(STUCK, stuck);
        let before = world.elapsed();
        let failed = domain.enable();
        assert_eq!(failed, Err(SupplyError::Timeout(10_000)), "{stuck:#x}");
        assert!(world.elapsed() - before < 25_000);
        let released = steps(&registers).contains(&(0x110, false));
        assert!(!released, "{stuck:#x}: the bus was let go");
    }
}

#[test]
fn only_clocks_and_domains_of_the_table_are_known() {
    let bytes = crate::dts::compile(SOURCE).unwrap();
    let tree = Tree::new(Blob::check(&bytes).unwrap());
    let lacking = |node, kind, number| lacks(&tree, tree.find(node).unwrap(), kind, number);
    assert!(!lacking(CRU, SupplyKind::Clock, 314));
    assert!(lacking(CRU, SupplyKind::Clock, 12));
    assert!(lacking(CRU, SupplyKind::PowerDomain, 314));
    assert!(!lacking(POWER, SupplyKind::PowerDomain, 34));
    assert!(lacking(POWER, SupplyKind::PowerDomain, 12));
    // In the table, but the tree has no node that names its clocks.
    assert!(lacking(POWER, SupplyKind::PowerDomain, 33));
    let keep = Registers::new(keep);
    with_table(CRU, |kind, table| {
        assert_eq!(kind, SupplyKind::Clock);
        let mut places: Vec<String> = Vec::new();
        for entry in table.gates {
            assert!((0x800..0xa00).contains(&entry.register) && entry.bit < 16);
            places.push(format!("{:#x} {}", entry.register, entry.bit));
            let known = |parent| table.gate(u32::from(parent)).is_some();
            assert!(entry.parent.is_none_or(known));
        }
        places.sort();
        places.dedup();
        assert_eq!(places.len(), table.gates.len(), "two gates at one bit");
    });
    assert!(keep.writes.lock().is_empty());
}

/// A CRU behind a slow bus, among gates that others hold.
#[test]
fn a_gate_may_follow_some_reads_later() {
    with_table(CRU, |_, table| {
        for (n, entry) in table.gates.iter().enumerate() {
            for lag in [1, 24, 1_000] {
                let registers = Registers::new(masked);
                let at = usize::from(entry.register);
                let others = 0x5a3c_u32.rotate_left(n as u32) & 0xffff & !(1 << entry.bit);
                registers.set(at, others | 1 << entry.bit);
                let lagging = Arc::new(Lagging::new(registers.clone(), lag));
                let gate = Gate::new(lagging.clone(), entry);
                let started = gate.enable();
                if lag == 1_000 {
                    let stuck = others | 1 << entry.bit;
                    assert_eq!(started, Err(SupplyError::Stuck(stuck)));
                    assert!(*lagging.reads.lock() < 50);
                } else {
                    assert_eq!(started, Ok(()));
                    assert_eq!(registers.file.lock()[&at], others, "{}", entry.number);
                }
            }
        }
    });
}

/// A PMU with all three domains, each of which follows at once, and whose other
/// bits are somebody else's.
#[derive(Clone)]
struct Pmu(Registers);

words!(Pmu);

impl Words for Pmu {
    fn read(&self, offset: usize) -> u32 {
        let off = self.0.read(0x150) >> 5;
        let idle = self.0.read(0x110) >> 5 & 1;
        match offset {
            0x290 => !off << 20,
            0x1f0 => !off << 29,
            0x1f8 => self.0.read(0x1a4) >> 5 << 29,
            0x118 | 0x120 => idle << 21,
            _ => self.0.read(offset),
        }
    }

    fn write(&self, offset: usize, value: u32) {
        self.0.write(offset, value);
    }
}

#[test]
fn each_domain_has_bits_of_its_own() {
    for number in [32, 33, 34] {
        let registers = Registers::new(masked);
        for at in [0x14c, 0x150, 0x1a0, 0x1a4, 0x10c, 0x110] {
            registers.set(at, 0x8a15);
        }
        let all = |registers: &Registers| registers.file.lock().clone();
        let before = all(&registers);
        let domain = with_table(POWER, |_, table| {
            let entry = table.domain(number).unwrap();
            let pmu = Arc::new(Pmu(registers.clone()));
            Domain::new(pmu, World::silent(), &table.pmu, entry)
        });
        domain.enable().unwrap();
        assert_eq!(domain.is_on(), Ok(true), "{number}");
        domain.disable().unwrap();
        assert_eq!(domain.is_on(), Ok(false), "{number}");
        let bit = 1 << (number - 32 + 5);
        for (at, was) in before {
            let changed = all(&registers)[&at] ^ was;
            assert_eq!(changed & !bit, 0, "{number}: {at:#x}");
        }
        let bus = registers.writes.lock().iter().any(|w| w.0 == 0x110);
        assert_eq!(bus, number == 32, "only one has a bus to be idle");
    }
}

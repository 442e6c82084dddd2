//! What SMMUs and masters do, from QEMU's event trace: the GPIO lines that gate
//! clocks, and each PCI function's D-state and bus-master bit. This is evidence
//! from outside; the hypervisor is not asked.
use super::layout::{Layout, Seen};
use crate::qemu::trace::Event;
use std::collections::{BTreeMap, VecDeque};

/// Events QEMU is to trace for this.
pub const TRACES: [&str; 3] = ["pl061_set_output", "pci_pm_transition", "pci_cfg_write"];

/// Past kept for [`UnitPower::strip`], in microseconds.
const PAST: u64 = 600_000_000;
/// The command register of a PCI function, and its bus-master bit.
const COMMAND: u64 = 4;
const BUS_MASTER: u64 = 1 << 2;

/// State of an SMMU or TBU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its clock runs and a master needs it.
    On,
    /// Its clock runs, and no master needs it.
    Idle,
    /// Its clock stands.
    Gated,
}

impl State {
    /// A word for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Idle => "idle",
            Self::Gated => "gated",
        }
    }
}

/// Times in one state or another, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// On, or active.
    pub on: u64,
    /// Idle.
    pub idle: u64,
    /// Gated.
    pub gated: u64,
}

impl Times {
    fn add(&mut self, state: State, us: u64) {
        *match state {
            State::On => &mut self.on,
            State::Idle => &mut self.idle,
            State::Gated => &mut self.gated,
        } += us;
    }
}

/// What an SMMU or TBU has done.
#[derive(Debug, Clone)]
pub struct UnitPower {
    /// State since `since`.
    pub state: State,
    /// Microseconds since the Unix epoch.
    since: u64,
    /// The clock runs.
    clocked: bool,
    times: Times,
    /// How often its clock was started.
    pub wakes: u64,
    /// How often its clock was stopped.
    pub gates: u64,
    /// When its clock was started and stopped.
    moves: VecDeque<(u64, bool)>,
}

impl UnitPower {
    /// Times up to `now`.
    #[must_use]
    pub fn times(&self, now: u64) -> Times {
        let mut times = self.times;
        times.add(self.state, now.saturating_sub(self.since));
        times
    }

    fn set(&mut self, state: State, at: u64) {
        self.times = self.times(at);
        (self.state, self.since) = (state, at.max(self.since));
    }

    /// For each of `cells` stretches of time before `now`, each `cell` long, the
    /// part of it with the clock running, from 0 to 1.
    #[must_use]
    pub fn strip(&self, now: u64, cell: u64, cells: usize) -> Vec<f64> {
        let begin = |index: usize| now.saturating_sub((cells - index) as u64 * cell);
        (0..cells)
            .map(|index| self.clocked_us(begin(index), begin(index + 1)) as f64 / cell as f64)
            .collect()
    }

    /// Time with the clock running between two moments.
    fn clocked_us(&self, from: u64, to: u64) -> u64 {
        let ends = self.moves.iter().skip(1).map(|m| m.0).chain([u64::MAX]);
        let spans = self.moves.iter().zip(ends).filter(|((_, on), _)| *on);
        spans
            .map(|((start, _), end)| end.min(to).saturating_sub(*start.max(&from)))
            .sum()
    }
}

/// What a master has done.
#[derive(Debug, Clone)]
pub struct MasterPower {
    /// Whether it may issue transactions; `None` where that is not seen.
    pub active: Option<bool>,
    since: u64,
    times: Times,
    /// DMA faults, once the hypervisor has told.
    pub faults: Option<u64>,
}

impl MasterPower {
    /// Times up to `now`; `gated` is always 0.
    #[must_use]
    pub fn times(&self, now: u64) -> Option<Times> {
        let state = if self.active? { State::On } else { State::Idle };
        let mut times = self.times;
        times.add(state, now.saturating_sub(self.since));
        Some(times)
    }
}

/// What a VM does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VmState {
    /// It has not been heard of.
    Silent,
    /// It speaks.
    Running,
    /// It is powered off.
    Off,
    /// It was stopped after a crash.
    Crashed,
}

/// Something changed: at this moment, this. For those who read lines.
pub type Change = (u64, String);

/// All of it.
#[derive(Debug, Clone)]
pub struct Power {
    /// Who is who.
    pub layout: Layout,
    /// In the order of the layout.
    pub units: Vec<UnitPower>,
    /// In the order of the layout.
    pub masters: Vec<MasterPower>,
    /// In the order of the layout.
    pub vms: Vec<VmState>,
    /// Of each requester id: may master the bus, is in D0.
    functions: BTreeMap<u16, (bool, bool)>,
}

impl Power {
    /// At `start`, in microseconds since the Unix epoch, every gate is closed
    /// and every function idle.
    #[must_use]
    pub fn new(layout: Layout, start: u64) -> Self {
        let units = layout.units.iter().map(|unit| {
            let always = unit.gate.is_none();
            UnitPower {
                state: if always { State::Idle } else { State::Gated },
                since: start,
                clocked: always,
                times: Times::default(),
                wakes: 0,
                gates: 0,
                moves: [(start, always)].into(),
            }
        });
        let masters = layout.masters.iter().map(|master| MasterPower {
            active: match master.seen {
                Seen::Function(_) => Some(false),
                Seen::Always => Some(true),
                Seen::Unseen => None,
            },
            since: start,
            times: Times::default(),
            faults: None,
        });
        let mut power = Self {
            units: units.collect(),
            masters: masters.collect(),
            vms: vec![VmState::Silent; layout.vms.len()],
            functions: BTreeMap::new(),
            layout,
        };
        power.settle(start, &mut Vec::new());
        power
    }

    /// Takes an event.
    pub fn event(&mut self, event: &Event) -> Vec<Change> {
        let mut changes = Vec::new();
        match event.name.as_str() {
            "pl061_set_output" => self.line_moved(event),
            "pci_cfg_write" if event.number("@") == Some(COMMAND) => {
                let mastering = event.number("<-").is_some_and(|v| v & BUS_MASTER != 0);
                self.function(event, |f| f.0 = mastering, &mut changes);
            }
            "pci_pm_transition" => {
                let awake = event.text.ends_with("D0");
                self.function(event, |f| f.1 = awake, &mut changes);
            }
            _ => {}
        }
        self.settle(event.at_us, &mut changes);
        changes
    }

    fn line_moved(&mut self, event: &Event) {
        let (line, level) = (event.number("output"), event.number(" to"));
        for (unit, power) in self.layout.units.iter().zip(&mut self.units) {
            let Some(gate) = unit.gate.filter(|g| Some(g.line) == line) else {
                continue;
            };
            let clocked = (level == Some(1)) != gate.active_low;
            if clocked == power.clocked {
                continue;
            }
            power.clocked = clocked;
            *(if clocked {
                &mut power.wakes
            } else {
                &mut power.gates
            }) += 1;
            power.moves.push_back((event.at_us, clocked));
            // The move before the window says what the window begins with.
            while power.moves.get(1).is_some_and(|m| m.0 + PAST < event.at_us) {
                power.moves.pop_front();
            }
        }
    }

    fn function(
        &mut self,
        event: &Event,
        change: impl Fn(&mut (bool, bool)),
        changes: &mut Vec<Change>,
    ) {
        let Some(rid) = requester(&event.text) else {
            return;
        };
        let function = self.functions.entry(rid).or_insert((false, true));
        change(function);
        let active = function.0 && function.1;
        for (master, power) in self.layout.masters.iter().zip(&mut self.masters) {
            if master.seen == Seen::Function(rid) && power.active != Some(active) {
                power.times = power.times(event.at_us).unwrap_or_default();
                (power.since, power.active) = (event.at_us, Some(active));
                let word = if active { "active" } else { "idle" };
                let said = format!("{} of {}: {word}", master.name, master.vm);
                changes.push((event.at_us, said));
            }
        }
    }

    /// Derives the units' states.
    fn settle(&mut self, at: u64, changes: &mut Vec<Change>) {
        for index in 0..self.units.len() {
            let held = self.holders(index).next().is_some();
            let Some(power) = self.units.get_mut(index) else {
                continue;
            };
            let state = match (power.clocked, held) {
                (false, _) => State::Gated,
                (true, true) => State::On,
                (true, false) => State::Idle,
            };
            if state == power.state {
                continue;
            }
            power.set(state, at);
            let holders: Vec<&str> = self.holders(index).collect();
            let name = self.layout.units.get(index).map_or("", |u| &u.name);
            let held = match (state, holders.is_empty()) {
                (State::On, false) => format!(", held by {}", holders.join(", ")),
                _ => String::new(),
            };
            changes.push((at, format!("{name}: {}{held}", state.name())));
        }
    }

    /// Names of the masters that keep a unit on, or may: those not seen count.
    pub fn holders(&self, unit: usize) -> impl Iterator<Item = &str> {
        let masters = self.layout.masters.iter().zip(&self.masters);
        masters
            .filter(move |(master, power)| {
                master.units.contains(&unit) && power.active != Some(false)
            })
            .map(|(master, _)| master.name.as_str())
    }

    /// Hears a line of the console, from `who`.
    pub fn hear(&mut self, who: &str, words: &str) {
        if let Some(vm) = self.vm(who) {
            *vm = VmState::Running;
            return;
        }
        if who != "stagegate" {
            return;
        }
        if let Some(report) = words.strip_prefix("@sg master ") {
            return self.told(report);
        }
        let words = words.trim_start_matches("error: ");
        if let Some((name, what)) = words.split_once(": ")
            && let Some(vm) = self.vm(name)
        {
            *vm = match what {
                "powered off" => VmState::Off,
                "stopped after a crash" => VmState::Crashed,
                _ => *vm,
            };
        }
    }

    fn vm(&mut self, name: &str) -> Option<&mut VmState> {
        let at = self.layout.vms.iter().position(|vm| vm == name)?;
        self.vms.get_mut(at)
    }

    /// The hypervisor's own account of a master, which it gives when asked
    /// (Ctrl-a d) and at the end: only the faults are not seen from outside.
    fn told(&mut self, report: &str) {
        let mut words = report.split(' ');
        let name = words.next();
        let value = |key: &str| report.split(' ').find_map(|w| w.strip_prefix(key));
        let (vm, faults) = (value("vm="), value("faults="));
        for (master, power) in self.layout.masters.iter().zip(&mut self.masters) {
            if Some(master.name.as_str()) == name && Some(master.vm.as_str()) == vm {
                power.faults = faults.and_then(|f| f.parse().ok());
            }
        }
    }
}

/// The requester id in `name bb:dd.f …`.
fn requester(text: &str) -> Option<u16> {
    let place = text.split(' ').nth(1)?;
    let (bus, rest) = place.split_once(':')?;
    let (device, function) = rest.split_once('.')?;
    let number = |digits| u16::from_str_radix(digits, 16).ok();
    Some(number(bus)? << 8 | number(device)? << 3 | number(function)?)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::layout::{Gate, Master, Unit};
    use super::*;
    use crate::qemu::trace::parse;

    pub(in crate::run) fn layout() -> Layout {
        let gate = |line, active_low| Some(Gate { line, active_low });
        let unit = |name: &str, gate| Unit {
            name: name.into(),
            gate,
        };
        let master = |name: &str, vm: &str, units: &[usize], seen| Master {
            name: name.into(),
            vm: vm.into(),
            units: units.into(),
            seen,
        };
        Layout {
            vms: vec!["disk".into(), "nic".into()],
            units: vec![
                unit("smmuv3@9050000", gate(5, false)),
                unit("tbu", gate(6, true)),
                unit("iommu@1", None),
            ],
            masters: vec![
                master("nvme", "disk", &[0], Seen::Function(0x08)),
                master("igb", "nic", &[0, 1], Seen::Function(0x100)),
                master("dma", "nic", &[2], Seen::Unseen),
            ],
        }
    }

    /// Seconds after the epoch, as the trace has them.
    const S: u64 = 1_000_000;

    pub(in crate::run) fn after(trace: &str) -> (Power, Vec<String>) {
        let mut power = Power::new(layout(), S);
        let changes = parse(trace).iter().flat_map(|e| power.event(e)).collect();
        let changes: Vec<Change> = changes;
        (power, changes.into_iter().map(|c| c.1).collect())
    }

    pub(in crate::run) const RUN: &str = "\
        1@2.000000:pl061_set_output /machine/x[7] setting output 5 to 1\n\
        1@2.500000:pl061_set_output /machine/x[7] setting output 5 to 1\n\
        1@3.000000:pl061_set_output /machine/x[7] setting output 5 to 0\n\
        1@4.000000:pl061_set_output /machine/x[7] setting output 5 to 1\n\
        1@4.100000:pci_cfg_write nvme 00:01.0 @0x4 <- 0x406\n\
        1@5.000000:pci_pm_transition nvme 00:01.0 PM transition D0->D3\n\
        1@5.200000:pl061_set_output /machine/x[7] setting output 5 to 0\n";

    #[test]
    fn a_run_is_accounted() {
        let (power, said) = after(RUN);
        let expected = [
            "smmuv3@9050000: idle",
            "smmuv3@9050000: gated",
            "smmuv3@9050000: idle",
            "nvme of disk: active",
            "smmuv3@9050000: on, held by nvme",
            "nvme of disk: idle",
            "smmuv3@9050000: idle",
            "smmuv3@9050000: gated",
        ];
        assert_eq!(said, expected);
        let smmu = &power.units[0];
        assert_eq!((smmu.wakes, smmu.gates), (2, 2));
        let times = smmu.times(6 * S);
        assert_eq!(times.on, 900_000);
        assert_eq!(times.idle, 1_000_000 + 100_000 + 200_000);
        assert_eq!(times.on + times.idle + times.gated, 5 * S);
        let nvme = power.masters[0].times(6 * S).unwrap();
        assert_eq!((nvme.on, nvme.idle), (900_000, 4_100_000));
        let strip = smmu.strip(6 * S, S, 5);
        let cells: Vec<u32> = strip.iter().map(|x| (x * 10.0).round() as u32).collect();
        assert_eq!(cells, [0, 10, 0, 10, 2]);
    }

    #[test]
    fn a_line_may_be_active_low_and_a_function_on_another_bus() {
        let (mut power, _) = after("1@2.000000:pl061_set_output x setting output 6 to 1\n");
        // Gated is also what `low` means at reset here.
        assert_eq!(power.units[1].state, State::Gated);
        let more = "1@3.000000:pl061_set_output x setting output 6 to 0\n\
                    1@3.000000:pci_cfg_write igb 01:00.0 @0x4 <- 0x6\n\
                    1@3.000000:pci_cfg_write igb 01:00.0 @0x10 <- 0x0\n";
        for event in parse(more) {
            power.event(&event);
        }
        assert_eq!(power.units[1].state, State::On);
        assert_eq!(power.units[0].state, State::Gated, "its own clock stands");
        assert_eq!(power.holders(0).collect::<Vec<_>>(), ["igb"]);
    }

    #[test]
    fn what_nobody_sees_counts_as_holding() {
        let (power, _) = after("");
        assert_eq!(power.units[2].state, State::On);
        assert_eq!(power.masters[2].times(9 * S), None);
    }

    #[test]
    fn the_console_tells_of_vms_and_faults() {
        let (mut power, _) = after("");
        power.hear("disk", "Welcome");
        power.hear("nic", "stagegate: powered off");
        assert_eq!(power.vms, [VmState::Running, VmState::Running]);
        power.hear("stagegate", "disk: powered off");
        power.hear("stagegate", "error: nic: stopped after a crash");
        assert_eq!(power.vms, [VmState::Off, VmState::Crashed]);
        power.hear(
            "stagegate",
            "@sg master igb vm=nic streams=256 active=1 idle=2 faults=3",
        );
        assert_eq!(power.masters[1].faults, Some(3));
        power.hear("nic", "@sg master nvme vm=disk faults=9");
        assert_eq!(
            power.masters[0].faults, None,
            "a guest does not speak for others"
        );
    }
}

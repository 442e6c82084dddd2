//! What there is to watch: VMs, SMMUs with the GPIO lines that gate their
//! clocks, and masters with the PCI functions they are.
use crate::command::Survey;
use platform::config::{DeviceConfig, DeviceKind, Inputs, PowerSource};
use platform::facts::reference::{CLOCKS, references, supplies};
use platform::facts::{Smmu, Supply};
use platform::fdt::{Blob, FdtError};
use platform::supply::gpio::ACTIVE_LOW;
use platform::tree::{NodeId, Tree};

/// An SMMU, or one of its TBUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// The line that gates its clock. `None`: nothing switches it that can be
    /// seen from outside.
    pub gate: Option<Gate>,
}

/// A GPIO line in front of a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// Number of the line.
    pub line: u64,
    /// The clock runs while it is low.
    pub active_low: bool,
}

/// A DMA master given to a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Master {
    /// Its name.
    pub name: String,
    /// Its owner.
    pub vm: String,
    /// The SMMUs and TBUs it needs: indexes into [`Layout::units`].
    pub units: Vec<usize>,
    /// What is known of its activity from outside.
    pub seen: Seen,
}

/// How a master's activity can be seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// By its D-state and bus-master bit: a PCI function with this requester id.
    Function(u16),
    /// It never sleeps.
    Always,
    /// Its guest tells the hypervisor by other ways.
    Unseen,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// Names of the VMs.
    pub vms: Vec<String>,
    /// SMMUs, each followed by its TBUs.
    pub units: Vec<Unit>,
    /// Masters.
    pub masters: Vec<Master>,
}

impl Layout {
    /// The layout of a configured board. SMMUs without a master are left out.
    #[must_use]
    pub fn of(survey: &Survey<'_>) -> Self {
        let names = survey.plan.vms.iter().map(|vm| vm.name.clone());
        let mut layout = Self {
            vms: names.collect(),
            ..Self::default()
        };
        let mut places = Vec::new();
        for config in survey.plan.smmus.iter().filter(|s| !s.masters.is_empty()) {
            let Some(smmu) = survey.board.smmus.get(config.smmu) else {
                continue;
            };
            places.push((config.smmu, layout.units.len()));
            let gate = |on: bool, clocks| on.then(|| gate(&survey.tree, clocks)).flatten();
            let own = gate(!config.always_on, &smmu.clocks);
            layout.add(&config.name, own);
            for tbu in &config.tbus {
                let clocks = smmu.tbus.get(tbu.tbu).map_or(&[][..], |t| &t.clocks);
                layout.add(&tbu.name, gate(!tbu.always_on, clocks));
            }
        }
        for vm in &survey.plan.vms {
            for device in vm.devices.iter().filter(|d| !d.is_untranslated()) {
                layout.masters.push(Master {
                    name: device.name.clone(),
                    vm: vm.name.clone(),
                    units: units(survey, device, &places),
                    seen: seen(device),
                });
            }
        }
        layout
    }

    /// The layout of a merged device tree.
    ///
    /// # Errors
    /// The tree is damaged.
    pub fn read(tree: &[u8]) -> Result<Self, FdtError> {
        let blob = Blob::check(tree)?;
        Ok(Self::of(&Survey::new(blob, Inputs::default())))
    }

    fn add(&mut self, name: &str, gate: Option<Gate>) {
        let name = name.rsplit('/').next().unwrap_or(name).into();
        self.units.push(Unit { name, gate });
    }
}

/// The units in front of a device; `places` says where each SMMU stands.
fn units(survey: &Survey<'_>, device: &DeviceConfig, places: &[(usize, usize)]) -> Vec<usize> {
    let mut units = Vec::new();
    for stream in &device.streams {
        let index = survey.board.smmu_at(stream.smmu);
        let smmu = index.and_then(|i| survey.board.smmus.get(i));
        let place = places.iter().find(|(smmu, _)| Some(*smmu) == index);
        if let (Some(smmu), Some(&(_, place))) = (smmu, place) {
            let tbu = Smmu::tbu_of(smmu, stream.id).map(|tbu| place + 1 + tbu);
            units.extend([Some(place), tbu].into_iter().flatten());
        }
    }
    units.sort_unstable();
    units.dedup();
    units
}

fn seen(device: &DeviceConfig) -> Seen {
    match (&device.kind, device.power_sources.as_slice()) {
        (_, [PowerSource::AlwaysOn]) => Seen::Always,
        (DeviceKind::Pci { rid, .. }, [PowerSource::PciPm]) => Seen::Function(*rid),
        _ => Seen::Unseen,
    }
}

/// The first GPIO line that one of these clocks, or what they come from, hangs
/// on.
fn gate(tree: &Tree<'_>, clocks: &[Supply]) -> Option<Gate> {
    /// Deeper chains of clocks are rings.
    const DEPTH: usize = 16;
    let mut level: Vec<NodeId> = clocks.iter().map(|c| c.provider).collect();
    for _ in 0..DEPTH {
        if let Some(gate) = level.iter().find_map(|id| line(tree, *id)) {
            return Some(gate);
        }
        let parents = level.iter().flat_map(|id| supplies(tree, *id, CLOCKS));
        level = parents.flatten().map(|s| s.provider).collect();
    }
    None
}

fn line(tree: &Tree<'_>, id: NodeId) -> Option<Gate> {
    let node = tree.node(id);
    let lines = node.property("enable-gpios")?;
    let lines = references(tree, lines, "#gpio-cells").ok()?;
    let first = lines.into_iter().flatten().next()?;
    Some(Gate {
        line: u64::from(*first.args.first()?),
        active_low: first
            .args
            .get(1)
            .is_some_and(|flags| flags & ACTIVE_LOW != 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::merged;
    use platform::report::Report;
    use std::path::{Path, PathBuf};

    #[test]
    fn the_tests_board_is_understood() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        let overlays: Vec<PathBuf> = vec![data.join("good.dtso")];
        let bytes = merged(&data.join("board.dts"), &overlays, &mut Report::new());
        let bytes = bytes.unwrap().unwrap();
        let layout = Layout::read(&bytes).unwrap();
        assert_eq!(layout.vms, ["net", "disk"]);
        let gate = Gate {
            line: 5,
            active_low: false,
        };
        let gated = layout.units.iter().find(|u| u.gate == Some(gate));
        assert!(gated.is_some(), "{layout:#?}");
        let nvme = layout.masters.iter().find(|m| m.name == "nvme").unwrap();
        assert_eq!((nvme.vm.as_str(), nvme.seen), ("disk", Seen::Function(16)));
        assert_eq!(nvme.units, [0]);
    }
}

//! What is drawn: boxes in columns, and links between them.
use crate::command::Survey;
use platform::config::SmmuConfig;
use platform::facts::stream::{iommus, masters};
use platform::facts::{Smmu, StreamId};
use platform::probe::{Role, State};
use platform::tree::NodeId;
use std::collections::BTreeMap;

/// What a box stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Supplier,
    Smmu,
    Tbu,
    Master,
    Vm,
}

/// A box.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) title: String,
    pub(super) note: String,
    pub(super) sort: Sort,
    /// Works, as far as a check can tell.
    pub(super) fine: bool,
    pub(super) column: usize,
}

/// A link from supplier to consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) from: usize,
    pub(super) to: usize,
}

/// Everything that is drawn.
#[derive(Debug, Default)]
pub(super) struct Picture {
    pub(super) title: String,
    pub(super) shapes: Vec<Shape>,
    pub(super) links: Vec<Link>,
}

impl Picture {
    /// The picture of a survey. Without a configuration, all masters of the
    /// board are drawn.
    pub(super) fn of(survey: &Survey<'_>) -> Self {
        let mut picture = Self {
            title: survey.board.model.clone(),
            ..Self::default()
        };
        let places = picture.devices(survey);
        if survey.plan.vms.is_empty() {
            picture.board_masters(survey, &places);
        } else {
            picture.vms(survey, &places);
        }
        picture.columns();
        picture
    }

    fn add(&mut self, title: impl Into<String>, note: String, sort: Sort, fine: bool) -> usize {
        self.shapes.push(Shape {
            title: title.into(),
            note,
            sort,
            fine,
            column: 0,
        });
        self.shapes.len() - 1
    }

    fn link(&mut self, from: usize, to: usize) {
        let link = Link { from, to };
        if !self.links.contains(&link) {
            self.links.push(link);
        }
    }

    /// Suppliers, SMMUs and TBUs from the probe graph. Disabled SMMUs stay out
    /// of the picture.
    fn devices(&mut self, survey: &Survey<'_>) -> BTreeMap<NodeId, usize> {
        let mut shapes: BTreeMap<usize, usize> = BTreeMap::new();
        let mut places = BTreeMap::new();
        let devices = survey.graph.devices();
        for (index, (device, entry)) in devices.iter().zip(&survey.entries).enumerate() {
            let (sort, note) = match entry.role {
                Role::Supplier => (Sort::Supplier, String::new()),
                Role::Smmu(s) => (Sort::Smmu, smmu_note(survey, s)),
                Role::Tbu(s, t) => (Sort::Tbu, tbu_note(survey, s, t)),
                Role::PciHost(_) | Role::Master(..) => continue,
            };
            if device.state == State::Disabled && sort != Sort::Supplier {
                continue;
            }
            let fine = device.state == State::Ready;
            let note = if fine {
                note
            } else {
                survey.graph.outcome(index)
            };
            let shape = self.add(short(&device.name), note, sort, fine);
            shapes.insert(index, shape);
            places.entry(entry.node).or_insert(shape);
        }
        for (index, device) in devices.iter().enumerate() {
            for link in &device.links {
                if let (Some(&from), Some(&to)) = (shapes.get(&link.supplier), shapes.get(&index)) {
                    self.link(from, to);
                }
            }
        }
        places
    }

    fn vms(&mut self, survey: &Survey<'_>, places: &BTreeMap<NodeId, usize>) {
        for vm in &survey.plan.vms {
            let note = format!("{} CPUs, {} MiB", vm.cpus, vm.memory >> 20);
            let vm_shape = self.add(&vm.name, note, Sort::Vm, true);
            for device in &vm.devices {
                let evidence: Vec<&str> = device.power_sources.iter().map(|s| s.name()).collect();
                let fine = !device.bypass;
                let note = if fine {
                    evidence.join(", ")
                } else {
                    "BYPASS".into()
                };
                let shape = self.add(&device.name, note, Sort::Master, fine);
                self.link(shape, vm_shape);
                self.streams(survey, &device.streams, shape, places);
            }
        }
    }

    fn board_masters(&mut self, survey: &Survey<'_>, places: &BTreeMap<NodeId, usize>) {
        for id in masters(&survey.tree) {
            let streams = match survey.board.pci_host_at(id) {
                Some(host) => {
                    let host = survey.board.pci_hosts.get(host);
                    let map = host.into_iter().flat_map(|h| &h.iommu_map);
                    map.map(|r| StreamId {
                        smmu: r.target,
                        id: r.base,
                        mask: 0,
                    })
                    .collect()
                }
                None => iommus(&survey.tree, id).unwrap_or_default(),
            };
            if streams.iter().any(|s| places.contains_key(&s.smmu)) {
                let enabled = survey.tree.is_enabled(id);
                let note = if enabled {
                    String::new()
                } else {
                    "disabled".into()
                };
                let path = survey.tree.path(id);
                let shape = self.add(short(&path), note, Sort::Master, enabled);
                self.streams(survey, &streams, shape, places);
            }
        }
    }

    /// Links a master to the TBU, or SMMU, in front of each stream, and names
    /// the streams in its box.
    fn streams(
        &mut self,
        survey: &Survey<'_>,
        streams: &[StreamId],
        to: usize,
        places: &BTreeMap<NodeId, usize>,
    ) {
        for stream in streams {
            let smmu = survey
                .board
                .smmu_at(stream.smmu)
                .and_then(|i| survey.board.smmus.get(i));
            let unit = smmu.and_then(|s: &Smmu| Some(s.tbus.get(s.tbu_of(stream.id)?)?.node));
            let front = unit
                .and_then(|u| places.get(&u))
                .or_else(|| places.get(&stream.smmu));
            if let Some(&from) = front {
                self.link(from, to);
            }
        }
        let ids: Vec<String> = streams.iter().map(ToString::to_string).collect();
        if let Some(shape) = self.shapes.get_mut(to).filter(|_| !ids.is_empty()) {
            let gap = if shape.note.is_empty() { "" } else { "; " };
            shape.note = format!("stream {}{gap}{}", ids.join(", "), shape.note);
        }
    }

    /// A box stands right of everything that supplies it; masters and VMs have
    /// columns of their own.
    fn columns(&mut self) {
        for _ in 0..self.shapes.len() {
            let mut moved = false;
            for link in &self.links {
                let from = self.shapes.get(link.from).map_or(0, |s| s.column);
                if let Some(to) = self.shapes.get_mut(link.to)
                    && to.column <= from
                    && from < 12
                {
                    to.column = from + 1;
                    moved = true;
                }
            }
            if !moved {
                break;
            }
        }
        let suppliers = self.shapes.iter().filter(|s| s.sort == Sort::Supplier);
        let smmus = suppliers.map(|s| s.column + 1).max().unwrap_or(0);
        let has_tbus = self.shapes.iter().any(|s| s.sort == Sort::Tbu);
        let masters = smmus + 1 + usize::from(has_tbus);
        for shape in &mut self.shapes {
            match shape.sort {
                Sort::Supplier => {}
                Sort::Smmu => shape.column = smmus,
                Sort::Tbu => shape.column = smmus + 1,
                Sort::Master => shape.column = masters,
                Sort::Vm => shape.column = masters + 1,
            }
        }
    }
}

fn smmu_note(survey: &Survey<'_>, index: usize) -> String {
    let config = survey.plan.smmus.iter().find(|s| s.smmu == index);
    config.map_or_else(String::new, delays)
}

fn delays(config: &SmmuConfig) -> String {
    if config.masters.is_empty() {
        return "no masters".into();
    }
    if config.always_on {
        return "always on".into();
    }
    let gate = format!("gate {}", time(config.idle_delay_us));
    config
        .off_delay_us
        .map_or_else(|| gate.clone(), |off| format!("{gate}, off {}", time(off)))
}

fn time(us: u64) -> String {
    match us {
        us if us >= 1_000_000 && us.is_multiple_of(1_000_000) => format!("{} s", us / 1_000_000),
        us if us >= 1_000 && us.is_multiple_of(1_000) => format!("{} ms", us / 1_000),
        us => format!("{us} us"),
    }
}

fn tbu_note(survey: &Survey<'_>, smmu: usize, tbu: usize) -> String {
    let tbu = survey.board.smmus.get(smmu).and_then(|s| s.tbus.get(tbu));
    tbu.map_or_else(String::new, |t| {
        let last = t.first_stream.saturating_add(t.streams.saturating_sub(1));
        format!("streams {:#x}-{last:#x}", t.first_stream)
    })
}

/// The last part of a path, which is what people call a device.
fn short(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

//! What is drawn: boxes in columns, and links between them.
use crate::command::Survey;
use platform::config::SmmuConfig;
use platform::facts::stream::{iommus, masters};
use platform::facts::{Smmu, SmmuKind, StreamId};
use platform::probe::{Role, State};
use platform::tree::NodeId;
use std::collections::{BTreeMap, BTreeSet};

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
    /// A third line; may be empty.
    pub(super) more: String,
    pub(super) sort: Sort,
    pub(super) mark: Mark,
    pub(super) column: usize,
}

/// Whether a box works, as far as a check can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Fine,
    /// It does not come up, or passes its SMMU.
    Bad,
    /// The tree disables it.
    Off,
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
        picture.reduce();
        picture.columns();
        picture
    }

    /// All boxes of a sort.
    pub(super) fn of_sort(&self, sort: Sort) -> Vec<usize> {
        let shapes = self.shapes.iter().enumerate();
        let some = shapes.filter(|(_, shape)| shape.sort == sort);
        some.map(|(index, _)| index).collect()
    }

    /// The first SMMU or TBU that a TBU or master is linked to: its band is
    /// where the box stands.
    pub(super) fn owner(&self, shape: usize) -> Option<usize> {
        let mut above = self.links.iter().filter(|l| l.to == shape);
        let owns = |sort| matches!(sort, Sort::Smmu | Sort::Tbu);
        above
            .find(|l| self.shapes.get(l.from).is_some_and(|s| owns(s.sort)))
            .map(|l| l.from)
    }

    /// The boxes of a sort that stand in the band of `owner`.
    pub(super) fn owned(&self, owner: usize, sort: Sort) -> Vec<usize> {
        let mut list = self.of_sort(sort);
        list.retain(|&shape| self.owner(shape) == Some(owner));
        list
    }

    fn add(&mut self, title: impl Into<String>, note: String, sort: Sort, mark: Mark) -> usize {
        self.shapes.push(Shape {
            title: title.into(),
            note,
            more: String::new(),
            sort,
            mark,
            column: 0,
        });
        self.shapes.len() - 1
    }

    /// Leaves out each link that other links imply.
    fn reduce(&mut self) {
        let all = self.links.clone();
        let implied = |link: &Link| {
            let mut seen = BTreeSet::new();
            let mut open: Vec<usize> = vec![link.from];
            while let Some(at) = open.pop() {
                for next in all.iter().filter(|l| l.from == at && *l != link) {
                    if next.to == link.to {
                        return true;
                    }
                    if seen.insert(next.to) {
                        open.push(next.to);
                    }
                }
            }
            false
        };
        // In a ring each link would imply the others: there all stay.
        let ring = self
            .shapes
            .iter()
            .any(|s| s.note.contains("waits for itself"));
        if !ring {
            self.links.retain(|link| !implied(link));
        }
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
            let (note, mark) = match device.state {
                State::Ready => (note, Mark::Fine),
                State::Disabled => ("disabled".into(), Mark::Off),
                _ => (survey.graph.outcome(index), Mark::Bad),
            };
            let shape = self.add(short(&device.name), note, sort, mark);
            if let Some(shape) = self.shapes.get_mut(shape) {
                shape.more = match entry.role {
                    Role::Smmu(s) => survey.board.smmus.get(s).map_or("".into(), kind),
                    Role::Tbu(s, t) => tbu_streams(survey, s, t),
                    _ => String::new(),
                };
            }
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
            let vm_shape = self.add(&vm.name, note, Sort::Vm, Mark::Fine);
            for device in &vm.devices {
                let evidence: Vec<&str> = device.power_sources.iter().map(|s| s.name()).collect();
                let (note, mark) = match device.bypass {
                    false => (evidence.join(", "), Mark::Fine),
                    true => ("BYPASSES its SMMU".into(), Mark::Bad),
                };
                let shape = self.add(&device.name, note, Sort::Master, mark);
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
                let (note, mark) = match survey.tree.is_enabled(id) {
                    true => (String::new(), Mark::Fine),
                    false => ("disabled".into(), Mark::Off),
                };
                let path = survey.tree.path(id);
                let shape = self.add(short(&path), note, Sort::Master, mark);
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
        if let Some(shape) = self.shapes.get_mut(to).filter(|_| !streams.is_empty()) {
            let text = format!("stream {}", stream_list(streams));
            shape.more = std::mem::replace(&mut shape.note, text);
        }
    }

    /// A supplier stands as near as it can to what it supplies; SMMUs, TBUs,
    /// masters and VMs have columns of their own.
    fn columns(&mut self) {
        const DEEPEST: usize = 8;
        let suppliers: BTreeSet<usize> = self.of_sort(Sort::Supplier).into_iter().collect();
        // How many suppliers stand between each and its SMMU.
        let mut depth = vec![0; self.shapes.len()];
        for _ in 0..DEEPEST {
            for link in &self.links {
                let both = suppliers.contains(&link.from) && suppliers.contains(&link.to);
                let below = depth.get(link.to).copied().unwrap_or(0);
                if let Some(depth) = depth.get_mut(link.from).filter(|_| both) {
                    *depth = (below + 1).max(*depth).min(DEEPEST);
                }
            }
        }
        let deepest = suppliers.iter().filter_map(|&s| depth.get(s)).max();
        let smmus = deepest.map_or(0, |deepest| deepest + 1);
        let has_tbus = self.shapes.iter().any(|s| s.sort == Sort::Tbu);
        let masters = smmus + 1 + usize::from(has_tbus);
        for (shape, depth) in self.shapes.iter_mut().zip(depth) {
            shape.column = match shape.sort {
                Sort::Supplier => smmus - 1 - depth,
                Sort::Smmu => smmus,
                Sort::Tbu => smmus + 1,
                Sort::Master => masters,
                Sort::Vm => masters + 1,
            };
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
    let config = survey.plan.smmus.iter().find(|s| s.smmu == smmu);
    let tbu = config.and_then(|c| c.tbus.iter().find(|t| t.tbu == tbu));
    tbu.map_or_else(String::new, |tbu| match tbu.always_on {
        true => "always on".into(),
        false => format!("gate {}", time(tbu.idle_delay_us)),
    })
}

fn tbu_streams(survey: &Survey<'_>, smmu: usize, tbu: usize) -> String {
    let tbu = survey.board.smmus.get(smmu).and_then(|s| s.tbus.get(tbu));
    tbu.map_or_else(String::new, |t| {
        let last = t.first_stream.saturating_add(t.streams.saturating_sub(1));
        format!("streams {:#x}–{last:#x}", t.first_stream)
    })
}

fn kind(smmu: &Smmu) -> String {
    let version = match smmu.kind {
        SmmuKind::V1 => "SMMUv1",
        SmmuKind::V2 => "SMMUv2",
        SmmuKind::V3 => "SMMUv3",
    };
    let gpu = if smmu.adreno { ", GPU" } else { "" };
    format!("{version} ({:?}{gpu})", smmu.model)
}

/// Stream ids, those in a row as one range.
fn stream_list(streams: &[StreamId]) -> String {
    let mut list: Vec<(StreamId, u32)> = Vec::new();
    for stream in streams {
        match list.last_mut() {
            Some((first, last))
                if first.smmu == stream.smmu
                    && first.mask | stream.mask == 0
                    && last.checked_add(1) == Some(stream.id) =>
            {
                *last = stream.id;
            }
            _ => list.push((*stream, stream.id)),
        }
    }
    let one = |&(first, last): &(StreamId, u32)| match first.id == last {
        true => first.to_string(),
        false => format!("{first}–{last:#x}"),
    };
    list.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The last part of a path, which is what people call a device.
fn short(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

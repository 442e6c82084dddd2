//! The board's SMMUs and what powers them.
use super::interrupt::{Irq, interrupts};
use super::reference::{CLOCKS, POWER_DOMAINS, ReferenceError, Supply, supplies};
use super::regions;
use super::stream::StreamId;
use crate::fdt::Node;
use crate::region::Region;
use crate::report::Report;
use crate::tree::{NodeId, Tree};
use alloc::string::String;
use alloc::vec::Vec;

/// Architecture of an SMMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SmmuKind {
    /// SMMUv1 (IHI 0062), MMU-400 and MMU-401.
    V1,
    /// SMMUv2 (IHI 0062), MMU-500 and vendors' own.
    V2,
    /// SMMUv3 (IHI 0070).
    V3,
}

/// Implementation, as far as its errata and habits differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SmmuModel {
    /// Nothing known beyond the architecture.
    Generic,
    /// Arm MMU-400.
    Mmu400,
    /// Arm MMU-401.
    Mmu401,
    /// Arm MMU-500.
    Mmu500,
    /// Marvell's MMU-500: no 64-bit accesses (erratum 582743).
    MarvellAp806,
    /// NVIDIA's MMU-500: several instances programmed alike.
    NvidiaMmu500,
    /// Cavium CN88xx (erratum 27704).
    Cavium,
    /// Qualcomm's own SMMUv2.
    QcomV2,
    /// Qualcomm's MMU-500.
    QcomMmu500,
}

/// An SMMU as the tree describes it.
#[derive(Debug, Clone)]
pub struct Smmu {
    /// Its node.
    pub node: NodeId,
    /// Its path.
    pub path: String,
    /// Architecture.
    pub kind: SmmuKind,
    /// Implementation.
    pub model: SmmuModel,
    /// In front of a Qualcomm Adreno GPU.
    pub adreno: bool,
    /// Enabled, with all nodes above it.
    pub enabled: bool,
    /// Its registers; several only where instances are programmed alike.
    pub registers: Vec<Region>,
    /// All interrupts in order; on v1 and v2 the first `global_interrupts` are
    /// global, the rest one per context bank.
    pub irqs: Vec<Option<Irq>>,
    /// v3: names of `irqs` (eventq, gerror, priq, cmdq-sync, combined).
    pub irq_names: Vec<String>,
    /// v1 and v2: `#global-interrupts`.
    pub global_interrupts: usize,
    /// `#iommu-cells`.
    pub iommu_cells: usize,
    /// `stream-match-mask`, stream id bits that never matter.
    pub stream_match_mask: u16,
    /// Walks its tables through the caches.
    pub coherent: bool,
    /// Clocks in the order they are to be started.
    pub clocks: Vec<Supply>,
    /// Power domains.
    pub power_domains: Vec<Supply>,
    /// Translation units with a supply of their own.
    pub tbus: Vec<Tbu>,
}

/// A translation buffer unit in a clock or power domain of its own.
#[derive(Debug, Clone)]
pub struct Tbu {
    /// Its node.
    pub node: NodeId,
    /// Its path.
    pub path: String,
    /// The property that names its streams.
    pub range: &'static str,
    /// First stream id that goes through it.
    pub first_stream: u32,
    /// Number of stream ids.
    pub streams: u32,
    /// Its clocks.
    pub clocks: Vec<Supply>,
    /// Its power domains.
    pub power_domains: Vec<Supply>,
}

impl Tbu {
    /// Whether the stream id goes through it.
    #[must_use]
    pub fn serves(&self, stream: u32) -> bool {
        stream
            .checked_sub(self.first_stream)
            .is_some_and(|offset| offset < self.streams)
    }

    /// Whether one of the ids from `first` to `last` goes through it.
    #[must_use]
    pub fn meets(&self, first: u32, last: u32) -> bool {
        let end = u64::from(self.first_stream).saturating_add(self.streams.into());
        u64::from(first) < end && self.first_stream <= last && self.streams > 0
    }
}

/// Compatible strings, most specific first.
const MODELS: &[(&str, SmmuKind, SmmuModel)] = &[
    (
        "marvell,ap806-smmu-500",
        SmmuKind::V2,
        SmmuModel::MarvellAp806,
    ),
    ("nvidia,smmu-500", SmmuKind::V2, SmmuModel::NvidiaMmu500),
    ("cavium,smmu-v2", SmmuKind::V2, SmmuModel::Cavium),
    ("qcom,smmu-500", SmmuKind::V2, SmmuModel::QcomMmu500),
    ("qcom,smmu-v2", SmmuKind::V2, SmmuModel::QcomV2),
    ("arm,mmu-500", SmmuKind::V2, SmmuModel::Mmu500),
    ("arm,mmu-401", SmmuKind::V1, SmmuModel::Mmu401),
    ("arm,mmu-400", SmmuKind::V1, SmmuModel::Mmu400),
    ("arm,smmu-v3", SmmuKind::V3, SmmuModel::Generic),
    ("arm,smmu-v2", SmmuKind::V2, SmmuModel::Generic),
    ("arm,smmu-v1", SmmuKind::V1, SmmuModel::Generic),
];

/// Kind and implementation of the SMMU a node describes, if it is one.
#[must_use]
pub fn model(node: &Node<'_>) -> Option<(SmmuKind, SmmuModel)> {
    let compatible = node.property("compatible")?;
    let &(_, kind, model) = MODELS.iter().find(|(name, ..)| node.is_compatible(name))?;
    let by_qualcomm = compatible.strings().any(|s| s.starts_with("qcom,"));
    match model {
        SmmuModel::Mmu500 if by_qualcomm => Some((kind, SmmuModel::QcomMmu500)),
        _ => Some((kind, model)),
    }
}

pub(super) fn read(tree: &Tree<'_>, report: &mut Report) -> Vec<Smmu> {
    let mut list: Vec<Smmu> = tree
        .ids()
        .filter_map(|id| Some((id, model(&tree.node(id))?)))
        .map(|(id, (kind, model))| smmu(tree, id, kind, model, report))
        .collect();
    for (owner, tbu) in tbus(tree, report) {
        if let Some(smmu) = list.iter_mut().find(|s| s.node == owner) {
            smmu.tbus.push(tbu);
        }
    }
    list
}

fn smmu(
    tree: &Tree<'_>,
    id: NodeId,
    kind: SmmuKind,
    model: SmmuModel,
    report: &mut Report,
) -> Smmu {
    let node = tree.node(id);
    let path = tree.path(id);
    let names = node.property("interrupt-names");
    let mask = node.property("stream-match-mask").and_then(|p| p.u32());
    Smmu {
        kind,
        model,
        adreno: node.is_compatible("qcom,adreno-smmu"),
        enabled: tree.is_enabled(id),
        registers: regions(tree, id).into_iter().flatten().collect(),
        irqs: interrupts(tree, id),
        irq_names: names
            .map(|p| p.strings().map(String::from).collect())
            .unwrap_or_default(),
        global_interrupts: node.cells("#global-interrupts").unwrap_or(0),
        iommu_cells: node.cells("#iommu-cells").unwrap_or(0),
        stream_match_mask: mask.and_then(|m| u16::try_from(m).ok()).unwrap_or(0),
        coherent: tree.inherited(id, "dma-coherent").is_some(),
        clocks: listed(tree, id, &path, CLOCKS, report),
        power_domains: listed(tree, id, &path, POWER_DOMAINS, report),
        tbus: Vec::new(),
        node: id,
        path,
    }
}

/// Supplies, or a finding and none.
pub(crate) fn listed(
    tree: &Tree<'_>,
    id: NodeId,
    path: &str,
    which: (&str, &str, &str),
    report: &mut Report,
) -> Vec<Supply> {
    supplies(tree, id, which).unwrap_or_else(|error: ReferenceError| {
        let remedy = "correct the list, or the base tree it refers to";
        let what = error.told(tree, tree.node(id).property(which.0), which.1);
        report.error("supply", (path, which.0), what, remedy);
        Vec::new()
    })
}

/// Property that ties a TBU to the streams behind it: SMMU, first id, count.
const TBU_RANGES: [&str; 2] = ["qcom,stream-id-range", TBU_RANGE];
/// Ours among them.
pub(crate) const TBU_RANGE: &str = "stagegate,stream-id-range";

fn tbus(tree: &Tree<'_>, report: &mut Report) -> Vec<(NodeId, Tbu)> {
    let mut list = Vec::new();
    for id in tree.ids() {
        let node = tree.node(id);
        let named = TBU_RANGES
            .iter()
            .find_map(|&n| Some((n, node.property(n)?)));
        let Some((name, range)) = named.filter(|_| tree.is_enabled(id)) else {
            continue;
        };
        let path = tree.path(id);
        let owner = range.cell(0).and_then(|p| tree.by_phandle(p));
        let (Some(owner), Some(first), Some(count)) = (owner, range.cell(1), range.cell(2)) else {
            let remedy = "write <&smmu first-id count>";
            report.error(
                "tbu-range",
                (&path, name),
                "not a range of stream ids",
                remedy,
            );
            continue;
        };
        list.push((
            owner,
            Tbu {
                node: id,
                range: name,
                first_stream: first,
                streams: count,
                clocks: listed(tree, id, &path, CLOCKS, report),
                power_domains: listed(tree, id, &path, POWER_DOMAINS, report),
                path,
            },
        ));
    }
    list
}

/// The ids of a masked stream are not all behind one TBU, or some are behind
/// none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitStream;

impl Smmu {
    /// Index of the TBU in front of a stream id.
    #[must_use]
    pub fn tbu_of(&self, stream: u32) -> Option<usize> {
        self.tbus.iter().position(|tbu| tbu.serves(stream))
    }

    /// Index of the TBU in front of all ids of a stream.
    ///
    /// # Errors
    /// [`SplitStream`].
    pub fn tbu_before(&self, stream: &StreamId) -> Result<Option<usize>, SplitStream> {
        let (first, last) = stream.span();
        // Ranges have no holes: what holds both ends holds all between them.
        // One that holds neither may still lie between them.
        let tbu = self.tbu_of(first);
        let whole = match tbu.and_then(|index| self.tbus.get(index)) {
            Some(tbu) => tbu.serves(last),
            None => !self.tbus.iter().any(|tbu| tbu.meets(first, last)),
        };
        if whole { Ok(tbu) } else { Err(SplitStream) }
    }

    /// Whether anything can be switched off: itself, not its TBUs.
    #[must_use]
    pub fn is_switchable(&self) -> bool {
        !self.clocks.is_empty() || !self.power_domains.is_empty()
    }

    /// Clocks and power domains of its own and of its TBUs.
    pub fn supplies(&self) -> impl Iterator<Item = &Supply> {
        let own = self.clocks.iter().chain(&self.power_domains);
        own.chain(
            self.tbus
                .iter()
                .flat_map(|tbu| tbu.clocks.iter().chain(&tbu.power_domains)),
        )
    }
}

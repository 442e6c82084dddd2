//! What a node says, read a second time and in another way than `platform`
//! does: straight from the cells, as the bindings have it.

use platform::tree::{NodeId, Tree};
use smmu::v2::Implementation;

/// Whose part it is, as Linux decides it: the first string of `compatible` that
/// it has a driver for tells the architecture (`arm_smmu_of_match`), and any of
/// Qualcomm's own among them the implementation (`qcom_smmu_impl_init`).
/// `None`: an SMMUv3.
pub fn implementation(tree: &Tree<'_>, id: NodeId) -> Option<Option<Implementation>> {
    let compatible = tree.node(id).property("compatible")?;
    let names: Vec<&str> = compatible.strings().collect();
    let by_qualcomm = names.iter().any(|name| name.starts_with("qcom,"));
    let known = |name: &&str| {
        Some(match *name {
            "arm,smmu-v3" => None,
            "arm,smmu-v1" => Some(Implementation::GenericV1),
            "arm,smmu-v2" => Some(Implementation::GenericV2),
            "arm,mmu-400" => Some(Implementation::Mmu400),
            "arm,mmu-401" => Some(Implementation::Mmu401),
            "qcom,smmu-500" | "arm,mmu-500" if by_qualcomm => Some(Implementation::QcomMmu500),
            "arm,mmu-500" => Some(Implementation::Mmu500),
            "marvell,ap806-smmu-500" => Some(Implementation::MarvellAp806),
            "nvidia,smmu-500" => Some(Implementation::NvidiaMmu500),
            "cavium,smmu-v2" => Some(Implementation::Cavium),
            "qcom,smmu-v2" => Some(Implementation::QcomV2),
            _ => return None,
        })
    };
    names.iter().find_map(known)
}

/// One entry of a list: the provider and its cells.
pub type Reference = (NodeId, Vec<u32>);

/// A list of phandles with as many cells each as the provider's `cells` says.
pub fn references(tree: &Tree<'_>, id: NodeId, list: &str, cells: &str) -> Vec<Reference> {
    let Some(property) = tree.node(id).property(list) else {
        return Vec::new();
    };
    let mut rest = property.cells();
    let mut found = Vec::new();
    while let Some(phandle) = rest.next() {
        if phandle == 0 {
            continue;
        }
        let provider = tree.by_phandle(phandle).expect("a phandle of the tree");
        let count = tree.node(provider).property(cells).and_then(|p| p.u32());
        let args = rest.by_ref().take(count.unwrap_or(0) as usize).collect();
        found.push((provider, args));
    }
    found
}

/// The GIC's numbers of its interrupts: those by a wire to the GIC itself, with
/// whether they are edges; `None` for others.
pub fn interrupts(tree: &Tree<'_>, id: NodeId) -> Vec<Option<(u32, bool)>> {
    let Some(property) = tree.node(id).property("interrupts") else {
        return Vec::new();
    };
    let parent = tree.inherited(id, "interrupt-parent").and_then(|p| p.u32());
    let parent = parent.and_then(|p| tree.by_phandle(p)).expect("a parent");
    let width = tree.node(parent).property("#interrupt-cells");
    let width = width.and_then(|p| p.u32()).expect("its cells") as usize;
    let gic = ["arm,gic-v3", "arm,gic-400", "arm,cortex-a15-gic"];
    let direct = gic.iter().any(|gic| tree.node(parent).is_compatible(gic));
    let cells: Vec<u32> = property.cells().collect();
    let number = |cells: &[u32]| match (direct, cells) {
        (true, &[0, number, flags, ..]) => Some((32 + number, flags & 0b11 != 0)),
        (true, &[1, number, flags, ..]) => Some((16 + number, flags & 0b11 != 0)),
        _ => None,
    };
    cells.chunks(width).map(number).collect()
}

/// Streams of `master` at `smmu`: id, and bits of it that do not matter
/// (`arm,smmu.yaml`: the mask is the second cell, or the upper half of the one).
pub fn streams(tree: &Tree<'_>, master: NodeId, smmu: NodeId) -> Vec<(u32, u32)> {
    let common = tree.node(smmu).property("stream-match-mask");
    let common = common.and_then(|p| p.u32()).unwrap_or(0);
    let three = tree.node(smmu).is_compatible("arm,smmu-v3");
    let one = |args: &[u32]| match *args {
        [id] if three => (id, 0),
        [id] => (id & 0xffff, id >> 16 | common),
        [id, mask] => (id, mask | common),
        _ => panic!("{} cells", args.len()),
    };
    let list = references(tree, master, "iommus", "#iommu-cells").into_iter();
    let here = list.filter(|(provider, _)| *provider == smmu);
    let platform = here.map(|(_, args)| one(&args));
    let map = tree.node(master).property("iommu-map");
    let map: Vec<u32> = map.map(|p| p.cells().collect()).unwrap_or_default();
    let lines = map.chunks(4).filter_map(|line| match *line {
        [_, to, base, count] if tree.by_phandle(to) == Some(smmu) && count > 0 => {
            Some([(base, common), (base + count - 1, common)])
        }
        _ => None,
    });
    // AMD's Seattle maps all 16 bits of requester ids; its MMU-401 takes 15.
    let there = |(id, _): &(u32, u32)| three || *id < 0x8000;
    platform.chain(lines.flatten().filter(there)).collect()
}

//! The streams of a device given to a VM, and what if there are none.
use super::device::DeviceKind;
use super::{Reader, ownership};
use crate::facts::StreamId;
use crate::facts::stream::iommus;
use crate::tree::NodeId;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The device's streams, and why it must not run without. A device that is to
/// bypass its SMMU has streams too: without a word to the SMMU they terminate.
pub(super) fn read(
    r: &mut Reader<'_, '_>,
    id: NodeId,
    kind: &DeviceKind,
    bypass: bool,
    optional: bool,
) -> Vec<StreamId> {
    if bypass {
        let what = "its DMA is not translated: the VM can reach all memory";
        r.warning(
            "bypass",
            (id, "stagegate,bypass"),
            what,
            "remove it to protect the others",
        );
    }
    let (mut found, property) = match kind {
        DeviceKind::Pci { host, rid, .. } => {
            let stream = r.board.pci_hosts.get(*host).and_then(|h| h.stream(*rid));
            (stream.into_iter().collect(), "iommu-map")
        }
        DeviceKind::Platform { node, path, .. } => match iommus(r.tree, *node) {
            Ok(streams) => (streams, "iommus"),
            Err(error) => {
                let remedy = "correct the list, or the base tree it refers to";
                let list = r.tree.node(*node).property("iommus");
                let what = error.told(r.tree, list, "#iommu-cells");
                r.report.error("iommus", (path, "iommus"), what, remedy);
                return Vec::new();
            }
        },
    };
    if bypass {
        found.retain(|stream| works(r, stream));
        return found;
    }
    // What is not to be given at all has no need of an SMMU.
    if found.is_empty() && ownership::role(r, kind).is_none() {
        let what = format!("no SMMU stands before it: no {property} names one");
        let remedy = "add one to the board, or accept the risk with stagegate,bypass";
        untranslated(r, id, ("no-smmu", what, remedy), optional);
    }
    found
        .into_iter()
        .filter(|s| usable(r, id, s, optional))
        .collect()
}

/// Whether the stream leads to an Arm SMMU that is enabled.
fn works(r: &Reader<'_, '_>, stream: &StreamId) -> bool {
    let index = r.board.smmu_at(stream.smmu);
    index.is_some_and(|index| r.board.smmus.get(index).is_some_and(|s| s.enabled))
}

/// Whether the stream's SMMU can serve it.
fn usable(r: &mut Reader<'_, '_>, id: NodeId, stream: &StreamId, optional: bool) -> bool {
    let path = r.tree.path(stream.smmu);
    let why = match r.board.smmu_at(stream.smmu) {
        Some(index) if r.board.smmus.get(index).is_some_and(|s| s.enabled) => {
            whole(r, id, index, stream);
            return true;
        }
        Some(_) => (
            "smmu-disabled",
            format!("its SMMU {path} is disabled"),
            "enable it in an overlay, or accept the risk with stagegate,bypass",
        ),
        None => (
            "other-iommu",
            format!("its IOMMU {path} is not an Arm SMMU"),
            "choose another device, or accept the risk with stagegate,bypass",
        ),
    };
    untranslated(r, id, why, optional);
    false
}

/// A TBU sleeps and wakes with whole streams.
fn whole(r: &mut Reader<'_, '_>, id: NodeId, smmu: usize, stream: &StreamId) {
    let smmu = r.board.smmus.get(smmu);
    if smmu.is_some_and(|smmu| smmu.tbu_before(stream).is_err()) {
        let what = format!("the ids of stream {stream} are not all behind one TBU");
        let remedy = "list them one by one, or correct the TBUs' stream-id-range";
        r.error("tbu-split", (id, "device"), what, remedy);
    }
}

/// A device without a working SMMU: refused, or noted if it is optional.
fn untranslated(
    r: &mut Reader<'_, '_>,
    id: NodeId,
    (code, what, remedy): (&'static str, String, &str),
    optional: bool,
) {
    if optional {
        let what = format!("{what}; the VM can reach all memory through it");
        let remedy = "remove stagegate,optional to refuse it instead";
        r.warning("bypassed", (id, "stagegate,optional"), what, remedy);
    } else {
        r.error(code, (id, "device"), what, remedy);
    }
}

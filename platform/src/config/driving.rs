//! What the operator decides about driving an SMMU, beyond when it sleeps.
use super::Reader;
use crate::facts::{Smmu, SmmuKind, SmmuModel};

/// How an SMMU is to be driven.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Driving {
    /// Bytes of the pages in the tables that it walks; `None`: the CPUs', if it
    /// can.
    pub granule: Option<u32>,
    /// Streams that firmware left passing go on until they are given away.
    pub keep_firmware_streams: bool,
    /// An MMU-500 is used although its prefetchers cannot be turned off.
    pub tolerate_prefetch: bool,
}

pub(super) const GRANULE: &str = "stagegate,table-granule";
pub(super) const KEEP: &str = "stagegate,keep-firmware-streams";
pub(super) const PREFETCH: &str = "stagegate,tolerate-prefetch";

pub(super) fn read(r: &mut Reader<'_, '_>, smmu: &Smmu) -> Driving {
    let driving = Driving {
        granule: granule(r, smmu),
        keep_firmware_streams: r.flag(smmu.node, KEEP),
        tolerate_prefetch: r.flag(smmu.node, PREFETCH),
    };
    if driving.keep_firmware_streams && smmu.kind == SmmuKind::V3 {
        let what = "an SMMUv3's streams are in tables, which firmware cannot hand over";
        let remedy = "remove it; stagegate,bypass lets a device pass";
        r.error("firmware-streams", (smmu.node, KEEP), what, remedy);
    }
    let prefetches = matches!(
        smmu.model,
        SmmuModel::Mmu500 | SmmuModel::MarvellAp806 | SmmuModel::NvidiaMmu500
    );
    if driving.tolerate_prefetch && !prefetches {
        let what = "it is no MMU-500 whose prefetchers must be off";
        r.warning("prefetch-unused", (smmu.node, PREFETCH), what, "remove it");
    }
    driving
}

fn granule(r: &mut Reader<'_, '_>, smmu: &Smmu) -> Option<u32> {
    let property = r.tree.node(smmu.node).property(GRANULE)?;
    let value = property
        .u32()
        .filter(|bytes| matches!(bytes, 4096 | 16384 | 65536));
    if value.is_none() {
        let what = "no size of pages that SMMUs know";
        let remedy = "write 4096, 16384 or 65536";
        r.error("table-granule", (smmu.node, GRANULE), what, remedy);
    }
    value
}

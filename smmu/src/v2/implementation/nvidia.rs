//! NVIDIA Tegra194 and later: two or three MMU-500s share the traffic of one
//! set of streams by interleaving addresses. They are programmed alike: a
//! write goes to all, a sync is complete when it is in all, and a fault may
//! be in any (Linux, devicetree/bindings/iommu/arm,smmu.yaml).

use super::{Quirks, mmu500};

pub(super) const QUIRKS: Quirks = Quirks {
    several: true,
    ..mmu500::QUIRKS
};

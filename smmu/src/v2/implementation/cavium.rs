//! Cavium CN88xx, erratum 27704: ASIDs and VMIDs tag the TLB without the
//! number of the SMMU, so that each may be in use at one SMMU only (Linux,
//! Documentation/arch/arm64/silicon-errata.rst).

use super::{Quirks, generic};

pub(super) const QUIRKS: Quirks = Quirks {
    unique_vmids: true,
    ..generic::V2
};

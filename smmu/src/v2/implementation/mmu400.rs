//! Arm MMU-400 and MMU-401: SMMUv1, so that translations can be invalidated
//! by VMID only and tables are AArch32's with 40-bit addresses (MMU-400
//! TRM, DDI 0472; MMU-401 TRM, DDI 0521). MMU-401's additional 64 KiB
//! granule is not used.

use super::{Quirks, generic};

pub(super) const QUIRKS: Quirks = generic::V1;

//! What reading a disk costs a stock guest that confines it, strictly, through
//! either front end, against one that has no domains of its own.

use crate::disk::{self, Wish};
use crate::{Result, paths};
use serde_json::{Value, json};

use super::LIMIT;

/// Front end, what the VM is given, and what its guest does.
const GUESTS: [(&str, &str, &str); 3] = [
    ("none", "", "nvme_read"),
    (
        "hypercall",
        "stagegate,iommu = \"hypercall\";\n",
        "iommu:hypercall,nvme_read,nvme_group:DMA",
    ),
    (
        "virtio",
        "stagegate,iommu = \"virtio\";\n",
        "iommu:viommu,nvme_read,nvme_group:DMA",
    ),
];

/// Nanoseconds of 32 MiB for each, and how they compare with the first. Not
/// instructions: the disk works in the host's time, and a guest that waits for it
/// under `-icount` sees time jump.
pub fn reads() -> Result<Value> {
    let mut report = json!({});
    let mut without = None;
    for (name, properties, steps) in GUESTS {
        let wish = Wish {
            properties,
            kernel: "iommu.strict=1",
            ..Wish::new(name, steps)
        };
        let outcome = disk::run(
            wish,
            &paths::fresh_dir(&format!("bench-nvme-{name}"))?,
            LIMIT,
        )?;
        let told = outcome.vm.facts.get("nvme-read-ns");
        let Some(took) = told.and_then(|ns| ns.parse::<f64>().ok()) else {
            return Err(format!("no time from the guest:\n{}", outcome.console()));
        };
        if steps.contains("nvme_group") && !outcome.checks.passed() {
            return Err(format!("not confined:\n{}", outcome.console()));
        }
        let ratio = took / *without.get_or_insert(took);
        report[format!("{name}_ns")] = json!(took as u64);
        report[format!("{name}_ratio")] = json!((ratio * 1000.0).round() / 1000.0);
    }
    Ok(report)
}

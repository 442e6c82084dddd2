//! What guests can write, and what operators hand over, as functions of a byte string.
//!
//! Each module has a `run` that must neither panic nor hang nor break what it asserts, whatever the
//! bytes are. `cargo fuzz run <module>` searches for bytes that do; the hypervisor's own tests run the
//! same functions on a few thousand fixed random strings.

pub mod batch;
pub mod blob;
pub mod ecam;
pub mod esr;
pub mod gic;
pub mod hypercall;
pub mod input;
pub mod list;
pub mod machine;
pub mod overlay;
pub mod plan;
pub mod scmi;
pub mod smmu;
pub mod viommu;

/// A name and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 11] = [
    ("hypercall", hypercall::run),
    ("list", list::run),
    ("batch", batch::run),
    ("viommu", viommu::run),
    ("scmi", scmi::run),
    ("ecam", ecam::run),
    ("gic", gic::run),
    ("esr", esr::run),
    ("blob", blob::run),
    ("overlay", overlay::run),
    ("plan", plan::run),
];

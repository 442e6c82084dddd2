//! Overlays and the trees they are applied to.

use super::input::Input;
use platform::fdt::Blob;
use platform::overlay::{Named, merge, modules};
use platform::report::Report;

/// Two bytes, how long the base is; the base; the overlay. What they make can be read, and what does
/// not apply is explained.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let length = usize::from(u16::from_le_bytes(input.bytes()));
    let (base, overlay) = input.0.split_at(length.min(input.0.len()));
    let Ok(base) = Blob::check(base) else {
        return;
    };
    let _ = modules(&base).count();
    let mut report = Report::new();
    let named = Named {
        name: "overlay",
        bytes: overlay,
    };
    match merge(&base, &[named], &mut report) {
        Some(merged) => super::blob::run(&merged),
        None => assert!(report.has_errors()),
    }
}

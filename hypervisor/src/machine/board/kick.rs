//! How one CPU makes another leave its guest, or its sleep, and look around.

use super::{cpus, gic};

/// The SGI that does it.
pub const SGI: u32 = 1;

/// Makes CPU `index` look around, if it is not this one.
pub fn kick(index: usize) {
    if cpus::this_cpu() != Some(index) {
        gic::send_sgi(SGI, index);
    }
}

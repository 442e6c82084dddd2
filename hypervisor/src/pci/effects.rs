//! What a configuration write asks of the rest of the machine.

use super::config::Delay;
use super::rid::Rid;

/// A stretch of device memory and the guest address it shall appear at. Sizes
/// and addresses are multiples of the stage-2 page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarMapping {
    /// The function that owns the memory.
    pub rid: Rid,
    /// BAR number, 0–5.
    pub bar: u8,
    /// Guest-physical address that the guest chose.
    pub ipa: u64,
    /// Physical address that the hypervisor chose.
    pub pa: u64,
    /// Bytes.
    pub size: u64,
    /// Whether the BAR is prefetchable: stage 2 may then allow Normal
    /// non-cacheable beside Device memory.
    pub prefetchable: bool,
}

/// The integrator's side of a configuration write. `virt::Plan` and
/// `virt::VirtualHost` call it in the order that keeps the promises of
/// `docs/power.md`: the supplier is powered before the master wakes, and stays
/// powered until the master is proven idle.
pub trait Effects: Delay {
    /// The function is about to become active. Returns only after its SMMU
    /// (and TBU) is on and its stream entries are in force (P2).
    ///
    /// # Errors
    /// [`PowerDenied`] if the supplier did not come up; the write that asked
    /// is then not performed.
    fn become_active(&mut self, rid: Rid) -> Result<(), PowerDenied>;

    /// The function has been read back as idle.
    fn become_idle(&mut self, rid: Rid);

    /// Maps a BAR in the VM's stage 2.
    ///
    /// # Errors
    /// [`MapDenied`] leaves the BAR unmapped; the next write to any address or
    /// command register of the VM tries again.
    fn map_bar(&mut self, bar: BarMapping) -> Result<(), MapDenied>;

    /// Removes a BAR from the VM's stage 2. On return no vCPU of the VM and no
    /// master reaches the memory any more.
    fn unmap_bar(&mut self, bar: BarMapping);
}

/// The supplier of a master did not come up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerDenied;

/// Stage 2 did not take a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapDenied;

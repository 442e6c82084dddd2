//! Register offsets per SoC, of the clocks and domains that SMMUs use.

/// A clock controller's clocks and domains.
#[derive(Debug)]
pub struct Table {
    /// Compatible string of the controller.
    pub compatible: &'static str,
    /// Its branch clocks.
    pub clocks: &'static [BranchEntry],
    /// Its power domains.
    pub domains: &'static [DomainEntry],
}

/// A branch clock.
#[derive(Debug, Clone, Copy)]
pub struct BranchEntry {
    /// Number in the device-tree binding.
    pub number: u32,
    /// Offset of the register that enables it.
    pub enable: u32,
    /// Bit in that register.
    pub mask: u32,
    /// Offset of the register that tells whether it runs.
    pub halt: u32,
    /// Several processors vote for it.
    pub voted: bool,
    /// The halt bit means something.
    pub reports: bool,
}

/// A power domain (GDSC).
#[derive(Debug, Clone, Copy)]
pub struct DomainEntry {
    /// Number in the device-tree binding.
    pub number: u32,
    /// Offset of GDSCR.
    pub gdscr: u32,
    /// Offset of the register with the status, where that is another.
    pub status: Option<u32>,
    /// Power-up and power-down are reported in CFG_GDSCR instead.
    pub status_in_config: bool,
    /// Several processors vote for it.
    pub voted: bool,
}

/// All tables.
pub(super) const ALL: &[&Table] = &[];

//! What stands behind the server: power domains of one VM.

use super::wire::Status;

/// State of a power domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Its devices may issue transactions.
    On,
    /// They will not.
    Off,
}

/// The devices of one VM, as power domains and clocks. Domain and clock ids
/// are dense, from 0; ids that reach the methods have been checked against the
/// counts. A domain stands for one device or more; a clock belongs to a domain
/// or to none, as the integrator likes.
pub trait ScmiBackend {
    /// Number of power domains.
    fn domains(&self) -> u16;
    /// Name of a domain, cut to 15 bytes on the wire; appears in the guest's
    /// `pm_genpd_summary`.
    fn domain_name(&self, domain: u16) -> &str;
    /// State of a domain: what the last successful [`Self::set_power`] set,
    /// off before the first.
    fn power(&self, domain: u16) -> Power;
    /// Switches a domain. For [`Power::On`] returns success only after the
    /// SMMU in front of each of its masters is on and their stream entries are
    /// in force (P2); on an error the state is unchanged. Setting the present
    /// state again succeeds and changes nothing.
    ///
    /// # Errors
    /// Goes to the guest as it is: [`Status::HardwareError`] when a supplier
    /// did not come up, [`Status::Denied`] when policy says no.
    fn set_power(&mut self, domain: u16, power: Power) -> Result<(), Status>;

    /// Number of clocks.
    fn clocks(&self) -> u16;
    /// Name of a clock, cut to 15 bytes on the wire.
    fn clock_name(&self, clock: u16) -> &str;
    /// The one rate of a clock, in hertz.
    fn clock_rate(&self, clock: u16) -> u64;
    /// Whether a clock runs.
    fn clock(&self, clock: u16) -> Power;
    /// Starts or stops a clock, with the promises of [`Self::set_power`].
    ///
    /// # Errors
    /// As [`Self::set_power`].
    fn set_clock(&mut self, clock: u16, power: Power) -> Result<(), Status>;
}

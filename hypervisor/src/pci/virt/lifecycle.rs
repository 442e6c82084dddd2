//! Functions at the start and the end of their VM's life.

use super::{VirtualHost, placing};
use crate::pci::config::{ConfigSpace, Delay};
use crate::pci::effects::Effects;
use crate::pci::error::PciError;
use crate::pci::reset::{self, ResetMethod};
use crate::pci::rid::Rid;
use crate::pci::topology::Topology;
use alloc::vec::Vec;

/// How each function was reset.
#[derive(Clone, Debug, Default)]
pub struct ResetReport {
    /// Physical function, and the method or what went wrong.
    pub functions: Vec<(Rid, Result<ResetMethod, PciError>)>,
}

impl ResetReport {
    /// The first function that must not be given to anybody again.
    #[must_use]
    pub fn failed(&self) -> Option<PciError> {
        self.functions.iter().find_map(|(_, result)| result.err())
    }
}

impl VirtualHost {
    /// Takes all functions to the state in which a VM finds them: unmapped,
    /// quiet, reset, in D0, BARs in place, shadows as after reset. To be called
    /// before a VM starts and after it stopped, with no vCPU of it running.
    ///
    /// The order is that of the stopped VM's proof: nothing decodes or masters
    /// any more, then the functions are announced as idle, then they are reset.
    /// Waits 100 ms as a rule, for all functions together; up to about a second
    /// for one that answers late. Does nothing if the VM has written nothing
    /// since the last time.
    ///
    /// A function that cannot be silenced stays announced as active; the report
    /// names it.
    pub fn reset(
        &mut self,
        cfg: &impl ConfigSpace,
        topology: &Topology,
        effects: &mut impl Effects,
    ) -> ResetReport {
        if !self.touched {
            return self.last.clone();
        }
        for function in &mut self.functions {
            function.command = 0;
        }
        placing::decide(&mut self.functions, &self.config);
        placing::unmap(&mut self.functions, effects);
        let quiet = self.silence(cfg, effects);
        self.last = self.reset_quiet(cfg, topology, effects, quiet);
        self.touched = self.last.failed().is_some();
        self.last.clone()
    }

    /// Stops all functions and announces those that did stop as idle.
    fn silence(
        &mut self,
        cfg: &impl ConfigSpace,
        effects: &mut impl Effects,
    ) -> Vec<Result<(), PciError>> {
        let mut quiet = Vec::with_capacity(self.functions.len());
        for function in &mut self.functions {
            let result = reset::quiesce(cfg, function.physical);
            if result.is_ok() && function.active {
                function.active = false;
                effects.become_idle(function.physical);
            }
            quiet.push(result);
        }
        quiet
    }

    /// Resets the functions that are quiet, all at once, and all shadows.
    fn reset_quiet(
        &mut self,
        cfg: &impl ConfigSpace,
        topology: &Topology,
        delay: &impl Delay,
        quiet: Vec<Result<(), PciError>>,
    ) -> ResetReport {
        let mut begun = Vec::with_capacity(quiet.len());
        for (function, quiet) in self.functions.iter().zip(quiet) {
            begun.push(quiet.and_then(|()| {
                let physical = topology.get(function.physical)?;
                Ok((physical, reset::begin(cfg, topology, physical, delay)?))
            }));
        }
        let waits = begun.iter().flatten().map(|(_, pending)| pending.wait_us());
        delay.delay_us(waits.max().unwrap_or(0));
        let mut report = ResetReport::default();
        for (function, begun) in self.functions.iter_mut().zip(begun) {
            let result = begun.and_then(|(physical, pending)| pending.finish(cfg, physical, delay));
            function.reset();
            report.functions.push((function.physical, result));
        }
        report
    }
}

//! Functions at the start and the end of their VM's life.

use super::{VirtualHost, vbar};
use crate::pci::config::ConfigSpace;
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
    /// Waits up to about a second per function, 100 ms as a rule.
    ///
    /// A function that cannot be silenced stays announced as active; the report
    /// names it.
    pub fn reset(
        &mut self,
        cfg: &impl ConfigSpace,
        topology: &Topology,
        effects: &mut impl Effects,
    ) -> ResetReport {
        for function in &mut self.functions {
            function.command = 0;
        }
        vbar::decide(&mut self.functions, &self.config);
        vbar::unmap(&mut self.functions, effects);
        let mut quiet = Vec::with_capacity(self.functions.len());
        for function in &mut self.functions {
            let result = reset::quiesce(cfg, function.physical);
            if result.is_ok() && function.active {
                function.active = false;
                effects.become_idle(function.physical);
            }
            quiet.push(result);
        }
        let mut report = ResetReport::default();
        for (function, quiet) in self.functions.iter_mut().zip(quiet) {
            let rid = function.physical;
            let result = quiet.and_then(|()| {
                let physical = topology.get(rid)?;
                reset::reset(cfg, topology, physical, &*effects)
            });
            function.d_state = 0;
            function.cache_line = 0;
            function.interrupt_line = 0;
            for bar in function.bars.iter_mut().flatten() {
                bar.reset();
            }
            report.functions.push((rid, result));
        }
        report
    }
}

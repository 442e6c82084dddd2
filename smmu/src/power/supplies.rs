//! Clocks and power domains, up in order, down in reverse.

use crate::error::Error;
use crate::outside::{Clock, PowerDomain};
use crate::sync::{AtomicBool, Ordering};
use alloc::vec::Vec;

/// What feeds an SMMU or TBU, in the order in which it must come up. Fixed
/// suppliers are left out when this is made.
#[derive(Default)]
pub struct Supplies<'a> {
    clocks: Vec<Gate<'a>>,
    domains: Vec<(u8, &'a dyn PowerDomain)>,
}

/// A clock, its place in the device tree, and whether its gate is open. Only
/// read and written by the one who holds the transition lock.
struct Gate<'a> {
    index: u8,
    clock: &'a dyn Clock,
    open: AtomicBool,
}

impl Gate<'_> {
    fn open(&self) -> Result<(), Error> {
        if !self.open.load(Ordering::Relaxed) {
            let error = |e| Error::Clock(self.index, e);
            self.clock.enable().map_err(error)?;
            self.open.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn close(&self) -> Result<(), Error> {
        if self.open.load(Ordering::Relaxed) {
            let error = |e| Error::Clock(self.index, e);
            self.clock.disable().map_err(error)?;
            self.open.store(false, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl<'a> Supplies<'a> {
    /// Takes the suppliers in the order of the device tree.
    pub fn new(clocks: &[&'a dyn Clock], domains: &[&'a dyn PowerDomain]) -> Self {
        let clocks = clocks.iter().enumerate();
        let domains = domains.iter().enumerate();
        Self {
            clocks: clocks
                .filter(|(_, c)| !c.is_fixed())
                .map(|(i, c)| Gate {
                    index: i as u8,
                    clock: *c,
                    open: AtomicBool::new(false),
                })
                .collect(),
            domains: domains
                .filter(|(_, d)| !d.is_fixed())
                .map(|(i, d)| (i as u8, *d))
                .collect(),
        }
    }

    /// Whether anything can be switched at all (P8).
    pub fn switchable(&self) -> bool {
        !self.clocks.is_empty() || !self.domains.is_empty()
    }

    /// Whether [`power_off`](Self::power_off) saves more than the clocks do.
    pub(super) fn has_domain(&self) -> bool {
        !self.domains.is_empty()
    }

    /// Power domains up, clocks prepared. On error everything is as before.
    pub(super) fn power_on(&self) -> Result<(), Error> {
        for (n, (index, domain)) in self.domains.iter().enumerate() {
            if let Err(e) = domain.power_on() {
                self.domains_down(n);
                return Err(Error::Domain(*index, e));
            }
        }
        for (n, gate) in self.clocks.iter().enumerate() {
            if let Err(e) = gate.clock.prepare() {
                self.unprepare(n);
                self.domains_down(self.domains.len());
                return Err(Error::Clock(gate.index, e));
            }
        }
        Ok(())
    }

    /// Gates open, in order. On error all are closed again.
    pub(super) fn start(&self) -> Result<(), Error> {
        for (n, gate) in self.clocks.iter().enumerate() {
            if let Err(error) = gate.open() {
                for gate in self.clocks.iter().take(n).rev() {
                    // The error that counts is the first one; a gate that
                    // stays open is known to be.
                    let _ = gate.close();
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Gates closed, in reverse.
    pub(super) fn stop(&self) -> Result<(), StopError> {
        for gate in self.clocks.iter().rev() {
            if let Err(error) = gate.close() {
                let reopened = self.start();
                return Err(match reopened {
                    Ok(()) => StopError::StillOn(error),
                    Err(_) => StopError::Halfway(error),
                });
            }
        }
        Ok(())
    }

    /// Clocks unprepared, power domains down, in reverse. On error the
    /// domains are up again and the clocks prepared.
    pub(super) fn power_off(&self) -> Result<(), Error> {
        self.unprepare(self.clocks.len());
        for (n, (index, domain)) in self.domains.iter().enumerate().rev() {
            if let Err(e) = domain.power_off() {
                for (_, domain) in self.domains.iter().skip(n.wrapping_add(1)) {
                    let _ = domain.power_on();
                }
                for gate in &self.clocks {
                    let _ = gate.clock.prepare();
                }
                return Err(Error::Domain(*index, e));
            }
        }
        Ok(())
    }

    fn unprepare(&self, first: usize) {
        for gate in self.clocks.iter().take(first).rev() {
            gate.clock.unprepare();
        }
    }

    fn domains_down(&self, first: usize) {
        for (_, domain) in self.domains.iter().take(first).rev() {
            // Left up is wasteful, not wrong.
            let _ = domain.power_off();
        }
    }
}

/// How stopping clocks failed.
#[derive(Debug)]
pub(super) enum StopError {
    /// All clocks run again.
    StillOn(Error),
    /// Not all of them do; the SMMU is as good as gated.
    Halfway(Error),
}

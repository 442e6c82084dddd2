//! DMA masters given to VMs: their links to SMMUs, and what is known about
//! their activity.
//!
//! A link is made when the device is assigned and lives as long as the
//! assignment, whatever the guest's drivers do (P7). The evidence of a master
//! and the state of its links change together, under the master's lock.

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use smmu::{LinkId, StreamId};
use spin::mutex::SpinMutex;

use super::space::Place;
use crate::arch::timer;
use crate::burst::Burst;
use crate::machine::board::smmus::{self, Stream};
use crate::pci::{PowerDenied, Rid};
use crate::power::evidence::{Event, Evidence, Reason, Source, Sources, Step, Word};

/// Who a master is.
pub struct Identity {
    /// As the operator calls it.
    pub name: String,
    /// Its number for the VM.
    pub endpoint: u32,
    /// Its physical requester id, if it is a PCI function.
    pub rid: Option<Rid>,
    /// The operator lets its transactions pass untranslated.
    pub bypass: bool,
}

/// A device that can do DMA.
pub struct Master {
    /// As the operator calls it.
    pub name: String,
    /// Its number for the VM: the virtual requester id of a PCI function.
    pub endpoint: u32,
    /// Its physical requester id, if it is a PCI function.
    pub rid: Option<Rid>,
    /// The operator lets its transactions pass untranslated.
    pub bypass: bool,
    /// Its stream ids, for people.
    pub streams: Vec<u32>,
    /// Its links: index of the SMMU, and the link there. One as a rule; several
    /// where its streams are behind several SMMUs or TBUs.
    links: Vec<(usize, LinkId)>,
    evidence: SpinMutex<Evidence>,
    /// Its VM is gone for good, and with it perhaps the lock of the evidence.
    abandoned: AtomicBool,
}

impl Master {
    /// Links a device with its streams, which are in order, and attaches it to
    /// the VM's tables by `places`, idle. All of its streams, or none.
    ///
    /// # Errors
    /// Why an SMMU refused; the device must not be given to the VM.
    pub fn new(
        identity: Identity,
        streams: &[Stream],
        sources: Sources,
        places: &[Place],
    ) -> Result<Self, smmu::Error> {
        let mut master = Self {
            name: identity.name,
            endpoint: identity.endpoint,
            rid: identity.rid,
            bypass: identity.bypass,
            streams: streams.iter().map(|stream| stream.id).collect(),
            links: Vec::new(),
            evidence: SpinMutex::new(Evidence::new(sources)),
            abandoned: AtomicBool::new(false),
        };
        let linked = master.link(streams, places);
        if let Err(error) = linked {
            for &(index, link) in &master.links {
                if let Some(unit) = smmus::units().get(index) {
                    let _ = unit.smmu.unlink(link);
                }
            }
            return Err(error);
        }
        Ok(master)
    }

    fn link(&mut self, streams: &[Stream], places: &[Place]) -> Result<(), smmu::Error> {
        for own in streams.chunk_by(|a, b| (a.unit, a.tbu) == (b.unit, b.tbu)) {
            let Some(&Stream {
                unit: index, tbu, ..
            }) = own.first()
            else {
                continue;
            };
            let place = places.iter().find(|place| place.unit == index);
            let unit = smmus::units().get(index);
            let (Some(place), Some(unit)) = (place, unit) else {
                return Err(smmu::Error::Unsupported("walks of this VM's tables"));
            };
            let ids: Vec<StreamId> = own.iter().map(|stream| StreamId(stream.id)).collect();
            let link = unit.smmu.link(&ids, tbu)?;
            self.links.push((index, link));
            if self.bypass {
                unit.smmu.bypass(link)?;
            } else {
                unit.smmu.attach(link, place.domain)?;
            }
        }
        Ok(())
    }

    /// Whether every transaction of it is translated by an SMMU.
    pub fn is_confined(&self) -> bool {
        !self.bypass && !self.links.is_empty()
    }

    /// Something is about to happen that may make the master active: its
    /// suppliers are on when this returns (P2).
    ///
    /// # Errors
    /// A supplier did not come up. The evidence is as before; what was about
    /// to happen must not.
    pub fn before(&self, event: Event) -> Result<(), PowerDenied> {
        if self.abandoned.load(Ordering::Relaxed) {
            return Err(PowerDenied);
        }
        let mut evidence = self.evidence.lock();
        let (next, step) = evidence.step(event);
        if step == Step::Wake {
            self.wake()?;
        }
        *evidence = next;
        Ok(())
    }

    /// Something has happened that may have made the master idle.
    pub fn after(&self, event: Event) {
        if self.abandoned.load(Ordering::Relaxed) {
            return;
        }
        let mut evidence = self.evidence.lock();
        let (next, step) = evidence.step(event);
        *evidence = next;
        if step == Step::Sleep && release(&self.links) {
            smmus::arm();
        }
    }

    fn wake(&self) -> Result<(), PowerDenied> {
        for (done, &(index, link)) in self.links.iter().enumerate() {
            let Some(unit) = smmus::units().get(index) else {
                continue;
            };
            if let Err(error) = unit.smmu.master_active(link) {
                self.denied(unit, error);
                release(self.links.get(..done).unwrap_or_default());
                return Err(PowerDenied);
            }
            if unit.is_mute() {
                smmus::arm();
            }
        }
        Ok(())
    }

    /// The guest may try as often as it likes.
    fn denied(&self, unit: &smmus::Unit, error: smmu::Error) {
        static LINES: Burst = Burst::new(4);
        let turn = LINES.turn(timer::now_ns());
        if turn.left_out > 0 {
            let times = turn.left_out;
            log::error!("{times} more times an SMMU did not come up");
        }
        if turn.shown {
            log::error!("{}: {} does not come up: {error}", self.name, unit.path);
        }
    }

    /// Its VM never runs again: its streams terminate, and its SMMUs may sleep.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
        for &(index, link) in &self.links {
            if let Some(unit) = smmus::units().get(index)
                && let Err(error) = unit.smmu.detach(link)
            {
                log::error!("{}: {}: {error}", unit.path, self.name);
            }
        }
        release(&self.links);
    }

    /// Whether it counts as active, and why.
    pub fn verdict(&self) -> (Word, Reason) {
        if self.abandoned.load(Ordering::Relaxed) {
            return (Word::Idle, Reason::VmStopped);
        }
        self.evidence.lock().verdict()
    }

    /// Whether its power state is followed at all.
    pub fn is_tracked(&self) -> bool {
        self.evidence.lock().sources().follow()
    }

    /// Whether its SCMI power domain counts.
    pub fn hears_scmi(&self) -> bool {
        self.evidence.lock().sources().has(Source::Scmi)
    }

    /// Its links: index of the SMMU, and the link there.
    pub fn links(&self) -> &[(usize, LinkId)] {
        &self.links
    }

    /// Whether this link of this SMMU is its own.
    pub fn owns(&self, unit: usize, link: LinkId) -> bool {
        self.links.contains(&(unit, link))
    }
}

/// Tells the SMMUs of these links that the master is idle. Whether that may
/// have made a deadline: not where nothing can be switched (P8).
fn release(links: &[(usize, LinkId)]) -> bool {
    let mut managed = false;
    for &(index, link) in links {
        if let Some(unit) = smmus::units().get(index) {
            let _ = unit.smmu.master_idle(link);
            managed |= unit.smmu.is_managed();
        }
    }
    managed
}

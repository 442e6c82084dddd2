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
use spin::Once;
use spin::mutex::SpinMutex;

use super::space::AddressSpace;
use crate::arch::timer;
use crate::burst::Burst;
use crate::machine::board::smmus::{self, Stream, Unit};
use crate::pci::{PowerDenied, Rid};
use crate::power::evidence::{Event, Evidence, Reason, Source, Sources, Step, Word};

/// Who a master is.
pub struct Identity {
    /// As the operator calls it.
    pub name: String,
    /// Which of the VM's devices it is in the configuration.
    pub device: usize,
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
    /// Which of the VM's devices it is in the configuration.
    pub device: usize,
    /// Its number for the VM: the virtual requester id of a PCI function.
    pub endpoint: u32,
    /// Its physical requester id, if it is a PCI function.
    pub rid: Option<Rid>,
    /// The operator lets its transactions pass untranslated.
    pub bypass: bool,
    /// Nothing before its SMMUs have come.
    linked: Once<Linked>,
    evidence: SpinMutex<Evidence>,
    /// Its VM is gone for good, and with it perhaps the lock of the evidence.
    abandoned: AtomicBool,
}

/// How a master stands behind its SMMUs.
struct Linked {
    streams: Vec<Stream>,
    /// One as a rule; several where its streams are behind several SMMUs or TBUs.
    links: Vec<Link>,
}

/// A link of a master.
#[derive(Clone, Copy)]
pub struct Link {
    /// The SMMU.
    pub unit: &'static Unit,
    /// Its index.
    pub index: usize,
    /// Which of its links.
    pub id: LinkId,
}

impl Master {
    /// A device of the VM whose SMMUs have not come yet: without links.
    #[must_use]
    pub fn waiting(identity: Identity, sources: Sources) -> Self {
        Self {
            name: identity.name,
            device: identity.device,
            endpoint: identity.endpoint,
            rid: identity.rid,
            bypass: identity.bypass,
            linked: Once::new(),
            evidence: SpinMutex::new(Evidence::new(sources)),
            abandoned: AtomicBool::new(false),
        }
    }

    /// Links a device with its streams, which are in order, and attaches it to
    /// the VM's tables by its `places`, idle. All of its streams, or none.
    ///
    /// # Errors
    /// Why an SMMU refused; the device must not be given to the VM.
    pub fn new(
        identity: Identity,
        streams: &[Stream],
        sources: Sources,
        space: &AddressSpace,
    ) -> Result<Self, smmu::Error> {
        let master = Self::waiting(identity, sources);
        let linked = link(streams, space)?;
        for link in &linked.links {
            let Some(place) = space.place(link.index) else {
                continue;
            };
            let attached = match master.bypass {
                true => link.unit.smmu.bypass(link.id),
                false => link.unit.smmu.attach(link.id, place.domain),
            };
            if let Err(error) = attached {
                unlink(&linked.links);
                return Err(error);
            }
        }
        master.linked.call_once(|| linked);
        Ok(master)
    }

    /// The SMMUs of a device that waited for them have come: links it, attached
    /// to nothing. If it counts as active, they are on when this returns.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn complete(&self, streams: &[Stream], space: &AddressSpace) -> Result<(), smmu::Error> {
        let mut evidence = self.evidence.lock();
        let linked = link(streams, space)?;
        self.linked.call_once(|| linked);
        if evidence.verdict().0 == Word::Active && self.wake().is_err() {
            // As if its VM did not run, which it will again.
            *evidence = Evidence::new(evidence.sources());
            log::error!("{}: it has no DMA before its VM's next start", self.name);
        }
        Ok(())
    }

    /// Whether its SMMUs have not come yet.
    pub fn is_waiting(&self) -> bool {
        !self.linked.is_completed()
    }

    /// Its streams.
    pub fn streams(&self) -> &[Stream] {
        self.linked.get().map_or(&[], |linked| &linked.streams)
    }

    /// Whether every transaction of it is translated by an SMMU.
    pub fn is_confined(&self) -> bool {
        !self.bypass && !self.links().is_empty()
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
        if step == Step::Sleep && release(self.links()) {
            smmus::arm();
        }
    }

    #[inline(always)]
    fn wake(&self) -> Result<(), PowerDenied> {
        let links = self.links();
        for (done, link) in links.iter().enumerate() {
            if let Err(error) = link.unit.smmu.master_active(link.id) {
                self.denied(link.unit, error);
                release(links.get(..done).unwrap_or_default());
                return Err(PowerDenied);
            }
            if link.unit.is_mute() {
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
        for link in self.links() {
            if let Err(error) = link.unit.smmu.detach(link.id) {
                log::error!("{}: {}: {error}", link.unit.path, self.name);
            }
        }
        release(self.links());
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

    /// Its links.
    #[inline(always)]
    pub fn links(&self) -> &[Link] {
        self.linked.get().map_or(&[], |linked| &linked.links)
    }

    /// Whether this link of this SMMU is its own.
    pub fn owns(&self, unit: usize, link: LinkId) -> bool {
        let mut links = self.links().iter();
        links.any(|own| (own.index, own.id) == (unit, link))
    }
}

/// Makes links for these streams, which are in order. All, or none.
fn link(streams: &[Stream], space: &AddressSpace) -> Result<Linked, smmu::Error> {
    let mut links = Vec::new();
    for own in streams.chunk_by(|a, b| (a.unit, a.tbu) == (b.unit, b.tbu)) {
        let made = own.first().map(|first| link_at(*first, own, space));
        match made {
            Some(Ok(link)) => links.push(link),
            Some(Err(error)) => {
                unlink(&links);
                return Err(error);
            }
            None => {}
        }
    }
    let streams = streams.to_vec();
    Ok(Linked { streams, links })
}

/// Links streams of one SMMU, and one TBU, with that.
fn link_at(first: Stream, own: &[Stream], space: &AddressSpace) -> Result<Link, smmu::Error> {
    let (Some(unit), Some(_)) = (smmus::unit(first.unit), space.place(first.unit)) else {
        return Err(smmu::Error::Unsupported("walks of this VM's tables"));
    };
    let ids: Vec<StreamId> = own.iter().map(|stream| StreamId(stream.id)).collect();
    Ok(Link {
        unit,
        index: first.unit,
        id: unit.smmu.link(&ids, first.tbu)?,
    })
}

fn unlink(links: &[Link]) {
    for link in links {
        let _ = link.unit.smmu.unlink(link.id);
    }
}

/// Tells the SMMUs of these links that the master is idle. Whether that may
/// have made a deadline: not where nothing can be switched (P8).
fn release(links: &[Link]) -> bool {
    let mut managed = false;
    for link in links {
        let _ = link.unit.smmu.master_idle(link.id);
        managed |= link.unit.smmu.is_managed();
    }
    managed
}

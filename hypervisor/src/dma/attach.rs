//! Endpoints: which domain each is in, and what happens when the VM starts and stops.

use super::Error;
use super::domain::Domain;
use super::free::Control;
use super::outside::{HardwareError, Outside, Target};
use super::vm::{DomainKind, VmDma};
use core::sync::atomic::{AtomicU32, Ordering};

const NONE: u32 = u32::MAX;

/// One endpoint of the VM. Its domain changes under `VmDma::control` only.
#[derive(Debug)]
pub(super) struct Endpoint {
    id: u32,
    domain: AtomicU32,
}

impl Endpoint {
    pub(super) const fn new(id: u32) -> Self {
        Self {
            id,
            domain: AtomicU32::new(NONE),
        }
    }

    pub(super) fn domain(&self) -> Option<u32> {
        match self.domain.load(Ordering::Relaxed) {
            NONE => None,
            id => Some(id),
        }
    }
}

const fn hardware(error: HardwareError, domain: u32) -> Error {
    match error {
        HardwareError::Power => Error::Power,
        HardwareError::Timeout => Error::Fenced(domain),
        HardwareError::NoContext => Error::NoMemory,
    }
}

impl<O: Outside> VmDma<O> {
    pub(super) fn endpoint(&self, id: u32) -> Result<(usize, &Endpoint), Error> {
        self.endpoints
            .iter()
            .enumerate()
            .find(|(_, endpoint)| endpoint.id == id)
            .ok_or(Error::NoEndpoint(id))
    }

    /// What an endpoint in no domain does.
    fn fallback(&self) -> Target {
        if self.bypass() {
            Target::Vm
        } else {
            Target::Blocked
        }
    }

    /// Whether an endpoint in no domain uses the VM's own tables, rather than being blocked.
    pub fn bypass(&self) -> bool {
        self.bypass.load(Ordering::Relaxed)
    }

    /// The guest wants endpoints in no domain to use its own tables, or to be blocked. Without effect
    /// where the operator wants every access confined.
    pub fn set_bypass(&self, bypass: bool) {
        let _control = self.control.lock();
        let bypass = bypass && !self.policy.strict;
        if self.bypass.swap(bypass, Ordering::Relaxed) == bypass {
            return;
        }
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            if endpoint.domain().is_none() {
                // An SMMU that cannot be told now terminates the endpoint's accesses.
                let _ = self.outside.attach(index, self.fallback());
            }
        }
    }

    /// Takes every endpoint out of an implicit domain, which frees those (the virtio-iommu is reset),
    /// and goes back to the operator's choice for endpoints in no domain.
    pub fn detach_implicit(&self) {
        self.set_bypass(true);
        for endpoint in &self.endpoints {
            let Some(id) = endpoint.domain() else {
                continue;
            };
            let implicit = self
                .hold(id)
                .is_ok_and(|held| held.as_ref().is_some_and(Domain::implicit));
            if implicit {
                let _ = self.detach(id, endpoint.id);
            }
        }
    }

    /// Puts an endpoint into a domain; one that is in another moves.
    ///
    /// # Errors
    /// [`Error::NoDomain`], [`Error::NoEndpoint`], [`Error::Fenced`], [`Error::Power`],
    /// [`Error::NoMemory`] (no VMID). If the SMMU was asked and failed, the endpoint is in no domain and
    /// its accesses terminate until it is attached again; otherwise it is where it was.
    pub fn attach(&self, id: u32, endpoint: u32) -> Result<(), Error> {
        let mut control = self.control.lock();
        self.attach_locked(&mut control, id, endpoint)
    }

    /// As [`attach`](Self::attach), but makes the domain if there is none of this id; such a domain is
    /// freed when its last endpoint leaves (the virtio-iommu's way).
    ///
    /// # Errors
    /// As [`attach`](Self::attach), and [`Error::DomainExists`] if it is of another kind.
    pub fn attach_or_create(&self, id: u32, endpoint: u32, kind: DomainKind) -> Result<(), Error> {
        let mut control = self.control.lock();
        self.endpoint(endpoint)?;
        if control.is_going(id) {
            return Err(Error::Busy);
        }
        let slot = self.slots.get(id as usize).ok_or(Error::NoDomain(id))?;
        let created = {
            let mut slot = slot.try_write().ok_or(Error::Busy)?;
            match slot.as_ref() {
                Some(domain) if domain.kind() == kind => false,
                Some(_) => return Err(Error::DomainExists(id)),
                None => {
                    *slot = Some(self.build(id, kind, true)?);
                    true
                }
            }
        };
        let result = self.attach_locked(&mut control, id, endpoint);
        if result.is_err() && created {
            // Nothing is attached and nothing mapped; a failure keeps the id out of use, no more.
            let _ = self.close_locked(&mut control, id);
        }
        result
    }

    fn attach_locked(&self, control: &mut Control<O>, id: u32, endpoint: u32) -> Result<(), Error> {
        let (index, endpoint) = self.endpoint(endpoint)?;
        let before = endpoint.domain();
        {
            let held = self.hold(id)?;
            let domain = held.as_ref().ok_or(Error::NoDomain(id))?;
            domain.check_fence()?;
            if before == Some(id) {
                return Ok(());
            }
            if let Err(error) = self.outside.attach(index, Self::target(domain)) {
                // Its accesses terminate now, wherever it was.
                endpoint.domain.store(NONE, Ordering::Relaxed);
                drop(held);
                self.left(control, before);
                return Err(hardware(error, id));
            }
            domain.attached.fetch_add(1, Ordering::Relaxed);
        }
        endpoint.domain.store(id, Ordering::Relaxed);
        self.left(control, before);
        Ok(())
    }

    /// Takes an endpoint out of a domain: it falls back to the VM's own tables, or is blocked, as the
    /// operator chose.
    ///
    /// # Errors
    /// [`Error::NoDomain`], [`Error::NoEndpoint`], [`Error::NotAttached`]: nothing was done. Others: the
    /// endpoint has left, but its accesses terminate until it is attached again.
    pub fn detach(&self, id: u32, endpoint: u32) -> Result<(), Error> {
        let mut control = self.control.lock();
        let (index, found) = self.endpoint(endpoint)?;
        self.hold(id)?.as_ref().ok_or(Error::NoDomain(id))?;
        if found.domain() != Some(id) {
            return Err(Error::NotAttached(endpoint));
        }
        let result = self.outside.attach(index, self.fallback());
        found.domain.store(NONE, Ordering::Relaxed);
        self.left(&mut control, Some(id));
        result.map_err(|error| hardware(error, id))
    }

    /// An endpoint has left a domain. What that leaves is for [`tidy`](Self::tidy).
    fn left(&self, control: &mut Control<O>, id: Option<u32>) {
        let Some(id) = id else { return };
        let mut last_of_implicit = false;
        if let Ok(held) = self.hold(id)
            && let Some(domain) = held.as_ref()
        {
            let was = domain.attached.fetch_sub(1, Ordering::Relaxed);
            last_of_implicit = was == 1 && domain.implicit();
        }
        if last_of_implicit {
            // A failure keeps the id out of use, no more.
            let _ = self.close_locked(control, id);
        }
    }

    /// The VM starts (again): every endpoint falls back to the VM's own tables, or is blocked, as the
    /// operator chose.
    ///
    /// # Errors
    /// The first endpoint whose SMMU could not be told; the others are set all the same.
    pub fn start(&self) -> Result<(), HardwareError> {
        let _control = self.control.lock();
        self.events.clear();
        self.bypass.store(!self.policy.strict, Ordering::Relaxed);
        self.running.store(true, Ordering::Relaxed);
        self.each(self.fallback())
    }

    /// The VM has stopped: every endpoint is blocked, every domain freed, events are forgotten. None of
    /// its vCPUs is inside a call. Calls `between` now and then: large domains take long.
    ///
    /// # Errors
    /// The first endpoint whose SMMU could not be told: the VM's memory may still be in use by it.
    pub fn stop(&self, between: impl Fn()) -> Result<(), HardwareError> {
        let result = self.block_all();
        self.free_all(between);
        self.events.clear();
        result
    }

    fn block_all(&self) -> Result<(), HardwareError> {
        let _control = self.control.lock();
        self.running.store(false, Ordering::Relaxed);
        let result = self.each(Target::Blocked);
        for endpoint in &self.endpoints {
            if let Some(id) = endpoint.domain() {
                endpoint.domain.store(NONE, Ordering::Relaxed);
                if let Ok(held) = self.hold(id)
                    && let Some(domain) = held.as_ref()
                {
                    domain.attached.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
        result
    }

    /// The SMMUs of the endpoint with this index have come while the VM runs: it goes where it would be if
    /// they had been there all the time. Nothing is done before the VM starts, which does the same.
    ///
    /// # Errors
    /// An SMMU could not be told: the endpoint's accesses terminate until it is attached again.
    pub fn renew(&self, index: usize) -> Result<(), HardwareError> {
        let _control = self.control.lock();
        if !self.running.load(Ordering::Relaxed) {
            return Ok(());
        }
        let Some(id) = self.endpoints.get(index).and_then(Endpoint::domain) else {
            return self.outside.attach(index, self.fallback());
        };
        let held = self.hold(id).map_err(|_| HardwareError::Timeout)?;
        match held.as_ref() {
            Some(domain) if domain.check_fence().is_ok() => {
                self.outside.attach(index, Self::target(domain))
            }
            _ => Err(HardwareError::Timeout),
        }
    }

    fn each(&self, target: Target) -> Result<(), HardwareError> {
        let mut result = Ok(());
        for index in 0..self.endpoints.len() {
            if let Err(error) = self.outside.attach(index, target) {
                result = result.and(Err(error));
            }
        }
        result
    }
}

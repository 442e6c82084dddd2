//! Contexts of SMMUv3: a VMID and the tables it stands for.

use super::features::Features;
use crate::error::Error;
use crate::sync::Lock;
use crate::types::{ContextId, Stage2, Vmid};
use alloc::boxed::Box;
use alloc::vec::Vec;

#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    pub vmid: Vmid,
    pub tables: Stage2,
}

/// A fixed number of slots; a slot's number is its [`ContextId`].
pub(super) struct Contexts {
    slots: Box<[Lock<Option<Context>>]>,
    /// Serialises the choice of VMIDs.
    choosing: Lock<()>,
    vmids: u32,
}

impl Contexts {
    pub fn new(features: &Features, capacity: usize) -> Self {
        let vmids = if features.vmid16 { 1 << 16 } else { 1 << 8 };
        let slots: Vec<_> = (0..capacity.min((vmids as usize).saturating_sub(1)))
            .map(|_| Lock::new(None))
            .collect();
        Self {
            slots: slots.into_boxed_slice(),
            choosing: Lock::new(()),
            vmids,
        }
    }

    /// VMIDs of the hardware, counting 0.
    pub fn vmids(&self) -> u32 {
        self.vmids
    }

    /// Takes a free slot. VMID 0 is never given: it is what a cleared field
    /// would name.
    pub fn open(&self, tables: &Stage2, wanted: Option<Vmid>) -> Result<(ContextId, Vmid), Error> {
        let _choosing = self.choosing.lock();
        let free = self.slots.iter().position(|slot| slot.lock().is_none());
        let index = free.ok_or(Error::NoContext)?;
        let vmid = match wanted {
            Some(vmid) => self.claim(vmid)?,
            None => self.lowest_free()?,
        };
        if let Some(slot) = self.slots.get(index) {
            *slot.lock() = Some(Context {
                vmid,
                tables: *tables,
            });
        }
        Ok((ContextId(index as u16), vmid))
    }

    pub fn close(&self, context: ContextId) {
        let _choosing = self.choosing.lock();
        if let Some(slot) = self.slots.get(usize::from(context.0)) {
            *slot.lock() = None;
        }
    }

    pub fn get(&self, context: ContextId) -> Result<Context, Error> {
        let slot = self.slots.get(usize::from(context.0));
        slot.and_then(|slot| *slot.lock())
            .ok_or(Error::DomainUnknown(context.0.into()))
    }

    fn claim(&self, vmid: Vmid) -> Result<Vmid, Error> {
        let usable = vmid.0 != 0 && u32::from(vmid.0) < self.vmids && !self.used(vmid);
        if usable {
            Ok(vmid)
        } else {
            Err(Error::VmidBusy(vmid))
        }
    }

    /// There are more VMIDs than slots, so one of the first is free.
    fn lowest_free(&self) -> Result<Vmid, Error> {
        (1..self.vmids)
            .map(|n| Vmid(n as u16))
            .find(|vmid| !self.used(*vmid))
            .ok_or(Error::NoContext)
    }

    fn used(&self, vmid: Vmid) -> bool {
        let mut slots = self.slots.iter();
        slots.any(|slot| slot.lock().is_some_and(|c| c.vmid == vmid))
    }
}

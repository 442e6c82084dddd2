//! Freeing domains: closed at once, their tables given back in slices.
//!
//! A domain that is closed is no more for anybody: the SMMUs have forgotten it, and its endpoints were
//! elsewhere before. What takes long, and grows with what the guest has mapped, is to give the table pages
//! back. That is done between locks, and left and taken up again when an interrupt waits. Until it is done
//! the id is not used again.

use super::Error;
use super::domain::Domain;
use super::outside::Outside;
use super::vm::VmDma;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use pgtable::Remains;

/// Entries of tables that are looked at with interrupts held: a few thousand instructions.
const SLICE: usize = 64;

/// How far the freeing of a domain came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Freed {
    /// All is given back.
    All,
    /// An interrupt waits: to be called again.
    Part,
}

/// A domain whose table pages are being given back.
struct Going<O: Outside> {
    id: u32,
    /// Nobody asked for it: its last endpoint has left.
    implicit: bool,
    remains: Remains<O::Frames>,
}

/// What changes only when domains and endpoints come and go.
pub(super) struct Control<O: Outside> {
    /// At most one for each id, so that it never grows.
    going: Vec<Going<O>>,
}

impl<O: Outside> Control<O> {
    pub(super) fn new(domains: u32) -> Self {
        Self {
            going: Vec::with_capacity(domains as usize),
        }
    }

    /// Whether the tables of this id are still being given back.
    pub(super) fn is_going(&self, id: u32) -> bool {
        self.going.iter().any(|going| going.id == id)
    }

    /// Gives a slice back of the first domain that `which` names; whether nothing is left of such.
    fn give_back(&mut self, which: impl Fn(&Going<O>) -> bool) -> bool {
        let Some(index) = self.going.iter().position(&which) else {
            return true;
        };
        let done = match self.going.get_mut(index) {
            Some(going) => going.remains.free_some(SLICE),
            None => true,
        };
        if done {
            self.going.swap_remove(index);
        }
        done && !self.going.iter().any(which)
    }
}

impl<O: Outside> VmDma<O> {
    /// Gives a domain back, as far as that is possible before an interrupt waits.
    ///
    /// # Errors
    /// [`Error::InUse`] while endpoints are attached, [`Error::Busy`] while another call uses it,
    /// [`Error::Fenced`] if the SMMU did not complete: the id stays in use and its pages are kept for
    /// good.
    pub fn free(&self, id: u32) -> Result<Freed, Error> {
        {
            let mut control = self.control.lock();
            if !control.is_going(id) {
                self.close_locked(&mut control, id)?;
            }
        }
        Ok(self.give_back(|going| going.id == id))
    }

    /// Gives back what domains have left that went with their last endpoint, as far as that is possible
    /// before an interrupt waits.
    pub fn tidy(&self) -> Freed {
        self.give_back(|going| going.implicit)
    }

    fn give_back(&self, which: impl Fn(&Going<O>) -> bool) -> Freed {
        loop {
            // Others who wait for the lock get it between two slices.
            if self.control.lock().give_back(&which) {
                return Freed::All;
            }
            if self.outside.interrupted() {
                return Freed::Part;
            }
        }
    }

    /// Closes a domain; [`give_back`](Self::give_back) is to follow.
    pub(super) fn close_locked(&self, control: &mut Control<O>, id: u32) -> Result<(), Error> {
        let slot = self.slots.get(id as usize).ok_or(Error::NoDomain(id))?;
        let mut slot = slot.try_write().ok_or(Error::Busy)?;
        let domain = slot.as_mut().ok_or(Error::NoDomain(id))?;
        if domain.attached.load(Ordering::Relaxed) != 0 {
            return Err(Error::InUse(id));
        }
        let remains = domain.close(&self.outside)?;
        let implicit = slot.as_ref().is_some_and(Domain::implicit);
        *slot = None;
        control.going.extend(remains.map(|remains| Going {
            id,
            implicit,
            remains,
        }));
        Ok(())
    }

    /// Frees every domain: the VM has stopped. Calls `between` after each slice.
    pub(super) fn free_all(&self, between: impl Fn()) {
        for id in 0..self.domains() {
            // Only a failed invalidation fails; the domain's pages are then kept for good.
            let _ = self.close_locked(&mut self.control.lock(), id);
        }
        while !self.control.lock().give_back(|_| true) {
            between();
        }
    }
}

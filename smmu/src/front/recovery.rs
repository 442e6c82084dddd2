//! What happens after a sync did not complete (C5), and the count by which
//! quarantined memory is let go.

use super::{Smmu, Whole};
use crate::error::Error;
use crate::hardware::{Hardware, StreamAction};
use crate::mutation::Step;
use crate::sync::{AtomicBool, AtomicU64, Lock, Ordering};

/// Time between tries to get a stuck queue going.
const RETRY_NS: u64 = 100_000_000;

pub(super) struct Recovery {
    /// The command path is stuck; syncs are not even tried.
    stuck: AtomicBool,
    retry_at: AtomicU64,
    /// Invalidations of everything that were begun, numbered from 1.
    begun: AtomicU64,
    /// The highest number among those that completed.
    completed: AtomicU64,
    last: Lock<Option<Error>>,
    working: Lock<()>,
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            stuck: AtomicBool::new(false),
            retry_at: AtomicU64::new(u64::MAX),
            begun: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            last: Lock::new(None),
            working: Lock::new(()),
        }
    }
}

impl Recovery {
    pub fn pending(&self) -> bool {
        self.stuck.load(Ordering::Relaxed)
    }

    pub fn next_deadline(&self) -> Option<u64> {
        self.pending()
            .then(|| self.retry_at.load(Ordering::Relaxed))
    }

    pub fn report(&self, error: Error) {
        *self.last.lock() = Some(error);
    }

    pub fn last_error(&self) -> Option<Error> {
        *self.last.lock()
    }

    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Acquire)
    }

    pub fn completed(&self) -> u64 {
        self.completed.load(Ordering::Acquire)
    }

    /// An invalidation of everything begins; its number.
    pub fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::AcqRel).wrapping_add(1)
    }

    /// It has completed.
    pub fn all_forgotten(&self, number: u64) {
        self.stuck.store(false, Ordering::Relaxed);
        self.completed.fetch_max(number, Ordering::AcqRel);
    }
}

impl<H: Hardware> Smmu<'_, H> {
    /// What to note when an invalidation has failed: how many invalidations
    /// of everything had begun by then. One that had begun may have passed
    /// the entry before it was cleared, so its end says nothing.
    pub fn epoch(&self) -> u64 {
        self.recovery.begun()
    }

    /// The last invalidation of everything that has completed. Memory whose
    /// invalidation failed at [`epoch`](Self::epoch) `n` may be used again
    /// once this is above `n`, unless it was mapped again.
    pub fn clean_epoch(&self) -> u64 {
        self.recovery.completed()
    }

    /// Whether the command path is stuck and waits for its next try.
    pub fn is_stuck(&self) -> bool {
        self.recovery.pending()
    }

    /// An invalidation for the domain failed: its streams terminate from now
    /// on, and the command path is started afresh. Other domains go on.
    pub(super) fn fence(&self, domain: usize, error: Error) {
        self.recovery.report(error);
        self.machine.note_error(error);
        self.domains.fence(domain);
        self.links.each_of(domain, |stream| {
            if self.mutation.skips(Step::FenceTerminates) {
                return;
            }
            // Memory only: commands do not get through. The recovery
            // invalidates all configuration.
            let _ = self.hardware.set_stream(None, stream, StreamAction::Abort);
        });
        self.recover();
    }

    fn recover(&self) {
        let wanted = self.recovery.begun();
        let Some(hold) = self.machine.hold() else {
            // Its next resume or suspend does it; if neither succeeds, this
            // is tried again.
            return self.try_later();
        };
        let _working = self.recovery.working.lock();
        if self.recovery.completed() > wanted {
            // Another CPU began one after this one's abort was in memory.
            return;
        }
        let number = self.recovery.begin();
        match self.hardware.recover(hold.power()) {
            Ok(()) => self.recovery.all_forgotten(number),
            Err(error) => {
                self.recovery.report(error);
                self.recovery.stuck.store(true, Ordering::Relaxed);
                self.try_later();
            }
        }
    }

    fn try_later(&self) {
        let next = self.time.now_ns().saturating_add(RETRY_NS);
        self.recovery.retry_at.store(next, Ordering::Relaxed);
    }

    pub(super) fn retry_recovery(&self, now_ns: u64) {
        if now_ns >= self.recovery.retry_at.load(Ordering::Relaxed) {
            self.recover();
        }
    }

    /// The hardware reported an error of its own: repairs what can be
    /// repaired. Nothing is touched unless the SMMU is on (P4).
    pub fn handle_error_irq(&self) {
        let Some(hold) = self.machine.hold() else {
            return;
        };
        let outcome = self.hardware.global_errors(hold.power());
        drop(hold);
        match outcome {
            Ok(()) => {}
            Err(error @ Error::ServiceFailure(_)) => {
                self.recovery.report(error);
                self.machine.condemn(error, &Whole(self));
            }
            Err(error) => self.recovery.report(error),
        }
    }
}

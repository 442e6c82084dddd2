//! Faults on their way from the hardware to those whom they concern (C6).

use super::{DomainId, LinkId, Smmu};
use crate::fault::FaultRecord;
use crate::hardware::Hardware;
use crate::power::Powered;
use crate::sync::{AtomicU64, Lock, Ordering};
use crate::types::Vmid;
use alloc::collections::VecDeque;

/// A fault and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What the hardware said.
    pub record: FaultRecord,
    /// The master, if the stream is linked.
    pub link: Option<LinkId>,
    /// The domain, if the master is attached.
    pub domain: Option<DomainId>,
    /// The domain's VMID.
    pub vmid: Option<Vmid>,
    /// When it was taken from the hardware.
    pub at_ns: u64,
}

/// Faults not yet taken: a bounded queue that drops the newest.
pub(super) struct FaultLog {
    queue: Lock<VecDeque<Fault>>,
    capacity: usize,
    seen: AtomicU64,
    lost: AtomicU64,
}

impl FaultLog {
    pub fn new(capacity: usize) -> Self {
        Self {
            queue: Lock::new(VecDeque::with_capacity(capacity)),
            capacity,
            seen: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }

    fn push(&self, fault: Fault) {
        self.seen.fetch_add(1, Ordering::Relaxed);
        let mut queue = self.queue.lock();
        if queue.len() < self.capacity {
            queue.push_back(fault);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn counts(&self) -> (u64, u64) {
        (
            self.seen.load(Ordering::Relaxed),
            self.lost.load(Ordering::Relaxed),
        )
    }
}

impl<H: Hardware> Smmu<'_, H> {
    /// The event interrupt: takes the faults off the hardware, if it is on,
    /// and gives all that wait to `sink`. An SMMU that is not on is not
    /// touched (P4); what it had to say was taken when it was suspended.
    pub fn handle_event_irq(&self, sink: &mut dyn FnMut(Fault)) {
        self.collect();
        self.take_faults(sink);
    }

    /// Gives the faults that wait to `sink`. Touches no register.
    pub fn take_faults(&self, sink: &mut dyn FnMut(Fault)) {
        loop {
            // The lock is not held over the sink.
            let next = self.faults.queue.lock().pop_front();
            match next {
                Some(fault) => sink(fault),
                None => return,
            }
        }
    }

    /// Takes the faults off the hardware, if it is on, and keeps them for
    /// [`take_faults`](Self::take_faults).
    pub fn collect(&self) {
        if let Some(hold) = self.machine.hold() {
            self.collect_faults(hold.power());
        }
    }

    pub(super) fn collect_faults(&self, power: &Powered) {
        let lost = self.hardware.drain_faults(power, &mut |record| {
            let (link, domain) = self.links.blame(record.stream);
            let vmid = domain.and_then(|d| self.vmid(d).ok());
            self.faults.push(Fault {
                record,
                link,
                domain,
                vmid,
                at_ns: self.time.now_ns(),
            });
        });
        self.faults.lost.fetch_add(lost.into(), Ordering::Relaxed);
    }
}

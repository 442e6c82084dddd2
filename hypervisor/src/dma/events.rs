//! Fault events on their way to the guest.

use arrayvec::ArrayVec;
use stagegate_abi::{Event, EventFlags};

/// Events kept for a VM that does not fetch them.
pub const CAPACITY: usize = 64;

/// The faults of one VM, oldest first. When it is full, further faults are counted and dropped, and the
/// next one that fits carries [`EventFlags::OVERFLOW`].
#[derive(Debug, Default)]
pub struct EventRing {
    events: spin::Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    queue: ArrayVec<Event, CAPACITY>,
    lost: u64,
    overflow: bool,
}

impl EventRing {
    /// An empty ring.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            events: spin::Mutex::new(Ring {
                queue: ArrayVec::new_const(),
                lost: 0,
                overflow: false,
            }),
        }
    }

    /// Adds a fault. Returns whether the VM's event interrupt is to be raised: the ring was empty.
    pub fn push(&self, mut event: Event) -> bool {
        let mut ring = self.events.lock();
        if ring.overflow {
            event.flags |= EventFlags::OVERFLOW;
        }
        let was_empty = ring.queue.is_empty();
        if ring.queue.try_push(event).is_err() {
            ring.lost = ring.lost.saturating_add(1);
            ring.overflow = true;
            return false;
        }
        ring.overflow = false;
        was_empty
    }

    /// Takes the oldest event.
    pub fn pop(&self) -> Option<Event> {
        self.events.lock().queue.pop_at(0)
    }

    /// Faults that did not fit since the VM started.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.events.lock().lost
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.lock().queue.is_empty()
    }

    /// Forgets everything (the VM stops or restarts).
    pub fn clear(&self) {
        *self.events.lock() = Ring::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagegate_abi::EventReason;

    fn fault(iova: u64) -> Event {
        Event {
            reason: EventReason::Mapping,
            flags: EventFlags::READ | EventFlags::ADDRESS,
            endpoint: 8,
            iova,
        }
    }

    #[test]
    fn first_in_first_out_and_one_interrupt() {
        let ring = EventRing::new();
        assert!(ring.push(fault(1)));
        assert!(!ring.push(fault(2)));
        assert_eq!(ring.pop(), Some(fault(1)));
        assert_eq!(ring.pop(), Some(fault(2)));
        assert_eq!(ring.pop(), None);
        assert!(ring.push(fault(3)), "empty again: a new interrupt");
    }

    #[test]
    fn a_storm_is_bounded_and_told() {
        let ring = EventRing::new();
        for n in 0..1000 {
            ring.push(fault(n));
        }
        assert_eq!(ring.lost(), 1000 - CAPACITY as u64);
        assert_eq!(ring.pop(), Some(fault(0)));
        ring.push(fault(7));
        let last = core::iter::from_fn(|| ring.pop()).last().unwrap();
        assert_eq!(last.iova, 7);
        assert!(last.flags.contains(EventFlags::OVERFLOW));
        ring.push(fault(8));
        assert!(!ring.pop().unwrap().flags.contains(EventFlags::OVERFLOW));
    }
}

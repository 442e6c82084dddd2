//! Requests: ATTACH, DETACH, MAP, UNMAP, PROBE (virtio 1.2, section 5.13.6).

use super::device::{RequestBuffer, State, Viommu};
use super::queue::{Broken, Queue};
use super::registers::REQUESTS;
use super::spec::{
    ATTACH_BYPASS, Attach, Detach, INTERRUPT_USED, MAP_MMIO, MAP_READ, MAP_WRITE, Map, PROBE_SIZE,
    PROPERTY_RESV_MEM, Probe, RESV_MEM_MSI, RequestStatus, ResvMem, Unmap, request,
};
use crate::dma::{DomainKind, Error, Freed, GuestMemory, Outside, Progress};
use arrayvec::ArrayVec;
use stagegate_abi::{LEAVES_PER_CALL, Prot};
use zerocopy::{FromBytes, IntoBytes};

/// What a request costs at least, in leaves: bounds the requests of one trap.
const REQUEST_COST: u64 = 4;

/// Unmaps that share one invalidation.
const SHARED: usize = 32;

/// A request that the bound on work interrupted. What the guest asked for is in the copy.
#[derive(Debug)]
pub(super) struct InFlight {
    buffer: RequestBuffer,
    /// Bytes mapped, or unmapped, so far.
    done: u64,
    /// Of a map: that it begins where it does is remembered.
    begun: bool,
    /// A map that failed half way is being undone: its status, and the bytes undone.
    undo: Option<(RequestStatus, u64)>,
}

impl InFlight {
    const fn new(buffer: RequestBuffer) -> Self {
        Self {
            buffer,
            done: 0,
            begun: false,
            undo: None,
        }
    }
}

/// Where a request is.
enum Outcome {
    /// Finished.
    Finished(RequestStatus),
    /// An unmap that is finished once this domain was synced.
    Unsynced(u32),
    /// Not finished: the bound was reached, or another CPU is at work on the range.
    More,
}

/// An unmap whose invalidation is still to come.
struct Unsynced {
    head: u16,
    domain: u32,
    tail: u64,
}

type Shared = ArrayVec<Unsynced, SHARED>;

const fn status(error: Error) -> RequestStatus {
    match error {
        Error::Misaligned(_) | Error::Range(_) | Error::Cuts(_) => RequestStatus::Range,
        Error::NotOwned(_) => RequestStatus::Fault,
        Error::NoDomain(_) | Error::NoEndpoint(_) | Error::NotMapped(_) => RequestStatus::NoEntry,
        Error::Forbidden => RequestStatus::Unsupported,
        Error::NoMemory => RequestStatus::NoMemory,
        Error::Power | Error::Busy => RequestStatus::IoError,
        Error::Fenced(_) => RequestStatus::DeviceError,
        _ => RequestStatus::Invalid,
    }
}

/// First byte and length of an inclusive range.
fn range(start: u64, end: u64) -> Result<(u64, u64), Error> {
    let size = end
        .checked_sub(start)
        .and_then(|size| size.checked_add(1))
        .ok_or(Error::Range(start))?;
    Ok((start, size))
}

/// The request in the copy, if it is long enough. Bytes after it are ignored.
fn parse<T: FromBytes>(buffer: &RequestBuffer) -> Option<T> {
    T::read_from_prefix(&buffer.readable).ok().map(|(it, _)| it)
}

impl<O: Outside, G: GuestMemory> Viommu<'_, O, G> {
    /// Serves the request queue within one bound on work, or until an interrupt waits. Returns whether
    /// there is more to do.
    pub(super) fn serve(&self, state: &mut State) -> Result<bool, Broken> {
        let State {
            registers,
            in_flight,
        } = state;
        let Some(queue) = registers.queues.get_mut(REQUESTS) else {
            return Ok(false);
        };
        if !queue.ready {
            return Ok(false);
        }
        // Before the next request may want the ids and the memory of domains that went.
        if self.dma.tidy() == Freed::Part {
            return Ok(true);
        }
        let mut shared = Shared::new();
        let result = self.serve_queue(queue, in_flight, &mut shared);
        // Whatever happened: what was unmapped is invalidated before we leave.
        let settled = self.settle(queue, &mut shared);
        let again = result?;
        settled?;
        if queue.publish(self.memory)? {
            registers.interrupt_status |= INTERRUPT_USED;
        }
        Ok(self.dma.tidy() == Freed::Part || again)
    }

    fn serve_queue(
        &self,
        queue: &mut Queue,
        in_flight: &mut Option<InFlight>,
        shared: &mut Shared,
    ) -> Result<bool, Broken> {
        let mut budget = LEAVES_PER_CALL;
        while budget != 0 {
            let mut current = match in_flight.take() {
                Some(current) => current,
                None => match queue.peek(self.memory)? {
                    Some(buffer) => {
                        queue.taken();
                        InFlight::new(buffer)
                    }
                    None => return Ok(false),
                },
            };
            budget = budget.saturating_sub(REQUEST_COST).max(1);
            match self.step(&mut current, &mut budget) {
                Outcome::Finished(status) => self.finish(queue, &current.buffer, status)?,
                Outcome::Unsynced(domain) => self.share(queue, &current.buffer, domain, shared)?,
                Outcome::More => {
                    *in_flight = Some(current);
                    return Ok(true);
                }
            }
            if budget <= REQUEST_COST || self.dma.outside().interrupted() {
                break;
            }
        }
        Ok(in_flight.is_some() || queue.waiting(self.memory)?)
    }

    /// Does what the bound allows of a request.
    fn step(&self, current: &mut InFlight, budget: &mut u64) -> Outcome {
        let buffer = &current.buffer;
        let finished = |result: Result<(), Error>| {
            Outcome::Finished(result.err().map_or(RequestStatus::Ok, status))
        };
        match buffer.readable.first() {
            Some(&request::ATTACH) => finished(self.attach(buffer)),
            Some(&request::DETACH) => finished(self.detach(buffer)),
            Some(&request::MAP) => self.map(current, budget),
            Some(&request::UNMAP) => self.unmap(current, budget),
            Some(&request::PROBE) => match parse::<Probe>(buffer) {
                Some(probe) => finished(self.probe(buffer, &probe)),
                None => Outcome::Finished(RequestStatus::Invalid),
            },
            Some(_) => Outcome::Finished(RequestStatus::Unsupported),
            None => Outcome::Finished(RequestStatus::Invalid),
        }
    }

    fn attach(&self, buffer: &RequestBuffer) -> Result<(), Error> {
        let invalid = Error::NotPaging(0);
        let attach: Attach = parse(buffer).ok_or(invalid)?;
        if attach.reserved != [0; 4] || attach.flags & !ATTACH_BYPASS != 0 {
            return Err(invalid);
        }
        if attach.domain >= self.dma.domains() {
            return Err(Error::Range(u64::from(attach.domain)));
        }
        let kind = if attach.flags & ATTACH_BYPASS != 0 {
            DomainKind::Identity
        } else {
            DomainKind::Paging
        };
        self.dma
            .attach_or_create(attach.domain, attach.endpoint, kind)
    }

    fn detach(&self, buffer: &RequestBuffer) -> Result<(), Error> {
        let invalid = Error::NotPaging(0);
        let detach: Detach = parse(buffer).ok_or(invalid)?;
        if detach.reserved != [0; 8] {
            return Err(invalid);
        }
        self.dma.detach(detach.domain, detach.endpoint)
    }

    /// Writes the reserved regions of an endpoint.
    fn probe(&self, buffer: &RequestBuffer, probe: &Probe) -> Result<(), Error> {
        self.dma.info(probe.endpoint)?;
        let room = buffer.writable().saturating_sub(4);
        if room < PROBE_SIZE as u64 {
            return Err(Error::NotPaging(0));
        }
        let mut properties = [0u8; PROBE_SIZE];
        let chunks = properties.chunks_exact_mut(size_of::<ResvMem>());
        for (chunk, fixed) in chunks.zip(self.dma.fixed()) {
            let region = ResvMem {
                kind: PROPERTY_RESV_MEM,
                length: size_of::<ResvMem>().saturating_sub(4) as u16,
                subtype: RESV_MEM_MSI,
                reserved: [0; 3],
                start: fixed.iova,
                end: fixed.iova.saturating_add(fixed.size.saturating_sub(1)),
            };
            if region.write_to(chunk).is_err() {
                return Err(Error::NotPaging(0));
            }
        }
        buffer
            .write(self.memory, 0, &properties)
            .map_err(|Broken| Error::NotOwned(0))
    }

    fn map(&self, current: &mut InFlight, budget: &mut u64) -> Outcome {
        let Some(map) = parse::<Map>(&current.buffer) else {
            return Outcome::Finished(RequestStatus::Invalid);
        };
        if current.undo.is_some() {
            return self.undo(current, &map, budget);
        }
        let (size, prot) = match map_arguments(&map) {
            Ok(arguments) => arguments,
            Err(error) => return Outcome::Finished(status(error)),
        };
        let mut result = Ok(());
        let done = current.done;
        if done < size {
            let step = self.dma.map_limited(
                map.domain,
                map.virt_start.wrapping_add(done),
                map.phys_start.wrapping_add(done),
                size.saturating_sub(done),
                prot,
                *budget,
            );
            *budget = budget.saturating_sub(step.leaves);
            current.done = done.saturating_add(step.bytes);
            result = step.result;
        }
        if current.done != 0 && !current.begun {
            if self.dma.begin(map.domain, map.virt_start) == Err(Error::Busy) {
                // Next time; what failed now fails again then.
                return Outcome::More;
            }
            current.begun = true;
        }
        match result {
            Ok(()) if current.done >= size => Outcome::Finished(RequestStatus::Ok),
            Ok(()) | Err(Error::Busy) => Outcome::More,
            Err(error) if current.done == 0 => Outcome::Finished(status(error)),
            Err(error) => {
                current.undo = Some((status(error), 0));
                Outcome::More
            }
        }
    }

    /// Takes back what a map that failed half way has mapped.
    fn undo(&self, current: &mut InFlight, map: &Map, budget: &mut u64) -> Outcome {
        let Some((status, undone)) = &mut current.undo else {
            return Outcome::More;
        };
        let left = current.done.saturating_sub(*undone);
        let at = map.virt_start.wrapping_add(*undone);
        let step = self.dma.unmap_limited(map.domain, at, left, true, *budget);
        *budget = budget.saturating_sub(step.leaves);
        *undone = undone.saturating_add(step.bytes);
        match step.result {
            Ok(()) if *undone < current.done => Outcome::More,
            Err(Error::Busy) => Outcome::More,
            // A sync that fails fences the domain: worse than why the map failed, and seen by the
            // next request.
            _ => {
                let _ = self.dma.sync(map.domain);
                Outcome::Finished(*status)
            }
        }
    }

    /// Removes what is mapped in the range; what is not does not matter. A range that would split a
    /// mapping is refused before anything is removed (5.13.6.6).
    fn unmap(&self, current: &mut InFlight, budget: &mut u64) -> Outcome {
        let Some(unmap) = parse::<Unmap>(&current.buffer) else {
            return Outcome::Finished(RequestStatus::Invalid);
        };
        let (start, size) = match range(unmap.virt_start, unmap.virt_end) {
            Ok(range) => range,
            Err(error) => return Outcome::Finished(status(error)),
        };
        let page = self.dma.config().page_size();
        let first = current.done == 0;
        match self.dma.check_cuts(unmap.domain, start, size) {
            Err(Error::Busy) => return Outcome::More,
            Err(error) if first => return Outcome::Finished(status(error)),
            // Found so before; another CPU has mapped since.
            _ => {}
        }
        let before = current.done;
        while current.done < size {
            let further = current.done != before;
            if *budget == 0 || further && self.dma.outside().interrupted() {
                return Outcome::More;
            }
            let Progress {
                bytes,
                leaves,
                result,
            } = self.dma.unmap_limited(
                unmap.domain,
                start.wrapping_add(current.done),
                size.saturating_sub(current.done),
                true,
                *budget,
            );
            *budget = budget.saturating_sub(leaves.max(1));
            current.done = current.done.saturating_add(bytes);
            match result {
                Ok(()) => {}
                // A hole: step over its first page.
                Err(Error::NotMapped(_)) => current.done = current.done.saturating_add(page),
                Err(Error::Busy) => return Outcome::More,
                Err(error) => {
                    // What was unmapped before it is gone for good.
                    let _ = self.dma.sync(unmap.domain);
                    return Outcome::Finished(status(error));
                }
            }
        }
        Outcome::Unsynced(unmap.domain)
    }

    /// Keeps a finished unmap until it is invalidated together with others.
    fn share(
        &self,
        queue: &mut Queue,
        buffer: &RequestBuffer,
        domain: u32,
        shared: &mut Shared,
    ) -> Result<(), Broken> {
        if shared.is_full() {
            self.settle(queue, shared)?;
        }
        let Some(tail) = buffer.tail() else {
            // A status in pieces, or none: nothing to put off.
            let status = self.sync(domain);
            return self.finish(queue, buffer, status);
        };
        shared
            .try_push(Unsynced {
                head: buffer.head,
                domain,
                tail,
            })
            .map_err(|_| Broken)
    }

    fn sync(&self, domain: u32) -> RequestStatus {
        match self.dma.sync(domain) {
            // Gone meanwhile: invalidated then.
            Ok(()) | Err(Error::Nothing | Error::NoDomain(_)) => RequestStatus::Ok,
            Err(error) => status(error),
        }
    }

    /// Invalidates for all kept unmaps and hands them back.
    fn settle(&self, queue: &mut Queue, shared: &mut Shared) -> Result<(), Broken> {
        let mut last = None;
        for unsynced in shared.drain(..) {
            let status = match last {
                Some((domain, status)) if domain == unsynced.domain => status,
                _ => self.sync(unsynced.domain),
            };
            last = Some((unsynced.domain, status));
            self.memory.write(unsynced.tail, &[status as u8, 0, 0, 0])?;
            queue.used(self.memory, unsynced.head, 4)?;
        }
        Ok(())
    }

    /// Writes the status and hands the buffer back.
    fn finish(
        &self,
        queue: &mut Queue,
        buffer: &RequestBuffer,
        status: RequestStatus,
    ) -> Result<(), Broken> {
        let writable = buffer.writable();
        let mut written = 0;
        if let Some(at) = writable.checked_sub(4) {
            buffer.write(self.memory, at, &[status as u8, 0, 0, 0])?;
            written = u32::try_from(writable).unwrap_or(u32::MAX);
        }
        queue.used(self.memory, buffer.head, written)
    }
}

fn map_arguments(map: &Map) -> Result<(u64, Prot), Error> {
    let (_, size) = range(map.virt_start, map.virt_end)?;
    let flags = map.flags;
    if flags & !(MAP_READ | MAP_WRITE | MAP_MMIO) != 0 || flags & (MAP_READ | MAP_WRITE) == 0 {
        return Err(Error::NotPaging(0));
    }
    let mut prot = Prot::NOEXEC;
    prot.set(Prot::READ, flags & MAP_READ != 0);
    prot.set(Prot::WRITE, flags & MAP_WRITE != 0);
    // The memory type of RAM is the endpoint's to weaken; tables do not.
    let mmio = flags & MAP_MMIO != 0;
    prot.set(Prot::MMIO, mmio);
    prot.set(Prot::CACHE, !mmio);
    Ok((size, prot))
}

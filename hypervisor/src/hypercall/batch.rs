//! BATCH.

use super::{Calls, copy_in};
use crate::dma::{Error, GuestMemory, MAX_DOMAINS, Outside};
use stagegate_abi::{
    BATCH_MAX, BATCH_STATUS_OFFSET, BatchEntry, BatchOp, LEAVES_PER_CALL, PAGE_SIZE, Prot, Reply,
    Status, UNMAP_LAZY_PROT,
};

/// A set of domains; ids are below [`MAX_DOMAINS`].
#[derive(Debug, Default)]
struct Domains(u32);

const _: () = assert!(MAX_DOMAINS <= u32::BITS);

impl Domains {
    const fn add(&mut self, id: u32) {
        if id < MAX_DOMAINS {
            self.0 |= 1u32.wrapping_shl(id);
        }
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        let set = self.0;
        (0..MAX_DOMAINS).filter(move |id| set.wrapping_shr(*id) & 1 != 0)
    }
}

/// What an entry did.
struct Outcome {
    leaves: u64,
    result: Result<(), Error>,
}

impl<O: Outside, G: GuestMemory> Calls<'_, O, G> {
    /// Carries out entries `first..count` until the bound on work is reached or an interrupt waits. Unmaps
    /// that are not lazy share one invalidation at the end.
    pub(super) fn batch(&self, page: u64, count: u32, first: u32) -> Reply {
        let aligned = page & PAGE_SIZE.wrapping_sub(1) == 0;
        if !aligned || count > BATCH_MAX || first >= count {
            return Reply::status(Status::InvalidParameter);
        }
        let (mut at, mut failed, mut leaves) = (first, 0u64, 0u64);
        let mut strict = Domains::default();
        let mut status = Status::Success;
        while at < count && leaves < LEAVES_PER_CALL {
            let entry = match self.entry(page, at) {
                Ok(entry) => entry,
                Err(error) => {
                    status = error.status();
                    break;
                }
            };
            let wanted = pages(&entry);
            let left = LEAVES_PER_CALL.saturating_sub(leaves);
            // One that no call could do is refused; one that the next call can do waits for it.
            if wanted > left && wanted <= LEAVES_PER_CALL {
                break;
            }
            let outcome = self.carry_out(&entry, &mut strict);
            leaves = leaves.saturating_add(outcome.leaves);
            failed = failed.saturating_add(u64::from(outcome.result.is_err()));
            if let Err(error) = self.note(page, at, outcome.result) {
                status = error.status();
                break;
            }
            at = at.saturating_add(1);
            if self.dma.outside().interrupted() {
                break;
            }
        }
        for domain in strict.iter() {
            if let Err(error @ Error::Fenced(_)) = self.dma.sync(domain) {
                status = error.status();
            }
        }
        Reply::partial(status, u64::from(at), failed)
    }

    /// Copies entry `at` out of the page.
    fn entry(&self, page: u64, at: u32) -> Result<BatchEntry, Error> {
        let mut entry = [BatchEntry::default()];
        let offset = u64::from(at).saturating_mul(size_of::<BatchEntry>() as u64);
        copy_in(self.memory, page.saturating_add(offset), &mut entry)
            .map_err(|_| Error::NotOwned(page))?;
        let [entry] = entry;
        Ok(entry)
    }

    /// Writes the status of entry `at`.
    fn note(&self, page: u64, at: u32, result: Result<(), Error>) -> Result<(), Error> {
        let status = match result {
            Ok(()) => Status::Success,
            Err(error) => error.status(),
        };
        let offset = BATCH_STATUS_OFFSET.saturating_add(u64::from(at).saturating_mul(4));
        let code = status.code() as i32;
        self.memory
            .write(page.saturating_add(offset), &code.to_le_bytes())
            .map_err(|_| Error::NotOwned(page))
    }

    fn carry_out(&self, entry: &BatchEntry, strict: &mut Domains) -> Outcome {
        // Even what is refused at once has cost something.
        let refused = |error| Outcome {
            leaves: 1,
            result: Err(error),
        };
        match BatchOp::from_code(entry.op) {
            Some(BatchOp::Map) => match Prot::from_arg(u64::from(entry.prot)) {
                Some(prot) if pages(entry) <= LEAVES_PER_CALL => self.map_whole(entry, prot),
                _ => refused(Error::Range(entry.iova)),
            },
            Some(BatchOp::Unmap) => {
                let sane = entry.prot & !UNMAP_LAZY_PROT == 0 && entry.ipa == 0;
                if !sane || pages(entry) > LEAVES_PER_CALL {
                    return refused(Error::Range(entry.iova));
                }
                if entry.prot & UNMAP_LAZY_PROT == 0 {
                    strict.add(entry.domain);
                }
                let step = self.dma.unmap(entry.domain, entry.iova, entry.size, true);
                Outcome {
                    leaves: step.leaves.max(1),
                    result: step.result,
                }
            }
            Some(BatchOp::Sync)
                if (entry.prot, entry.iova, entry.ipa, entry.size) == (0, 0, 0, 0) =>
            {
                Outcome {
                    leaves: 1,
                    result: self.dma.sync(entry.domain),
                }
            }
            _ => refused(Error::Range(entry.iova)),
        }
    }

    /// Maps all of an entry or nothing of it.
    fn map_whole(&self, entry: &BatchEntry, prot: Prot) -> Outcome {
        let step = self
            .dma
            .map(entry.domain, entry.iova, entry.ipa, entry.size, prot);
        if step.result.is_err() && step.bytes != 0 {
            // Of what this call itself has mapped nothing can fail to unmap but by a race that the
            // guest runs against itself.
            let _ = self.dma.unmap(entry.domain, entry.iova, step.bytes, false);
        }
        Outcome {
            leaves: step.leaves.max(1),
            result: step.result,
        }
    }
}

/// Most leaves that an entry can need.
const fn pages(entry: &BatchEntry) -> u64 {
    entry.size.wrapping_shr(PAGE_SIZE.trailing_zeros())
}

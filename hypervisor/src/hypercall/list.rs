//! MAP_SG and UNMAP_SG.

use super::{Calls, copy_in};
use crate::dma::{CHUNK, Error, GuestMemory, ListProgress, Outside};
use stagegate_abi::{LEAVES_PER_CALL, LIST_MAX, ListEntry, PAGE_SIZE, Prot, Reply, Status};

/// The part of a list that is read at once.
type Chunk = [ListEntry; CHUNK];

fn reply(progress: ListProgress) -> Reply {
    let status = match progress.result {
        Ok(()) => Status::Success,
        Err(error) => error.status(),
    };
    Reply([
        status.to_register(),
        u64::from(progress.entries),
        progress.bytes,
        progress.extra,
    ])
}

const fn check(page: u64, count: u32, most: u32) -> Result<(), Status> {
    if page & PAGE_SIZE.wrapping_sub(1) != 0 || count == 0 || count > most {
        Err(Status::InvalidParameter)
    } else {
        Ok(())
    }
}

impl<O: Outside, G: GuestMemory> Calls<'_, O, G> {
    pub(super) fn map_sg(
        &self,
        domain: u32,
        iova: u64,
        page: u64,
        count: u32,
        prot: Prot,
    ) -> Reply {
        self.walk(page, count, |done, chunk| {
            // Beyond the end of the address space is caught below, as any range.
            let iova = iova.wrapping_add(done.bytes);
            let leaves = LEAVES_PER_CALL.saturating_sub(done.leaves);
            self.dma.map_list(domain, iova, chunk, prot, leaves)
        })
    }

    /// As one unmap after the other, with one invalidation for all.
    pub(super) fn unmap_sg(&self, domain: u32, page: u64, count: u32, lazy: bool) -> Reply {
        let mut reply = self.walk(page, count, |done, chunk| {
            let leaves = LEAVES_PER_CALL.saturating_sub(done.leaves);
            self.unmap_list(domain, chunk, leaves)
        });
        if !lazy {
            let Reply([x0, ..]) = &mut reply;
            match self.dma.sync(domain) {
                Ok(()) | Err(Error::Nothing) => {}
                // Whatever else went wrong, this is worse.
                Err(error) => *x0 = error.status().to_register(),
            }
        }
        reply
    }

    fn unmap_list(&self, domain: u32, list: &[ListEntry], leaves: u64) -> ListProgress {
        let mut done = ListProgress::NONE;
        for entry in list {
            let left = leaves.saturating_sub(done.leaves);
            if left == 0 {
                break;
            }
            let step = self
                .dma
                .unmap_limited(domain, entry.address, entry.size, true, left);
            let whole = step.bytes == entry.size && step.result.is_ok();
            done.add(u32::from(whole), step.bytes, step.leaves);
            if !whole {
                done.extra = step.bytes;
                done.result = step.result;
                break;
            }
        }
        done
    }

    /// Reads the list chunk by chunk, each entry once, and hands the chunks on until one stops.
    fn walk(
        &self,
        page: u64,
        count: u32,
        mut each: impl FnMut(&ListProgress, &[ListEntry]) -> ListProgress,
    ) -> Reply {
        if let Err(status) = check(page, count, LIST_MAX) {
            return Reply::status(status);
        }
        let mut done = ListProgress::NONE;
        let mut chunk: Chunk = [ListEntry::default(); CHUNK];
        while done.entries < count && done.leaves < LEAVES_PER_CALL {
            let left = count.saturating_sub(done.entries) as usize;
            let Some(part) = chunk.get_mut(..left.min(CHUNK)) else {
                break;
            };
            let at = u64::from(done.entries).saturating_mul(size_of::<ListEntry>() as u64);
            if copy_in(self.memory, page.saturating_add(at), part).is_err() {
                done.result = Err(Error::NotOwned(page));
                break;
            }
            let step = each(&done, part);
            done.add(step.entries, step.bytes, step.leaves);
            done.extra = step.extra;
            done.result = step.result;
            if (step.entries as usize) < part.len() {
                break;
            }
        }
        reply(done)
    }
}

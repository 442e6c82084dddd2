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

/// The entries at the start of a list, at most `most`, that continue one another; their address and
/// their bytes.
fn adjoining(list: &[ListEntry], most: usize) -> Option<(&[ListEntry], u64, u64)> {
    let list = list.get(..most).unwrap_or(list);
    let (first, mut others) = list.split_first()?;
    // An empty entry, or one beyond the end of all addresses, goes alone.
    let end = first.address.checked_add(first.size);
    let Some(mut end) = end.filter(|_| first.size != 0) else {
        return Some((list.get(..1)?, first.address, first.size));
    };
    while let Some((&ListEntry { address, size }, rest)) = others.split_first() {
        let after = end.wrapping_add(size);
        // Both at once: one branch for each entry.
        if (address != end) | (after <= end) {
            break;
        }
        end = after;
        others = rest;
    }
    let count = list.len().saturating_sub(others.len());
    let size = end.wrapping_sub(first.address);
    Some((list.get(..count)?, first.address, size))
}

/// How many entries of `run` are done with `bytes`, and the bytes done of the next.
fn whole_entries(run: &[ListEntry], bytes: u64) -> (u32, u64) {
    let (mut entries, mut left) = (0u32, bytes);
    for entry in run {
        if entry.size == 0 || left < entry.size {
            break;
        }
        left = left.saturating_sub(entry.size);
        entries = entries.saturating_add(1);
    }
    (entries, left)
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

    /// Unmaps entry by entry; entries that adjoin go together, unless something is wrong with one.
    fn unmap_list(&self, domain: u32, list: &[ListEntry], leaves: u64) -> ListProgress {
        let mut done = ListProgress::NONE;
        let mut together = true;
        while let Some(rest) = list.get(done.entries as usize..).filter(|r| !r.is_empty()) {
            let left = leaves.saturating_sub(done.leaves);
            let most = if together { rest.len() } else { 1 };
            let Some((run, first, size)) = adjoining(rest, most).filter(|_| left != 0) else {
                break;
            };
            if done.entries != 0 && self.dma.outside().interrupted() {
                break;
            }
            let step = self.dma.unmap_limited(domain, first, size, true, left);
            if step.result.is_err() && step.bytes == 0 && run.len() > 1 {
                together = false;
                continue;
            }
            if step.result.is_ok() && step.bytes == size {
                done.add(run.len() as u32, step.bytes, step.leaves);
                continue;
            }
            let (entries, extra) = whole_entries(run, step.bytes);
            done.add(entries, step.bytes, step.leaves);
            done.extra = extra;
            done.result = step.result;
            break;
        }
        done
    }

    /// Reads the list chunk by chunk, each entry once, and hands the chunks on until one stops or an
    /// interrupt waits.
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
            if (step.entries as usize) < part.len() || self.dma.outside().interrupted() {
                break;
            }
        }
        reply(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the first `most` of `list` go together, and their bytes.
    fn together(list: &[(u64, u64)], most: usize) -> Option<(usize, u64)> {
        let list: Vec<ListEntry> = list
            .iter()
            .map(|&(address, size)| ListEntry { address, size })
            .collect();
        adjoining(&list, most).map(|(run, first, size)| {
            assert_eq!(first, list[0].address);
            (run.len(), size)
        })
    }

    #[test]
    fn entries_go_together_as_far_as_each_begins_where_the_last_ended() {
        const TOP: u64 = 0u64.wrapping_sub(0x1000);
        let list = [(0x1000, 0x1000), (0x2000, 0x3000), (0x5000, 0x1000)];
        assert_eq!(together(&list, 9), Some((3, 0x5000)));
        assert_eq!(together(&list, 2), Some((2, 0x4000)), "no more than asked");
        assert_eq!(together(&list, 0), None);
        for (second, why) in [
            ((0x3000, 0x1000), "a gap"),
            ((0x1000, 0x1000), "the same again"),
            ((0x2000, 0), "empty"),
            ((0x2000, u64::MAX), "around the end of all addresses"),
            ((0x2000, 0u64.wrapping_sub(0x2000)), "up to it"),
        ] {
            let found = together(&[(0x1000, 0x1000), second], 9);
            assert_eq!(found, Some((1, 0x1000)), "{why}");
        }
        for (first, second, why) in [
            ((0x1000, 0), (0x1000, 0x1000), "empty"),
            ((TOP, 0x1000), (0, 0x1000), "up to the end of all addresses"),
            ((TOP, 0x2000), (0x1000, 0x1000), "beyond it"),
        ] {
            assert_eq!(together(&[first, second], 9), Some((1, first.1)), "{why}");
        }
    }
}

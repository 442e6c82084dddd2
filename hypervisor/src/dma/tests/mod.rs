mod endpoints;
mod ends;
mod lazy;
mod lists;
mod races;

use super::testing::*;
use super::*;
use pgtable::{Access, Execute, MemoryType};
use stagegate_abi::{ListEntry, Prot};
use std::sync::atomic::Ordering;
use std::vec::Vec;

const RW: Prot = Prot::READ.union(Prot::WRITE).union(Prot::CACHE);

fn paging(vm: &VmDma<Machine>) -> u32 {
    vm.alloc(DomainKind::Paging).unwrap()
}

fn done(progress: Progress) -> u64 {
    assert_eq!(progress.result, Ok(()));
    progress.bytes
}

#[test]
fn map_leads_where_the_guest_owns_and_unmap_takes_it_away() {
    let vm = vm();
    let id = paging(&vm);
    assert_eq!(done(vm.map(id, 0x1000, RAM + PAGE, 2 * PAGE, RW)), 2 * PAGE);
    let (pa, attrs, _) = translate(&vm, id, 0x2000).unwrap();
    assert_eq!(pa, RAM_PA + 2 * PAGE);
    assert_eq!(attrs.access(), Access::ReadWrite);
    assert_eq!(attrs.memory(), MemoryType::Normal);
    vm.outside().take();
    assert_eq!(done(vm.unmap(id, 0x1000, 2 * PAGE, false)), 2 * PAGE);
    assert_eq!(translate(&vm, id, 0x1000), None);
    assert_eq!(
        vm.outside().take(),
        [Told::Invalidate(id as u16, vec![(0x1000, 2 * PAGE)])]
    );
}

#[test]
fn protection_is_what_was_asked_for_and_no_more() {
    let vm = vm();
    let id = paging(&vm);
    done(vm.map(id, 0, RAM, PAGE, Prot::READ | Prot::NOEXEC));
    let (_, attrs, _) = translate(&vm, id, 0).unwrap();
    assert_eq!(attrs.access(), Access::Read);
    assert_eq!(attrs.memory(), MemoryType::NonCacheable);
    assert_eq!(attrs.execute(), Execute::None);
    done(vm.map(id, 0x5000, DEVICE, PAGE, Prot::WRITE | Prot::MMIO));
    let (pa, attrs, _) = translate(&vm, id, 0x5000).unwrap();
    assert_eq!((pa, attrs.memory()), (DEVICE_PA, MemoryType::Device));
    assert_eq!(attrs.access(), Access::Write);
}

#[test]
fn only_what_the_vm_owns_can_be_mapped() {
    let vm = vm();
    let id = paging(&vm);
    for (ipa, size, prot, error) in [
        (0, PAGE, RW, Error::NotOwned(0)),
        (
            u64::MAX - 0xfff,
            PAGE,
            RW,
            Error::NotOwned(u64::MAX - 0xfff),
        ),
        (DEVICE, PAGE, RW, Error::NotOwned(DEVICE)),
        (RAM, PAGE, RW | Prot::MMIO, Error::NotOwned(RAM)),
        (READ_ONLY, PAGE, RW, Error::NotOwned(READ_ONLY)),
        (RAM + 1, PAGE, RW, Error::Misaligned(RAM + 1)),
    ] {
        assert_eq!(vm.map(id, 0x1000, ipa, size, prot), Progress::failed(error));
        assert_eq!(translate(&vm, id, 0x1000), None);
    }
    done(vm.map(id, 0x1000, READ_ONLY, PAGE, Prot::READ));
    // The end of RAM, and one page of somebody else's.
    let progress = vm.map(id, BLOCK, READ_ONLY - PAGE, 3 * PAGE, Prot::READ);
    assert_eq!(progress.bytes, 2 * PAGE);
    assert_eq!(progress.result, Err(Error::NotOwned(READ_ONLY + PAGE)));
    assert_eq!(translate(&vm, id, BLOCK + 2 * PAGE), None);
}

#[test]
fn malformed_ranges_are_refused_and_change_nothing() {
    let vm = vm();
    let id = paging(&vm);
    let top = 1 << 39;
    for (iova, size, error) in [
        (0, 0, Error::Range(0)),
        (1, PAGE, Error::Misaligned(1)),
        (0, 0x800, Error::Misaligned(0x800)),
        (top, PAGE, Error::Range(top)),
        (top - PAGE, 2 * PAGE, Error::Range(top - PAGE)),
        (u64::MAX - 0xfff, PAGE, Error::Range(u64::MAX - 0xfff)),
        (PAGE, u64::MAX - 0xfff, Error::Range(PAGE)),
        (DOORBELL, PAGE, Error::Reserved(DOORBELL)),
        (DOORBELL - PAGE, 3 * PAGE, Error::Reserved(DOORBELL)),
    ] {
        assert_eq!(vm.map(id, iova, RAM, size, RW), Progress::failed(error));
        assert_eq!(vm.unmap(id, iova, size, false), Progress::failed(error));
    }
    assert!(vm.outside().take().is_empty());
    done(vm.map(id, top - PAGE, RAM, PAGE, RW));
}

#[test]
fn the_doorbell_is_in_every_paging_domain() {
    let vm = vm();
    let id = paging(&vm);
    let (pa, attrs, _) = translate(&vm, id, DOORBELL).unwrap();
    assert_eq!(pa, 0x0809_0000);
    assert_eq!(attrs.access(), Access::Write);
    assert_eq!(attrs.memory(), MemoryType::Device);
}

#[test]
fn work_is_bounded_and_resumable() {
    let vm = vm();
    let id = paging(&vm);
    // Incongruent addresses: pages only. 1024 pages take two calls.
    let size = 1024 * PAGE;
    let first = vm.map(id, PAGE, RAM + 2 * PAGE, size, RW);
    assert_eq!((first.bytes, first.leaves), (512 * PAGE, 512));
    assert_eq!(first.result, Ok(()));
    let rest = vm.map(
        id,
        PAGE + first.bytes,
        RAM + 2 * PAGE + first.bytes,
        size - first.bytes,
        RW,
    );
    assert_eq!(done(rest), size - first.bytes);
    let first = vm.unmap(id, PAGE, size, false);
    assert_eq!(done(first), 512 * PAGE);
    assert_eq!(
        done(vm.unmap(id, PAGE + first.bytes, size - first.bytes, false)),
        512 * PAGE
    );
}

#[test]
fn blocks_are_used_and_ram_in_pieces_is_mapped_piece_by_piece() {
    let vm = vm();
    let id = paging(&vm);
    assert_eq!(done(vm.map(id, RAM, RAM, RAM_SIZE, RW)), RAM_SIZE);
    let (pa, _, size) = translate(&vm, id, RAM_SPLIT + 5).unwrap();
    assert_eq!((pa, size), (RAM_PA2 + 5, BLOCK));
    assert_eq!(
        vm.unmap(id, RAM + PAGE, PAGE, false).result,
        Err(Error::Cuts(RAM))
    );
    assert_eq!(done(vm.unmap(id, RAM, RAM_SIZE, false)), RAM_SIZE);
}

#[test]
fn an_unmap_stops_at_a_hole() {
    let vm = vm();
    let id = paging(&vm);
    done(vm.map(id, 0, RAM, 2 * PAGE, RW));
    done(vm.map(id, 3 * PAGE, RAM, PAGE, RW));
    let progress = vm.unmap(id, 0, 4 * PAGE, false);
    assert_eq!(progress.bytes, 2 * PAGE);
    assert_eq!(progress.result, Err(Error::NotMapped(2 * PAGE)));
    assert!(translate(&vm, id, 3 * PAGE).is_some());
    assert_eq!(
        vm.unmap(id, 2 * PAGE, PAGE, false),
        Progress::failed(Error::NotMapped(2 * PAGE))
    );
}

#[test]
fn mapped_twice_is_refused_and_keeps_the_first() {
    let vm = vm();
    let id = paging(&vm);
    done(vm.map(id, PAGE, RAM, PAGE, RW));
    assert_eq!(
        vm.map(id, PAGE, RAM + PAGE, PAGE, RW),
        Progress::failed(Error::Mapped(PAGE))
    );
    assert_eq!(translate(&vm, id, PAGE).unwrap().0, RAM_PA);
}

#[test]
fn out_of_table_pages_is_an_error_and_freeing_helps() {
    let vm = vm();
    // Root, two tables for the doorbell, two more.
    vm.outside().frames.store(5, Ordering::Relaxed);
    let id = paging(&vm);
    let mut mapped = Vec::new();
    let error = (1..100)
        .map(|n| n << 30)
        .find_map(|iova| match vm.map(id, iova, RAM, PAGE, RW) {
            Progress { result: Ok(()), .. } => {
                mapped.push(iova);
                None
            }
            progress => Some(progress),
        });
    assert_eq!(error, Some(Progress::failed(Error::NoMemory)));
    assert!(!mapped.is_empty());
    for iova in mapped {
        done(vm.unmap(id, iova, PAGE, false));
    }
}

#[test]
fn table_pages_come_back() {
    let vm = vm();
    let id = paging(&vm);
    let before = frames(&vm, id);
    for round in 0..4u64 {
        let iova = (round + 1) << 30;
        let mut at = 0;
        while at < RAM_SIZE {
            at += done(vm.map(id, iova + at, RAM + at, RAM_SIZE - at, RW));
        }
        let mut at = 0;
        while at < RAM_SIZE {
            at += done(vm.unmap(id, iova + at, RAM_SIZE - at, round % 2 == 0));
        }
        let _ = vm.sync(id);
    }
    // Tables that were only ever half emptied may stay, but are found again.
    assert!(frames(&vm, id) <= before + 8, "{} frames", frames(&vm, id));
}

//! What the longest calls take: the work that one call may do at EL2 is bounded,
//! and these go to the bound, with table pages to make and to clear.

use super::dma::{attached, connect, detach, page, power, rw};
use super::hypercall::Hvc;
use super::{Case, Outcome, promised};
use crate::{check, cpu, println};
use stagegate_abi::guest::Stagegate;
use stagegate_abi::{BATCH_MAX, LEAVES_PER_CALL, LIST_MAX, PowerState, Request, UnmapFlags};

pub const CASES: &[Case] = &[promised("dmabench-bound", bound)];

/// What a table of each level maps.
const TOP: u64 = 1 << 30;
const TABLE: u64 = 2 << 20;
const BYTES: u64 = LEAVES_PER_CALL * 4096;
/// Half of it in one table and half in the next, below two tables of the level
/// above.
const IOVA: u64 = 8 * TOP - BYTES / 2;
/// Not aligned as the addresses that it is mapped at: no large mappings.
const IPA: u64 = 0x4100_1000;

/// Makes a call, which must report this progress in x1, and prints what it took.
fn timed(stagegate: &Stagegate<Hvc>, name: &str, request: Request, progress: u64) -> Outcome {
    let begin = cpu::count();
    let reply = stagegate.request(request);
    let took = cpu::count() - begin;
    let code = reply.code().code();
    check!(code == 0, "the longest call failed with status", code);
    check!(reply.0[1] == progress, "progress of a call", reply.0[1]);
    let insns = took * 1_000_000_000 / cpu::frequency();
    println!("BENCH longest_{name}_insns {insns}");
    Ok(())
}

/// One range of pages.
fn range(stagegate: &Stagegate<Hvc>, domain: u32) -> Outcome {
    let map = Request::Map {
        domain,
        iova: IOVA,
        ipa: IPA,
        size: BYTES,
        prot: rw(),
    };
    timed(stagegate, "map", map, BYTES)?;
    let unmap = Request::Unmap {
        domain,
        iova: IOVA,
        size: BYTES,
        flags: UnmapFlags::empty(),
    };
    timed(stagegate, "unmap", unmap, BYTES)
}

/// A full list of pieces of two pages, none of which adjoins the next.
pub struct List {
    /// What an entry names.
    address: fn(u64) -> u64,
    /// The call in this domain, for so many entries, after so many bytes.
    request: fn(u32, u32, u64) -> Request,
    domain: u32,
}

impl List {
    /// The call for `count` entries of the page, after so many bytes of others.
    pub fn call(&self, count: u32, bytes: u64) -> Request {
        (self.request)(self.domain, count, bytes)
    }
}

const PIECES: u64 = LIST_MAX as u64;
const PIECE: u64 = BYTES / PIECES;

/// One to map such a list, and one to unmap it.
pub fn lists(domain: u32) -> [(&'static str, List); 2] {
    let map = List {
        address: |entry| IPA + (PIECES - entry) * 2 * PIECE,
        request: |domain, count, bytes| Request::MapSg {
            domain,
            iova: IOVA + bytes,
            list: page(1),
            count,
            prot: rw(),
        },
        domain,
    };
    let unmap = List {
        address: |entry| IOVA + (PIECES - 1 - entry) * PIECE,
        request: |domain, count, _| Request::UnmapSg {
            domain,
            list: page(1),
            count,
            flags: UnmapFlags::empty(),
        },
        domain,
    };
    [("map_sg", map), ("unmap_sg", unmap)]
}

/// Writes the list from entry `first` on; how many entries those are.
pub fn fill(list: &List, first: u32) -> u32 {
    for (at, entry) in (u64::from(first)..PIECES).enumerate() {
        let at = page(1) + at as u64 * 16;
        cpu::write64(at, (list.address)(entry));
        cpu::write64(at + 8, PIECE);
    }
    LIST_MAX - first
}

fn list(stagegate: &Stagegate<Hvc>, domain: u32) -> Outcome {
    for (name, list) in lists(domain) {
        let count = fill(&list, 0);
        timed(stagegate, name, list.call(count, 0), PIECES)?;
    }
    Ok(())
}

/// A full page of entries far apart, each of which needs two tables of its own:
/// to map them, or to unmap them. The call from entry `first` on.
pub fn batch_page(domain: u32, map: bool) -> impl Fn(u32) -> Request {
    let (op, prot, ipa) = match map {
        true => (1, rw().bits(), IPA),
        false => (2, 0, 0),
    };
    for entry in 0..u64::from(BATCH_MAX) {
        let at = page(1) + entry * 32;
        cpu::write64(at, op | u64::from(prot) << 16 | u64::from(domain) << 32);
        cpu::write64(at + 8, (16 + entry) * TOP);
        cpu::write64(at + 16, ipa);
        cpu::write64(at + 24, 4096);
    }
    |first| Request::Batch {
        page: page(1),
        count: BATCH_MAX,
        first,
    }
}

pub const BATCHES: [(&str, bool); 2] = [("batch_map", true), ("batch_unmap", false)];

fn batch(stagegate: &Stagegate<Hvc>, domain: u32) -> Outcome {
    for (name, map) in BATCHES {
        let request = batch_page(domain, map)(0);
        timed(stagegate, name, request, BATCH_MAX.into())?;
    }
    Ok(())
}

/// Maps single pages until there are no table pages left.
pub fn many_tables(stagegate: &Stagegate<Hvc>, domain: u32) -> Outcome {
    let one = |n: u64| stagegate.map(domain, 256 * TOP + n * TABLE, IPA, 4096, rw());
    let made = (0..1024).take_while(|n| one(*n).is_ok()).count();
    check!(made > 256, "tables that a domain may have", made);
    Ok(())
}

fn free(stagegate: &Stagegate<Hvc>, domain: u32) -> Outcome {
    many_tables(stagegate, domain)?;
    detach(stagegate, domain)?;
    timed(stagegate, "domain_free", Request::DomainFree { domain }, 0)
}

fn bound() -> Outcome {
    let stagegate = connect()?;
    let domain = attached(&stagegate)?;
    power(&stagegate, PowerState::On)?;
    let done = [range, list, batch, free]
        .iter()
        .try_for_each(|call| call(&stagegate, domain));
    power(&stagegate, PowerState::Off)?;
    done
}

//! DMA domains with a real device: QEMU's `edu`, the first on the VM's bridge,
//! whose power the guest tells by hypercall.

use super::hypercall::Hvc;
use super::{Case, Outcome, Why, promised};
use crate::{check, cpu, println};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use stagegate_abi::guest::Stagegate;
use stagegate_abi::{AllocFlags, PowerState, Prot, Reply, Request, Status, UnmapFlags};

pub const CASES: &[Case] = &[
    promised("dma-domain", domain),
    promised("dma-errors", errors),
    promised("dma-device", device),
    promised("dmabench-all", figures),
];

/// Where [`connect`] has found the device.
static SLOT: AtomicU32 = AtomicU32::new(0);
pub const IOVA: u64 = 0x10_0000;
/// Last page of the VM's 64 MiB.
const LAST_PAGE: u64 = 0x43ff_f000;

#[repr(align(4096))]
struct Page(#[allow(dead_code)] [u8; 4096]);
static mut PAGES: [Page; 2] = [const { Page([0; 4096]) }; 2];

pub fn page(index: usize) -> u64 {
    (&raw const PAGES) as u64 + index as u64 * 4096
}

/// The device's slot.
pub fn slot() -> u32 {
    SLOT.load(Relaxed)
}

fn endpoint() -> u32 {
    slot() << 3
}

/// Its registers in the ECAM window of the platform.
pub fn config() -> u64 {
    0x3f00_0000 + (u64::from(slot()) << 15)
}

/// Stagegate, and the device.
pub fn connect() -> Result<Stagegate<Hvc>, Why> {
    let stagegate = Stagegate::probe(Hvc).ok_or(Why::Failed("no Stagegate", 0))?;
    match (0..32).find(|slot| stagegate.device_info(slot << 3).is_ok()) {
        Some(slot) => {
            SLOT.store(slot, Relaxed);
            Ok(stagegate)
        }
        None => Err(Why::Skipped("this VM has no device")),
    }
}

fn code<T>(result: Result<T, Status>) -> Result<T, Why> {
    result.map_err(|s| Why::Failed("a call failed with status", s.code() as u64))
}

pub fn moved(result: Result<(), (Status, u64)>) -> Result<(), Why> {
    code(result.map_err(|(status, _)| status))
}

fn status(stagegate: &Stagegate<Hvc>, request: Request) -> Status {
    let reply: Reply = stagegate.request(request);
    reply.code()
}

pub fn rw() -> Prot {
    Prot::READ | Prot::WRITE | Prot::CACHE
}

/// A domain with the device in it, and the device powered.
pub fn attached(stagegate: &Stagegate<Hvc>) -> Result<u32, Why> {
    let domain = code(stagegate.domain_alloc(AllocFlags::empty()))?;
    code(stagegate.attach(domain, endpoint()))?;
    Ok(domain)
}

pub fn detach(stagegate: &Stagegate<Hvc>, domain: u32) -> Outcome {
    let detach = Request::Detach {
        domain,
        endpoint: endpoint(),
    };
    let detached = status(stagegate, detach);
    check!(detached == Status::Success, "DETACH", detached.code());
    Ok(())
}

pub fn release(stagegate: &Stagegate<Hvc>, domain: u32) -> Outcome {
    detach(stagegate, domain)?;
    let freed = status(stagegate, Request::DomainFree { domain });
    check!(freed == Status::Success, "DOMAIN_FREE", freed.code());
    Ok(())
}

fn domain() -> Outcome {
    let stagegate = connect()?;
    let domain = attached(&stagegate)?;
    let busy = status(&stagegate, Request::DomainFree { domain });
    check!(
        busy != Status::Success,
        "a domain in use was freed",
        busy.code()
    );
    for round in 0..50 {
        let iova = IOVA + round * 4096;
        moved(stagegate.map(domain, iova, page(0), 4096, rw()))?;
        moved(stagegate.unmap(domain, iova, 4096, UnmapFlags::empty()))?;
    }
    moved(stagegate.map(domain, IOVA, 0x4100_0000, 2 << 20, rw()))?;
    moved(stagegate.unmap(domain, IOVA, 2 << 20, UnmapFlags::empty()))?;
    release(&stagegate, domain)
}

/// MAP that must fail; how many bytes it did before.
fn refused(stagegate: &Stagegate<Hvc>, domain: u32, ipa: u64, size: u64) -> Result<u64, Why> {
    let Reply([x0, bytes, ..]) = stagegate.request(Request::Map {
        domain,
        iova: IOVA,
        ipa,
        size,
        prot: rw(),
    });
    check!(x0 as i32 != 0, "a bad MAP succeeded", ipa);
    Ok(bytes)
}

/// UNMAP of `size` bytes, of which just `done` are mapped: it stops there.
fn unmaps(stagegate: &Stagegate<Hvc>, domain: u32, size: u64, done: u64) -> Outcome {
    let reply: Reply = stagegate.request(Request::Unmap {
        domain,
        iova: IOVA,
        size,
        flags: UnmapFlags::empty(),
    });
    let status = reply.code();
    check!(
        status == Status::NotFound,
        "UNMAP of what is not mapped",
        status.code()
    );
    check!(
        reply.0[1] == done,
        "bytes UNMAP did before a hole",
        reply.0[1]
    );
    Ok(())
}

/// What is not the VM's, or not whole pages, is not mapped.
fn refusals(stagegate: &Stagegate<Hvc>, domain: u32) -> Outcome {
    for (ipa, size) in [
        (0x0900_0000, 4096),
        (0x20_0000_0000, 4096),
        (page(0) + 1, 4096),
        (page(0), 100),
        (page(0), u64::MAX - 4095),
    ] {
        let bytes = refused(stagegate, domain, ipa, size)?;
        check!(bytes == 0, "a bad MAP mapped something", ipa);
        unmaps(stagegate, domain, 4096, 0)?;
    }
    Ok(())
}

fn errors() -> Outcome {
    let stagegate = connect()?;
    let domain = attached(&stagegate)?;
    refusals(&stagegate, domain)?;
    // The last page of RAM is the VM's, what follows is not: what was mapped
    // stays, and goes alone.
    let bytes = refused(&stagegate, domain, LAST_PAGE, 0x10_0000)?;
    check!(bytes == 4096, "bytes MAP did up to the end of RAM", bytes);
    unmaps(&stagegate, domain, 0x10_0000, 4096)?;
    unmaps(&stagegate, domain, 4096, 0)?;
    moved(stagegate.map(domain, IOVA, page(0), 4096, rw()))?;
    let bytes = refused(&stagegate, domain, page(1), 4096)?;
    check!(bytes == 0, "mapped twice", bytes);
    moved(stagegate.unmap(domain, IOVA, 4096, UnmapFlags::empty()))?;
    release(&stagegate, domain)
}

pub fn power(stagegate: &Stagegate<Hvc>, state: PowerState) -> Outcome {
    let status = status(
        stagegate,
        Request::PowerSet {
            endpoint: endpoint(),
            state,
        },
    );
    check!(status == Status::Success, "POWER_SET", status.code());
    Ok(())
}

/// The device's registers, while memory decoding is on.
pub fn bar() -> u64 {
    u64::from(cpu::read32(config() + 0x10) & !0xf)
}

/// Lets the device copy `bytes` bytes between memory and its own buffer.
pub fn transfer(bar: u64, iova: u64, to_memory: bool, bytes: u64) -> bool {
    let (source, target) = if to_memory {
        (0x4_0000, iova)
    } else {
        (iova, 0x4_0000)
    };
    cpu::write64(bar + 0x80, source);
    cpu::write64(bar + 0x88, target);
    cpu::write64(bar + 0x90, bytes);
    cpu::write64(bar + 0x98, if to_memory { 3 } else { 1 });
    cpu::eventually(|| cpu::read64(bar + 0x98) & 1 == 0)
}

/// The device reaches what is mapped, where it is mapped, and nothing else.
fn device() -> Outcome {
    let stagegate = connect()?;
    let domain = attached(&stagegate)?;
    power(&stagegate, PowerState::On)?;
    cpu::write16(config() + 4, 6);
    let bar = bar();
    cpu::write64(page(0), 0x1234_5678_9abc_def0);
    cpu::write64(page(1), 0);
    moved(stagegate.map(domain, IOVA, page(0), 4096, rw()))?;
    moved(stagegate.map(domain, IOVA + 0x8000, page(1), 4096, rw()))?;
    check!(
        transfer(bar, IOVA, false, 8),
        "the device does not finish",
        0
    );
    check!(
        transfer(bar, IOVA + 0x8000, true, 8),
        "the device does not finish",
        0
    );
    let got = cpu::read64(page(1));
    check!(got == 0x1234_5678_9abc_def0, "what the device copied", got);
    moved(stagegate.unmap(domain, IOVA + 0x8000, 4096, UnmapFlags::empty()))?;
    cpu::write64(page(1), 0);
    check!(
        transfer(bar, IOVA + 0x8000, true, 8),
        "the device does not finish",
        0
    );
    check!(
        cpu::read64(page(1)) == 0,
        "DMA went through after unmap",
        cpu::read64(page(1))
    );
    let told = cpu::eventually(|| stagegate.event().is_some_and(|e| e.endpoint == endpoint()));
    check!(told, "the fault was not told", 0);
    moved(stagegate.unmap(domain, IOVA, 4096, UnmapFlags::empty()))?;
    cpu::write16(config() + 4, 0);
    power(&stagegate, PowerState::Off)?;
    release(&stagegate, domain)
}

const ROUNDS: u64 = 100;

fn ticks(mut work: impl FnMut(u64) -> Outcome) -> Result<u64, Why> {
    let begin = cpu::count();
    for round in 0..ROUNDS {
        work(round)?;
    }
    Ok((cpu::count() - begin) * 1_000_000_000 / cpu::frequency() / ROUNDS)
}

fn gated(stagegate: &Stagegate<Hvc>) -> bool {
    let Reply([status, _, smmu, _]) = stagegate.request(Request::PowerGet {
        endpoint: endpoint(),
    });
    status == 0 && smmu == 0
}

/// Maps and unmaps pages, and says what each call took.
fn mapping(stagegate: &Stagegate<Hvc>, domain: u32, suffix: &str) -> Outcome {
    let at = |round: u64| IOVA + round * 4096;
    // Table pages are there from the first round on.
    for kind in ["", "!"] {
        let map = ticks(|r| moved(stagegate.map(domain, at(r), page(0), 4096, rw())))?;
        let unmap = ticks(|r| moved(stagegate.unmap(domain, at(r), 4096, UnmapFlags::empty())))?;
        if kind == "!" {
            if suffix == "on" {
                println!("BENCH map4k_hvc_insns {map}");
            }
            println!("BENCH unmap4k_hvc_{suffix}_insns {unmap}");
        }
    }
    Ok(())
}

/// Entries of the longest list.
const LIST: u64 = 256;

/// A whole list page of scattered pages, mapped and unmapped at once; what a
/// page of it took.
fn list(stagegate: &Stagegate<Hvc>, domain: u32, suffix: &str) -> Outcome {
    let at = page(1);
    let fill = |what: fn(u64) -> u64| {
        for entry in 0..LIST {
            cpu::write64(at + entry * 16, what(entry));
            cpu::write64(at + entry * 16 + 8, 4096);
        }
    };
    // Every second page, backwards: nothing joins.
    let scattered = |entry: u64| 0x4200_0000 + (LIST - entry) * 8192;
    for kind in ["", "!"] {
        fill(scattered);
        let begin = cpu::count();
        let mapped = stagegate.request(Request::MapSg {
            domain,
            iova: IOVA,
            list: at,
            count: LIST as u32,
            prot: rw(),
        });
        let map = cpu::count() - begin;
        check!(mapped.0[1] == LIST, "entries of MAP_SG", mapped.0[1]);
        fill(|entry| IOVA + entry * 4096);
        let begin = cpu::count();
        let unmapped = stagegate.request(Request::UnmapSg {
            domain,
            list: at,
            count: LIST as u32,
            flags: UnmapFlags::empty(),
        });
        let unmap = cpu::count() - begin;
        check!(unmapped.0[1] == LIST, "entries of UNMAP_SG", unmapped.0[1]);
        if kind == "!" {
            let insns = |ticks: u64| ticks * 1_000_000_000 / cpu::frequency() / LIST;
            println!("BENCH map_sg256_{suffix}_insns_per_page {}", insns(map));
            println!("BENCH unmap_sg256_{suffix}_insns_per_page {}", insns(unmap));
        }
    }
    Ok(())
}

fn figures() -> Outcome {
    let stagegate = connect()?;
    let domain = attached(&stagegate)?;
    power(&stagegate, PowerState::On)?;
    mapping(&stagegate, domain, "on")?;
    list(&stagegate, domain, "on")?;
    power(&stagegate, PowerState::Off)?;
    check!(
        cpu::eventually(|| gated(&stagegate)),
        "the SMMU is not gated",
        0
    );
    mapping(&stagegate, domain, "gated")?;
    list(&stagegate, domain, "gated")?;
    check!(gated(&stagegate), "unmapping woke the SMMU", 0);
    release(&stagegate, domain)
}

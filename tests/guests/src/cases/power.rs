//! What no stock driver does: DMA by a device whose guest said that it is idle,
//! and requests that a supplier refuses. Devices are QEMU's `edu` at slots 6 and
//! 7 of the VM's bridge, whose power the guest tells by hypercall.

use super::hypercall::Hvc;
use super::{Case, Outcome, Why, last};
use crate::{check, cpu, println};
use stagegate_abi::guest::Stagegate;
use stagegate_abi::{AllocFlags, PowerState, Prot, Reply, Request, Status, UnmapFlags};

pub const CASES: &[Case] = &[
    last("power-gated", gated_dma),
    last("power-tbu", tbu),
    last("power-refused", refused),
];

const IOVA: u64 = 0x10_0000;
/// Where nothing is mapped.
const NOWHERE: u64 = 0x7000_0000;
const PAGE: u64 = 4096;
/// The device's own memory.
const BUFFER: u64 = 0x4_0000;

#[repr(align(4096))]
struct Page(#[allow(dead_code)] [u8; 4096]);
static mut PAGES: [Page; 4] = [const { Page([0; 4096]) }; 4];

fn page(index: u64) -> u64 {
    (&raw const PAGES) as u64 + index * PAGE
}

/// An `edu` with two pages of memory in a domain of its own: the first at
/// `IOVA`, the second behind it.
struct Edu {
    stagegate: Stagegate<Hvc>,
    slot: u64,
    domain: u32,
    bar: u64,
}

impl Edu {
    /// The one at `slot`; its memory is the pages from `first` on.
    fn new(slot: u64, first: u64) -> Result<Self, Why> {
        let stagegate = Stagegate::probe(Hvc).ok_or(Why::Failed("no Stagegate", 0))?;
        if stagegate.device_info((slot as u32) << 3).is_err() {
            return Err(Why::Skipped("this VM has no such device"));
        }
        let mut edu = Self {
            stagegate,
            slot,
            domain: 0,
            bar: 0,
        };
        let failed = |status: Status| Why::Failed("a domain", status.code() as u64);
        edu.domain = edu
            .stagegate
            .domain_alloc(AllocFlags::empty())
            .map_err(failed)?;
        edu.stagegate
            .attach(edu.domain, edu.endpoint())
            .map_err(failed)?;
        edu.map(IOVA, page(first))?;
        edu.map(IOVA + PAGE, page(first + 1))?;
        Ok(edu)
    }

    fn endpoint(&self) -> u32 {
        (self.slot as u32) << 3
    }

    /// ECAM window of the platform.
    fn config(&self) -> u64 {
        0x3f00_0000 + (self.slot << 15)
    }

    fn map(&self, iova: u64, memory: u64) -> Outcome {
        let prot = Prot::READ | Prot::WRITE | Prot::CACHE;
        let done = self.stagegate.map(self.domain, iova, memory, PAGE, prot);
        check!(done.is_ok(), "MAP", iova);
        Ok(())
    }

    fn unmap(&self, iova: u64) -> Outcome {
        let done = self
            .stagegate
            .unmap(self.domain, iova, PAGE, UnmapFlags::empty());
        check!(done.is_ok(), "UNMAP", iova);
        Ok(())
    }

    fn set(&self, state: PowerState) -> Status {
        let endpoint = self.endpoint();
        self.stagegate
            .request(Request::PowerSet { endpoint, state })
            .code()
    }

    /// Power on, memory space and bus mastering on.
    fn start(&mut self) -> Outcome {
        let status = self.set(PowerState::On);
        check!(status == Status::Success, "POWER_SET on", status.code());
        cpu::write16(self.config() + 4, 6);
        self.bar = u64::from(cpu::read32(self.config() + 0x10) & !0xf);
        Ok(())
    }

    /// Says that the device is idle, and leaves it able to do anything.
    fn stop(&self) -> Outcome {
        let status = self.set(PowerState::Off);
        check!(status == Status::Success, "POWER_SET off", status.code());
        Ok(())
    }

    /// Whether the SMMU in front of it sleeps.
    fn is_gated(&self) -> bool {
        let endpoint = self.endpoint();
        let Reply([status, _, smmu, _]) = self.stagegate.request(Request::PowerGet { endpoint });
        status == 0 && smmu == 0
    }

    fn becomes_gated(&self) -> Outcome {
        let gated = cpu::eventually(|| self.is_gated());
        check!(gated, "the SMMU is not gated", 0);
        Ok(())
    }

    /// Copies 8 bytes from memory into the device.
    fn load(&self, iova: u64) -> Outcome {
        self.transfer(iova, BUFFER, 1)
    }

    /// Copies 8 bytes from the device to memory.
    fn store(&self, iova: u64) -> Outcome {
        self.transfer(BUFFER, iova, 3)
    }

    fn transfer(&self, source: u64, target: u64, command: u64) -> Outcome {
        cpu::write64(self.bar + 0x80, source);
        cpu::write64(self.bar + 0x88, target);
        cpu::write64(self.bar + 0x90, 8);
        cpu::write64(self.bar + 0x98, command);
        let done = cpu::eventually(|| cpu::read64(self.bar + 0x98) & 1 == 0);
        check!(done, "the device does not finish", iova_of(source, target));
        Ok(())
    }

    /// What a store leaves at a word that held something else.
    fn stored(&self, iova: u64, memory: u64) -> Result<u64, Why> {
        cpu::write64(memory, UNTOUCHED);
        self.store(iova)?;
        Ok(cpu::read64(memory))
    }
}

fn iova_of(source: u64, target: u64) -> u64 {
    if source == BUFFER { target } else { source }
}

const FIRST: u64 = 0x1111_2222_3333_4444;
const SECRET: u64 = 0x5ec2_e75e_c2e7_5ec2;
const UNTOUCHED: u64 = 0x0dd5_0dd5_0dd5_0dd5;

/// The device does DMA although its guest said that it would not: memory stays
/// as it is, in both directions, and the SMMU asleep.
fn gated_dma() -> Outcome {
    let mut edu = Edu::new(6, 0)?;
    edu.start()?;
    cpu::write64(page(0), FIRST);
    edu.load(IOVA)?;
    let got = edu.stored(IOVA + PAGE, page(1))?;
    check!(got == FIRST, "what the device copied", got);
    // A fault just before: it is told while the SMMU sleeps.
    edu.store(NOWHERE)?;
    edu.stop()?;
    edu.becomes_gated()?;
    println!("MARK gated");
    let told = cpu::eventually(|| edu.stagegate.event().is_some_and(|e| e.iova == NOWHERE));
    check!(told, "the fault was not told", 0);
    while_gated(&edu)?;
    check!(edu.is_gated(), "something woke the SMMU", 0);
    println!("MARK waking");
    edu.start()?;
    let got = edu.stored(IOVA + PAGE, page(1))?;
    check!(
        got != SECRET,
        "the device read while the SMMU was gated",
        got
    );
    edu.load(IOVA)?;
    let got = edu.stored(IOVA + PAGE, page(1))?;
    check!(got == SECRET, "what the device copied after the wake", got);
    // Unmapped while gated.
    cpu::write64(page(2), UNTOUCHED);
    edu.store(IOVA + 2 * PAGE)?;
    let got = cpu::read64(page(2));
    check!(got == UNTOUCHED, "DMA to a page unmapped while gated", got);
    Ok(())
}

fn while_gated(edu: &Edu) -> Outcome {
    for _ in 0..20 {
        edu.map(IOVA + 2 * PAGE, page(2))?;
        edu.unmap(IOVA + 2 * PAGE)?;
    }
    let got = edu.stored(IOVA + PAGE, page(1))?;
    check!(got == UNTOUCHED, "DMA went through while gated", got);
    cpu::write64(page(0), SECRET);
    edu.load(IOVA)
}

/// One of two devices idles: its TBU sleeps, the SMMU and the other TBU do not.
fn tbu() -> Outcome {
    let (mut lazy, mut busy) = (Edu::new(6, 0)?, Edu::new(7, 2)?);
    for edu in [&mut lazy, &mut busy] {
        edu.start()?;
    }
    for (edu, first) in [(&lazy, 0), (&busy, 2)] {
        cpu::write64(page(first), FIRST);
        edu.load(IOVA)?;
        let got = edu.stored(IOVA + PAGE, page(first + 1))?;
        check!(got == FIRST, "what a device copied", got);
    }
    lazy.stop()?;
    // Its DMA is terminated from some moment on: then it sleeps.
    let mut last = Ok(0);
    let asleep = cpu::eventually(|| {
        last = lazy.stored(IOVA + PAGE, page(1));
        !matches!(last, Ok(FIRST))
    });
    check!(
        asleep && matches!(last, Ok(UNTOUCHED)),
        "the TBU does not sleep",
        0
    );
    let got = busy.stored(IOVA + PAGE, page(3))?;
    check!(got == FIRST, "the other device's DMA", got);
    check!(!busy.is_gated(), "the SMMU is gated", 0);
    // The SMMU hears of it, the TBU cannot.
    lazy.unmap(IOVA)?;
    lazy.start()?;
    let got = lazy.stored(IOVA + PAGE, page(1))?;
    check!(got == FIRST, "DMA after the TBU's wake", got);
    cpu::write64(page(0), UNTOUCHED);
    lazy.store(IOVA)?;
    let got = cpu::read64(page(0));
    check!(
        got == UNTOUCHED,
        "DMA to a page unmapped while its TBU slept",
        got
    );
    Ok(())
}

/// A supplier does not come up: the request gets its protocol's error, again
/// and again, the device reaches nothing, and once the supplier works all does.
fn refused() -> Outcome {
    let mut edu = Edu::new(6, 0)?;
    edu.start()?;
    cpu::write64(page(0), FIRST);
    edu.load(IOVA)?;
    edu.stop()?;
    edu.becomes_gated()?;
    // The host breaks the supplier when it reads this.
    println!("MARK break");
    let mut status = Status::Success;
    let refused = cpu::eventually(|| {
        status = edu.set(PowerState::On);
        if status == Status::Success {
            let _ = edu.stop();
            let _ = edu.becomes_gated();
        }
        status != Status::Success
    });
    check!(refused, "the request never failed", 0);
    println!("MARK refused {}", status.code());
    let got = edu.stored(IOVA + PAGE, page(1))?;
    check!(got == UNTOUCHED, "DMA went through without its SMMU", got);
    let again = edu.set(PowerState::On);
    check!(again == status, "the second request", again.code());
    // The host mends it.
    println!("MARK mend");
    let woke = cpu::eventually(|| edu.set(PowerState::On) == Status::Success);
    check!(woke, "the request still fails", 0);
    println!("MARK woken");
    let got = edu.stored(IOVA + PAGE, page(1))?;
    check!(got == FIRST, "DMA after the wake", got);
    Ok(())
}

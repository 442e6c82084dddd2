//! What power costs: instructions (see `bench`) of changes of activity, and of
//! what the hypervisor does by itself while the guest only looks at the clock.
//! Devices are QEMU's `edu` at slots 6 and 7, whose power the guest tells.

use super::hypercall::Hvc;
use super::{Case, Outcome, Why, promised};
use crate::{check, cpu, println};
use stagegate_abi::guest::Stagegate;
use stagegate_abi::{AllocFlags, PowerState, Prot, Reply, Request, Status, UnmapFlags};

pub const CASES: &[Case] = &[promised("powerbench-all", all)];

const FIRST: u32 = 6 << 3;
const SECOND: u32 = 7 << 3;
const ROUNDS: u64 = 50;
const IOVA: u64 = 0x10_0000;
/// In the VM's RAM.
const MEMORY: u64 = 0x4200_0000;
/// Longer than the idle delay of 20 ms.
const LOOK_NS: u64 = 25_000_000;

fn nanoseconds(ticks: u64) -> u64 {
    (u128::from(ticks) * 1_000_000_000 / u128::from(cpu::frequency())) as u64
}

struct Bench {
    stagegate: Stagegate<Hvc>,
    domain: u32,
}

impl Bench {
    fn new() -> Result<Self, Why> {
        let failed = |status: Status| Why::Failed("a domain", status.code() as u64);
        let stagegate = Stagegate::probe(Hvc).ok_or(Why::Failed("no Stagegate", 0))?;
        let domain = stagegate
            .domain_alloc(AllocFlags::empty())
            .map_err(failed)?;
        stagegate.attach(domain, FIRST).map_err(failed)?;
        Ok(Self { stagegate, domain })
    }

    /// Instructions of one POWER_SET, from the guest and back.
    fn set(&self, endpoint: u32, state: PowerState) -> Result<u64, Why> {
        let begin = cpu::count();
        let reply = self
            .stagegate
            .request(Request::PowerSet { endpoint, state });
        let ticks = cpu::count() - begin;
        match reply.code() {
            Status::Success => Ok(nanoseconds(ticks)),
            status => Err(Why::Failed("POWER_SET", status.code() as u64)),
        }
    }

    /// The SMMU's state as POWER_GET tells it, and what asking took.
    fn get(&self) -> (u64, u64) {
        let begin = cpu::count();
        let Reply([_, _, smmu, _]) = self
            .stagegate
            .request(Request::PowerGet { endpoint: FIRST });
        (smmu, nanoseconds(cpu::count() - begin))
    }

    fn becomes_gated(&self) -> Outcome {
        check!(
            cpu::eventually(|| self.get().0 == 0),
            "the SMMU is not gated",
            0
        );
        Ok(())
    }

    /// UNMAP of one page that was just mapped.
    fn unmap(&self) -> Result<u64, Why> {
        let failed = |(status, _): (Status, u64)| Why::Failed("MAP, UNMAP", status.code() as u64);
        let (at, prot) = (&self.stagegate, Prot::READ | Prot::WRITE | Prot::CACHE);
        at.map(self.domain, IOVA, MEMORY, 4096, prot)
            .map_err(failed)?;
        let begin = cpu::count();
        at.unmap(self.domain, IOVA, 4096, UnmapFlags::empty())
            .map_err(failed)?;
        Ok(nanoseconds(cpu::count() - begin))
    }
}

/// The mean of many, after one that fills what is filled once.
fn mean(mut one: impl FnMut() -> Result<u64, Why>) -> Result<u64, Why> {
    one()?;
    let mut sum = 0;
    for _ in 0..ROUNDS {
        sum += one()?;
    }
    Ok(sum / ROUNDS)
}

/// The longest time that this CPU was taken away, of the time it looks.
fn taken_away() -> u64 {
    let begin = cpu::count();
    let (mut last, mut longest, mut shortest) = (begin, 0, u64::MAX);
    while nanoseconds(last - begin) < LOOK_NS {
        let now = cpu::count();
        let took = now - last;
        (longest, shortest) = (longest.max(took), shortest.min(took));
        last = now;
    }
    nanoseconds(longest - shortest)
}

/// A pair of changes, off and on again.
fn pair(bench: &Bench, who: u32, names: [&str; 2]) -> Outcome {
    let mut offs = 0;
    let on = mean(|| {
        offs += bench.set(who, PowerState::Off)?;
        bench.set(who, PowerState::On)
    })?;
    println!("BENCH {} {}", names[0], offs / (ROUNDS + 1));
    println!("BENCH {} {on}", names[1]);
    Ok(())
}

fn all() -> Outcome {
    let bench = Bench::new()?;
    println!("BENCH power_get_insns {}", mean(|| Ok(bench.get().1))?);
    for who in [FIRST, SECOND] {
        bench.set(who, PowerState::On)?;
    }
    // What a request takes that changes nothing.
    println!(
        "BENCH power_again_insns {}",
        mean(|| bench.set(FIRST, PowerState::On))?
    );
    // The other device keeps the SMMU on.
    let others = [
        "power_off_other_active_insns",
        "power_on_other_active_insns",
    ];
    pair(&bench, FIRST, others)?;
    println!("BENCH unmap4k_on_insns {}", mean(|| bench.unmap())?);
    bench.set(SECOND, PowerState::Off)?;
    // Within the delay: it is put off and taken back.
    pair(
        &bench,
        FIRST,
        ["power_off_last_insns", "power_on_idle_insns"],
    )?;
    println!("BENCH alarm_for_nothing_insns {}", taken_away());
    bench.set(FIRST, PowerState::Off)?;
    println!("BENCH gate_by_timer_insns {}", taken_away());
    if bench.get().0 != 0 {
        // Nothing to switch: what follows cannot be.
        println!("MARK never gated");
        return Ok(());
    }
    println!("BENCH unmap4k_gated_insns {}", mean(|| bench.unmap())?);
    let mut sum = 0;
    for _ in 0..ROUNDS {
        bench.becomes_gated()?;
        sum += bench.set(FIRST, PowerState::On)?;
        bench.set(FIRST, PowerState::Off)?;
    }
    println!("BENCH power_on_gated_insns {}", sum / ROUNDS);
    Ok(())
}

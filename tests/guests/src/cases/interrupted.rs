//! Interrupts during the longest calls: a timer that rings all the time is heard
//! soon, and the calls come to their end all the same.

use super::bound::{BATCHES, batch_page, fill, lists, many_tables};
use super::dma::{attached, connect, detach, power};
use super::hypercall::Hvc;
use super::{Case, Outcome, Why, promised};
use crate::exception::on_interrupt;
use crate::timer::Timer;
use crate::{check, cpu, gic, mrs, println};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use stagegate_abi::guest::Stagegate;
use stagegate_abi::{BATCH_MAX, LIST_MAX, PowerState, Request, Status};

pub const CASES: &[Case] = &[promised("dma-interrupted", interrupted)];

/// The longest from the timer's time to the handler, in ticks.
static LATEST: AtomicU64 = AtomicU64::new(0);
/// Interrupts from which the guest goes on with a call that is not done.
static AGAIN: AtomicU32 = AtomicU32::new(0);
const ROUNDS: u32 = 200;
/// Kinds of calls: two lists, two batches, DOMAIN_FREE.
const KINDS: u32 = 5;
/// `HVC #0`.
const HVC: u32 = 0xd400_0002;

fn period() -> u64 {
    cpu::frequency() / 20_000
}

fn rings(_: u32) {
    LATEST.fetch_max(cpu::count() - mrs!("cntv_cval_el0"), SeqCst);
    if cpu::read32(mrs!("elr_el1")) == HVC {
        AGAIN.fetch_add(1, SeqCst);
    }
    Timer::Virtual.set(period());
}

/// Does something while the timer rings, and prints how late it was heard.
fn ringing<T>(name: &str, work: impl FnOnce() -> T) -> T {
    LATEST.store(0, SeqCst);
    AGAIN.store(0, SeqCst);
    on_interrupt(Some(rings));
    gic::enable(Timer::Virtual.intid());
    cpu::irq_on();
    Timer::Virtual.arm(period());
    let done = work();
    cpu::irq_off();
    Timer::Virtual.control(0);
    gic::disable(Timer::Virtual.intid());
    let late = LATEST.load(SeqCst) * 1_000_000_000 / cpu::frequency();
    println!("BENCH heard_in_{name}_insns {late}");
    done
}

/// Calls that report how far they came go on from there; how many it took.
fn to_the_end(entries: u32, mut call: impl FnMut(u32) -> (Status, u64)) -> Result<u32, Why> {
    let (mut done, mut calls) = (0, 0);
    while done < entries {
        let (status, more) = call(done);
        let code = status.code();
        check!(code == 0, "a call failed with status", code);
        check!(more != 0, "a call that came nowhere", done);
        done += more as u32;
        calls += 1;
    }
    Ok(calls)
}

/// Each kind of call once; a bit for each that was cut short.
fn parts(stagegate: &Stagegate<Hvc>) -> Result<u32, Why> {
    let domain = attached(stagegate)?;
    let mut cut = 0;
    for (name, list) in lists(domain) {
        let mut bytes = 0;
        let calls = ringing(name, || {
            to_the_end(LIST_MAX, |first| {
                let count = fill(&list, first);
                let reply = stagegate.request(list.call(count, bytes));
                bytes += reply.0[2];
                (reply.code(), reply.0[1])
            })
        })?;
        cut = cut << 1 | u32::from(calls > 1);
    }
    for (name, map) in BATCHES {
        let call = batch_page(domain, map);
        let calls = ringing(name, || {
            to_the_end(BATCH_MAX, |first| {
                let reply = stagegate.request(call(first));
                (reply.code(), reply.0[1].saturating_sub(first.into()))
            })
        })?;
        cut = cut << 1 | u32::from(calls > 1);
    }
    Ok(cut << 1 | u32::from(free(stagegate, domain)?))
}

/// Frees a domain with many tables; whether interrupts came before it was done.
fn free(stagegate: &Stagegate<Hvc>, domain: u32) -> Result<bool, Why> {
    many_tables(stagegate, domain)?;
    detach(stagegate, domain)?;
    let request = Request::DomainFree { domain };
    let code = ringing("domain_free", || stagegate.request(request).code().code());
    check!(code == 0, "DOMAIN_FREE failed with status", code);
    let again = AGAIN.load(SeqCst);
    let gone = stagegate.request(request).code();
    check!(gone == Status::NotFound, "it is still there", gone.code());
    Ok(again > 0)
}

fn interrupted() -> Outcome {
    let stagegate = connect()?;
    power(&stagegate, PowerState::On)?;
    // On a busy computer the timer may be late itself.
    const ALL: u32 = (1 << KINDS) - 1;
    let cut = (0..ROUNDS).try_fold(0, |cut, _| match cut {
        ALL => Ok(ALL),
        _ => parts(&stagegate).map(|now| cut | now),
    });
    power(&stagegate, PowerState::Off)?;
    let cut = cut?;
    check!(cut == ALL, "a call that no interrupt ever cut short", cut);
    Ok(())
}

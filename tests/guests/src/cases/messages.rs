//! Message-signalled interrupts of a real device: QEMU's `edu` on the
//! VM's bridge, and the GICv2m frame that the VM sees.

use super::dma::{
    IOVA, attached, bar, config, connect, moved, page, power, release, rw, slot, transfer,
};
use super::{Case, Outcome, Why, last, promised};
use crate::exception::{on_interrupt, seen};
use crate::{check, cpu, gic, println, psci, smp};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use stagegate_abi::{PowerState, UnmapFlags};

pub const CASES: &[Case] = &[
    promised("msg-frame", frame_registers),
    promised("msg-device", device),
    promised("msg-wire", wire),
    promised("msg-domain", domain),
    promised("msg-stray", stray),
    promised("msg-forged", forged),
    promised("msg-route", route),
    promised("msg-fresh", fresh),
    last("msg-reset", reset),
    promised("msgbench-all", figures),
];

/// The GICv2m frame.
const FRAME: u64 = 0x0802_0000;
const TYPER: u64 = FRAME + 0x008;
const DOORBELL: u64 = FRAME + 0x040;
const IIDR: u64 = FRAME + 0xfcc;
/// Registers of the device: raise and acknowledge.
const RAISE: u64 = 0x60;
const ACKNOWLEDGE: u64 = 0x64;
const MSI: u32 = 0x05;
/// Where a capability with a 64-bit address has its data.
pub const DATA: u64 = 12;

/// The device's registers, for the interrupt handler.
static BAR: AtomicU64 = AtomicU64::new(0);

/// First interrupt id of the frame and how many there are.
fn frame() -> (u32, u32) {
    let typer = cpu::read32(TYPER);
    (typer >> 16 & 0x3ff, typer & 0x3ff)
}

/// The device's wire: slot and pin add up.
fn wire_number() -> u32 {
    let pin = u32::from(cpu::read8(config() + 0x3d));
    35 + (slot() + pin - 1) % 4
}

fn taken(on: usize) -> u32 {
    seen(on).interrupts.load(SeqCst)
}

/// That CPU `on` takes just `count` interrupts since the handler was set, the
/// last of them `intid`.
fn takes(on: usize, count: u32, intid: u32) -> Outcome {
    let enough = cpu::eventually(|| taken(on) >= count);
    cpu::settle();
    check!(enough, "interrupts taken, too few", taken(on));
    check!(taken(on) == count, "interrupts taken, too many", taken(on));
    let last = seen(on).last.load(SeqCst);
    check!(last == intid, "which interrupt came", last);
    Ok(())
}

fn nothing_came() -> Outcome {
    cpu::settle();
    check!(
        taken(0) == 0,
        "an interrupt nobody sent",
        seen(0).last.load(SeqCst)
    );
    Ok(())
}

/// Offset of the device's MSI capability.
pub fn capability() -> Result<u64, Why> {
    let mut at = cpu::read32(config() + 0x34) & 0xfc;
    while at != 0 {
        let word = cpu::read32(config() + u64::from(at));
        if word & 0xff == MSI {
            return Ok(config() + u64::from(at));
        }
        at = word >> 8 & 0xfc;
    }
    Err(Why::Skipped("the device shows no MSI here"))
}

/// Powers the device, in the VM's own tables, with its registers mapped.
fn open() -> Result<u64, Why> {
    let stagegate = connect()?;
    power(&stagegate, PowerState::On)?;
    cpu::write16(config() + 4, 6);
    let bar = bar();
    BAR.store(bar, SeqCst);
    // QEMU's device forgets what it raised only by being told.
    cpu::write32(bar + ACKNOWLEDGE, u32::MAX);
    Ok(bar)
}

fn close() -> Outcome {
    if let Ok(cap) = capability() {
        cpu::write16(cap + 2, 0);
    }
    cpu::write16(config() + 4, 0);
    power(&connect()?, PowerState::Off)
}

/// Has the device write `data` to `address` when it signals.
fn aim(address: u64, data: u32) -> Outcome {
    let cap = capability()?;
    cpu::write16(cap + 2, 0);
    cpu::write32(cap + 4, address as u32);
    cpu::write32(cap + 8, (address >> 32) as u32);
    cpu::write16(cap + DATA, data as u16);
    cpu::write16(cap + 2, 1);
    let back = cpu::read32(cap + 4);
    check!(back == address as u32, "address read back", back);
    Ok(())
}

/// Lets the frame's interrupts through, edge-triggered, to this CPU.
fn listen(first: u32, count: u32) {
    for intid in first..first + count {
        gic::set_edge(intid, true);
        gic::set_priority(intid, 0xa0);
        gic::route(intid, 0);
        gic::enable(intid);
    }
    on_interrupt(None);
    cpu::irq_on();
}

fn quiet(first: u32, count: u32) {
    cpu::irq_off();
    for intid in first..first + count {
        gic::disable(intid);
        gic::poke(gic::reg::ICPENDR, intid);
    }
}

/// What CPUs see of the frame.
fn frame_registers() -> Outcome {
    connect()?;
    let (first, count) = frame();
    if count == 0 {
        return Err(Why::Skipped("this VM has no frame"));
    }
    check!(first % 32 == 0, "first interrupt of the frame", first);
    check!(
        cpu::read32(IIDR) & 0xfff == 0x43b,
        "MSI_IIDR",
        cpu::read32(IIDR)
    );
    check!(cpu::read32(DOORBELL) == 0, "the doorbell reads", 0);
    listen(first, count);
    for (sent, intid) in (1..).zip([first, first + count - 1]) {
        cpu::write32(DOORBELL, intid);
        takes(0, sent, intid)?;
    }
    on_interrupt(None);
    for odd in [0, 15, 32, first - 1, first + count, 1023, u32::MAX] {
        // Only ten bits are looked at.
        if !(first..first + count).contains(&(odd & 0x3ff)) {
            cpu::write32(DOORBELL, odd);
        }
    }
    for offset in (0..0x1000).step_by(4).filter(|offset| *offset != 0x40) {
        cpu::write32(FRAME + offset, first);
    }
    nothing_came()?;
    check!(frame() == (first, count), "MSI_TYPER is writable", 0);
    quiet(first, count);
    Ok(())
}

/// The device's messages arrive, once each, whichever number they carry.
fn device() -> Outcome {
    let bar = open()?;
    let (first, count) = frame();
    listen(first, count);
    for intid in [first, first + 1, first + count - 1, first] {
        on_interrupt(None);
        aim(DOORBELL, intid)?;
        for sent in 1..=3 {
            cpu::write32(bar + RAISE, 1);
            takes(0, sent, intid)?;
        }
    }
    // Disabled it is remembered, once.
    gic::disable(first);
    on_interrupt(None);
    cpu::write32(bar + RAISE, 1);
    cpu::write32(bar + RAISE, 1);
    nothing_came()?;
    // Behind a GICv2m frame it waits in the board's distributor.
    let shown = gic::peek(gic::reg::ISPENDR, first);
    check!(shown || !gic::is_v3(), "it is pending", shown);
    gic::enable(first);
    takes(0, 1, first)?;
    // Without bus mastering there is no message.
    on_interrupt(None);
    cpu::write16(config() + 4, 2);
    cpu::write32(bar + RAISE, 1);
    nothing_came()?;
    quiet(first, count);
    close()
}

fn acknowledge_device(_: u32) {
    cpu::write32(BAR.load(SeqCst) + ACKNOWLEDGE, u32::MAX);
    cpu::sync();
}

fn listen_to_wire() {
    gic::set_edge(wire_number(), false);
    gic::set_priority(wire_number(), 0xa0);
    gic::route(wire_number(), 0);
    gic::enable(wire_number());
    on_interrupt(Some(acknowledge_device));
    cpu::irq_on();
}

/// A device whose messages are off has its wire.
fn wire() -> Outcome {
    let bar = open()?;
    listen_to_wire();
    for sent in 1..=3 {
        cpu::write32(bar + RAISE, 1);
        takes(0, sent, wire_number())?;
    }
    quiet(wire_number(), 1);
    close()
}

/// The doorbell is in every domain of the VM, and the guest cannot move it.
fn domain() -> Outcome {
    let stagegate = connect()?;
    let bar = open()?;
    let (first, count) = frame();
    let domain = attached(&stagegate)?;
    listen(first, count);
    aim(DOORBELL, first + 2)?;
    cpu::write32(bar + RAISE, 1);
    takes(0, 1, first + 2)?;
    let over = stagegate.map(domain, FRAME, page(0), 4096, rw());
    check!(over.is_err(), "the doorbell was mapped over", 0);
    let away = stagegate.unmap(domain, FRAME, 4096, UnmapFlags::empty());
    check!(away.is_err(), "the doorbell was unmapped", 0);
    cpu::write32(bar + RAISE, 1);
    takes(0, 2, first + 2)?;
    quiet(first, count);
    close()?;
    release(&stagegate, domain)
}

/// Messages to anywhere, with any number, reach nobody; good ones still do.
fn stray() -> Outcome {
    let bar = open()?;
    let (first, count) = frame();
    listen(first, count);
    let mut state = 0x2545_f491_u32;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    for _ in 0..200 {
        let data = random() & 0xffff;
        // The physical frame of a GICv2 looks at ten bits only.
        if !(first..first + count).contains(&(data & 0x3ff)) {
            aim(DOORBELL, data)?;
            cpu::write32(bar + RAISE, 1);
        }
    }
    for address in [
        FRAME,
        FRAME + 0x44,
        FRAME + 0xff8,
        gic::GICD + 0xf00,
        0x0809_0040,
        0x080a_0000,
        u64::from(random()) << 12,
    ] {
        aim(address, first)?;
        cpu::write32(bar + RAISE, 1);
    }
    nothing_came()?;
    aim(DOORBELL, first)?;
    cpu::write32(bar + RAISE, 1);
    takes(0, 1, first)?;
    quiet(first, count);
    close()
}

/// The device's DMA at the doorbell with a number that is not the VM's. (With
/// one that is, it is a message like any other; not on QEMU, whose DMA does not
/// tell the ITS who writes.)
fn forged() -> Outcome {
    let stagegate = connect()?;
    let bar = open()?;
    let (first, count) = frame();
    let domain = attached(&stagegate)?;
    moved(stagegate.map(domain, IOVA, page(0), 4096, rw()))?;
    listen(first, count);
    for data in [0, 79, first - 1, first + count, 0x3ff, u32::MAX, 8192] {
        cpu::write64(page(0), u64::from(data));
        check!(transfer(bar, IOVA, false, 4), "the device finishes", 0);
        check!(transfer(bar, DOORBELL, true, 4), "the device finishes", 0);
    }
    nothing_came()?;
    moved(stagegate.unmap(domain, IOVA, 4096, UnmapFlags::empty()))?;
    quiet(first, count);
    close()?;
    release(&stagegate, domain)
}

/// A message goes to the CPU that the guest names, from the next one on.
fn route() -> Outcome {
    super::need_three_cpus()?;
    let bar = open()?;
    let (first, count) = frame();
    listen(first, count);
    aim(DOORBELL, first)?;
    for other in [1, 2] {
        smp::start(other);
        smp::run_on(other, cpu::irq_on);
    }
    for (to, rounds) in [(1, 3), (2, 1), (0, 1), (1, 1)] {
        on_interrupt(None);
        gic::route(first, to);
        for sent in 1..=rounds {
            cpu::write32(bar + RAISE, 1);
            takes(to, sent, first)?;
        }
        let all: u32 = (0..3).map(taken).sum();
        check!(all == rounds, "interrupts at all CPUs", all);
    }
    for other in [1, 2] {
        smp::stop(other);
    }
    quiet(first, count);
    close()
}

/// Nothing is left of an earlier life, and messages arrive in this one.
fn fresh() -> Outcome {
    connect()?;
    let (first, count) = frame();
    listen(first, count);
    nothing_came()?;
    let bar = open()?;
    aim(DOORBELL, first + 1)?;
    cpu::write32(bar + RAISE, 1);
    takes(0, 1, first + 1)?;
    quiet(first, count);
    close()
}

/// Ends this life with a message being handled and others pending.
fn reset() -> Outcome {
    let bar = open()?;
    let (first, count) = frame();
    listen(first, count);
    cpu::irq_off();
    for intid in [first, first + 1, first + count - 1] {
        aim(DOORBELL, intid)?;
        cpu::write32(bar + RAISE, 1);
    }
    check!(
        cpu::eventually(|| gic::acknowledge() < 1020),
        "a message came",
        0
    );
    cpu::write32(bar + RAISE, 1);
    psci::call(psci::SYSTEM_RESET, [0; 5]);
    Err(Why::Failed("SYSTEM_RESET returned", 0))
}

const ROUNDS: u32 = 200;

/// Instructions from the store that makes the device signal until its
/// interrupt has been handled and ended, 200 times.
fn rounds(bar: u64) -> u64 {
    let begin = cpu::count();
    for _ in 0..ROUNDS {
        let before = taken(0);
        cpu::write32(bar + RAISE, 1);
        while taken(0) == before {
            core::hint::spin_loop();
        }
    }
    (cpu::count() - begin) * 1_000_000_000 / cpu::frequency() / u64::from(ROUNDS)
}

fn figures() -> Outcome {
    let bar = open()?;
    let (first, count) = frame();
    listen_to_wire();
    rounds(bar);
    println!("BENCH interrupt_intx_insns {}", rounds(bar));
    quiet(wire_number(), 1);
    aim(DOORBELL, first)?;
    listen(first, count);
    rounds(bar);
    println!("BENCH interrupt_msi_insns {}", rounds(bar));
    quiet(first, count);
    close()
}

//! The interrupt controller as a guest sees it, the same cases for both
//! versions. Clauses: IHI 0048 (v2), IHI 0069 (v3).

mod sgi;

use super::{Case, Outcome, Why, case, need_three_cpus, promised};
use crate::exception::{on_interrupt, seen};
use crate::gic::{self, GICD, reg};
use crate::{check, cpu, smp, uart};
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

pub const CASES: &[Case] = &[
    case("gic-identification", identification),
    case("gic-sgi-self", sgi::sgi_self),
    case("gic-sgi-masked-by-priority", sgi::sgi_masked),
    case("gic-sgi-disabled", sgi::sgi_disabled),
    case("gic-sgi-all", sgi::sgi_all),
    case("gic-sgi-other-cpu", sgi::sgi_other_cpu),
    case("gic-sgi-all-others", sgi::sgi_all_others),
    case("gic-active-state", active_state),
    case("gic-pending-while-active", pending_while_active),
    case("gic-spi-software-pending", spi_software_pending),
    case("gic-spi-clear-pending", spi_clear_pending),
    case("gic-spi-route", spi_route),
    case("gic-priority-order", priority_order),
    case("gic-preemption", preemption),
    case("gic-split-end", split_end),
    case("gic-level-uart", level_uart),
    case("gic-register-access", register_access),
    promised("gic-unused-spis", unused_spis),
    case("gic-many-at-once", many_at_once),
];

/// An SPI no device of this platform drives.
const SPI: u32 = 32 + 40;

fn fired(count: u32) -> bool {
    cpu::eventually(|| seen(0).interrupts.load(SeqCst) >= count)
}

fn quiet_at(count: u32) -> bool {
    cpu::settle();
    seen(0).interrupts.load(SeqCst) == count
}

fn identification() -> Outcome {
    let typer = cpu::read32(GICD + reg::TYPER);
    let lines = 32 * ((typer & 0x1f) + 1);
    check!((64..=1024).contains(&lines), "interrupt lines", lines);
    cpu::read32(GICD + reg::IIDR);
    cpu::write32(GICD + reg::TYPER, !typer);
    check!(
        cpu::read32(GICD + reg::TYPER) == typer,
        "GICD_TYPER can be written",
        typer
    );
    // GICD_PIDR2.ArchRev, in the last page of the version's register frame.
    let (at, want) = if gic::is_v3() {
        (0xffe8, 3)
    } else {
        (0xfe8, 2)
    };
    let version = cpu::read32(GICD + at) >> 4 & 0xf;
    check!(version == want, "GICD_PIDR2.ArchRev", version);
    Ok(())
}

/// Lets a started CPU take interrupts for a while.
fn listen() {
    gic::enable(4);
    cpu::irq_on();
    READY.fetch_add(1, SeqCst);
    let index = smp::index();
    cpu::eventually(|| seen(index).interrupts.load(SeqCst) != 0);
    cpu::irq_off();
}

static READY: AtomicU32 = AtomicU32::new(0);

static NOTED: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];

fn note(slot: usize, value: u32) {
    NOTED[slot].store(value, SeqCst);
}

fn noted(slot: usize) -> u32 {
    NOTED[slot].load(SeqCst)
}

fn active_state() -> Outcome {
    on_interrupt(Some(|intid| {
        note(0, u32::from(gic::peek(reg::ISACTIVER, intid)));
        note(1, u32::from(gic::running_priority()));
        note(2, u32::from(gic::peek(reg::ISPENDR, intid)));
    }));
    gic::enable(5);
    cpu::irq_on();
    gic::send_sgi(5, 1);
    check!(fired(1), "the SGI did not arrive", 0);
    check!(noted(0) == 1, "not active while handled", noted(0));
    check!(noted(1) == 0xa0, "running priority while handled", noted(1));
    check!(noted(2) == 0, "pending while handled", noted(2));
    check!(!gic::peek(reg::ISACTIVER, 5), "active after its end", 0);
    Ok(())
}

/// An SGI sent while it is handled arrives a second time, after its end.
fn pending_while_active() -> Outcome {
    on_interrupt(Some(|intid| {
        if seen(0).interrupts.load(SeqCst) == 0 {
            gic::send_sgi(intid, 1);
            cpu::sync();
            note(0, u32::from(gic::peek(reg::ISPENDR, intid)));
        }
    }));
    gic::enable(6);
    cpu::irq_on();
    gic::send_sgi(6, 1);
    check!(
        fired(2),
        "it did not arrive twice",
        seen(0).interrupts.load(SeqCst)
    );
    check!(noted(0) == 1, "not active and pending", noted(0));
    check!(
        quiet_at(2),
        "it arrived too often",
        seen(0).interrupts.load(SeqCst)
    );
    Ok(())
}

fn spi_ready(intid: u32, priority: u8) {
    gic::disable(intid);
    gic::poke(reg::ICPENDR, intid);
    gic::set_edge(intid, true);
    gic::set_priority(intid, priority);
    gic::route(intid, 0);
    gic::enable(intid);
}

fn spi_software_pending() -> Outcome {
    spi_ready(SPI, 0xa0);
    cpu::irq_on();
    gic::poke(reg::ISPENDR, SPI);
    check!(fired(1), "the SPI did not arrive", 0);
    check!(
        seen(0).last.load(SeqCst) == SPI,
        "INTID",
        seen(0).last.load(SeqCst)
    );
    check!(
        quiet_at(1),
        "it arrived again",
        seen(0).interrupts.load(SeqCst)
    );
    gic::disable(SPI);
    gic::poke(reg::ISPENDR, SPI);
    check!(quiet_at(1), "a disabled SPI arrived", 0);
    gic::enable(SPI);
    check!(fired(2), "a pending SPI did not arrive when enabled", 0);
    gic::disable(SPI);
    Ok(())
}

fn spi_clear_pending() -> Outcome {
    spi_ready(SPI, 0xa0);
    gic::poke(reg::ISPENDR, SPI);
    check!(gic::peek(reg::ISPENDR, SPI), "not pending when set", 0);
    gic::poke(reg::ICPENDR, SPI);
    check!(!gic::peek(reg::ISPENDR, SPI), "pending when cleared", 0);
    cpu::irq_on();
    check!(quiet_at(0), "a cleared SPI arrived", 0);
    gic::disable(SPI);
    Ok(())
}

fn spi_route() -> Outcome {
    check!(smp::start(1) == 0, "CPU 1 does not start", 0);
    spi_ready(SPI, 0xa0);
    gic::route(SPI, 1);
    READY.store(0, SeqCst);
    smp::post(1, listen);
    check!(
        cpu::eventually(|| READY.load(SeqCst) == 1),
        "CPU 1 is not ready",
        0
    );
    cpu::irq_on();
    gic::poke(reg::ISPENDR, SPI);
    let done = smp::wait(1);
    let last = seen(1).last.load(SeqCst);
    check!(smp::stop(1), "CPU 1 does not go off", 0);
    gic::disable(SPI);
    gic::route(SPI, 0);
    check!(done && last == SPI, "the SPI on CPU 1", last);
    check!(seen(0).interrupts.load(SeqCst) == 0, "CPU 0 got it too", 0);
    Ok(())
}

/// Of two pending interrupts the one with the higher priority comes first.
fn priority_order() -> Outcome {
    spi_ready(SPI, 0xa0);
    spi_ready(SPI + 1, 0x40);
    gic::poke(reg::ISPENDR, SPI);
    gic::poke(reg::ISPENDR, SPI + 1);
    cpu::irq_on();
    check!(
        fired(2),
        "not both arrived",
        seen(0).interrupts.load(SeqCst)
    );
    let order = (seen(0).before.load(SeqCst), seen(0).last.load(SeqCst));
    gic::disable(SPI);
    gic::disable(SPI + 1);
    check!(order == (SPI + 1, SPI), "the first to arrive", order.0);
    Ok(())
}

/// A higher priority interrupts the handler of a lower one.
fn preemption() -> Outcome {
    spi_ready(SPI, 0xa0);
    spi_ready(SPI + 1, 0x40);
    note(0, 0);
    note(1, 0);
    on_interrupt(Some(|intid| {
        if intid == SPI + 1 {
            note(1, u32::from(gic::running_priority()));
            return;
        }
        // The exception's return state must survive a nested one.
        let (elr, spsr) = (crate::mrs!("elr_el1"), crate::mrs!("spsr_el1"));
        gic::poke(reg::ISPENDR, SPI + 1);
        cpu::irq_on();
        cpu::eventually(|| noted(1) != 0);
        cpu::irq_off();
        note(0, noted(1));
        crate::msr!("elr_el1", elr);
        crate::msr!("spsr_el1", spsr);
    }));
    cpu::irq_on();
    gic::poke(reg::ISPENDR, SPI);
    check!(
        fired(2),
        "not both arrived",
        seen(0).interrupts.load(SeqCst)
    );
    gic::disable(SPI);
    gic::disable(SPI + 1);
    check!(
        noted(0) == 0x40,
        "the handler was not interrupted",
        noted(0)
    );
    Ok(())
}

/// With split end, the priority drops at once and the interrupt stays active
/// until it is deactivated.
fn split_end() -> Outcome {
    on_interrupt(Some(|intid| note(0, intid)));
    gic::enable(7);
    gic::split_end(true);
    cpu::irq_on();
    gic::send_sgi(7, 1);
    let arrived = fired(1);
    let (active, priority) = (gic::peek(reg::ISACTIVER, 7), gic::running_priority());
    gic::deactivate(7);
    cpu::sync();
    let after = gic::peek(reg::ISACTIVER, 7);
    gic::split_end(false);
    check!(arrived, "the SGI did not arrive", 0);
    check!(active, "inactive before it was deactivated", 0);
    check!(
        priority >= 0xf0,
        "the running priority did not drop",
        priority
    );
    check!(!after, "active after it was deactivated", 0);
    Ok(())
}

/// A level interrupt comes back for as long as the device asks.
fn level_uart() -> Outcome {
    on_interrupt(Some(|_| {
        if seen(0).interrupts.load(SeqCst) == 2 {
            uart::write(uart::IMSC, 0);
        }
    }));
    gic::set_edge(uart::INTID, false);
    gic::set_priority(uart::INTID, 0xa0);
    gic::route(uart::INTID, 0);
    gic::enable(uart::INTID);
    cpu::irq_on();
    // Something must be sent before the transmit interrupt can rise.
    crate::println!("(level interrupt)");
    uart::write(uart::IMSC, uart::INT_TX);
    let thrice = fired(3);
    let quiet = quiet_at(3);
    let count = seen(0).interrupts.load(SeqCst);
    gic::disable(uart::INTID);
    uart::write(uart::ICR, 0x7ff);
    check!(thrice, "the UART's interrupt did not stay", count);
    check!(quiet, "it did not stop with its cause", count);
    Ok(())
}

fn register_access() -> Outcome {
    let at = GICD + reg::IPRIORITYR + u64::from(SPI);
    cpu::write32(at, 0x4030_2010);
    check!(
        cpu::read8(at + 2) == 0x30,
        "a byte of a priority word",
        cpu::read8(at + 2)
    );
    cpu::write8(at + 1, 0xa0);
    check!(
        cpu::read32(at) == 0x4030_a010,
        "a priority word after a byte write",
        cpu::read32(at)
    );
    gic::enable(SPI);
    check!(
        gic::peek(reg::ISENABLER, SPI),
        "enabled, read from the set register",
        0
    );
    check!(
        gic::peek(reg::ICENABLER, SPI),
        "enabled, read from the clear register",
        0
    );
    gic::disable(SPI);
    check!(!gic::peek(reg::ISENABLER, SPI), "disabled", 0);
    gic::set_edge(SPI, true);
    let edge = cpu::read32(GICD + reg::ICFGR + u64::from(SPI / 16) * 4) >> (SPI % 16 * 2) & 3;
    check!(edge == 2, "edge-triggered", edge);
    let sgi = cpu::read32(gic::bank(0) + reg::ICFGR);
    cpu::write32(gic::bank(0) + reg::ICFGR, 0);
    check!(
        cpu::read32(gic::bank(0) + reg::ICFGR) == sgi,
        "SGI configuration can be written",
        sgi
    );
    // Reserved space reads as zero and swallows writes.
    cpu::write32(GICD + 0xc, !0);
    check!(
        cpu::read32(GICD + 0x3c) == 0,
        "reserved space",
        cpu::read32(GICD + 0x3c)
    );
    Ok(())
}

/// Interrupts of devices that belong to others cannot be enabled by a guest
/// in a way that reaches the device: RTC (SPI 2) and GPIO (SPI 7) of the board.
fn unused_spis() -> Outcome {
    for intid in [34, 39] {
        gic::enable(intid);
        gic::route(intid, 0);
    }
    cpu::irq_on();
    check!(
        quiet_at(0),
        "someone else's interrupt arrived",
        seen(0).last.load(SeqCst)
    );
    for intid in [34, 39] {
        gic::disable(intid);
    }
    Ok(())
}

/// More interrupts pending than any CPU has list registers.
fn many_at_once() -> Outcome {
    static SUM: AtomicU32 = AtomicU32::new(0);
    SUM.store(0, SeqCst);
    on_interrupt(Some(|intid| {
        SUM.fetch_add(intid, SeqCst);
    }));
    const COUNT: u32 = 24;
    for intid in SPI..SPI + COUNT {
        spi_ready(intid, 0x80);
        gic::poke(reg::ISPENDR, intid);
    }
    for intid in 0..16 {
        gic::enable(intid);
        gic::send_sgi(intid, 1);
    }
    cpu::irq_on();
    let all = fired(COUNT + 16);
    let quiet = quiet_at(COUNT + 16);
    for intid in SPI..SPI + COUNT {
        gic::disable(intid);
    }
    check!(all, "interrupts got lost", seen(0).interrupts.load(SeqCst));
    check!(
        quiet,
        "interrupts came twice",
        seen(0).interrupts.load(SeqCst)
    );
    let sum = (0..16).chain(SPI..SPI + COUNT).sum::<u32>();
    check!(
        SUM.load(SeqCst) == sum,
        "not each arrived once",
        SUM.load(SeqCst)
    );
    Ok(())
}

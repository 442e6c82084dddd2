//! Software-generated interrupts.

use super::*;

pub(super) fn sgi_self() -> Outcome {
    gic::enable(1);
    gic::send_sgi(1, 1);
    check!(gic::peek(reg::ISPENDR, 1), "a sent SGI is not pending", 0);
    cpu::irq_on();
    check!(fired(1), "the SGI did not arrive", 0);
    check!(
        seen(0).last.load(SeqCst) == 1,
        "INTID",
        seen(0).last.load(SeqCst)
    );
    check!(
        quiet_at(1),
        "the SGI arrived again",
        seen(0).interrupts.load(SeqCst)
    );
    check!(
        !gic::peek(reg::ISPENDR, 1),
        "a handled SGI is still pending",
        0
    );
    check!(
        gic::running_priority() >= 0xf0,
        "running priority when idle",
        gic::running_priority()
    );
    Ok(())
}

pub(super) fn sgi_masked() -> Outcome {
    gic::enable(2);
    gic::set_mask(0x80);
    cpu::irq_on();
    gic::send_sgi(2, 1);
    check!(quiet_at(0), "priority 0xa0 got through a mask of 0x80", 0);
    gic::set_mask(0xf0);
    check!(fired(1), "the SGI did not arrive after unmasking", 0);
    Ok(())
}

pub(super) fn sgi_disabled() -> Outcome {
    gic::disable(3);
    if gic::peek(reg::ISENABLER, 3) {
        return Err(Why::Skipped(
            "this GICv2 cannot disable SGIs (IHI 0048, 4.3.5)",
        ));
    }
    cpu::irq_on();
    gic::send_sgi(3, 1);
    check!(quiet_at(0), "a disabled SGI arrived", 0);
    gic::enable(3);
    check!(fired(1), "the SGI did not arrive when enabled", 0);
    Ok(())
}

pub(super) fn sgi_all() -> Outcome {
    for intid in 0..16 {
        gic::enable(intid);
    }
    cpu::irq_on();
    for intid in 0..16 {
        gic::send_sgi(intid, 1);
        check!(fired(intid + 1), "an SGI did not arrive", intid);
        check!(
            seen(0).last.load(SeqCst) == intid,
            "another SGI arrived",
            intid
        );
    }
    Ok(())
}

pub(super) fn sgi_other_cpu() -> Outcome {
    check!(smp::start(1) == 0, "CPU 1 does not start", 0);
    READY.store(0, SeqCst);
    smp::post(1, listen);
    check!(
        cpu::eventually(|| READY.load(SeqCst) == 1),
        "CPU 1 is not ready",
        0
    );
    gic::send_sgi(4, 2);
    let done = smp::wait(1);
    let last = seen(1).last.load(SeqCst);
    check!(smp::stop(1), "CPU 1 does not go off", 0);
    check!(done && last == 4, "SGI 4 on CPU 1", last);
    check!(
        seen(0).interrupts.load(SeqCst) == 0,
        "the sender got it too",
        0
    );
    Ok(())
}

pub(super) fn sgi_all_others() -> Outcome {
    need_three_cpus()?;
    READY.store(0, SeqCst);
    for index in [1, 2] {
        check!(smp::start(index) == 0, "a CPU does not start", index);
        smp::post(index, listen);
    }
    check!(
        cpu::eventually(|| READY.load(SeqCst) == 2),
        "CPUs are not ready",
        READY.load(SeqCst)
    );
    gic::enable(4);
    cpu::irq_on();
    gic::send_sgi_others(4);
    let done = smp::wait(1) && smp::wait(2);
    let counts = [0, 1, 2].map(|i| seen(i).interrupts.load(SeqCst));
    for index in [1, 2] {
        check!(smp::stop(index), "a CPU does not go off", index);
    }
    check!(
        done && counts == [0, 1, 1],
        "who got it",
        counts[0] << 16 | counts[1] << 8 | counts[2]
    );
    Ok(())
}

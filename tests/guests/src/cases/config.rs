//! Configuration space that stops answering. The test takes the way to it away
//! from the hypervisor and gives it back; the guest looks on.

use super::dma::{config, connect, power};
use super::messages::{self, DATA};
use super::{Case, Outcome, last};
use crate::{check, cpu, println};
use stagegate_abi::PowerState;

pub const CASES: &[Case] = &[last("config-abort", abort), last("config-hold", hold)];

/// Has its device active for ever.
fn hold() -> Outcome {
    power(&connect()?, PowerState::On)?;
    cpu::write16(config() + 4, 6);
    println!("ABOUT config-hold");
    loop {
        cpu::wfi();
    }
}

fn abort() -> Outcome {
    connect()?;
    let id = cpu::read32(config());
    let data = messages::capability()? + DATA;
    cpu::write16(data, 0x1234);
    check!(cpu::read16(data) == 0x1234, "data", cpu::read16(data));
    println!("ABOUT config-abort");
    let gone = cpu::eventually(|| cpu::read16(data) == 0xffff);
    check!(gone, "data while the function is gone", cpu::read16(data));
    check!(cpu::read8(data) == 0xff, "a byte", cpu::read8(data));
    // Dropped, and the guest goes on behind the instruction.
    for value in 1..=100 {
        cpu::write16(data, value);
    }
    println!("SEEN config-abort gone");
    let back = cpu::eventually(|| cpu::read16(data) == 0x1234);
    check!(back, "data when it is back", cpu::read16(data));
    let same = cpu::read32(config());
    check!(same == id, "its identity", same);
    cpu::write16(data, 0x4321);
    check!(cpu::read16(data) == 0x4321, "a write", cpu::read16(data));
    Ok(())
}

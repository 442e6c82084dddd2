//! Looks at physical memory through QEMU's monitor: is the victim's word still
//! there, and is the hypervisor's code what was loaded?

use crate::checks::Checks;
use crate::machine::Running;
use crate::{Result, context, image, paths};
use std::fs;

/// What the victim wrote, low word.
const WORD: u32 = 0x0ffe_e555;
/// Vendor and device of the disk VM's controller.
const NVME_ID: (u32, u32) = (0x1b36, 0x0010);
/// Its register CC (NVMe 2.0, 3.1.3.5); bit 0 enables it.
const CONFIGURATION: u32 = 0x14;
/// Where the attacker aims: at CC and what comes before it, where Stagegate
/// puts the controller on this machine.
pub const VICTIM_REGISTERS: u64 = 0x1024_0010;
const RAM: std::ops::Range<u64> = 0x4000_0000..0xc000_0000;
const STEP: usize = 0x20_0000;
/// Where QEMU's `-kernel` puts an image without a text offset.
const LOADED: u64 = 0x4020_0000;

/// After the attacks.
pub fn check(running: &mut Running, checks: &mut Checks) -> Result<()> {
    let mut places = Vec::new();
    for address in RAM.step_by(STEP) {
        if running.qmp.read_u32(address)? == WORD {
            places.push(format!("{address:#x}"));
        }
    }
    let evidence = format!(
        "QEMU's monitor finds the victim's word at {}",
        places.join(" ")
    );
    checks.note(
        "C4",
        "foreign memory is as it was after the attacks",
        places.len() == 1,
        evidence,
    );
    code(running, checks)?;
    registers(running, checks)
}

/// The disk VM's controller, whose registers the other VM's device aims at: an
/// 8-byte write that got there would have disabled it.
fn registers(running: &mut Running, checks: &mut Checks) -> Result<()> {
    let controller = running.qmp.bar(NVME_ID)?;
    let aim = controller + u64::from(CONFIGURATION) - 4;
    let evidence = format!("QEMU has the disk's controller at {controller:#x}");
    let what = "the attacks aim at the other VM's registers";
    checks.note("C4", what, aim == VICTIM_REGISTERS, evidence);
    let word = running
        .qmp
        .read_u32(controller + u64::from(CONFIGURATION))?;
    let evidence = format!("QEMU's monitor reads CC {word:#x}: enabled");
    let what = "the other VM's registers are as they were after the attacks";
    checks.note(
        "C4",
        what,
        word & 1 != 0 && word >> 8 != 0x11_2233,
        evidence,
    );
    Ok(())
}

/// Compares a stretch of code in memory with the file.
fn code(running: &mut Running, checks: &mut Checks) -> Result<()> {
    const OFFSET: usize = 0x1000;
    const LENGTH: usize = 4096;
    let path = image::flatten(&paths::hypervisor()?)?;
    let file = fs::read(&path).map_err(context(path.display()))?;
    let memory = running.qmp.read_bytes(LOADED + OFFSET as u64, LENGTH)?;
    let same = file.get(OFFSET..OFFSET + LENGTH) == Some(memory.as_slice());
    let evidence = format!(
        "{LENGTH} bytes at {:#x} equal the image",
        LOADED + OFFSET as u64
    );
    checks.note(
        "C4",
        "the hypervisor's code is as it was loaded",
        same,
        evidence,
    );
    Ok(())
}

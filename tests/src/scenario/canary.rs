//! Looks at physical memory through QEMU's monitor: is the victim's word still
//! there, and is the hypervisor's code what was loaded?

use crate::checks::Checks;
use crate::machine::Running;
use crate::{Result, context, image, paths};
use std::fs;

/// What the victim wrote, low word.
const WORD: u32 = 0x0ffe_e555;
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
    code(running, checks)
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

//! Makes the driver of an SMMU from what the board and the operator say of it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use platform::config::Driving;
use platform::facts::{self, SmmuKind, SmmuModel, StreamId};
use platform::region::Region;
use smmu::power::Powered;
use smmu::v2::{self, FirmwareStreams, Implementation, V2};
use smmu::v3::{self, V3};
use smmu::{DmaMemory, Error, Hardware, Registers, Time};

/// An SMMU of whichever architecture.
pub type AnyHardware = Box<dyn Hardware + Send>;

/// What a driver is made of.
pub struct Ask<'a> {
    /// What the board says.
    pub facts: &'a facts::Smmu,
    /// What the operator says.
    pub driving: &'a Driving,
    /// For queues and stream tables.
    pub memory: &'static dyn DmaMemory,
    /// For waits with a bound.
    pub time: &'static dyn Time,
    /// First VMID, where SMMUs must not share any (Cavium 27704).
    pub first_vmid: u16,
}

/// Probes the SMMU, whose registers `window` gives access to; it then
/// terminates everything.
///
/// # Errors
/// What is missing, or did not do as told.
pub fn make<R: Registers + Send + 'static>(
    power: &Powered,
    ask: &Ask<'_>,
    window: &dyn Fn(Region) -> Option<R>,
) -> Result<AnyHardware, Error> {
    let all = ask.facts.registers.iter();
    let windows: Option<Vec<R>> = all.map(|region| window(*region)).collect();
    let windows = windows.ok_or(Error::Unsupported("registers at an aligned address"))?;
    match ask.facts.kind {
        SmmuKind::V3 => {
            let registers = windows.into_iter().next();
            let registers =
                registers.ok_or(Error::Unsupported("no registers in the device tree"))?;
            let config = v3::Config::default();
            let driver = V3::probe(power, registers, ask.memory, ask.time, config)?;
            Ok(Box::new(driver))
        }
        // Instances that are programmed alike are one.
        SmmuKind::V1 | SmmuKind::V2 => {
            let driver = V2::probe(power, windows, ask.time, v2_config(ask))?;
            Ok(Box::new(driver))
        }
    }
}

fn v2_config(ask: &Ask<'_>) -> v2::Config {
    let facts = ask.facts;
    let per_context = facts.irqs.len().saturating_sub(facts.global_interrupts);
    let firmware_streams = if ask.driving.keep_firmware_streams {
        FirmwareStreams::Keep
    } else {
        FirmwareStreams::Deny
    };
    v2::Config {
        model: model(facts),
        stream_match_mask: facts.stream_match_mask,
        window: facts.registers.first().map(|r| r.size),
        coherent: Some(facts.coherent),
        context_interrupts: u8::try_from(per_context).unwrap_or(u8::MAX),
        first_vmid: ask.first_vmid,
        firmware_streams,
        tolerate_prefetch: ask.driving.tolerate_prefetch,
        ..v2::Config::default()
    }
}

/// How the drivers name a stream of the board.
#[must_use]
pub fn stream(stream: &StreamId) -> smmu::StreamId {
    match u16::try_from(stream.id) {
        // Bits that do not matter.
        Ok(id) if stream.mask != 0 => v2::masked(id, stream.mask),
        _ => smmu::StreamId(stream.id),
    }
}

/// Whose part it is.
#[must_use]
pub const fn model(facts: &facts::Smmu) -> Implementation {
    match (facts.model, facts.kind) {
        (SmmuModel::Generic, SmmuKind::V1) => Implementation::GenericV1,
        (SmmuModel::Generic, _) => Implementation::GenericV2,
        (SmmuModel::Mmu400, _) => Implementation::Mmu400,
        (SmmuModel::Mmu401, _) => Implementation::Mmu401,
        (SmmuModel::Mmu500, _) => Implementation::Mmu500,
        (SmmuModel::MarvellAp806, _) => Implementation::MarvellAp806,
        (SmmuModel::NvidiaMmu500, _) => Implementation::NvidiaMmu500,
        (SmmuModel::Cavium, _) => Implementation::Cavium,
        (SmmuModel::QcomV2, _) => Implementation::QcomV2,
        (SmmuModel::QcomMmu500, _) => Implementation::QcomMmu500,
    }
}

//! Makes the driver of an SMMU from what the board and the operator say of it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use platform::config::Driving;
use platform::facts::{self, SmmuKind, SmmuModel};
use smmu::power::Powered;
use smmu::v2::{self, FirmwareStreams, Implementation, V2};
use smmu::v3::{self, V3};
use smmu::{DmaMemory, Error, Hardware};

use super::smmus::TIME;
use crate::arch::dma;

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
    /// First VMID, where SMMUs must not share any (Cavium 27704).
    pub first_vmid: u16,
}

/// Probes the SMMU, which then terminates everything.
///
/// # Errors
/// What is missing, or did not do as told.
pub fn make(power: &Powered, ask: &Ask<'_>) -> Result<AnyHardware, Error> {
    match ask.facts.kind {
        SmmuKind::V3 => v3(power, ask),
        SmmuKind::V1 | SmmuKind::V2 => v2(power, ask),
    }
}

fn v3(power: &Powered, ask: &Ask<'_>) -> Result<AnyHardware, Error> {
    let registers = ask.facts.registers.first();
    let registers = registers.ok_or(Error::Unsupported("no registers in the device tree"))?;
    let window = dma::smmu_registers(registers.base, registers.size);
    let window = window.ok_or(Error::Unsupported("registers at an aligned address"))?;
    let config = v3::Config::default();
    Ok(Box::new(V3::probe(
        power, window, ask.memory, &TIME, config,
    )?))
}

/// An SMMUv1 or SMMUv2. Instances that are programmed alike are one.
fn v2(power: &Powered, ask: &Ask<'_>) -> Result<AnyHardware, Error> {
    let facts = ask.facts;
    let windows = facts.registers.iter();
    let windows: Option<Vec<_>> = windows
        .map(|r| dma::smmu_registers(r.base, r.size))
        .collect();
    let windows = windows.ok_or(Error::Unsupported("registers at an aligned address"))?;
    let per_context = facts.irqs.len().saturating_sub(facts.global_interrupts);
    let firmware_streams = if ask.driving.keep_firmware_streams {
        FirmwareStreams::Keep
    } else {
        FirmwareStreams::Deny
    };
    let config = v2::Config {
        model: model(facts),
        stream_match_mask: facts.stream_match_mask,
        window: facts.registers.first().map(|r| r.size),
        coherent: Some(facts.coherent),
        context_interrupts: u8::try_from(per_context).unwrap_or(u8::MAX),
        first_vmid: ask.first_vmid,
        firmware_streams,
        tolerate_prefetch: ask.driving.tolerate_prefetch,
        ..v2::Config::default()
    };
    Ok(Box::new(V2::probe(power, windows, &TIME, config)?))
}

const fn model(facts: &facts::Smmu) -> Implementation {
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

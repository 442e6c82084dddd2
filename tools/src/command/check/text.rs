//! The check's results for people.
use crate::command::Survey;
use platform::config::{
    DeviceConfig, DeviceKind, GuestIommu, Module, SmmuConfig, Source, VmConfig,
};
use platform::facts::{Conduit, GicKind, Smmu, SmmuKind, Supply};
use platform::probe::{Role, State};
use platform::report::{Report, Severity};
use std::io::{Result, Write};

/// Findings, errors last: they are what is looked for.
pub(in crate::command) fn findings(report: &Report, out: &mut dyn Write) -> Result<()> {
    for severity in [Severity::Note, Severity::Warning, Severity::Error] {
        for finding in report.findings.iter().filter(|f| f.severity == severity) {
            writeln!(out, "{finding}")?;
        }
    }
    Ok(())
}

pub(super) fn summary(report: &Report, out: &mut dyn Write) -> Result<()> {
    let count = |s| report.findings.iter().filter(|f| f.severity == s).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let verdict = if errors == 0 { "fine" } else { "not bootable" };
    writeln!(out, "{verdict}: {errors} errors, {warnings} warnings")
}

pub(super) fn plan(survey: &Survey<'_>, out: &mut dyn Write) -> Result<()> {
    board(survey, out)?;
    if !survey.plan.vms.is_empty() {
        writeln!(out, "\nVMs")?;
    }
    for vm in &survey.plan.vms {
        self::vm(survey, vm, out)?;
    }
    smmus(survey, out)?;
    order(survey, out)
}

fn board(survey: &Survey<'_>, out: &mut dyn Write) -> Result<()> {
    let board = &survey.board;
    let gic = match board.gic.as_ref().map(|g| g.kind) {
        Some(GicKind::V2) => "GICv2",
        Some(GicKind::V3) => "GICv3",
        None => "no GIC",
    };
    let psci = match board.psci {
        Some(Conduit::Smc) => "PSCI by smc",
        Some(Conduit::Hvc) => "PSCI by hvc",
        None => "no PSCI",
    };
    let console = board.console.and_then(|c| board.uarts.get(c));
    let console = console.map_or("none", |u| u.path.as_str());
    let memory = board.memory.total() >> 20;
    writeln!(out, "{}", board.model)?;
    writeln!(
        out,
        "  {} CPUs, {memory} MiB, {gic}, {psci}, console {console}",
        board.cpus.len()
    )
}

fn vm(survey: &Survey<'_>, vm: &VmConfig, out: &mut dyn Write) -> Result<()> {
    let uart = if vm.vuart { ", serial port" } else { "" };
    let iommu = match vm.iommu {
        GuestIommu::None => "",
        GuestIommu::Hypercall => ", IOMMU by hypercall",
        GuestIommu::Virtio => ", virtio-iommu",
    };
    let (cpus, memory) = (vm.cpus, vm.memory >> 20);
    let (id, name) = (vm.id, &vm.name);
    writeln!(out, "  {id} {name}: {cpus} CPUs, {memory} MiB{uart}{iommu}")?;
    writeln!(out, "    kernel {}", module(&vm.kernel))?;
    if let Some(ramdisk) = &vm.ramdisk {
        writeln!(out, "    RAM disk {}", module(ramdisk))?;
    }
    if !vm.bootargs.is_empty() {
        writeln!(out, "    arguments {:?}", vm.bootargs)?;
    }
    for device in &vm.devices {
        self::device(survey, device, out)?;
    }
    Ok(())
}

fn module(module: &Module) -> String {
    match &module.source {
        Source::Memory(region) => format!("at {region}"),
        Source::File(name) => format!("from packed file {name}"),
    }
}

fn device(survey: &Survey<'_>, device: &DeviceConfig, out: &mut dyn Write) -> Result<()> {
    let what = match &device.kind {
        DeviceKind::Pci { host, rid, intx } => {
            let host = survey
                .board
                .pci_hosts
                .get(*host)
                .map_or("?", |h| h.path.as_str());
            let line = intx.map_or("no line".into(), |i| format!("line {}", i.intid));
            format!("requester {rid:#x} at {host}, {line}")
        }
        DeviceKind::Platform { path, regs, .. } => {
            let places: Vec<String> = regs.iter().map(ToString::to_string).collect();
            format!("{path}, registers {}", places.join(", "))
        }
    };
    writeln!(out, "    device {}: {what}", device.name)?;
    for stream in &device.streams {
        writeln!(
            out,
            "      stream {stream} at {}",
            survey.tree.path(stream.smmu)
        )?;
    }
    let evidence: Vec<&str> = device.power_sources.iter().map(|s| s.name()).collect();
    let trust = if device.bypass {
        ", BYPASSES its SMMU"
    } else {
        ""
    };
    writeln!(out, "      active as {} says{trust}", evidence.join(", "))
}

fn smmus(survey: &Survey<'_>, out: &mut dyn Write) -> Result<()> {
    if survey.board.smmus.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nSMMUs")?;
    for (index, smmu) in survey.board.smmus.iter().enumerate() {
        writeln!(out, "  {} {}", smmu.path, kind(smmu))?;
        let Some(config) = survey.plan.smmus.iter().find(|s| s.smmu == index) else {
            let state = if smmu.enabled { "enabled" } else { "disabled" };
            supplies(smmu, out)?;
            writeln!(out, "    {state}")?;
            continue;
        };
        supplies(smmu, out)?;
        policy(smmu, config, out)?;
        for &(v, d) in &config.masters {
            let Some(vm) = survey.plan.vms.get(v) else {
                continue;
            };
            let Some(device) = vm.devices.get(d) else {
                continue;
            };
            writeln!(out, "    serves {} of {}", device.name, vm.name)?;
        }
    }
    Ok(())
}

pub(super) fn kind(smmu: &Smmu) -> String {
    let version = match smmu.kind {
        SmmuKind::V1 => "SMMUv1",
        SmmuKind::V2 => "SMMUv2",
        SmmuKind::V3 => "SMMUv3",
    };
    let gpu = if smmu.adreno { ", for the GPU" } else { "" };
    let coherent = if smmu.coherent {
        "coherent"
    } else {
        "not coherent"
    };
    format!(
        "{version} ({:?}{gpu}), {coherent}, {} interrupts",
        smmu.model,
        smmu.irqs.len()
    )
}

fn supplies(smmu: &Smmu, out: &mut dyn Write) -> Result<()> {
    supply("    ", &smmu.power_domains, &smmu.clocks, out)?;
    for tbu in &smmu.tbus {
        let last = tbu
            .first_stream
            .saturating_add(tbu.streams.saturating_sub(1));
        writeln!(
            out,
            "    TBU {} streams {:#x}-{last:#x}",
            tbu.path, tbu.first_stream
        )?;
        supply("      ", &tbu.power_domains, &tbu.clocks, out)?;
    }
    Ok(())
}

fn supply(indent: &str, domains: &[Supply], clocks: &[Supply], out: &mut dyn Write) -> Result<()> {
    let domains = domains.iter().map(|s| ("power domain", s));
    for (what, supply) in domains.chain(clocks.iter().map(|s| ("clock", s))) {
        let name = if supply.name.is_empty() { "" } else { " " };
        let args = supply
            .args
            .iter()
            .fold(String::new(), |text, arg| format!("{text} {arg}"));
        writeln!(
            out,
            "{indent}{what}{name}{} {}{args}",
            supply.name, supply.path
        )?;
    }
    Ok(())
}

fn policy(smmu: &Smmu, config: &SmmuConfig, out: &mut dyn Write) -> Result<()> {
    if config.masters.is_empty() {
        return writeln!(out, "    no masters: all streams terminate");
    }
    if config.always_on || !smmu.is_switchable() {
        return writeln!(out, "    stays on");
    }
    let idle = config.idle_delay_us;
    match config.off_delay_us {
        Some(off) => writeln!(out, "    idle {idle} us: clocks stop; {off} us: power goes"),
        None => writeln!(out, "    idle {idle} us: clocks stop; power stays"),
    }
}

fn order(survey: &Survey<'_>, out: &mut dyn Write) -> Result<()> {
    let devices = survey.graph.devices();
    if devices.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nPower-up order")?;
    for (step, &index) in survey.graph.order().iter().enumerate() {
        let name = devices.get(index).map_or("?", |d| d.name.as_str());
        writeln!(out, "  {:>3} {name}", step.saturating_add(1))?;
    }
    let rest = devices.iter().zip(&survey.entries).enumerate();
    for (index, (device, entry)) in rest.filter(|(_, (d, _))| d.state != State::Ready) {
        let quiet = matches!(entry.role, Role::Smmu(_)) && device.state == State::Disabled;
        if !quiet {
            writeln!(
                out,
                "    - {}: {}",
                device.name,
                survey.graph.outcome(index)
            )?;
        }
    }
    Ok(())
}

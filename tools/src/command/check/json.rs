//! The check's results for scripts.
use crate::command::Survey;
use crate::json::Json;
use platform::config::{DeviceConfig, DeviceKind, GuestIommu, Module, Source, VmConfig};
use platform::facts::{GicKind, Smmu, SmmuKind, Supply};
use platform::region::Region;
use platform::report::{Finding, Report, Severity};

/// The whole result.
pub(super) fn render(report: &Report, survey: Option<&Survey<'_>>) -> Json {
    let mut members = vec![
        ("ok", Json::from(!report.has_errors())),
        ("findings", Json::list(report.findings.iter().map(finding))),
    ];
    if let Some(survey) = survey {
        members.push(("board", board(survey)));
        members.push((
            "vms",
            Json::list(survey.plan.vms.iter().map(|v| vm(survey, v))),
        ));
        let smmus = survey.board.smmus.iter().enumerate();
        members.push(("smmus", Json::list(smmus.map(|(i, s)| smmu(survey, i, s)))));
        members.push(("power_up_order", order(survey)));
        members.push(("probe", probe(survey)));
    }
    Json::Object(members)
}

fn finding(finding: &Finding) -> Json {
    let severity = match finding.severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    Json::Object(vec![
        ("severity", severity.into()),
        ("code", finding.code.into()),
        ("node", Json::text(&finding.node)),
        ("property", Json::text(&finding.property)),
        ("what", Json::text(&finding.what)),
        ("remedy", Json::text(&finding.remedy)),
    ])
}

fn count(number: usize) -> Json {
    Json::Number(number as u64)
}

fn region(region: &Region) -> Json {
    Json::Object(vec![
        ("base", region.base.into()),
        ("size", region.size.into()),
    ])
}

fn board(survey: &Survey<'_>) -> Json {
    let board = &survey.board;
    let gic = board.gic.as_ref().map(|g| match g.kind {
        GicKind::V2 => "GICv2",
        GicKind::V3 => "GICv3",
    });
    let console = board
        .console
        .and_then(|c| board.uarts.get(c))
        .map(|u| u.path.as_str());
    Json::Object(vec![
        ("model", Json::text(&board.model)),
        ("cpus", count(board.cpus.len())),
        ("memory", Json::list(board.memory.ram.iter().map(region))),
        ("gic", gic.into()),
        ("console", console.into()),
        (
            "pci_hosts",
            Json::list(board.pci_hosts.iter().map(|h| Json::text(&h.path))),
        ),
    ])
}

fn vm(survey: &Survey<'_>, vm: &VmConfig) -> Json {
    let iommu = match vm.iommu {
        GuestIommu::None => "none",
        GuestIommu::Hypercall => "hypercall",
        GuestIommu::Virtio => "virtio",
    };
    Json::Object(vec![
        ("id", u64::from(vm.id).into()),
        ("name", Json::text(&vm.name)),
        ("cpus", count(vm.cpus)),
        ("memory", vm.memory.into()),
        ("kernel", module(&vm.kernel)),
        ("ramdisk", vm.ramdisk.as_ref().map(module).into()),
        ("bootargs", Json::text(&vm.bootargs)),
        ("vuart", vm.vuart.into()),
        ("iommu", iommu.into()),
        ("strict_dma", vm.strict_dma.into()),
        (
            "devices",
            Json::list(vm.devices.iter().map(|d| device(survey, d))),
        ),
    ])
}

fn module(module: &Module) -> Json {
    match &module.source {
        Source::Memory(place) => region(place),
        Source::File(name) => Json::Object(vec![("file", Json::text(name))]),
    }
}

fn device(survey: &Survey<'_>, device: &DeviceConfig) -> Json {
    let (kind, node) = match &device.kind {
        DeviceKind::Pci { host, rid, intx } => {
            let host = survey.board.pci_hosts.get(*host).map(|h| h.path.as_str());
            let members = vec![
                ("host", host.into()),
                ("rid", u64::from(*rid).into()),
                ("line", intx.map(|i| u64::from(i.intid)).into()),
            ];
            ("pci", Json::Object(members))
        }
        DeviceKind::Platform {
            path, regs, irqs, ..
        } => {
            let lines = irqs.iter().map(|i| i.map(|i| u64::from(i.intid)).into());
            let members = vec![
                ("path", Json::text(path)),
                ("registers", Json::list(regs.iter().map(region))),
                ("lines", Json::list(lines)),
            ];
            ("platform", Json::Object(members))
        }
    };
    let streams = device.streams.iter().map(|s| {
        Json::Object(vec![
            ("smmu", Json::text(survey.tree.path(s.smmu))),
            ("id", u64::from(s.id).into()),
            ("mask", u64::from(s.mask).into()),
        ])
    });
    Json::Object(vec![
        ("name", Json::text(&device.name)),
        (kind, node),
        ("streams", Json::list(streams)),
        (
            "power_sources",
            Json::list(device.power_sources.iter().map(|s| s.name().into())),
        ),
        ("bypass", device.bypass.into()),
        ("optional", device.optional.into()),
    ])
}

fn supply(supply: &Supply) -> Json {
    let args = supply.args.iter().map(|&a| u64::from(a).into());
    Json::Object(vec![
        ("name", Json::text(&supply.name)),
        ("provider", Json::text(&supply.path)),
        ("args", Json::list(args)),
    ])
}

fn smmu(survey: &Survey<'_>, index: usize, smmu: &Smmu) -> Json {
    let kind = match smmu.kind {
        SmmuKind::V1 => "v1",
        SmmuKind::V2 => "v2",
        SmmuKind::V3 => "v3",
    };
    let config = survey.plan.smmus.iter().find(|s| s.smmu == index);
    let masters = config
        .into_iter()
        .flat_map(|c| &c.masters)
        .filter_map(|&(v, d)| {
            let vm = survey.plan.vms.get(v)?;
            let members = vec![
                ("vm", Json::text(&vm.name)),
                ("device", Json::text(&vm.devices.get(d)?.name)),
            ];
            Some(Json::Object(members))
        });
    let masters = Json::list(masters);
    let lines = smmu
        .irqs
        .iter()
        .map(|i| i.map(|i| u64::from(i.intid)).into());
    Json::Object(vec![
        ("path", Json::text(&smmu.path)),
        ("kind", kind.into()),
        ("model", Json::text(format!("{:?}", smmu.model))),
        ("adreno", smmu.adreno.into()),
        ("enabled", smmu.enabled.into()),
        ("coherent", smmu.coherent.into()),
        ("registers", Json::list(smmu.registers.iter().map(region))),
        ("lines", Json::list(lines)),
        ("clocks", Json::list(smmu.clocks.iter().map(supply))),
        (
            "power_domains",
            Json::list(smmu.power_domains.iter().map(supply)),
        ),
        (
            "tbus",
            Json::list(smmu.tbus.iter().map(|t| Json::text(&t.path))),
        ),
        ("idle_delay_us", config.map(|c| c.idle_delay_us).into()),
        ("off_delay_us", config.and_then(|c| c.off_delay_us).into()),
        ("always_on", config.map(|c| c.always_on).into()),
        ("masters", masters),
    ])
}

fn order(survey: &Survey<'_>) -> Json {
    let devices = survey.graph.devices();
    let names = survey.graph.order().iter().filter_map(|&i| devices.get(i));
    Json::list(names.map(|d| Json::text(&d.name)))
}

fn probe(survey: &Survey<'_>) -> Json {
    let devices = survey.graph.devices().iter().enumerate();
    Json::list(devices.map(|(index, device)| {
        Json::Object(vec![
            ("device", Json::text(&device.name)),
            ("outcome", Json::text(survey.graph.outcome(index))),
        ])
    }))
}

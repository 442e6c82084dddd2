//! The scenario's machine: PCI devices behind the SMMU, disks with a file
//! system, a clock gate, and what QEMU is to trace.
//!
//! On QEMU's `virt` the interrupt line of a function follows from its slot,
//! and two VMs never share a line: slot 1 is the disk VM's alone.

use crate::devicetree;
use crate::machine::Machine;
use crate::{Result, context};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A DMA master.
#[derive(Clone, Copy, Debug)]
pub struct Master {
    /// As the guests' script and the report call it.
    pub name: &'static str,
    /// Owner.
    pub vm: &'static str,
    /// Requester id; on this board also the stream id.
    pub rid: u32,
    /// QEMU's name of the function in its PCI events.
    pub function: &'static str,
}

/// All of them.
pub const MASTERS: [Master; 4] = [
    Master {
        name: "nvme",
        vm: "disk",
        rid: 0x08,
        function: "nvme",
    },
    Master {
        name: "igb",
        vm: "nic",
        rid: 0x10,
        function: "igb",
    },
    Master {
        name: "virtio-disk",
        vm: "nic",
        rid: 0x100,
        function: "virtio-blk",
    },
    Master {
        name: "edu",
        vm: "nic",
        rid: 0x30,
        function: "edu",
    },
];

/// The GPIO line that gates the SMMU's clock.
pub const GATE_LINE: u64 = 5;

const DISK_MIB: u64 = 160;

/// Adds devices and traces to the machine; disk images go to `dir`.
pub fn equip(machine: Machine, dir: &Path) -> Result<Machine> {
    let nvme = disk(&dir.join("nvme.img"))?;
    let virtio = disk(&dir.join("virtio.img"))?;
    let drive =
        |id: &str, file: &Path| format!("file={},if=none,id={id},format=raw", file.display());
    Ok(machine
        .args([
            "-drive",
            &drive("nvme", &nvme),
            "-drive",
            &drive("virtio", &virtio),
        ])
        .args(["-netdev", "user,id=net"])
        .args(["-device", "nvme,drive=nvme,serial=stagegate,addr=01.0"])
        .args(["-device", "igb,netdev=net,addr=02.0,romfile=,id=igb"])
        .args(["-device", "pcie-root-port,id=root0,addr=03.0,chassis=1"])
        .args([
            "-device",
            "virtio-blk-pci,drive=virtio,bus=root0,disable-legacy=on,iommu_platform=on",
        ])
        .args(["-device", "edu,addr=06.0,dma_mask=0xffffffffffff"])
        .trace([
            "smmuv3_translate_*",
            "smmuv3_read_mmio",
            "smmuv3_write_mmio",
        ])
        .trace([
            "smmuv3_cmdq_opcode",
            "smmuv3_record_event",
            "pl061_set_output",
        ])
        .trace(["pci_cfg_write", "pci_pm_transition"]))
}

/// The `devices` node of a VM.
pub fn devices(vm: &str) -> String {
    let masters = MASTERS.iter().filter(|m| m.vm == vm).zip(0..);
    let nodes = masters.map(|(master, number)| {
        format!(
            "device@{number} {{ reg = <{number}>; label = \"{}\"; device = <&pcie {:#x}>; \
             stagegate,power-source = \"pci-pm\"; }};",
            master.name, master.rid
        )
    });
    format!(
        "devices {{ #address-cells = <1>; #size-cells = <0>; {} }};",
        nodes.collect::<String>()
    )
}

/// An empty ext4 file system in a sparse file.
fn disk(path: &Path) -> Result<PathBuf> {
    let file = File::create(path).map_err(context(path.display()))?;
    file.set_len(DISK_MIB << 20)
        .map_err(context(path.display()))?;
    devicetree::run(tool("mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(path))?;
    Ok(path.to_path_buf())
}

/// What is in a file of a disk image, read without mounting it.
pub fn file_on(image: &Path, name: &str) -> Result<Vec<u8>> {
    devicetree::run(
        tool("debugfs")
            .args(["-R", &format!("cat {name}")])
            .arg(image),
    )
}

/// File system tools stand where only root's PATH leads.
fn tool(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("env");
    command
        .arg(format!("PATH={path}:/usr/sbin:/sbin"))
        .arg(name);
    command
}

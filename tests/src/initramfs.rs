//! The guests' root file system: busybox, a handful of kernel modules, and
//! the script that lets a guest prove itself (`tests/linux/init`).

use crate::cpio::Archive;
use crate::modules::Library;
use crate::paths::{self, Kernel};
use crate::{Result, context};
use std::fs;
use std::path::PathBuf;

/// Commands the guest script uses, as links to busybox.
const APPLETS: &[&str] = &[
    "awk", "basename", "cat", "cp", "crc32", "cttyhack", "cut", "dd", "devmem", "dmesg", "echo",
    "expr", "grep", "head", "hexdump", "hostname", "ifconfig", "insmod", "ip", "ln", "ls", "lsmod",
    "mkdir", "mknod", "mount", "nproc", "ping", "poweroff", "printf", "readlink", "reboot", "rm",
    "rmmod", "sed", "seq", "setsid", "sh", "sleep", "sort", "sync", "tail", "taskset", "timeout",
    "tr", "true", "umount", "uname", "usleep", "wc", "xxd", "yes",
];

/// Modules a guest may load, by purpose: `insmod` order is found by
/// [`Library::closure`], and the guest loads only what its role asks for.
const SETS: &[(&str, &[&str])] = &[
    ("pci", &["virtio_pci"]),
    ("disk", &["crc32c-generic", "nvme", "virtio_blk", "ext4"]),
    ("net", &["igb", "e1000e", "virtio_net"]),
    ("scmi", &["i2c-designware-platform"]),
    ("fwcfg", &["qemu_fw_cfg"]),
    ("viommu", &["virtio_mmio", "virtio-iommu"]),
    ("hypercall", &["stagegate-iommu"]),
    ("edu", &["stagegate-edu"]),
];

/// Builds the archive for a kernel and returns its path. The result is kept
/// in the target directory and rebuilt when asked for again: it takes a
/// fraction of a second.
pub fn build(kernel: &Kernel) -> Result<PathBuf> {
    if let Some(own) = paths::own_initrd() {
        return paths::existing(own, "correct INITRD=");
    }
    let mut archive = skeleton()?;
    if let Some(dir) = &kernel.modules {
        add_modules(&mut archive, &Library::open(dir)?.with(&kernel.own))?;
    }
    let dir = paths::target().join("initramfs");
    fs::create_dir_all(&dir).map_err(context(dir.display()))?;
    let out = dir.join(format!("{}.cpio", kernel.version.replace('/', "_")));
    paths::replace(&out, &archive.finish())?;
    Ok(out)
}

fn skeleton() -> Result<Archive> {
    let script = paths::root().join("tests/linux/init");
    let busybox = paths::busybox()?;
    let mut archive = Archive::default();
    for dir in ["bin", "dev", "lib", "mnt", "proc", "sys", "tmp"] {
        archive.dir(dir);
    }
    archive
        .chardev("dev/console", 5, 1)
        .chardev("dev/null", 1, 3);
    let data = fs::read(&busybox).map_err(context(busybox.display()))?;
    archive.file("bin/busybox", 0o755, &data);
    for applet in APPLETS {
        archive.symlink(&format!("bin/{applet}"), "busybox");
    }
    let text = fs::read(&script).map_err(context(script.display()))?;
    archive.file("init", 0o755, &text);
    Ok(archive)
}

/// One file per module, and one list per set in loading order.
fn add_modules(archive: &mut Archive, library: &Library) -> Result<()> {
    let mut added: Vec<String> = Vec::new();
    for (set, wanted) in SETS {
        let modules = library.closure(wanted)?;
        let mut list = String::new();
        for module in modules {
            list.push_str(&module.name);
            list.push('\n');
            if !added.contains(&module.name) {
                archive.file(&format!("lib/{}.ko", module.name), 0o644, &module.data);
                added.push(module.name);
            }
        }
        archive.file(&format!("lib/{set}.list"), 0o644, list.as_bytes());
    }
    Ok(())
}

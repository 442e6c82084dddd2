//! Where tools, downloads and results are. Every place can be moved by an
//! environment variable, so that people may bring their own.

use crate::{Result, context};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

fn from_env(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .filter(|v| !v.is_empty())
        .map(PathBuf::from)
}

/// Downloads (`STAGEGATE_CACHE`, default `.cache`).
pub fn cache() -> PathBuf {
    from_env("STAGEGATE_CACHE").unwrap_or_else(|| root().join(".cache"))
}

/// Build results and reports (`CARGO_TARGET_DIR`, default `target`).
pub fn target() -> PathBuf {
    from_env("CARGO_TARGET_DIR").unwrap_or_else(|| root().join("target"))
}

/// The hypervisor's ELF file (`STAGEGATE_HV`).
pub fn hypervisor() -> Result<PathBuf> {
    let path = from_env("STAGEGATE_HV")
        .unwrap_or_else(|| target().join("aarch64-unknown-none-softfloat/release/stagegate-hv"));
    existing(
        path,
        "build it: cargo build --release -p hypervisor --target aarch64-unknown-none-softfloat",
    )
}

/// A directory below [`target`] for one run's files, created empty.
pub fn fresh_dir(name: &str) -> Result<PathBuf> {
    let dir = target().join(name);
    if dir.exists() {
        fs::remove_dir_all(&dir).map_err(context(dir.display()))?;
    }
    fs::create_dir_all(&dir).map_err(context(dir.display()))?;
    Ok(dir)
}

/// Writes a file that others may be reading: tests run in parallel, and nobody
/// may see half of it.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let own = format!(
        "new-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    );
    let new = path.with_extension(own);
    fs::write(&new, bytes).map_err(context(new.display()))?;
    fs::rename(&new, path).map_err(context(path.display()))
}

/// A file that must be there already; `remedy` says how to get it.
pub fn existing(path: PathBuf, remedy: &str) -> Result<PathBuf> {
    match path.exists() {
        true => Ok(path),
        false => Err(format!("{} is missing; {remedy}", path.display())),
    }
}

/// A guest kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// `uname -r`, or the file name of a kernel that was passed in.
    pub version: String,
    /// The raw arm64 Image.
    pub image: PathBuf,
    /// Its modules, if it came from a package.
    pub modules: Option<PathBuf>,
    /// Modules of ours that `tools/linux/build.sh` built for it.
    pub own: Vec<PathBuf>,
}

/// The stock kernel of a series such as `6.12`; `KERNEL=FILE` replaces 6.12.
pub fn kernel(series: &str) -> Result<Kernel> {
    if let (Some(image), "6.12") = (from_env("KERNEL"), series) {
        return Ok(Kernel {
            version: image.display().to_string(),
            image: existing(image, "correct KERNEL=")?,
            modules: None,
            own: Vec::new(),
        });
    }
    let dir = existing(
        cache().join("kernels").join(series),
        "run tests/scripts/fetch-guests.sh",
    )?;
    let version = fs::read_to_string(dir.join("version")).map_err(context(dir.display()))?;
    Ok(Kernel {
        version: version.trim().to_string(),
        image: dir.join("Image"),
        modules: Some(dir.join("modules")),
        own: match series {
            "6.12" => own_modules(series)?,
            _ => Vec::new(),
        },
    })
}

/// The driver of the hypercall interface, and that of the tests' device.
fn own_modules(series: &str) -> Result<Vec<PathBuf>> {
    let dir = cache().join("modules").join(series);
    let remedy = "run tools/linux/build.sh tools/linux tests/linux/edu";
    ["stagegate-iommu", "stagegate-edu"]
        .iter()
        .map(|name| existing(dir.join(name).join(format!("{name}.ko")), remedy))
        .collect()
}

/// A root file system passed in by `INITRD=FILE` instead of ours.
pub fn own_initrd() -> Option<PathBuf> {
    from_env("INITRD")
}

/// The static arm64 busybox.
pub fn busybox() -> Result<PathBuf> {
    existing(cache().join("busybox"), "run tests/scripts/fetch-guests.sh")
}

/// U-Boot for QEMU's `virt`.
pub fn u_boot() -> Result<PathBuf> {
    existing(
        cache().join("u-boot.bin"),
        "run tests/scripts/fetch-guests.sh",
    )
}

/// UEFI firmware for QEMU `virt`.
pub fn uefi() -> Result<PathBuf> {
    existing(cache().join("uefi.fd"), "run tests/scripts/fetch-guests.sh")
}

/// GRUB as a UEFI program; it reads `/EFI/debian/grub.cfg`.
pub fn grub() -> Result<PathBuf> {
    existing(
        cache().join("grub.efi"),
        "run tests/scripts/fetch-guests.sh",
    )
}

/// The device tree of the ZCU102 board, from a Linux package.
pub fn zcu102_dtb() -> Result<PathBuf> {
    existing(
        cache().join("boards/zcu102.dtb"),
        "run tests/scripts/fetch-guests.sh",
    )
}

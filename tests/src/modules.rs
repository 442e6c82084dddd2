//! Kernel modules for the guests: finds them in an unpacked Debian package,
//! expands them, and orders them so that each comes after what it needs.
//!
//! The package has no `modules.dep` (depmod writes it at installation), so
//! the order comes from the `depends=` line each module carries.

use crate::{Result, context};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A loadable module, expanded.
pub struct Module {
    /// Name as `insmod` and `lsmod` use it, with underscores.
    pub name: String,
    /// The ELF file.
    pub data: Vec<u8>,
}

/// Everything below an unpacked `modules/` directory.
pub struct Library {
    files: BTreeMap<String, PathBuf>,
    builtin: Vec<String>,
}

impl Library {
    /// Indexes a directory that holds `kernel/` and `modules.builtin`.
    pub fn open(dir: &Path) -> Result<Self> {
        let list = dir.join("modules.builtin");
        let builtin = fs::read_to_string(&list).map_err(context(list.display()))?;
        let mut library = Self {
            files: BTreeMap::new(),
            builtin: builtin.lines().map(|l| module_name(Path::new(l))).collect(),
        };
        library.index(&dir.join("kernel"))?;
        Ok(library)
    }

    /// Adds modules that the package does not have.
    #[must_use]
    pub fn with(mut self, files: &[PathBuf]) -> Self {
        let named = files.iter().map(|file| (module_name(file), file.clone()));
        self.files.extend(named);
        self
    }

    fn index(&mut self, dir: &Path) -> Result<()> {
        for entry in fs::read_dir(dir).map_err(context(dir.display()))? {
            let path = entry.map_err(context(dir.display()))?.path();
            if path.is_dir() {
                self.index(&path)?;
            } else {
                self.files.insert(module_name(&path), path);
            }
        }
        Ok(())
    }

    /// The modules wanted and all they depend on, in the order of loading.
    /// What is built into the kernel is left out, and so is a wanted driver
    /// that this kernel does not have at all: older series lack some.
    pub fn closure(&self, wanted: &[&str]) -> Result<Vec<Module>> {
        let mut ordered = Vec::new();
        for name in wanted.iter().map(|name| name.replace('-', "_")) {
            if self.files.contains_key(&name) {
                self.visit(&name, &mut ordered)?;
            }
        }
        Ok(ordered)
    }

    fn visit(&self, name: &str, ordered: &mut Vec<Module>) -> Result<()> {
        let known = ordered.iter().any(|m| m.name == name);
        if known || self.builtin.iter().any(|b| b == name) {
            return Ok(());
        }
        let path = self
            .files
            .get(name)
            .ok_or_else(|| format!("the kernel package has no module '{name}'"))?;
        let data = expand(path)?;
        for needed in depends(&data) {
            self.visit(&needed, ordered)?;
        }
        ordered.push(Module {
            name: name.to_string(),
            data,
        });
        Ok(())
    }
}

fn module_name(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    file.split('.').next().unwrap_or_default().replace('-', "_")
}

fn expand(path: &Path) -> Result<Vec<u8>> {
    if path.extension().is_some_and(|e| e == "xz") {
        let output = Command::new("xz")
            .arg("-dc")
            .arg(path)
            .output()
            .map_err(context("xz"))?;
        return match output.status.success() {
            true => Ok(output.stdout),
            false => Err(format!("xz cannot expand {}", path.display())),
        };
    }
    fs::read(path).map_err(context(path.display()))
}

/// The `depends=` entry of `.modinfo`: found by its text, since no other
/// section holds a NUL-terminated string of this form.
fn depends(elf: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(start) = elf.windows(KEY.len()).position(|w| w == KEY) else {
        return Vec::new();
    };
    let value = elf[start + KEY.len()..].split(|b| *b == 0).next();
    String::from_utf8_lossy(value.unwrap_or_default())
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_dependencies() {
        assert_eq!(
            depends(b"x\0license=GPL\0depends=jbd2,crc-x\0name=ext4\0"),
            ["jbd2", "crc_x"]
        );
        assert!(depends(b"\0depends=\0").is_empty());
        assert!(depends(b"nothing").is_empty());
    }

    #[test]
    fn names_lose_suffixes_and_dashes() {
        assert_eq!(
            module_name(Path::new("a/virtio-iommu.ko.xz")),
            "virtio_iommu"
        );
    }
}

//! The board's device tree: QEMU writes it, overlays are compiled and applied.

use crate::{Result, context};
pub use stagegate::qemu::run;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An overlay's source text with `@name@` places to fill in.
pub struct Template {
    name: String,
    text: String,
}

impl Template {
    /// Reads `tests/overlays/NAME.dtso`.
    pub fn named(name: &str) -> Result<Self> {
        let path = crate::paths::root()
            .join("tests/overlays")
            .join(format!("{name}.dtso"));
        Ok(Self {
            name: name.to_string(),
            text: fs::read_to_string(&path).map_err(context(path.display()))?,
        })
    }

    /// An overlay from a text, for cases too small for a file.
    pub fn text(name: &str, text: &str) -> Self {
        Self {
            name: name.to_string(),
            text: text.to_string(),
        }
    }

    /// Fills in each `@place@`.
    pub fn set(mut self, place: &str, value: impl std::fmt::Display) -> Self {
        self.text = self.text.replace(&format!("@{place}@"), &value.to_string());
        self
    }

    /// A `@place@` that nobody filled in. Unit addresses also follow an `@`,
    /// but no second one closes them.
    fn open_place(&self) -> Option<&str> {
        let mut words = self.text.split('@').skip(1);
        words.find(|w| !w.is_empty() && w.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    }

    /// Compiles into `dir` and returns the blob's path.
    pub fn compile(&self, dir: &Path) -> Result<PathBuf> {
        if let Some(place) = self.open_place() {
            return Err(format!(
                "overlay {}: '@{place}' was not filled in",
                self.name
            ));
        }
        let source = dir.join(format!("{}.dtso", self.name));
        let blob = source.with_extension("dtbo");
        fs::write(&source, &self.text).map_err(context(source.display()))?;
        run(Command::new("dtc")
            .args(["-q", "-@", "-I", "dts", "-O", "dtb", "-o"])
            .arg(&blob)
            .arg(&source))?;
        Ok(blob)
    }
}

/// Applies overlays to a base tree.
pub fn merge(base: &Path, overlays: &[PathBuf], out: &Path) -> Result<()> {
    run(Command::new("fdtoverlay")
        .arg("-i")
        .arg(base)
        .arg("-o")
        .arg(out)
        .args(overlays))?;
    Ok(())
}

/// A `reg` entry with two cells each for address and size.
pub fn reg(address: u64, size: u64) -> String {
    format!(
        "{:#x} {:#x} {:#x} {:#x}",
        address >> 32,
        address & 0xffff_ffff,
        size >> 32,
        size & 0xffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reg_splits_into_cells() {
        assert_eq!(reg(0x1_5000_0000, 0x20), "0x1 0x50000000 0x0 0x20");
    }

    #[test]
    fn forgotten_places_are_named() {
        let error = Template::text("t", "a = <@size@>;")
            .compile(Path::new("/"))
            .unwrap_err();
        assert!(error.contains("@size"), "{error}");
        let template = Template::text("t", "&{/a@10} { b@20 { c = <@size@>; }; };").set("size", 4);
        assert_eq!(template.open_place(), None);
    }
}

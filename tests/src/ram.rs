//! The machine's memory from outside, as a file that the test shares with QEMU:
//! to break what is in it.

use crate::machine::Machine;
use crate::{Result, context, paths, scmi_firmware};
use stagegate::symbols::Symbols;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where QEMU puts the image: 2 MiB into RAM, with which the file begins.
pub const IMAGE: u64 = 0x20_0000;

/// A machine's RAM in a file, to be opened once it runs.
pub struct RamFile(PathBuf);

impl RamFile {
    /// Puts the machine's RAM into a file in `dir`.
    pub fn of(machine: &mut Machine, mib: u32, dir: &Path) -> Self {
        let path = dir.join("ram");
        machine.extra.extend(scmi_firmware::ram(&path, mib));
        Self(path)
    }

    /// Opens it; QEMU has it open, too, so its name may go.
    pub fn open(self) -> Result<Ram> {
        let file = OpenOptions::new().read(true).write(true).open(&self.0);
        let file = file.map_err(context(self.0.display()))?;
        fs::remove_file(&self.0).map_err(context(self.0.display()))?;
        Ok(Ram(file))
    }
}

/// A running machine's RAM. Offsets count from its first byte.
pub struct Ram(File);

impl Ram {
    /// The bytes from the first one on.
    pub fn start(&self, bytes: usize) -> Result<Vec<u8>> {
        let mut content = vec![0; bytes];
        let read = self.0.read_exact_at(&mut content, 0);
        read.map_err(context("RAM")).map(|()| content)
    }

    /// Writes bytes.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.0.write_all_at(bytes, offset).map_err(context("RAM"))
    }

    /// Replaces the start of a function of the hypervisor that was never run,
    /// so that no emulator has it in its caches. Returns its place in the image.
    pub fn replace(&self, function: &str, code: &[u32]) -> Result<u64> {
        let elf = paths::hypervisor()?;
        let elf = fs::read(&elf).map_err(context(elf.display()))?;
        let symbols = Symbols::read(&elf).map_err(|e| e.to_string())?;
        let address = symbols
            .address(function)
            .ok_or_else(|| format!("{function} is not a function of its own"))?;
        let code: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.write(IMAGE + address, &code)?;
        Ok(address)
    }
}

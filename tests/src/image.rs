//! Turns the hypervisor's ELF file into the flat image that boot loaders
//! take, and measures its sections. Knows just enough ELF64 for that.

use crate::{Result, context, paths};
use platform::pack::Kind;
use stagegate::pack::{self, Input};
use stagegate::symbols::Symbols;
use std::path::{Path, PathBuf};
use std::{fs, ops::Range};

const PT_LOAD: u32 = 1;
const SHF_ALLOC: u64 = 2;
const SHF_WRITE: u64 = 1;
const SHF_EXEC: u64 = 4;
const SHT_NOBITS: u32 = 8;

/// Sizes in bytes, by what the loader must provide.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
pub struct Sizes {
    /// Executable sections.
    pub text: u64,
    /// Read-only data.
    pub rodata: u64,
    /// Initialised writable data.
    pub data: u64,
    /// Zeroed at start, not in the file.
    pub bss: u64,
}

/// Writes the flat image beside the ELF file (`.bin`) and returns its path.
pub fn flatten(elf: &Path) -> Result<PathBuf> {
    let bytes = fs::read(elf).map_err(context(elf.display()))?;
    let flat = flat_bytes(&bytes).map_err(|e| format!("{}: {e}", elf.display()))?;
    let out = elf.with_extension("bin");
    paths::replace(&out, &flat)?;
    Ok(out)
}

/// As [`flatten`], with the names of its functions behind it (`.img`).
pub fn with_symbols(elf: &Path) -> Result<PathBuf> {
    let bytes = fs::read(elf).map_err(context(elf.display()))?;
    let names = |e: &dyn std::fmt::Display| format!("{}: {e}", elf.display());
    let symbols = Symbols::read(&bytes).map_err(|e| names(&e))?;
    let input = Input {
        name: "symbols".into(),
        kind: Kind::Symbols,
        bytes: symbols.pack(),
    };
    let flat = fs::read(flatten(elf)?).map_err(context(elf.display()))?;
    let packed = pack::image(&flat, &[input]).map_err(|e| names(&e))?;
    let out = elf.with_extension("img");
    paths::replace(&out, &packed)?;
    Ok(out)
}

/// The loadable segments, laid out by physical address from the lowest one.
pub fn flat_bytes(elf: &[u8]) -> Result<Vec<u8>> {
    let segments = table(elf, 32, 54, 56)?
        .map(|header| Segment::read(elf, header))
        .collect::<Result<Vec<_>>>()?;
    let loads: Vec<_> = segments
        .iter()
        .filter(|s| s.kind == PT_LOAD && s.file_size > 0)
        .collect();
    let base = loads
        .iter()
        .map(|s| s.address)
        .min()
        .ok_or("no loadable segment")?;
    let mut flat = Vec::new();
    for segment in loads {
        let at = (segment.address - base) as usize;
        let data = elf
            .get(segment.offset as usize..(segment.offset + segment.file_size) as usize)
            .ok_or("segment outside the file")?;
        if flat.len() < at + data.len() {
            flat.resize(at + data.len(), 0);
        }
        flat[at..at + data.len()].copy_from_slice(data);
    }
    Ok(flat)
}

/// Adds up the allocated sections.
pub fn sizes(elf: &[u8]) -> Result<Sizes> {
    let mut sizes = Sizes::default();
    for header in table(elf, 40, 58, 60)? {
        let (kind, flags) = (u32_at(elf, header + 4)?, u64_at(elf, header + 8)?);
        let size = u64_at(elf, header + 32)?;
        match flags {
            f if f & SHF_ALLOC == 0 => {}
            f if f & SHF_EXEC != 0 => sizes.text += size,
            _ if kind == SHT_NOBITS => sizes.bss += size,
            f if f & SHF_WRITE != 0 => sizes.data += size,
            _ => sizes.rodata += size,
        }
    }
    Ok(sizes)
}

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    file_size: u64,
}

impl Segment {
    fn read(elf: &[u8], at: usize) -> Result<Self> {
        Ok(Self {
            kind: u32_at(elf, at)?,
            offset: u64_at(elf, at + 8)?,
            address: u64_at(elf, at + 24)?,
            file_size: u64_at(elf, at + 32)?,
        })
    }
}

/// Offsets of the entries of a header table, whose place, entry size and
/// count stand at the given offsets of the ELF header.
fn table(
    elf: &[u8],
    place: usize,
    entry: usize,
    count: usize,
) -> Result<impl Iterator<Item = usize> + use<>> {
    if elf.get(..5) != Some(b"\x7fELF\x02".as_slice()) {
        return Err("not a 64-bit ELF file".into());
    }
    let start = u64_at(elf, place)? as usize;
    let size = usize::from(u16_at(elf, entry)?);
    let range: Range<usize> = 0..usize::from(u16_at(elf, count)?);
    Ok(range.map(move |i| start + i * size))
}

fn bytes_at<const N: usize>(elf: &[u8], at: usize) -> Result<[u8; N]> {
    elf.get(at..at + N)
        .and_then(|b| b.try_into().ok())
        .ok_or_else(|| "truncated ELF file".into())
}

fn u16_at(elf: &[u8], at: usize) -> Result<u16> {
    bytes_at(elf, at).map(u16::from_le_bytes)
}

fn u32_at(elf: &[u8], at: usize) -> Result<u32> {
    bytes_at(elf, at).map(u32::from_le_bytes)
}

fn u64_at(elf: &[u8], at: usize) -> Result<u64> {
    bytes_at(elf, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with two segments, the second one 8 bytes further up.
    fn sample() -> Vec<u8> {
        let mut elf = vec![0u8; 64 + 2 * 56];
        elf[..5].copy_from_slice(b"\x7fELF\x02");
        elf[32..40].copy_from_slice(&64u64.to_le_bytes());
        elf[54..56].copy_from_slice(&56u16.to_le_bytes());
        elf[56..58].copy_from_slice(&2u16.to_le_bytes());
        for (index, (address, text)) in [(0x1000u64, b"head"), (0x1008, b"tail")].iter().enumerate()
        {
            let header = 64 + index * 56;
            let offset = elf.len() as u64;
            elf[header..header + 4].copy_from_slice(&PT_LOAD.to_le_bytes());
            elf[header + 8..header + 16].copy_from_slice(&offset.to_le_bytes());
            elf[header + 24..header + 32].copy_from_slice(&address.to_le_bytes());
            elf[header + 32..header + 40].copy_from_slice(&4u64.to_le_bytes());
            elf.extend_from_slice(*text);
        }
        elf
    }

    #[test]
    fn gaps_are_zeros() {
        assert_eq!(flat_bytes(&sample()).unwrap(), b"head\0\0\0\0tail");
    }

    /// Tests that run in parallel flatten the same file.
    #[test]
    fn nobody_sees_half_an_image() {
        let dir = std::env::temp_dir().join(format!("stagegate-flat-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let elf = dir.join("sample");
        fs::write(&elf, sample()).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let flat = flatten(&elf).unwrap();
                        assert_eq!(fs::read(flat).unwrap(), b"head\0\0\0\0tail");
                    }
                });
            }
        });
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(flat_bytes(b"MZ").is_err());
        let elf = sample();
        assert!(flat_bytes(&elf[..elf.len() - 1]).is_err());
        assert!(sizes(&elf[..40]).is_err());
    }
}

//! What the image is made of: each instruction of the hypervisor's code is
//! counted for the room in whose source file it was written. What was expanded
//! from a library (an iterator, a map, a spin lock) counts for the room that
//! called it.

use crate::{Result, context};
use addr2line::Loader;
use std::collections::BTreeMap;
use std::path::Path;

/// Bytes of an AArch64 instruction.
const INSTRUCTION: usize = 4;
const ROOMS: [&str; 5] = [
    "hypervisor/src/",
    "hypervisor/abi/src/",
    "platform/src/",
    "smmu/src/",
    "pgtable/src/",
];

/// Bytes of code by area: `hypervisor/vgic`, `smmu/v3`; a library's own
/// functions count for it: `library core`.
pub fn by_area(elf: &Path) -> Result<BTreeMap<String, u64>> {
    let loader = Loader::new(elf).map_err(context(elf.display()))?;
    let text = loader.get_section_range(b".text").ok_or("no .text")?;
    let mut areas = BTreeMap::new();
    for address in (text.begin..text.end).step_by(INSTRUCTION) {
        let area = area(&loader, address)?;
        *areas.entry(area).or_default() += INSTRUCTION as u64;
    }
    Ok(areas)
}

/// The innermost function that is ours.
fn area(loader: &Loader, address: u64) -> Result<String> {
    let mut frames = loader.find_frames(address).map_err(context(address))?;
    let mut foreign = None;
    while let Some(frame) = frames.next().map_err(context(address))? {
        let file = frame.location.and_then(|location| location.file);
        if let Some(found) = file.and_then(room) {
            return Ok(found);
        }
        foreign = file.and_then(library).or(foreign);
    }
    Ok(foreign.unwrap_or_else(|| "assembly, padding".into()))
}

/// The library with this file: a crate of a registry, or of the compiler.
fn library(file: &str) -> Option<String> {
    let (_, rest) = file.split_once("library/").or_else(|| {
        let (_, rest) = file.split_once("registry/src/")?;
        rest.split_once('/')
    })?;
    let name = rest.split('/').next()?;
    let name = match name.rsplit_once('-') {
        Some((name, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => name,
        _ => name,
    };
    Some(format!("library {name}"))
}

fn room(file: &str) -> Option<String> {
    ROOMS.iter().find_map(|root| {
        let (_, rest) = file.rsplit_once(root)?;
        let module = rest.split(['/', '.']).next()?;
        Some(format!("{}/{module}", root.trim_end_matches("/src/")))
    })
}

/// The areas as lines, largest first.
pub fn table(areas: &BTreeMap<String, u64>) -> String {
    let mut sorted: Vec<_> = areas.iter().collect();
    sorted.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
    let total: u64 = areas.values().sum();
    let lines = sorted.iter().map(|(area, bytes)| {
        let share = **bytes as f64 / total as f64 * 100.0;
        format!("{bytes:>8} {share:>5.1} %  {area}\n")
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_belongs_to_its_room() {
        let cases = [
            ("/home/me/stagegate/smmu/src/v3/queue.rs", Some("smmu/v3")),
            ("hypervisor/src/vgic/mod.rs", Some("hypervisor/vgic")),
            ("hypervisor/abi/src/lib.rs", Some("hypervisor/abi/lib")),
            ("/rustc/0123/library/core/src/option.rs", None),
        ];
        for (file, expected) in cases {
            assert_eq!(room(file).as_deref(), expected, "{file}");
        }
    }

    #[test]
    fn a_library_is_named_without_version() {
        let cases = [
            (
                "/home/me/.cargo/registry/src/index-0f/spin-0.12.3/src/once.rs",
                "library spin",
            ),
            ("/rustc/0123/library/core/src/option.rs", "library core"),
        ];
        for (file, expected) in cases {
            assert_eq!(library(file).as_deref(), Some(expected), "{file}");
        }
    }
}

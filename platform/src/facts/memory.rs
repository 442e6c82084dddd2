//! RAM and what of it is taken.
use super::regions;
use crate::region::Region;
use crate::tree::{NodeId, Tree};
use alloc::string::String;
use alloc::vec::Vec;

/// A part of RAM that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// Path of its node, or `/memreserve/`.
    pub path: String,
    /// Where.
    pub region: Region,
    /// Must not even be mapped.
    pub no_map: bool,
}

/// RAM and what of it is taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// RAM, sorted by address; touching ranges are merged.
    pub ram: Vec<Region>,
    /// Reservations at fixed addresses.
    pub reserved: Vec<Reserved>,
    /// Boot-time initial RAM disk of the loader, if any.
    pub initrd: Option<Region>,
}

impl Memory {
    /// Bytes of RAM.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ram.iter().fold(0, |sum, r| sum.saturating_add(r.size))
    }

    /// Bytes of RAM that no reservation covers.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.free_ranges()
            .iter()
            .fold(0, |sum, r| sum.saturating_add(r.size))
    }

    /// RAM without the reservations, in order of address.
    #[must_use]
    pub fn free_ranges(&self) -> Vec<Region> {
        let mut free = self.ram.clone();
        for reserved in &self.reserved {
            free = free
                .iter()
                .flat_map(|r| subtract(*r, reserved.region))
                .collect();
        }
        free
    }

    /// Whether `region` lies in RAM.
    #[must_use]
    pub fn is_ram(&self, region: &Region) -> bool {
        self.ram.iter().any(|r| r.contains(region))
    }
}

/// What is left of `from` without `hole`: at most two pieces.
pub(crate) fn subtract(from: Region, hole: Region) -> Vec<Region> {
    if !from.overlaps(&hole) {
        return alloc::vec![from];
    }
    let end = from.base.saturating_add(from.size);
    let hole_end = hole.base.saturating_add(hole.size);
    let below = Region::new(from.base, hole.base.saturating_sub(from.base));
    let above = Region::new(hole_end, end.saturating_sub(hole_end));
    [below, above].into_iter().filter(|r| r.size > 0).collect()
}

pub(super) fn read(tree: &Tree<'_>) -> Memory {
    let mut ram: Vec<Region> = Vec::new();
    for id in tree.children(NodeId::ROOT) {
        let node = tree.node(id);
        let is_memory = node.property("device_type").and_then(|p| p.string()) == Some("memory");
        if is_memory && node.is_enabled() {
            ram.extend(
                regions(tree, id)
                    .into_iter()
                    .flatten()
                    .filter(|r| r.size > 0),
            );
        }
    }
    Memory {
        ram: merge(ram),
        reserved: reserved(tree),
        initrd: initrd(tree),
    }
}

fn merge(mut list: Vec<Region>) -> Vec<Region> {
    crate::sort::by_key(&mut list, |region| *region);
    let mut merged: Vec<Region> = Vec::new();
    for region in list {
        match merged.last_mut() {
            Some(last) if last.end().is_some_and(|end| end >= region.base) => {
                let end = region.base.saturating_add(region.size);
                last.size = last.size.max(end.saturating_sub(last.base));
            }
            _ => merged.push(region),
        }
    }
    merged
}

fn reserved(tree: &Tree<'_>) -> Vec<Reserved> {
    let mut list: Vec<Reserved> = tree
        .blob()
        .reservations()
        .map(|(base, size)| Reserved {
            path: "/memreserve/".into(),
            region: Region::new(base, size),
            no_map: false,
        })
        .collect();
    let Some(parent) = tree.find("/reserved-memory") else {
        return list;
    };
    for id in tree.children(parent).filter(|&id| tree.is_enabled(id)) {
        let no_map = tree.node(id).property("no-map").is_some();
        let found = regions(tree, id)
            .into_iter()
            .flatten()
            .filter(|r| r.size > 0);
        list.extend(found.map(|region| Reserved {
            path: tree.path(id),
            region,
            no_map,
        }));
    }
    list
}

fn initrd(tree: &Tree<'_>) -> Option<Region> {
    let chosen = tree.node(tree.find("/chosen")?);
    let start = chosen.property("linux,initrd-start")?.number()?;
    let end = chosen.property("linux,initrd-end")?.number()?;
    (end > start).then(|| Region::new(start, end.saturating_sub(start)))
}

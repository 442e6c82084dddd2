//! Lists of phandles with arguments: `clocks`, `power-domains`, `iommus`, …
use crate::fdt::Prop;
use crate::tree::{NodeId, Tree};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A provider and the cells that tell it what is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The node the phandle belongs to.
    pub provider: NodeId,
    /// The specifier, one number per cell.
    pub args: Vec<u32>,
}

/// Why a list of references cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceError {
    /// No node carries this phandle.
    UnknownPhandle(u32),
    /// The provider does not say how many cells follow its phandle.
    NoCells(NodeId),
    /// The list ends within a specifier (index of the entry).
    Truncated(usize),
}

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPhandle(p) => write!(f, "no node has phandle {p:#x}"),
            Self::NoCells(_) => write!(f, "the node referred to has no #…-cells property"),
            Self::Truncated(i) => write!(f, "entry {i} is incomplete"),
        }
    }
}

impl ReferenceError {
    /// The same, with names: of the node referred to, and of its property
    /// `cells_name`. `property` is the list.
    #[must_use]
    pub fn told(self, tree: &Tree<'_>, property: Option<Prop<'_>>, cells_name: &str) -> String {
        let text = property.and_then(|p| p.string());
        let text = text.filter(|t| t.len() > 1 && t.bytes().all(|b| b.is_ascii_graphic()));
        match (self, text) {
            (Self::UnknownPhandle(_), Some(text)) => {
                format!("\"{text}\" is a text, and no list of references")
            }
            (Self::NoCells(node), _) => format!("{} has no {cells_name}", tree.path(node)),
            _ => format!("{self}"),
        }
    }
}

/// The entries of a reference list; `None` for an empty slot (phandle 0).
///
/// # Errors
/// [`ReferenceError`] at the first entry that cannot be read.
pub fn references(
    tree: &Tree<'_>,
    property: Prop<'_>,
    cells_name: &str,
) -> Result<Vec<Option<Reference>>, ReferenceError> {
    let cells: Vec<u32> = property.cells().collect();
    let mut list = Vec::new();
    let mut rest = cells.as_slice();
    while let [phandle, tail @ ..] = rest {
        if *phandle == 0 {
            list.push(None);
            rest = tail;
            continue;
        }
        let provider = tree
            .by_phandle(*phandle)
            .ok_or(ReferenceError::UnknownPhandle(*phandle))?;
        let count = tree.node(provider).cells(cells_name);
        let count = count.ok_or(ReferenceError::NoCells(provider))?;
        let Some((args, after)) = tail.split_at_checked(count) else {
            return Err(ReferenceError::Truncated(list.len()));
        };
        list.push(Some(Reference {
            provider,
            args: args.to_vec(),
        }));
        rest = after;
    }
    if !property.value.len().is_multiple_of(4) {
        return Err(ReferenceError::Truncated(list.len()));
    }
    Ok(list)
}

/// A clock or power domain that a device consumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supply {
    /// Name the consumer gives it (`clock-names`); empty if it gives none.
    pub name: String,
    /// The providing node.
    pub provider: NodeId,
    /// Path of the providing node.
    pub path: String,
    /// The specifier.
    pub args: Vec<u32>,
}

/// The supplies a node lists in `property`, with names from `names`.
///
/// # Errors
/// [`ReferenceError`] when the list cannot be read.
pub fn supplies(
    tree: &Tree<'_>,
    id: NodeId,
    (property, cells, names): (&str, &str, &str),
) -> Result<Vec<Supply>, ReferenceError> {
    let node = tree.node(id);
    let Some(list) = node.property(property) else {
        return Ok(Vec::new());
    };
    let names: Vec<&str> = node
        .property(names)
        .map(|p| p.strings().collect())
        .unwrap_or_default();
    let entries = references(tree, list, cells)?.into_iter().enumerate();
    Ok(entries
        .filter_map(|(i, entry)| {
            let entry = entry?;
            Some(Supply {
                name: names.get(i).copied().unwrap_or_default().into(),
                path: tree.path(entry.provider),
                provider: entry.provider,
                args: entry.args,
            })
        })
        .collect())
}

/// `clocks` with `clock-names`.
pub const CLOCKS: (&str, &str, &str) = ("clocks", "#clock-cells", "clock-names");
/// `power-domains` with `power-domain-names`.
pub const POWER_DOMAINS: (&str, &str, &str) =
    ("power-domains", "#power-domain-cells", "power-domain-names");

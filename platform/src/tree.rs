//! A checked blob with an index: parents, phandles, paths, aliases.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]
use crate::fdt::{Blob, Node};
use alloc::string::String;
use alloc::vec::Vec;
use litemap::LiteMap;

/// A node's place in a [`Tree`]; the root is 0 and parents precede children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(usize);

impl NodeId {
    /// The root node.
    pub const ROOT: Self = Self(0);
}

#[derive(Debug)]
struct Entry<'a> {
    node: Node<'a>,
    parent: Option<NodeId>,
    /// Index after the node's last descendant.
    end: usize,
}

/// An indexed device tree.
#[derive(Debug)]
pub struct Tree<'a> {
    blob: Blob<'a>,
    nodes: Vec<Entry<'a>>,
    phandles: LiteMap<u32, NodeId>,
    duplicate_phandles: Vec<(u32, NodeId, NodeId)>,
}

impl<'a> Tree<'a> {
    /// Indexes a checked blob.
    #[must_use]
    pub fn new(blob: Blob<'a>) -> Self {
        let mut tree = Self {
            blob,
            nodes: Vec::new(),
            phandles: LiteMap::new(),
            duplicate_phandles: Vec::new(),
        };
        tree.index(blob.root(), None);
        tree
    }

    /// Recursion is bounded by [`crate::fdt::MAX_DEPTH`].
    fn index(&mut self, node: Node<'a>, parent: Option<NodeId>) {
        let id = NodeId(self.nodes.len());
        self.nodes.push(Entry {
            node,
            parent,
            end: 0,
        });
        if let Some(phandle) = phandle(&node) {
            match self.phandles.get(&phandle) {
                Some(&first) => self.duplicate_phandles.push((phandle, first, id)),
                None => {
                    self.phandles.insert(phandle, id);
                }
            }
        }
        for child in node.children() {
            self.index(child, Some(id));
        }
        let end = self.nodes.len();
        if let Some(entry) = self.nodes.get_mut(id.0) {
            entry.end = end;
        }
    }

    /// The blob below the index.
    #[must_use]
    pub const fn blob(&self) -> Blob<'a> {
        self.blob
    }

    /// The node with this id.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Node<'a> {
        self.nodes
            .get(id.0)
            .map_or_else(|| self.blob.root(), |e| e.node)
    }

    /// The node's parent; `None` for the root.
    #[must_use]
    pub fn parent(&self, id: NodeId) -> Option<NodeId> {
        self.nodes.get(id.0)?.parent
    }

    /// All nodes, parents before children, in the order of the blob.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId)
    }

    /// The node's children.
    pub fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let end = self.nodes.get(id.0).map_or(0, |e| e.end);
        let mut next = id.0.saturating_add(1);
        core::iter::from_fn(move || {
            let here = (next < end).then_some(NodeId(next))?;
            next = self.nodes.get(here.0)?.end;
            Some(here)
        })
    }

    /// The node and everything below it.
    pub fn subtree(&self, id: NodeId) -> impl Iterator<Item = NodeId> + use<> {
        let end = self.nodes.get(id.0).map_or(id.0, |e| e.end);
        (id.0..end).map(NodeId)
    }

    /// The node that carries this phandle.
    #[must_use]
    pub fn by_phandle(&self, phandle: u32) -> Option<NodeId> {
        self.phandles.get(&phandle).copied()
    }

    /// Phandles carried by two nodes: (phandle, first, second).
    #[must_use]
    pub fn duplicate_phandles(&self) -> &[(u32, NodeId, NodeId)] {
        &self.duplicate_phandles
    }

    /// Absolute path of a node.
    #[must_use]
    pub fn path(&self, id: NodeId) -> String {
        let mut parts = Vec::new();
        let mut at = id;
        while let Some(parent) = self.parent(at) {
            parts.push(self.node(at).name());
            at = parent;
        }
        if parts.is_empty() {
            return String::from("/");
        }
        parts.iter().rev().fold(String::new(), |mut path, part| {
            path.push('/');
            path.push_str(part);
            path
        })
    }

    /// The node at an absolute path, or behind an alias with an optional rest
    /// (`serial0`, `serial0/child`). Options after a colon are ignored.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<NodeId> {
        let path = path.split(':').next()?;
        let node = if path.starts_with('/') {
            self.blob.find(path)?
        } else {
            let (alias, rest) = path.split_once('/').unwrap_or((path, ""));
            let target = self.blob.find("/aliases")?.property(alias)?.string()?;
            let mut node = self.blob.find(target)?;
            for part in rest.split('/').filter(|p| !p.is_empty()) {
                node = node.child(part)?;
            }
            node
        };
        self.by_offset(node.offset())
    }

    /// Offsets grow with ids, so the index is sorted.
    fn by_offset(&self, offset: usize) -> Option<NodeId> {
        self.nodes
            .binary_search_by_key(&offset, |e| e.node.offset())
            .ok()
            .map(NodeId)
    }

    /// The first property called `name` on the node or the nearest ancestor
    /// that has one, as `interrupt-parent` and `dma-coherent` are inherited.
    #[must_use]
    pub fn inherited(&self, id: NodeId, name: &str) -> Option<crate::fdt::Prop<'a>> {
        let mut at = Some(id);
        while let Some(here) = at {
            if let Some(found) = self.node(here).property(name) {
                return Some(found);
            }
            at = self.parent(here);
        }
        None
    }

    /// Whether the node and all its ancestors are enabled.
    #[must_use]
    pub fn is_enabled(&self, id: NodeId) -> bool {
        let mut at = Some(id);
        while let Some(here) = at {
            if !self.node(here).is_enabled() {
                return false;
            }
            at = self.parent(here);
        }
        true
    }
}

/// A node's phandle, in either spelling.
#[must_use]
pub fn phandle(node: &Node<'_>) -> Option<u32> {
    let property = node
        .property("phandle")
        .or_else(|| node.property("linux,phandle"))?;
    property.u32()
}

//! Nodes to a blob.
use super::{Body, DtsError, Item, Piece, Property, Source, Target};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use dtoolkit::memreserve::MemoryReservation;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use dtoolkit::{Node, Property as _};

/// Placeholder for a phandle that the overlay's user fills in.
const UNRESOLVED: u32 = 0xffff_ffff;

/// A phandle to be written: at this node, property and byte offset.
struct Patch {
    line: usize,
    path: String,
    property: String,
    offset: usize,
    target: Target,
    /// Written as a path instead.
    as_path: bool,
}

#[derive(Default)]
struct Emitter {
    tree: DeviceTree,
    plugin: bool,
    labels: BTreeMap<String, String>,
    patches: Vec<Patch>,
    next_phandle: u32,
}

pub(super) fn emit(source: &Source) -> Result<Vec<u8>, DtsError> {
    let mut emitter = Emitter {
        plugin: source.plugin,
        next_phandle: 1,
        ..Emitter::default()
    };
    let reserve = |&(address, size): &(u64, u64)| MemoryReservation::new(address, size);
    emitter.tree.memory_reservations = source.reservations.iter().map(reserve).collect();
    for item in &source.items {
        emitter.item(item)?;
    }
    let patches = core::mem::take(&mut emitter.patches);
    for patch in &patches {
        emitter.patch(patch)?;
    }
    emitter.symbols()?;
    Ok(emitter.tree.to_dtb())
}

fn property(name: &str, bytes: Vec<u8>) -> DeviceTreeProperty {
    DeviceTreeProperty::new_unchecked(name, bytes)
}

fn text(value: &str) -> Vec<u8> {
    let mut bytes = value.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

impl Emitter {
    fn item(&mut self, item: &Item) -> Result<(), DtsError> {
        let error = |what: String| DtsError {
            line: item.line,
            what,
        };
        let path = match &item.target {
            Target::Root => "/".to_string(),
            target if self.plugin => self.fragment(item.line, target),
            Target::Label(label) => {
                let path = self.labels.get(label).cloned();
                path.ok_or_else(|| {
                    error(format!(
                        "no label {label} so far; an overlay begins with /dts-v1/; /plugin/;"
                    ))
                })?
            }
            Target::Path(path) => path.clone(),
        };
        let Some(body) = &item.body else {
            if self.plugin {
                return Err(error("an overlay cannot delete nodes".into()));
            }
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
            self.node_mut(item.line, if parent.is_empty() { "/" } else { parent })?
                .remove_child(name);
            return Ok(());
        };
        self.body(&path, body, item.line)
    }

    /// Adds the next fragment of an overlay and returns the path of its body.
    fn fragment(&mut self, line: usize, target: &Target) -> String {
        let count = self
            .tree
            .root
            .children()
            .filter(|c| c.name().starts_with("fragment@"))
            .count();
        let name = format!("fragment@{count}");
        let mut node = DeviceTreeNode::new_unchecked(name.as_str());
        match target {
            Target::Path(path) => node.add_property(property("target-path", text(path))),
            _ => {
                node.add_property(property("target", UNRESOLVED.to_be_bytes().to_vec()));
                self.patches.push(Patch {
                    line,
                    path: format!("/{name}"),
                    property: "target".into(),
                    offset: 0,
                    target: target.clone(),
                    as_path: false,
                });
            }
        }
        node.add_child(DeviceTreeNode::new_unchecked("__overlay__"));
        self.tree.root.add_child(node);
        format!("/{name}/__overlay__")
    }

    fn node_mut(&mut self, line: usize, path: &str) -> Result<&mut DeviceTreeNode, DtsError> {
        let what = format!("there is no node {path}");
        self.tree.find_node_mut(path).ok_or(DtsError { line, what })
    }

    fn body(&mut self, path: &str, body: &Body, line: usize) -> Result<(), DtsError> {
        for label in &body.labels {
            if self.labels.get(label).is_some_and(|p| p != path) {
                return Err(DtsError {
                    line,
                    what: format!("label {label} stands twice"),
                });
            }
            self.labels.insert(label.clone(), path.into());
        }
        let node = self.node_mut(line, path)?;
        for name in &body.deleted_properties {
            node.remove_property(name);
        }
        for name in &body.deleted_children {
            node.remove_child(name);
        }
        for one in &body.properties {
            self.property(path, one)?;
        }
        for (name, child) in &body.children {
            let node = self.node_mut(line, path)?;
            if node.child_mut(name).is_none() {
                node.add_child(DeviceTreeNode::new_unchecked(name.as_str()));
            }
            let child_path = if path == "/" {
                format!("/{name}")
            } else {
                format!("{path}/{name}")
            };
            self.body(&child_path, child, line)?;
        }
        Ok(())
    }

    fn property(&mut self, path: &str, one: &Property) -> Result<(), DtsError> {
        let mut bytes = Vec::new();
        for piece in &one.pieces {
            let (target, as_path) = match piece {
                Piece::Bytes(more) => {
                    bytes.extend_from_slice(more);
                    continue;
                }
                Piece::Reference(target) => (target, false),
                Piece::PathOf(target) => (target, true),
            };
            if as_path && one.pieces.len() > 1 {
                let what = "a path reference must stand alone".into();
                return Err(DtsError {
                    line: one.line,
                    what,
                });
            }
            self.patches.push(Patch {
                line: one.line,
                path: path.into(),
                property: one.name.clone(),
                offset: bytes.len(),
                target: target.clone(),
                as_path,
            });
            if !as_path {
                bytes.extend_from_slice(&UNRESOLVED.to_be_bytes());
            }
        }
        self.patches
            .retain(|p| p.path != path || p.property != one.name || p.line == one.line);
        self.node_mut(one.line, path)?
            .add_property(property(&one.name, bytes));
        Ok(())
    }

    fn patch(&mut self, patch: &Patch) -> Result<(), DtsError> {
        let error = |what: String| DtsError {
            line: patch.line,
            what,
        };
        let known = match &patch.target {
            Target::Label(label) => self.labels.get(label).cloned(),
            Target::Path(path) if !self.plugin => Some(path.clone()),
            Target::Path(path) => {
                let what = format!("an overlay cannot refer to &{{{path}}}; use a label");
                return Err(error(what));
            }
            Target::Root => Some("/".into()),
        };
        match known {
            Some(path) if patch.as_path && !self.plugin => self.write(patch, text(&path)),
            _ if patch.as_path => Err(error("an overlay cannot hold paths of nodes".into())),
            Some(path) => {
                let phandle = self.phandle(patch.line, &path)?;
                self.write(patch, phandle.to_be_bytes().to_vec())?;
                if self.plugin {
                    self.local_fixup(patch);
                }
                Ok(())
            }
            None if self.plugin => {
                self.fixup(patch);
                Ok(())
            }
            None => match &patch.target {
                Target::Label(label) => Err(error(format!("there is no label {label}"))),
                _ => Err(error("there is no such node".into())),
            },
        }
    }

    fn write(&mut self, patch: &Patch, value: Vec<u8>) -> Result<(), DtsError> {
        let node = self.node_mut(patch.line, &patch.path)?;
        let Some(found) = node.property_mut(&patch.property) else {
            return Ok(());
        };
        let mut bytes = (&*found).value().to_vec();
        if patch.as_path {
            bytes = value;
        } else if let Some(place) = bytes.get_mut(patch.offset..patch.offset.saturating_add(4)) {
            place.copy_from_slice(&value);
        }
        found.set_value(bytes);
        Ok(())
    }

    /// The phandle of the node at `path`, given one if it has none.
    fn phandle(&mut self, line: usize, path: &str) -> Result<u32, DtsError> {
        let used = used_phandles(&self.tree.root);
        let mut fresh = self.next_phandle;
        while used.contains(&fresh) {
            fresh = fresh.saturating_add(1);
        }
        let node = self.node_mut(line, path)?;
        if let Some(phandle) = dtoolkit::overlay::get_phandle(&&*node) {
            return Ok(phandle);
        }
        node.add_property(property("phandle", fresh.to_be_bytes().to_vec()));
        self.next_phandle = fresh.saturating_add(1);
        Ok(fresh)
    }

    fn root_child(&mut self, name: &str) -> &mut DeviceTreeNode {
        self.tree
            .root
            .add_child_mut(DeviceTreeNode::new_unchecked(name))
    }

    /// `__fixups__`: label → "path:property:offset" for each place.
    fn fixup(&mut self, patch: &Patch) {
        let Target::Label(label) = &patch.target else {
            return;
        };
        let place = text(&format!(
            "{}:{}:{}",
            patch.path, patch.property, patch.offset
        ));
        let fixups = self.root_child("__fixups__");
        let mut bytes = Vec::new();
        if let Some(found) = fixups.property_mut(label) {
            bytes = (&*found).value().to_vec();
        }
        bytes.extend_from_slice(&place);
        fixups.add_property(property(label, bytes));
    }

    /// `__local_fixups__`: the same tree, with offsets as cells.
    fn local_fixup(&mut self, patch: &Patch) {
        let mut node = self.root_child("__local_fixups__");
        for part in patch.path.split('/').filter(|p| !p.is_empty()) {
            node = node.add_child_mut(DeviceTreeNode::new_unchecked(part));
        }
        let mut bytes = Vec::new();
        if let Some(found) = node.property_mut(&patch.property) {
            bytes = (&*found).value().to_vec();
        }
        let offset = u32::try_from(patch.offset).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&offset.to_be_bytes());
        node.add_property(property(&patch.property, bytes));
    }

    /// `__symbols__`, and a phandle for every labelled node, so that a later
    /// overlay can refer to it.
    fn symbols(&mut self) -> Result<(), DtsError> {
        if self.labels.is_empty() {
            return Ok(());
        }
        let labels = core::mem::take(&mut self.labels);
        for path in labels.values() {
            self.phandle(0, path)?;
        }
        let symbols = self.root_child("__symbols__");
        for (label, path) in labels {
            symbols.add_property(property(&label, text(&path)));
        }
        Ok(())
    }
}

fn used_phandles(node: &DeviceTreeNode) -> Vec<u32> {
    let mut list: Vec<u32> = dtoolkit::overlay::get_phandle(&node).into_iter().collect();
    for child in node.children() {
        list.extend(used_phandles(child));
    }
    list
}

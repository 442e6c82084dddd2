//! Nodes and properties of a checked blob, by offset, without a heap.
use super::{BEGIN_NODE, Blob, END_NODE, NOP, PROP, align4, be32, terminated, text};

/// A node of a checked blob.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    blob: Blob<'a>,
    /// Offset of the node's BEGIN_NODE token, or of NOPs before it.
    offset: usize,
}

/// A property of a checked blob.
#[derive(Debug, Clone, Copy)]
pub struct Prop<'a> {
    /// The property's name.
    pub name: &'a str,
    /// The raw value.
    pub value: &'a [u8],
}

impl<'a> Node<'a> {
    pub(super) fn at(blob: Blob<'a>, offset: usize) -> Self {
        Self { blob, offset }
    }

    /// Offset of the node in the blob; unique to the node.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Full name with unit address; empty for the root.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name_at()
            .and_then(|at| text(self.blob.bytes.get(at..)?))
            .unwrap_or("")
    }

    /// Name without the unit address.
    #[must_use]
    pub fn base_name(&self) -> &'a str {
        let name = self.name();
        name.split_once('@').map_or(name, |(base, _)| base)
    }

    /// Offset of the name.
    fn name_at(&self) -> Option<usize> {
        token(&self.blob, self.offset)?.0.checked_add(4)
    }

    /// Offset of what follows the name.
    fn body(&self) -> Option<usize> {
        let start = self.name_at()?;
        let len = terminated(self.blob.bytes.get(start..)?)?.len();
        align4(start.checked_add(len)?.checked_add(1)?)
    }

    /// The node's own properties in order.
    #[must_use]
    pub fn properties(&self) -> Properties<'a> {
        Properties {
            blob: self.blob,
            at: self.body().unwrap_or(usize::MAX),
        }
    }

    /// The property called `name`.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<Prop<'a>> {
        let mut properties = self.properties();
        while let Some((found, value)) = properties.step() {
            if self.blob.is_string(found, name) {
                let name = self.blob.string(found)?;
                return Some(Prop { name, value });
            }
        }
        None
    }

    /// The node's children in order.
    #[must_use]
    pub fn children(&self) -> Children<'a> {
        let mut properties = self.properties();
        while properties.step().is_some() {}
        Children {
            blob: self.blob,
            at: properties.at,
        }
    }

    /// The child called `name`; without a unit address the first child of that
    /// base name matches.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<Node<'a>> {
        let exact = self.children().find(|c| c.name() == name);
        if exact.is_some() || name.contains('@') {
            return exact;
        }
        self.children().find(|c| c.base_name() == name)
    }

    /// `#address-cells` for the children's `reg`; 2 where it is not given.
    #[must_use]
    pub fn address_cells(&self) -> usize {
        self.cells("#address-cells").unwrap_or(2)
    }

    /// `#size-cells` for the children's `reg`; 1 where it is not given.
    #[must_use]
    pub fn size_cells(&self) -> usize {
        self.cells("#size-cells").unwrap_or(1)
    }

    /// A small count from a `#…-cells` property.
    #[must_use]
    pub fn cells(&self, name: &str) -> Option<usize> {
        self.property(name)?.u32().map(|v| v as usize)
    }

    /// Whether one of the node's `compatible` strings is `wanted`.
    #[must_use]
    pub fn is_compatible(&self, wanted: &str) -> bool {
        self.property("compatible")
            .is_some_and(|p| p.strings().any(|s| s == wanted))
    }

    /// Whether `status` is absent, "okay" or "ok".
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        match self.property("status") {
            None => true,
            Some(p) => matches!(p.string(), Some("okay" | "ok")),
        }
    }
}

impl<'a> Prop<'a> {
    /// The value as one 32-bit cell. `None` unless it is exactly one.
    #[must_use]
    pub fn u32(&self) -> Option<u32> {
        (self.value.len() == 4).then(|| self.cell(0)).flatten()
    }

    /// The value as one number of one or two cells.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        match self.value.len() {
            4 => self.cell(0).map(u64::from),
            8 => super::be64(self.value, 0),
            _ => None,
        }
    }

    /// The `index`-th 32-bit cell.
    #[must_use]
    pub fn cell(&self, index: usize) -> Option<u32> {
        be32(self.value, index.checked_mul(4)?)
    }

    /// All 32-bit cells; trailing bytes are dropped.
    pub fn cells(&self) -> impl Iterator<Item = u32> + use<'a> {
        let value = self.value;
        (0..value.len() / 4).map_while(move |i| be32(value, i.checked_mul(4)?))
    }

    /// The value as a single (or first) string.
    #[must_use]
    pub fn string(&self) -> Option<&'a str> {
        text(self.value)
    }

    /// The strings of a string list.
    #[must_use]
    pub fn strings(&self) -> Strings<'a> {
        Strings { rest: self.value }
    }
}

/// Iterator over a string list.
#[derive(Debug, Clone)]
pub struct Strings<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let s = text(self.rest)?;
        self.rest = self.rest.get(s.len().checked_add(1)?..)?;
        Some(s)
    }
}

/// Iterator over a node's properties.
#[derive(Debug, Clone)]
pub struct Properties<'a> {
    blob: Blob<'a>,
    at: usize,
}

impl<'a> Properties<'a> {
    /// The next property's value, and where the strings block has its name:
    /// looking for a property reads the names of all before it, so they are
    /// compared where they lie.
    fn step(&mut self) -> Option<(u32, &'a [u8])> {
        let (at, PROP) = token(&self.blob, self.at)? else {
            return None;
        };
        let len = self.blob.word(at.checked_add(4)?)? as usize;
        let name = self.blob.word(at.checked_add(8)?)?;
        let start = at.checked_add(12)?;
        let end = start.checked_add(len)?;
        let value = self.blob.bytes.get(start..end)?;
        self.at = align4(end)?;
        Some((name, value))
    }
}

impl<'a> Iterator for Properties<'a> {
    type Item = Prop<'a>;

    fn next(&mut self) -> Option<Prop<'a>> {
        let (name, value) = self.step()?;
        let name = self.blob.string(name)?;
        Some(Prop { name, value })
    }
}

/// Iterator over a node's children.
#[derive(Debug, Clone)]
pub struct Children<'a> {
    blob: Blob<'a>,
    at: usize,
}

impl<'a> Iterator for Children<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        let (at, BEGIN_NODE) = token(&self.blob, self.at)? else {
            return None;
        };
        self.at = skip_node(&self.blob, at)?;
        Some(Node::at(self.blob, at))
    }
}

/// The next token that is no NOP, and its offset.
fn token(blob: &Blob<'_>, mut at: usize) -> Option<(usize, u32)> {
    loop {
        match blob.word(at)? {
            NOP => at = at.checked_add(4)?,
            token => return Some((at, token)),
        }
    }
}

/// Offset after the END_NODE that closes the node beginning at `at`.
fn skip_node(blob: &Blob<'_>, mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        match blob.word(at)? {
            BEGIN_NODE => {
                at = Node::at(*blob, at).body()?;
                depth = depth.checked_add(1)?;
            }
            PROP => {
                let len = blob.word(at.checked_add(4)?)? as usize;
                at = align4(at.checked_add(12)?.checked_add(len)?)?;
            }
            END_NODE => {
                at = at.checked_add(4)?;
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            NOP => at = at.checked_add(4)?,
            _ => return None,
        }
    }
}

//! Overlays made up for a given tree, from a seed.
use platform::fdt::{Blob, Node};
use std::fmt::Write;

/// A node that overlays may change or refer to.
struct Place {
    path: String,
    phandle: Option<u32>,
    label: Option<String>,
    properties: Vec<String>,
    children: Vec<String>,
}

/// Random numbers (xorshift), the same for the same seed.
pub struct Random(u64);

impl Random {
    pub fn new(name: &str) -> Self {
        let hash = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, hash) | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

fn is_word(text: &str) -> bool {
    let odd = |b: u8| !b.is_ascii_alphanumeric() && !b",._+-@".contains(&b);
    !text.is_empty() && !text.bytes().any(odd)
}

/// Fragments for the same node, or for a node below, are wanted too: few
/// places are taken, and each is used often.
fn places(node: Node<'_>, path: &str, found: &mut Vec<Place>) {
    // What dtc reads itself, and stops at when it is not what it expects.
    const READ: [&str; 4] = ["phandle", "interrupt-parent", "remote-endpoint", "reg"];
    let names = |n: &&str| is_word(n) && !READ.iter().any(|read| n.contains(read));
    found.push(Place {
        path: if path.is_empty() { "/" } else { path }.into(),
        phandle: platform::tree::phandle(&node),
        label: None,
        properties: node
            .properties()
            .map(|p| p.name)
            .filter(names)
            .map(Into::into)
            .collect(),
        children: node.children().map(|c| c.name().into()).collect(),
    });
    // A path to `funnel` leads fdtoverlay to `funnel@1` where that stands first.
    let beside = |name: &str| {
        let mut others = node.children().filter(|c| c.name() != name);
        others.any(|c| c.base_name() == name)
    };
    for child in node.children().filter(|c| !c.name().starts_with("__")) {
        if is_word(child.name()) && !beside(child.name()) {
            places(child, &format!("{path}/{}", child.name()), found);
        }
    }
}

/// The sources of three overlays, to be applied one after another: labels and
/// phandles where the tree lacks them, changes, and changes of the changes.
pub fn overlays(blob: &Blob<'_>, random: &mut Random) -> Vec<String> {
    let mut all = Vec::new();
    places(blob.root(), "", &mut all);
    let mut chosen = Vec::new();
    for _ in 0..24.min(all.len()) {
        let at = random.below(all.len());
        chosen.push(all.swap_remove(at));
    }
    let mut sources = vec![names(blob, &mut chosen)];
    let mut made = Made::default();
    sources.push(made.overlay(&chosen, random));
    sources.push(made.overlay(&chosen, random));
    sources
}

/// An overlay that gives each place a label and a phandle.
fn names(blob: &Blob<'_>, places: &mut [Place]) -> String {
    let (mut symbols, mut phandles) = (String::new(), String::new());
    let known = blob.root().child("__symbols__");
    for (index, place) in places.iter_mut().enumerate() {
        let path = &place.path;
        let mut labels = known.into_iter().flat_map(|k| k.properties());
        let own = labels.find(|p| p.string() == Some(path) && p.name.len() < 31);
        let label = own.map_or_else(|| format!("sg_l{index}"), |p| p.name.into());
        let _ = write!(symbols, "{label} = \"{path}\"; ");
        if place.phandle.is_none() {
            let number = index + 1;
            let _ = writeln!(phandles, "&{{{path}}} {{ phandle = <{number}>; }};");
        }
        place.label = Some(label);
    }
    format!("/dts-v1/; /plugin/;\n&{{/}} {{ __symbols__ {{ {symbols}}}; }};\n{phandles}")
}

/// What earlier overlays have made.
#[derive(Default)]
struct Made {
    count: usize,
    labels: Vec<String>,
}

impl Made {
    /// References to a node of the tree, to one that an earlier overlay made,
    /// or to one of this overlay.
    fn cells(&self, places: &[Place], random: &mut Random) -> String {
        let mut cells = String::new();
        for _ in 0..=random.below(4) {
            let label = match random.below(3) {
                0 => random.of(places).label.as_ref(),
                1 if !self.labels.is_empty() => Some(random.of(&self.labels)),
                _ => None,
            };
            let _ = match label {
                Some(label) => write!(cells, "&{label} "),
                None => write!(cells, "{:#x} ", random.below(1 << 32)),
            };
        }
        cells
    }

    fn value(&self, places: &[Place], random: &mut Random) -> String {
        match random.below(6) {
            0 => String::new(),
            1 => format!("= \"text {}\", \"\", \"more\"", random.below(99)),
            2 => format!("= [{:02x} 00 ff]", random.below(256)),
            // References may stand anywhere.
            3 => {
                let text = &"abcdefg"[..random.below(8)];
                format!("= \"{text}\", <{}>", self.cells(places, random))
            }
            _ => format!(
                "= <{}>, <{}>",
                self.cells(places, random),
                self.cells(places, random)
            ),
        }
    }

    /// Properties, new and old, and nodes, new and old.
    fn body(&mut self, place: Option<&Place>, places: &[Place], random: &mut Random) -> String {
        let mut body = String::new();
        for name in 0..random.below(3) {
            let value = self.value(places, random);
            let _ = writeln!(body, "sg,new{name} {value};");
        }
        let Some(place) = place else {
            return body;
        };
        if !place.properties.is_empty() && random.below(3) == 0 {
            let (name, value) = (random.of(&place.properties), self.value(places, random));
            let _ = writeln!(body, "{name} {value};");
        }
        let old: Vec<&String> = place.children.iter().filter(|c| is_word(c)).collect();
        if !old.is_empty() && random.below(3) == 0 {
            let inner = self.body(None, places, random);
            let _ = writeln!(body, "{} {{ sg,mark; {inner} }};", random.of(&old));
        }
        body
    }

    fn node(&mut self, depth: usize, places: &[Place], random: &mut Random) -> String {
        let number = self.count;
        self.count += 1;
        let label = format!("sg_n{number}");
        let properties = self.body(None, places, random);
        self.labels.push(label.clone());
        let inner = if depth > 0 && random.below(2) == 0 {
            self.node(depth - 1, places, random)
        } else {
            String::new()
        };
        let own = self.cells(places, random);
        format!(
            "{label}: sg-node@{number:x} {{ {properties} self = <&{label} {own}>; {inner} }};\n"
        )
    }

    fn overlay(&mut self, places: &[Place], random: &mut Random) -> String {
        let mut source = String::from("/dts-v1/; /plugin/;\n");
        let earlier = self.labels.clone();
        for _ in 0..12 {
            let place = random.of(places);
            let mut body = self.body(Some(place), places, random);
            if random.below(2) == 0 {
                body += &self.node(2, places, random);
            }
            let target = match (&place.label, random.below(2)) {
                (Some(label), 0) => format!("&{label}"),
                _ => format!("&{{{}}}", place.path),
            };
            let _ = writeln!(source, "{target} {{ sg,touched; {body} }};");
        }
        if !earlier.is_empty() {
            let target = random.of(&earlier).clone();
            let body = self.node(1, places, random);
            let _ = writeln!(source, "&{target} {{ sg,again; {body} }};");
        }
        source
    }
}

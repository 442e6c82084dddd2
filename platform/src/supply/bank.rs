//! GPIO controllers that differ in the layout of their registers only.
mod layouts;

pub use layouts::ALL;

use super::SupplyError;
use super::gpio::Bank;
use super::poll::soon;
use crate::fdt::Node;
use crate::mmio::Mmio;
use spin::Mutex;

/// Where the registers of a GPIO controller are. Offsets are in bytes.
#[derive(Debug)]
pub struct Layout {
    /// Compatible string of the controller.
    pub compatible: &'static str,
    /// Which versions have this layout; all if none are named.
    pub version: Option<Version>,
    /// Lines of each group: one bit each in the group's registers.
    pub groups: &'static [u8],
    /// How lines stand in a register.
    pub order: Order,
    /// The registers are those of the parent, from this node's `offset` on.
    pub in_parent: bool,
    /// Level of each output.
    pub level: Field,
    /// Each of these has to say that the line is a steady output.
    pub outputs: &'static [Field],
    /// What `outputs` say then.
    pub output: bool,
}

/// A register that tells versions apart.
#[derive(Debug)]
pub struct Version {
    /// Its offset.
    pub at: u16,
    /// The values meant.
    pub values: &'static [u32],
}

/// How lines stand in a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Line 0 is bit 0.
    Ascending,
    /// Line 0 is bit 31, as PowerPC counts. Such registers are big-endian
    /// unless the node says `little-endian`.
    Descending,
}

/// A bit for each line.
#[derive(Debug)]
pub struct Field {
    /// How it is read.
    pub read: Access,
    /// How it is written.
    pub write: Access,
}

/// A register in each group, or two of them.
#[derive(Debug, Clone, Copy)]
pub enum Access {
    /// One register with all lines.
    Whole(Place),
    /// Two registers: ones in the first set, ones in the second clear.
    SetClear(Place, Place),
    /// Two registers of 16 lines. The upper half of each says which lines are
    /// written: those whose bit is `true` or `false`.
    Halves(Place, bool),
}

/// Offset of a register in group 0, and from group to group.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// In group 0.
    pub at: u16,
    /// From one group to the next.
    pub stride: u16,
}

impl Place {
    fn offset(self, group: usize) -> usize {
        usize::from(self.stride)
            .saturating_mul(group)
            .saturating_add(usize::from(self.at))
    }
}

/// A line's group, and its bit there.
#[derive(Clone, Copy)]
struct Line {
    group: usize,
    bit: u32,
}

impl Line {
    const fn mask(self) -> u32 {
        1 << (self.bit & 31)
    }
}

/// Whether there is a layout for the controller at `node`.
#[must_use]
pub fn is_known(node: &Node<'_>) -> bool {
    ALL.iter().any(|l| node.is_compatible(l.compatible))
}

/// Whether its registers are in its parent's.
#[must_use]
pub fn is_in_parent(node: &Node<'_>) -> bool {
    ALL.iter()
        .any(|l| l.in_parent && node.is_compatible(l.compatible))
}

/// Whether its registers have another byte order than a CPU's loads.
#[must_use]
pub fn is_big_endian(node: &Node<'_>) -> bool {
    let descending = |l: &Layout| l.order == Order::Descending && node.is_compatible(l.compatible);
    ALL.iter().any(descending) && node.property("little-endian").is_none()
}

/// A GPIO controller.
#[derive(Debug)]
pub struct GpioBank<M> {
    registers: M,
    layout: &'static Layout,
    /// Where its registers begin.
    base: usize,
    lines: u32,
    /// Serialises read-modify-write.
    lock: Mutex<()>,
}

impl<M: Mmio> GpioBank<M> {
    /// The controller at `node`, whose registers begin at `base` of
    /// `registers`; `None` if no layout fits its version. Reads the version
    /// where there is one, and touches nothing else.
    #[must_use]
    pub fn new(registers: M, node: &Node<'_>, base: usize) -> Option<Self> {
        let fits = |layout: &&Layout| {
            node.is_compatible(layout.compatible)
                && layout.version.as_ref().is_none_or(|version| {
                    let at = base.saturating_add(usize::from(version.at));
                    version.values.contains(&registers.read32(at))
                })
        };
        let layout = ALL.iter().find(fits)?;
        let all = layout.groups.iter().map(|&lines| u32::from(lines)).sum();
        let told = node.property("ngpios").or(node.property("ti,ngpio"));
        let lines = told.and_then(|p| p.u32()).map_or(all, |told| told.min(all));
        Some(Self {
            registers,
            layout,
            base,
            lines,
            lock: Mutex::new(()),
        })
    }

    fn line(&self, number: u32) -> Option<Line> {
        let mut bit = number;
        for (group, &lines) in self.layout.groups.iter().enumerate() {
            match bit.checked_sub(u32::from(lines)) {
                Some(rest) => bit = rest,
                None if self.layout.order == Order::Ascending => return Some(Line { group, bit }),
                None => {
                    let bit = 31_u32.saturating_sub(bit);
                    return Some(Line { group, bit });
                }
            }
        }
        None
    }

    fn at(&self, place: Place, group: usize) -> usize {
        self.base.saturating_add(place.offset(group))
    }

    fn get(&self, field: &Field, line: Line) -> bool {
        let read = |place, bit| self.registers.read32(self.at(place, line.group)) >> (bit & 31) & 1;
        let value = match field.read {
            Access::Whole(place) | Access::SetClear(place, _) => read(place, line.bit),
            Access::Halves(place, _) => read(half(place, line), line.bit & 15),
        };
        value != 0
    }

    /// The level that the line is driven to; `None` while it is an input.
    fn level(&self, line: Line) -> Option<bool> {
        let is_output = |field: &Field| self.get(field, line) == self.layout.output;
        let output = self.layout.outputs.iter().all(is_output);
        output.then(|| self.get(&self.layout.level, line))
    }

    fn put(&self, field: &Field, line: Line, value: bool) {
        match field.write {
            Access::Whole(place) => {
                let at = self.at(place, line.group);
                let others = self.registers.read32(at) & !line.mask();
                let own = if value { line.mask() } else { 0 };
                self.registers.write32(at, others | own);
            }
            Access::SetClear(set, clear) => {
                let place = if value { set } else { clear };
                let at = self.at(place, line.group);
                self.registers.write32(at, line.mask());
            }
            Access::Halves(place, written) => {
                let bit = line.bit & 15;
                let chosen = 1_u32 << bit << 16;
                let chosen = if written { chosen } else { !chosen & !0xffff };
                let at = self.at(half(place, line), line.group);
                let word = chosen | u32::from(value) << bit;
                self.registers.write32(at, word);
            }
        }
    }
}

/// The register that holds the line's half.
fn half(place: Place, line: Line) -> Place {
    let at = place.at.saturating_add(if line.bit > 15 { 4 } else { 0 });
    Place { at, ..place }
}

impl<M: Mmio + Send + Sync> Bank for GpioBank<M> {
    /// The level is there before the line drives it: it must not flash the old
    /// one when it becomes an output.
    fn drive(&self, line: u32, high: bool) -> Result<(), SupplyError> {
        let line = self.line(line).ok_or(SupplyError::Stuck(0))?;
        let _guard = self.lock.lock();
        self.put(&self.layout.level, line, high);
        for field in self.layout.outputs {
            if self.get(field, line) != self.layout.output {
                self.put(field, line, self.layout.output);
            }
        }
        if soon(|| self.level(line) == Some(high)) {
            Ok(())
        } else {
            let read = self.get(&self.layout.level, line);
            Err(SupplyError::Stuck(u32::from(read)))
        }
    }

    fn driven(&self, line: u32) -> Option<bool> {
        self.level(self.line(line)?)
    }

    fn lines(&self) -> u32 {
        self.lines
    }
}

//! An ITS by the book: registers, tables in memory and commands. It sees what
//! was published only, remembers what no driver may do, and can misbehave.

use super::spec::*;
use crate::gic::memory::TableMemory;
use crate::mmio::Mmio;
use core::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// Memory shared by the CPU, which caches, and the ITS, which does not.
#[derive(Default)]
pub struct Ram {
    stored: RefCell<BTreeMap<u64, u64>>,
    visible: RefCell<BTreeMap<u64, u64>>,
    taken: RefCell<Vec<(u64, u64)>>,
    /// Bytes left.
    pub left: Cell<u64>,
    /// Where the next block may begin.
    pub next: Cell<u64>,
}

impl Ram {
    pub fn new() -> Self {
        let ram = Self::default();
        ram.left.set(16 << 20);
        ram.next.set(0x4000_0000);
        ram
    }

    fn seen(&self, at: u64) -> u64 {
        self.visible.borrow().get(&at).copied().unwrap_or(0)
    }

    /// The byte that hardware sees.
    pub fn byte(&self, at: u64) -> u8 {
        self.seen(at & !7).to_le_bytes()[(at & 7) as usize]
    }

    fn is_taken(&self, at: u64, len: u64) -> bool {
        let taken = self.taken.borrow();
        taken
            .iter()
            .any(|&(start, size)| at >= start && at + len <= start + size)
    }
}

impl TableMemory for Ram {
    fn take(&self, size: u64, align: u64) -> Option<u64> {
        assert!(align.is_power_of_two());
        self.left.set(self.left.get().checked_sub(size)?);
        let at = self.next.get().next_multiple_of(align);
        self.next.set(at + size);
        self.taken.borrow_mut().push((at, size));
        Some(at)
    }
    fn write8(&self, at: u64, value: u8) {
        let mut stored = self.stored.borrow_mut();
        let word = stored.entry(at & !7).or_default();
        let mut bytes = word.to_le_bytes();
        bytes[(at & 7) as usize] = value;
        *word = u64::from_le_bytes(bytes);
        assert!(self.is_taken(at, 1));
    }
    fn write64(&self, at: u64, value: u64) {
        assert!(self.is_taken(at, 8) && at.is_multiple_of(8));
        self.stored.borrow_mut().insert(at, value);
    }
    fn publish(&self, at: u64, len: u64) {
        let stored = self.stored.borrow();
        let words = stored.range(at & !7..at + len).map(|(a, v)| (*a, *v));
        self.visible.borrow_mut().extend(words);
    }
}

/// How it differs from an obliging one.
#[derive(Clone, Copy, Default)]
pub struct Quirks {
    /// `GITS_CREADR` never moves.
    pub stuck: bool,
    /// `GITS_CREADR` reads as this.
    pub wild: Option<u64>,
    /// It stops at this many commands.
    pub stalls_after: Option<usize>,
    /// `Page_Size` reads as this.
    pub page_size: Option<u64>,
    /// `Indirect` reads as zero.
    pub flat: bool,
    /// This `GITS_BASER` takes nothing.
    pub deaf: Option<usize>,
    /// It never comes to rest.
    pub restless: bool,
    /// It does not snoop.
    pub uncached: bool,
    /// `GITS_TYPER.PTA`.
    pub by_address: bool,
}

/// Where an event leads: LPI, redistributor.
pub type Route = (u32, u64);

#[derive(Default)]
struct State {
    enabled: bool,
    cbaser: u64,
    creadr: u64,
    basers: [u64; BASERS],
    devices: BTreeMap<u32, u32>,
    events: BTreeMap<(u32, u32), (u32, u16)>,
    collections: BTreeMap<u16, u64>,
    done: usize,
    stalled: bool,
    since_sync: usize,
}

pub struct Model<'a> {
    ram: &'a Ram,
    quirks: Quirks,
    state: RefCell<State>,
    /// What no driver may do.
    pub violations: RefCell<Vec<String>>,
}

/// Bits of DeviceID and EventID.
const DEVICE_BITS: u64 = 16;
const EVENT_BITS: u64 = 10;
const ITT_ENTRY: u64 = 12;
/// Bytes of an entry of the device and the collection table.
const ENTRY: u64 = 16;

impl<'a> Model<'a> {
    pub fn new(ram: &'a Ram, quirks: Quirks) -> Self {
        Self {
            ram,
            quirks,
            state: RefCell::default(),
            violations: RefCell::default(),
        }
    }

    /// What becomes of a device's write of `event` to the doorbell.
    pub fn signal(&self, device: u32, event: u32) -> Option<Route> {
        let state = self.state.borrow();
        let (lpi, collection) = state.events.get(&(device, event)).copied()?;
        Some((lpi, *state.collections.get(&collection)?))
    }

    /// Whether every command's effects are certain.
    pub fn settled(&self) -> bool {
        self.state.borrow().since_sync == 0
    }

    /// Commands done.
    pub fn done(&self) -> usize {
        self.state.borrow().done
    }

    /// `GITS_BASERn`.
    pub fn baser(&self, index: usize) -> u64 {
        self.state.borrow().basers[index]
    }

    fn complain(&self, what: String) {
        self.violations.borrow_mut().push(what);
    }

    fn work(&self, state: &mut State, writer: u64) {
        let (base, size) = (state.cbaser & ADDRESS, ((state.cbaser & 0xff) + 1) * 4096);
        if !state.enabled || writer >= size || !writer.is_multiple_of(32) {
            return self.complain(format!("CWRITER {writer:#x}"));
        }
        while state.creadr != writer && !self.quirks.stuck {
            if self.quirks.stalls_after == Some(state.done) {
                state.stalled = true;
                return;
            }
            let at = base + state.creadr;
            let words = [0, 8, 16, 24].map(|offset| self.ram.seen(at + offset));
            if let Err(why) = self.command(state, words) {
                self.complain(why);
            }
            state.done += 1;
            state.creadr = (state.creadr + 32) % size;
        }
    }

    fn command(&self, state: &mut State, [w0, w1, w2, _]: [u64; 4]) -> Result<(), String> {
        let (device, event, icid) = ((w0 >> 32) as u32, w1 as u32, w2 as u16);
        let bits = state.devices.get(&device).copied().unwrap_or(0);
        let known = state.events.contains_key(&(device, event));
        state.since_sync += 1;
        match w0 & 0xff {
            0x08 if w2 & VALID != 0 => {
                let (bits, itt) = ((w1 & 0x1f) as u32 + 1, w2 & 0x000f_ffff_ffff_ff00);
                let fits =
                    u64::from(bits) <= EVENT_BITS && self.ram.is_taken(itt, ITT_ENTRY << bits);
                if !fits || !self.has_entry(state, device) {
                    return Err(format!("MAPD {device:#x} {bits} {itt:#x}"));
                }
                state.devices.insert(device, bits);
            }
            0x09 => drop(state.collections.insert(icid, w2 & 0x0007_ffff_ffff_0000)),
            0x0a => {
                let lpi = (w1 >> 32) as u32;
                if bits == 0 || event >> bits != 0 || lpi < 8192 {
                    return Err(format!("MAPTI {device:#x} {event} {lpi}"));
                }
                if state.events.values().any(|(other, _)| *other == lpi) {
                    return Err(format!("LPI {lpi} twice"));
                }
                state.events.insert((device, event), (lpi, icid));
            }
            0x01 if known => state.events.get_mut(&(device, event)).unwrap().1 = icid,
            0x0f if known => drop(state.events.remove(&(device, event))),
            0x0d if state.collections.contains_key(&icid) => {}
            0x05 if state.collections.values().any(|rd| *rd == w2) => state.since_sync = 0,
            code => return Err(format!("command {code:#x} {device:#x} {event}")),
        }
        Ok(())
    }

    /// Whether the device table has room for `device`.
    fn has_entry(&self, state: &State, device: u32) -> bool {
        let baser = state.basers[0];
        let page = [4096, 16384, 65536][((baser & PAGE_SIZE) >> PAGE_SIZE_SHIFT) as usize];
        let (base, len) = (baser & ADDRESS, ((baser & 0xff) + 1) * page);
        let per_page = page / ENTRY;
        if baser & INDIRECT == 0 {
            return self.ram.is_taken(base, len) && u64::from(device) < len / ENTRY;
        }
        let entry = self.ram.seen(base + u64::from(device) / per_page * 8);
        let level2 = entry & ADDRESS;
        entry & VALID != 0 && level2.is_multiple_of(page) && self.ram.is_taken(level2, page)
    }
}

impl Mmio for Model<'_> {
    fn read32(&self, offset: usize) -> u32 {
        assert_eq!(offset, CTLR);
        let state = self.state.borrow();
        let rest = !state.enabled && !self.quirks.restless;
        u32::from(state.enabled) | u32::from(rest) << 31
    }
    fn write32(&self, offset: usize, value: u32) {
        assert_eq!(offset, CTLR);
        self.state.borrow_mut().enabled = value & 1 != 0;
    }
    fn read64(&self, offset: usize) -> u64 {
        let state = self.state.borrow();
        match offset {
            TYPER => {
                1 | (ITT_ENTRY - 1) << 4
                    | (EVENT_BITS - 1) << 8
                    | (DEVICE_BITS - 1) << 13
                    | u64::from(self.quirks.by_address) << 19
            }
            CBASER => state.cbaser,
            CREADR => self
                .quirks
                .wild
                .unwrap_or(state.creadr | u64::from(state.stalled)),
            0x100..0x140 => state.basers[(offset - 0x100) / 8] | self.fixed(offset),
            _ => panic!("read of {offset:#x}"),
        }
    }
    fn write64(&self, offset: usize, value: u64) {
        let state = &mut *self.state.borrow_mut();
        match offset {
            CBASER => {
                state.cbaser = self.shareable(value);
                state.creadr = 0;
            }
            CWRITER if state.enabled => self.work(state, value),
            CWRITER => assert_eq!(value, 0),
            0x100..0x140 => {
                let index = (offset - 0x100) / 8;
                assert!(!state.enabled);
                if index < 2 && self.quirks.deaf != Some(index) {
                    state.basers[index] = self.accepted(value) & !0x071f_0000_0000_0000;
                }
            }
            _ => panic!("write of {offset:#x}"),
        }
    }
    fn read8(&self, _: usize) -> u8 {
        unreachable!("no byte register is used")
    }
    fn write8(&self, _: usize, _: u8) {
        unreachable!("no byte register is used")
    }
    fn read16(&self, _: usize) -> u16 {
        unreachable!("no 16-bit register is used")
    }
    fn write16(&self, _: usize, _: u16) {
        unreachable!("no 16-bit register is used")
    }
}

impl Model<'_> {
    /// Read-only fields of a `GITS_BASER`: the first is of devices, the second
    /// of collections.
    fn fixed(&self, offset: usize) -> u64 {
        match offset {
            0x100 => TYPE_DEVICES << 56 | (ENTRY - 1) << 48,
            0x108 => TYPE_COLLECTIONS << 56 | (ENTRY - 1) << 48,
            _ => 0,
        }
    }

    fn shareable(&self, value: u64) -> u64 {
        match self.quirks.uncached {
            true => value & !SHAREABILITY,
            false => value,
        }
    }

    fn accepted(&self, value: u64) -> u64 {
        let value = self.shareable(value);
        let value = match self.quirks.page_size {
            Some(code) => value & !PAGE_SIZE | code << PAGE_SIZE_SHIFT,
            None => value,
        };
        match self.quirks.flat {
            true => value & !INDIRECT,
            false => value,
        }
    }
}

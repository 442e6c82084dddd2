//! Stream mapping: which entry stands for which streams, and what each entry
//! says (IHI 0062, 5.1 to 5.3). A stream that no entry matches faults.

use super::features::Features;
use super::spec::{Page, gr0, stream};
use super::window::Window;
use crate::error::Error;
use crate::hardware::StreamAction;
use crate::outside::Registers;
use crate::power::Powered;
use crate::types::{ContextId, StreamId};
use alloc::vec::Vec;

/// Streams that one entry stands for: a mask's bits never matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub id: u16,
    pub mask: u16,
}

impl Match {
    fn meets(self, other: Match) -> bool {
        (self.id ^ other.id) & !(self.mask | other.mask) == 0
    }

    fn covers(self, other: Match) -> bool {
        self.meets(other) && other.mask & !self.mask == 0
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// As the caller named it.
    pub name: StreamId,
    pub streams: Match,
    pub action: StreamAction,
    /// Firmware's, not yet taken over.
    pub kept: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    entry: Option<Entry>,
    /// The registers do not say what the entry says.
    dirty: bool,
    /// What SMR holds.
    smr: u32,
    /// Firmware's, and in force since before the probe.
    untouched: bool,
}

/// How entries are spelled in registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spelling {
    pub matching: bool,
    pub extended: bool,
    /// Firmware turns bypass into fault; passing is translating by this bank.
    pub passing_bank: Option<u16>,
}

impl Spelling {
    fn smr(&self, entry: &Entry) -> u32 {
        let fields = u32::from(entry.streams.mask) << 16 | u32::from(entry.streams.id);
        if !self.matching {
            0
        } else if self.extended {
            fields
        } else {
            fields | stream::VALID
        }
    }

    fn s2cr(&self, entry: &Entry) -> u32 {
        let valid = if self.extended { stream::EXIDVALID } else { 0 };
        valid
            | match (entry.action, self.passing_bank) {
                (StreamAction::Abort, _) => self.fault(),
                (StreamAction::Bypass, None) => stream::BYPASS | stream::NO_BANK,
                (StreamAction::Bypass, Some(bank)) => stream::TRANSLATE | u32::from(bank),
                (StreamAction::Translate(bank), _) => stream::TRANSLATE | u32::from(bank.0),
            }
    }

    pub fn fault(&self) -> u32 {
        if self.passing_bank.is_some() {
            stream::BYPASS | stream::NO_BANK
        } else {
            stream::FAULT
        }
    }
}

/// What the entries are to say, and what was last written of it.
pub(super) struct StreamMap {
    slots: Vec<Slot>,
    pub spelling: Spelling,
    /// Bits that an SMR keeps.
    pub reach: Match,
}

impl StreamMap {
    pub fn new(features: &Features) -> Self {
        let ones = 1u32.wrapping_shl(features.stream_bits.into());
        let ones = ones.wrapping_sub(1) as u16;
        Self {
            slots: (0..features.entries).map(|_| Slot::default()).collect(),
            spelling: Spelling {
                matching: features.matching,
                extended: features.extended,
                passing_bank: None,
            },
            reach: Match {
                id: ones,
                mask: if features.matching { ones } else { 0 },
            },
        }
    }

    /// Takes note of an entry that firmware made and that is to stay. `smr` is
    /// what its SMR holds.
    pub fn keep(&mut self, number: u16, streams: Match, smr: u32) {
        if let Some(slot) = self.slots.get_mut(usize::from(number)) {
            *slot = Slot {
                entry: Some(Entry {
                    name: StreamId(u32::from(streams.mask) << 16 | u32::from(streams.id)),
                    streams,
                    action: StreamAction::Bypass,
                    kept: true,
                }),
                dirty: true,
                smr,
                untouched: true,
            };
        }
    }

    /// Entries that are still firmware's.
    pub fn kept(&self) -> usize {
        self.entries().filter(|e| e.kept).count()
    }

    /// An entry that nobody uses.
    pub fn spare(&self) -> Option<u16> {
        let last = self.slots.iter().rposition(|s| s.entry.is_none());
        last.map(|n| n as u16)
    }

    /// Every entry in use.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().filter_map(|s| s.entry.as_ref())
    }

    /// Who a stream of this id is to the caller.
    pub fn name_of(&self, id: u16) -> StreamId {
        let seen = Match { id, mask: 0 };
        let entry = self.entries().find(|e| e.streams.covers(seen));
        entry.map_or(StreamId(id.into()), |e| e.name)
    }

    /// What becomes of a stream, if anything but the default.
    pub fn action_of(&self, streams: Match) -> Option<StreamAction> {
        let entry = self.entries().find(|e| e.streams == streams);
        entry.map(|e| e.action)
    }

    /// Whether a stream that translates uses the bank.
    pub fn uses(&self, bank: u16) -> bool {
        let action = StreamAction::Translate(ContextId(bank));
        self.entries().any(|e| e.action == action)
    }

    /// Decides about a stream, in the map only.
    ///
    /// # Errors
    /// [`Error::StreamRange`], [`Error::StreamBusy`] when another stream's
    /// entry matches some of it too, [`Error::Full`]. Nothing was changed.
    pub fn decide(
        &mut self,
        name: StreamId,
        streams: Match,
        action: StreamAction,
    ) -> Result<(), Error> {
        let unreachable = streams.id & !self.reach.id | streams.mask & !self.reach.mask;
        if unreachable != 0 {
            return Err(Error::StreamRange(name));
        }
        let index = match self.index(name, streams, action)? {
            Some(index) => index,
            None => {
                // No entry is its own, but one of firmware's may match it.
                self.drop_meeting(streams, |e| e.kept);
                return Ok(());
            }
        };
        self.drop_meeting(streams, |_| true);
        let slot = self.slots.get_mut(index).ok_or(Error::StreamRange(name))?;
        slot.entry = Some(Entry {
            name,
            streams,
            action,
            kept: false,
        });
        slot.dirty = true;
        Ok(())
    }

    fn index(
        &self,
        name: StreamId,
        streams: Match,
        action: StreamAction,
    ) -> Result<Option<usize>, Error> {
        if !self.spelling.matching {
            let index = usize::from(streams.id);
            let there = index < self.slots.len();
            return if there {
                Ok(Some(index))
            } else {
                Err(Error::StreamRange(name))
            };
        }
        let exact = |s: &Slot| s.entry.is_some_and(|e| e.streams == streams);
        if let Some(index) = self.slots.iter().position(exact) {
            return Ok(Some(index));
        }
        if action == StreamAction::Abort {
            return Ok(None);
        }
        let in_the_way = |e: &Entry| {
            let yields = e.action == StreamAction::Abort || e.kept && streams.covers(e.streams);
            e.streams.meets(streams) && !yields
        };
        if self.entries().any(in_the_way) {
            return Err(Error::StreamBusy(name));
        }
        let free = self.slots.iter().position(|s| s.entry.is_none());
        let aborting = |s: &Slot| s.entry.is_some_and(|e| e.action == StreamAction::Abort);
        let index = free.or_else(|| self.slots.iter().position(aborting));
        index.map(Some).ok_or(Error::Full(self.slots.len()))
    }

    /// Gives up other entries of a kind that match some of these streams; the
    /// caller knows that they may go.
    fn drop_meeting(&mut self, streams: Match, which: impl Fn(&Entry) -> bool) {
        if !self.spelling.matching {
            return;
        }
        for slot in &mut self.slots {
            let meets = |e: &Entry| which(e) && e.streams != streams && e.streams.meets(streams);
            if slot.entry.as_ref().is_some_and(meets) {
                slot.entry = None;
                slot.dirty = true;
            }
        }
    }

    /// Writes every entry that changed: those that terminate first, so that
    /// no stream ever matches two. Each goes from old to new in one write, or
    /// terminates while SMR changes.
    pub fn flush<R: Registers>(&mut self, power: &Powered, window: &Window<R>) {
        for terminating in [true, false] {
            for (number, slot) in (0u16..).zip(self.slots.iter_mut()) {
                let abort = slot.entry.is_none_or(|e| e.action == StreamAction::Abort);
                if slot.dirty && abort == terminating {
                    write(power, window, self.spelling, number, slot);
                }
            }
        }
    }

    /// Terminates every stream, whatever the registers said before; with
    /// `spare`, all but firmware's that it never terminated. The map stays.
    pub fn deny<R: Registers>(&mut self, power: &Powered, window: &Window<R>, spare: bool) {
        for (number, slot) in (0u16..).zip(self.slots.iter_mut()) {
            if spare && slot.untouched && slot.entry.is_some_and(|e| e.kept) {
                write(power, window, self.spelling, number, slot);
                continue;
            }
            window.write(power, Page::Gr0, gr0::s2cr(number), self.spelling.fault());
            if self.spelling.matching {
                window.write(power, Page::Gr0, gr0::smr(number), 0);
            }
            slot.smr = 0;
            slot.untouched = false;
            slot.dirty = slot.entry.is_some();
        }
    }

    /// Terminates every stream by S2CR alone: before the clock stops. The next
    /// thing to be written is a `deny`.
    pub fn terminate<R: Registers>(&mut self, power: &Powered, window: &Window<R>) {
        for (number, slot) in (0u16..).zip(self.slots.iter_mut()) {
            window.write(power, Page::Gr0, gr0::s2cr(number), self.spelling.fault());
            slot.untouched = false;
            slot.dirty = slot.entry.is_some();
        }
    }

    /// Reads every entry back; `Err` is the number of one that does not
    /// terminate and is not firmware's.
    pub fn check_denied<R: Registers>(
        &self,
        power: &Powered,
        window: &Window<R>,
    ) -> Result<(), u16> {
        for (number, slot) in (0u16..).zip(self.slots.iter()) {
            let value = window.read(power, Page::Gr0, gr0::s2cr(number));
            let kept = slot.entry.is_some_and(|e| e.kept);
            if !kept && value & stream::TYPE != stream::FAULT {
                return Err(number);
            }
        }
        Ok(())
    }
}

fn write<R: Registers>(
    power: &Powered,
    window: &Window<R>,
    spelling: Spelling,
    number: u16,
    slot: &mut Slot,
) {
    let (smr, s2cr) = match &slot.entry {
        Some(entry) => (spelling.smr(entry), spelling.s2cr(entry)),
        None => (0, spelling.fault()),
    };
    if spelling.matching && smr != slot.smr {
        window.write(power, Page::Gr0, gr0::s2cr(number), spelling.fault());
        window.write(power, Page::Gr0, gr0::smr(number), smr);
        slot.smr = smr;
    }
    window.write(power, Page::Gr0, gr0::s2cr(number), s2cr);
    slot.dirty = false;
}

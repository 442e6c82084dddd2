//! The device's side of a split virtqueue (virtio 1.2, section 2.7), over guest memory.

use super::spec::{AVAIL_NO_INTERRUPT, DESC_INDIRECT, DESC_NEXT, DESC_WRITE, Descriptor};
use crate::dma::{GuestMemory, NotRam};
use arrayvec::ArrayVec;
use core::sync::atomic::{Ordering, fence};
use zerocopy::IntoBytes;

/// Most descriptors of a queue.
pub const QUEUE_MAX: u16 = 256;

/// Most descriptors of one buffer. Drivers use two.
const CHAIN_MAX: usize = 8;

/// The ring makes no sense: the driver must reset the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

impl From<NotRam> for Broken {
    fn from(_: NotRam) -> Self {
        Self
    }
}

/// One queue, as the driver set it up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Queue {
    /// Descriptors; a power of two.
    pub num: u16,
    pub ready: bool,
    pub desc: u64,
    pub avail: u64,
    pub used: u64,
    next_avail: u16,
    next_used: u16,
}

/// A buffer that the driver made available: what the device reads is already copied.
#[derive(Debug, Clone)]
pub struct Buffer<const N: usize> {
    /// First descriptor, for the used ring.
    pub head: u16,
    /// The first bytes of the readable part.
    pub readable: ArrayVec<u8, N>,
    /// Writable pieces: address and length.
    writable: ArrayVec<(u64, u32), CHAIN_MAX>,
}

impl<const N: usize> Buffer<N> {
    /// Writable bytes.
    pub fn writable(&self) -> u64 {
        self.writable
            .iter()
            .fold(0, |sum, (_, len)| sum.saturating_add(u64::from(*len)))
    }

    /// Where the last four writable bytes are, if they are in one piece.
    pub fn tail(&self) -> Option<u64> {
        let (addr, len) = self.writable.last()?;
        addr.checked_add(u64::from(len.checked_sub(4)?))
    }

    /// Writes `bytes` at `offset` of the writable part, as far as it goes.
    pub fn write(
        &self,
        memory: &impl GuestMemory,
        mut offset: u64,
        mut bytes: &[u8],
    ) -> Result<(), Broken> {
        for (addr, len) in &self.writable {
            let len = u64::from(*len);
            if offset >= len {
                offset = offset.saturating_sub(len);
                continue;
            }
            let room = usize::try_from(len.saturating_sub(offset)).map_err(|_| Broken)?;
            let (now, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            let at = addr.checked_add(offset).ok_or(Broken)?;
            memory.write(at, now)?;
            bytes = rest;
            offset = 0;
            if bytes.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

impl Queue {
    /// Whether the driver's set-up can be used.
    pub fn usable(&self) -> bool {
        self.num.is_power_of_two()
            && self.num <= QUEUE_MAX
            && self.desc & 15 == 0
            && self.avail & 1 == 0
            && self.used & 3 == 0
    }

    const fn slot(&self, index: u16) -> u64 {
        (index & self.num.wrapping_sub(1)) as u64
    }

    /// The next available buffer; stays available until [`taken`](Self::taken).
    pub fn peek<const N: usize>(
        &self,
        memory: &impl GuestMemory,
    ) -> Result<Option<Buffer<N>>, Broken> {
        let index = read16(memory, self.avail, 2)?;
        let waiting = index.wrapping_sub(self.next_avail);
        if waiting == 0 {
            return Ok(None);
        }
        if waiting > self.num {
            return Err(Broken);
        }
        // The ring entry was written before the index (2.7.13.3).
        fence(Ordering::Acquire);
        let slot = self.slot(self.next_avail).wrapping_mul(2).wrapping_add(4);
        let head = read16(memory, self.avail, slot)?;
        self.chain(memory, head).map(Some)
    }

    /// Whether there is an available buffer.
    pub fn waiting(&self, memory: &impl GuestMemory) -> Result<bool, Broken> {
        Ok(read16(memory, self.avail, 2)? != self.next_avail)
    }

    /// Steps over the buffer that [`peek`](Self::peek) showed.
    pub const fn taken(&mut self) {
        self.next_avail = self.next_avail.wrapping_add(1);
    }

    fn chain<const N: usize>(
        &self,
        memory: &impl GuestMemory,
        head: u16,
    ) -> Result<Buffer<N>, Broken> {
        let mut buffer = Buffer {
            head,
            readable: ArrayVec::new(),
            writable: ArrayVec::new(),
        };
        let mut index = head;
        for _ in 0..CHAIN_MAX {
            let descriptor = self.descriptor(memory, index)?;
            if descriptor.flags & DESC_INDIRECT != 0 {
                return Err(Broken);
            }
            if descriptor.flags & DESC_WRITE != 0 {
                buffer.writable.push((descriptor.addr, descriptor.len));
            } else if buffer.writable.is_empty() {
                append(memory, &mut buffer.readable, &descriptor)?;
            } else {
                // Readable parts come first (2.7.4.2).
                return Err(Broken);
            }
            if descriptor.flags & DESC_NEXT == 0 {
                return Ok(buffer);
            }
            index = descriptor.next;
        }
        Err(Broken)
    }

    fn descriptor(&self, memory: &impl GuestMemory, index: u16) -> Result<Descriptor, Broken> {
        if index >= self.num {
            return Err(Broken);
        }
        let mut descriptor = Descriptor::default();
        let at = u64::from(index).wrapping_mul(16);
        let at = self.desc.checked_add(at).ok_or(Broken)?;
        memory.read(at, descriptor.as_mut_bytes())?;
        Ok(descriptor)
    }

    /// Hands a buffer back to the driver, `written` bytes of it written. The driver sees it only with
    /// [`publish`](Self::publish).
    pub fn used(
        &mut self,
        memory: &impl GuestMemory,
        head: u16,
        written: u32,
    ) -> Result<(), Broken> {
        let element = [u32::from(head), written];
        let slot = self.slot(self.next_used).wrapping_mul(8).wrapping_add(4);
        let at = self.used.checked_add(slot).ok_or(Broken)?;
        memory.write(at, element.as_bytes())?;
        self.next_used = self.next_used.wrapping_add(1);
        Ok(())
    }

    /// Shows the driver what was handed back. Returns whether it wants an interrupt.
    pub fn publish(&self, memory: &impl GuestMemory) -> Result<bool, Broken> {
        fence(Ordering::Release);
        let at = self.used.checked_add(2).ok_or(Broken)?;
        memory.write(at, &self.next_used.to_le_bytes())?;
        // The index is seen before the flag is read (2.7.7.2).
        fence(Ordering::SeqCst);
        Ok(read16(memory, self.avail, 0)? & AVAIL_NO_INTERRUPT == 0)
    }
}

/// Copies a readable descriptor's bytes, as far as there is room: requests are short.
fn append<const N: usize>(
    memory: &impl GuestMemory,
    readable: &mut ArrayVec<u8, N>,
    descriptor: &Descriptor,
) -> Result<(), Broken> {
    let mut bytes = [0u8; N];
    let room = readable.remaining_capacity();
    let len = usize::try_from(descriptor.len).map_or(room, |len| len.min(room));
    let part = bytes.get_mut(..len).ok_or(Broken)?;
    memory.read(descriptor.addr, part)?;
    readable.try_extend_from_slice(part).map_err(|_| Broken)
}

fn read16(memory: &impl GuestMemory, base: u64, offset: u64) -> Result<u16, Broken> {
    let mut bytes = [0; 2];
    memory.read(base.checked_add(offset).ok_or(Broken)?, &mut bytes)?;
    Ok(u16::from_le_bytes(bytes))
}

//! Configuration space behind an ECAM window, some of whose accesses fail.

use super::config::{ConfigSpace, Width};
use super::rid::Rid;
use core::fmt;

/// How often an access is tried. A host bridge that comes out of a reset, and
/// one that an emulator moves about meanwhile, answers the second time; one
/// whose link is down makes the CPU wait for each.
const TRIES: u32 = 3;

/// The registers of an ECAM window. `at` is in bytes from its base, aligned to
/// the width; an access beyond the window fails.
pub trait Registers {
    /// Reads a register.
    ///
    /// # Errors
    /// The bus answered with an error.
    fn read(&self, at: usize, width: Width) -> Result<u32, Aborted>;
    /// Writes a register.
    ///
    /// # Errors
    /// The bus answered with an error; nothing was written.
    fn write(&self, at: usize, width: Width, value: u32) -> Result<(), Aborted>;
    /// Told of each access that failed however often it was tried.
    fn lost(&self, lost: Lost);
}

/// The bus answered an access with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted;

/// A configuration access that never got through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The function.
    pub rid: Rid,
    /// The register, in bytes.
    pub offset: u16,
    /// A write, which was dropped; a read gave all ones.
    pub write: bool,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rid, offset, write } = *self;
        match write {
            true => write!(f, "write to {rid} register {offset:#x} aborted: dropped"),
            false => write!(f, "read of {rid} register {offset:#x} aborted: all ones"),
        }
    }
}

/// The physical ECAM window (PCIe base 5.0, 7.2.2): 4 KiB per function, bus
/// `first_bus` at offset 0 (the `bus-range` property of the host bridge).
///
/// What PCI calls a master abort reaches a CPU as all ones from most host
/// bridges, as an external abort from others (no link, a function in reset, or
/// nothing there at all). Here both are the same: reads give all ones, writes
/// are dropped (PCIe base 5.0, 2.3.2). A read and a write may be tried again,
/// since one that ended with an error was not performed.
#[derive(Debug)]
pub struct Ecam<M> {
    registers: M,
    first_bus: u8,
    last_bus: u8,
}

impl<M: Registers> Ecam<M> {
    /// `registers` span the buses `first_bus..=last_bus`, 1 MiB each.
    #[must_use]
    pub const fn new(registers: M, first_bus: u8, last_bus: u8) -> Self {
        Self {
            registers,
            first_bus,
            last_bus,
        }
    }

    /// First and last bus number in the window.
    #[must_use]
    pub const fn buses(&self) -> (u8, u8) {
        (self.first_bus, self.last_bus)
    }

    /// The window.
    #[must_use]
    pub const fn registers(&self) -> &M {
        &self.registers
    }

    fn at(&self, rid: Rid, offset: u16, width: Width) -> Option<usize> {
        let in_range = (self.first_bus..=self.last_bus).contains(&rid.bus());
        if !in_range || offset >= 4096 || !offset.is_multiple_of(width.bytes()) {
            return None;
        }
        let first = usize::from(self.first_bus) << 20;
        ((usize::from(rid.0) << 12) | usize::from(offset)).checked_sub(first)
    }
}

/// What `access` gives the first time that it is not an error.
fn persist<T>(access: impl Fn() -> Result<T, Aborted>) -> Option<T> {
    (0..TRIES).find_map(|_| access().ok())
}

impl<M: Registers> ConfigSpace for Ecam<M> {
    fn read(&self, rid: Rid, offset: u16, width: Width) -> u32 {
        let Some(at) = self.at(rid, offset, width) else {
            return width.ones();
        };
        persist(|| self.registers.read(at, width)).unwrap_or_else(|| {
            self.registers.lost(Lost {
                rid,
                offset,
                write: false,
            });
            width.ones()
        })
    }

    fn write(&self, rid: Rid, offset: u16, width: Width, value: u32) {
        let Some(at) = self.at(rid, offset, width) else {
            return;
        };
        if persist(|| self.registers.write(at, width, value)).is_none() {
            self.registers.lost(Lost {
                rid,
                offset,
                write: true,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    /// Remembers what was written; reads give the offset back. Fails as often
    /// as it is told to.
    #[derive(Default)]
    struct Echo {
        written: RefCell<Vec<(usize, Width, u32)>>,
        fail: Cell<u32>,
        lost: RefCell<Vec<Lost>>,
    }

    impl Echo {
        fn answer(&self) -> Result<(), Aborted> {
            let left = self.fail.get();
            self.fail.set(left.saturating_sub(1));
            if left == 0 { Ok(()) } else { Err(Aborted) }
        }
    }

    impl Registers for Echo {
        fn read(&self, at: usize, width: Width) -> Result<u32, Aborted> {
            self.answer().map(|()| at as u32 & width.ones())
        }
        fn write(&self, at: usize, width: Width, value: u32) -> Result<(), Aborted> {
            self.answer()?;
            self.written.borrow_mut().push((at, width, value));
            Ok(())
        }
        fn lost(&self, lost: Lost) {
            self.lost.borrow_mut().push(lost);
        }
    }

    fn ecam() -> Ecam<Echo> {
        Ecam::new(Echo::default(), 4, 7)
    }

    #[test]
    fn offsets_are_relative_to_the_first_bus() {
        let ecam = ecam();
        assert_eq!(ecam.read32(Rid::new(5, 2, 1), 0x10), 0x11_1010);
        ecam.write16(Rid::new(4, 0, 0), 4, 0x406);
        let written = ecam.registers.written.borrow();
        assert_eq!(written.as_slice(), [(4, Width::Half, 0x406)]);
    }

    #[test]
    fn what_is_not_there_reads_as_ones_and_is_never_written() {
        let ecam = ecam();
        assert_eq!(ecam.read32(Rid::new(3, 0, 0), 0), u32::MAX);
        assert_eq!(ecam.read16(Rid::new(8, 0, 0), 0), 0xffff);
        assert_eq!(ecam.read32(Rid::new(4, 0, 0), 2), u32::MAX, "misaligned");
        let beyond = ecam.read8(Rid::new(4, 0, 0), 4096);
        assert_eq!(beyond, 0xff, "beyond the function");
        ecam.write32(Rid::new(8, 0, 0), 0, 1);
        ecam.write32(Rid::new(4, 0, 0), 4096, 1);
        assert!(ecam.registers.written.borrow().is_empty());
        assert!(ecam.registers.lost.borrow().is_empty());
    }

    #[test]
    fn an_abort_that_passes_is_not_seen() {
        let ecam = ecam();
        let rid = Rid::new(4, 0, 0);
        ecam.registers.fail.set(TRIES - 1);
        assert_eq!(ecam.read32(rid, 8), 8);
        ecam.registers.fail.set(TRIES - 1);
        ecam.write8(rid, 8, 1);
        let written = ecam.registers.written.borrow();
        assert_eq!(written.as_slice(), [(8, Width::Byte, 1)]);
        assert!(ecam.registers.lost.borrow().is_empty());
    }

    #[test]
    fn an_abort_that_stays_is_a_master_abort() {
        let ecam = ecam();
        let rid = Rid::new(4, 6, 0);
        for (width, ones) in [
            (Width::Byte, 0xff),
            (Width::Half, 0xffff),
            (Width::Word, u32::MAX),
        ] {
            ecam.registers.fail.set(TRIES);
            assert_eq!(ecam.read(rid, 0x4c, width), ones);
            assert_eq!(ecam.registers.fail.get(), 0, "tried {TRIES} times");
        }
        ecam.registers.fail.set(TRIES);
        ecam.write32(rid, 0x4c, 1);
        assert!(ecam.registers.written.borrow().is_empty());
        let lost = |write| Lost {
            rid,
            offset: 0x4c,
            write,
        };
        let told = ecam.registers.lost.take();
        assert_eq!(told, [lost(false), lost(false), lost(false), lost(true)]);
        assert_eq!(
            told.first().map(ToString::to_string).as_deref(),
            Some("read of 04:06.0 register 0x4c aborted: all ones")
        );
        assert_eq!(ecam.read32(rid, 0x4c), 0x3_004c, "and then it answers");
    }
}

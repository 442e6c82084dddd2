//! Loads a guest's kernel and initial ramdisk into its memory.
//!
//! Understands what people pass to `-kernel`: an arm64 `Image`, the same
//! compressed by gzip, an EFI zboot file around a gzip payload, and raw code.
//! Placement follows Linux `Documentation/arch/arm64/booting.rst`:
//!
//! ```text
//! RAM base, 2 MiB aligned
//!   + text_offset   kernel, image_size bytes (its BSS included)
//!   next 2 MiB      device tree, 2 MiB reserved
//!   next 2 MiB      initial ramdisk
//! ```
//!
//! All input is read with bounds; nothing is written outside the VM's RAM,
//! and a file that ends early is told from one that is merely odd.

mod crc;
mod error;
mod gzip;
mod header;
mod layout;

pub use error::ImageError;
pub use header::{Format, Header};
pub use layout::Layout;

use super::Range;
use layout::Placement;

/// Where the loader writes. The hypervisor implements it over a VM's memory.
pub trait GuestMemory {
    /// Copies `bytes` to guest physical address `ipa`.
    ///
    /// # Errors
    ///
    /// [`OutsideRam`] if any byte would land outside the VM's RAM.
    fn write(&mut self, ipa: u64, bytes: &[u8]) -> Result<(), OutsideRam>;
}

/// An address that is not RAM of this VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutsideRam(
    /// First guest physical address that does not belong to the VM.
    pub u64,
);

/// Writes kernel and ramdisk into `ram` and says where everything is.
///
/// The device tree is the caller's: it needs [`Layout::initrd`] and goes to
/// [`Layout::dtb`].
///
/// # Errors
///
/// [`ImageError`]; memory may have been written in part.
pub fn load(
    kernel: &[u8],
    initrd: Option<&[u8]>,
    ram: Range,
    memory: &mut dyn GuestMemory,
) -> Result<Layout, ImageError> {
    let initrd_size = initrd.map_or(0, |bytes| bytes.len() as u64);
    let mut loader = Loader {
        ram,
        initrd_size,
        memory,
        state: None,
        written: 0,
    };
    match Format::detect(kernel)? {
        Format::Image | Format::Raw => loader.chunk(kernel)?,
        Format::Gzip => gzip::inflate(kernel, &mut |bytes| loader.chunk(bytes))?,
        Format::Zboot { payload } => {
            let packed = header::zboot_payload(kernel, payload)?;
            gzip::inflate(packed, &mut |bytes| loader.chunk(bytes))?;
        }
    }
    let layout = loader.finish()?;
    if let (Some(bytes), Some(range)) = (initrd, layout.initrd) {
        memory.write(range.base, bytes)?;
    }
    Ok(layout)
}

/// Takes the kernel's bytes in order; places it when it has seen the header.
struct Loader<'a> {
    ram: Range,
    initrd_size: u64,
    memory: &'a mut dyn GuestMemory,
    state: Option<Placement>,
    written: u64,
}

impl Loader<'_> {
    fn chunk(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        let placement = match self.state {
            Some(placement) => placement,
            None => {
                let placement = Placement::of(bytes, self.ram)?;
                self.state = Some(placement);
                placement
            }
        };
        let len = bytes.len() as u64;
        let end = self.written.saturating_add(len);
        if end > placement.room {
            return Err(ImageError::DoesNotFit {
                need: end,
                have: placement.room,
            });
        }
        self.memory
            .write(placement.load.saturating_add(self.written), bytes)?;
        self.written = end;
        Ok(())
    }

    fn finish(self) -> Result<Layout, ImageError> {
        let placement = self.state.ok_or(ImageError::Empty)?;
        // What was packed must be a kernel as well.
        let need = placement.file_size.max(header::HEADER_SIZE);
        if self.written < need {
            return Err(ImageError::Truncated {
                have: self.written,
                need,
            });
        }
        placement.finish(self.written, self.initrd_size, self.ram)
    }
}

#[cfg(test)]
mod tests;

//! The headers of kernel files.

use super::ImageError;

/// A little-endian integer at `offset`.
fn le32(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes
        .get(offset..)?
        .first_chunk()
        .map(|b| u32::from_le_bytes(*b))
}

fn le16(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes
        .get(offset..)?
        .first_chunk()
        .map(|b| u16::from_le_bytes(*b))
}

fn le64(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes
        .get(offset..)?
        .first_chunk()
        .map(|b| u64::from_le_bytes(*b))
}

/// `ARM\x64` at offset 56 of an Image.
const IMAGE_MAGIC: u32 = 0x644d_5241;

/// Bytes of an Image's header. No file may be shorter, not even raw code: it
/// would rather be the beginning of something than a kernel.
pub(super) const HEADER_SIZE: u64 = 64;

/// How a kernel file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An arm64 Image.
    Image,
    /// A gzip member around an Image or raw code.
    Gzip,
    /// An EFI zboot file around a gzip member.
    Zboot {
        /// Offset and size of the gzip member in bytes, as the file claims.
        payload: (u32, u32),
    },
    /// Code without header, to be started at its first byte.
    Raw,
}

impl Format {
    /// Looks at the first bytes of a file.
    ///
    /// # Errors
    ///
    /// [`ImageError::Empty`] and [`ImageError::Unsupported`], the latter for
    /// files that clearly are something else than code.
    pub fn detect(file: &[u8]) -> Result<Self, ImageError> {
        const FOREIGN: [(&[u8], &str); 7] = [
            (b"\x7fELF", "an ELF file: convert it by objcopy -O binary"),
            (b"\x28\xb5\x2f\xfd", "compressed by zstd: use gzip or none"),
            (b"\xfd7zXZ\0", "compressed by xz: use gzip or none"),
            (b"BZh", "compressed by bzip2: use gzip or none"),
            (b"\x04\x22\x4d\x18", "compressed by lz4: use gzip or none"),
            (b"\x02\x21\x4c\x18", "compressed by lz4: use gzip or none"),
            (
                b"\x27\x05\x19\x56",
                "a U-Boot image: pass the kernel inside",
            ),
        ];
        if file.is_empty() {
            return Err(ImageError::Empty);
        }
        if le32(file, 56) == Some(IMAGE_MAGIC) {
            return Ok(Self::Image);
        }
        if file.starts_with(&[0x1f, 0x8b]) {
            return Ok(Self::Gzip);
        }
        if let Some((_, what)) = FOREIGN.iter().find(|(magic, _)| file.starts_with(magic)) {
            return Err(ImageError::Unsupported(what));
        }
        if (file.len() as u64) < HEADER_SIZE {
            return Err(ImageError::Truncated {
                have: file.len() as u64,
                need: HEADER_SIZE,
            });
        }
        if file.starts_with(b"MZ") {
            return zboot(file);
        }
        Ok(Self::Raw)
    }
}

/// Linux `drivers/firmware/efi/libstub/zboot-header.S`: "MZ", "zimg" at 4,
/// payload offset and size at 8 and 12, compression name at 24.
fn zboot(file: &[u8]) -> Result<Format, ImageError> {
    if file.get(4..8) != Some(b"zimg") {
        return Err(ImageError::Unsupported("a PE file but no arm64 kernel"));
    }
    let name = file.get(24..).and_then(|rest| rest.first_chunk::<5>());
    match (name, le32(file, 8), le32(file, 12)) {
        (Some(b"gzip\0"), Some(offset), Some(size)) => Ok(Format::Zboot {
            payload: (offset, size),
        }),
        (Some(b"zstd\0" | b"zstd2"), ..) => Err(ImageError::Unsupported(
            "an EFI zboot file compressed by zstd: use gzip or none",
        )),
        (Some(_), ..) => Err(ImageError::Unsupported(
            "an EFI zboot file that is not compressed by gzip",
        )),
        (None, ..) => Err(ImageError::Truncated {
            have: file.len() as u64,
            need: 64,
        }),
    }
}

/// The gzip member of a zboot file.
pub(super) fn zboot_payload(file: &[u8], (offset, size): (u32, u32)) -> Result<&[u8], ImageError> {
    let truncated = ImageError::Truncated {
        have: file.len() as u64,
        need: u64::from(offset).saturating_add(u64::from(size)),
    };
    let member = file
        .get(offset as usize..)
        .and_then(|rest| rest.get(..size as usize))
        .ok_or(truncated)?;
    if member.starts_with(&[0x1f, 0x8b]) {
        Ok(member)
    } else {
        Err(ImageError::CorruptGzip {
            at: u64::from(offset),
        })
    }
}

/// The arm64 Image header, `Documentation/arch/arm64/booting.rst`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Distance from a 2 MiB boundary, in bytes.
    pub text_offset: u64,
    /// Bytes of memory from the start of the Image, BSS included; 0 before
    /// Linux 3.17.
    pub image_size: u64,
    /// Bit 0 big-endian, bits 2:1 page size, bit 3 placement.
    pub flags: u64,
    /// Bytes the file itself must have, as far as its PE header tells; if
    /// that is cut off, as many as it would take to read it. An Image without
    /// EFI stub does not say.
    pub file_size: u64,
}

impl Header {
    /// Reads the header at the start of an Image; `None` without the magic.
    #[must_use]
    pub fn parse(image: &[u8]) -> Option<Self> {
        if le32(image, 56)? != IMAGE_MAGIC {
            return None;
        }
        Some(Self {
            text_offset: le64(image, 8)?,
            image_size: le64(image, 16)?,
            flags: le64(image, 24)?,
            file_size: pe_file_size(image).unwrap_or(0),
        })
    }

    /// The page size the kernel was built for, in bytes, where it says.
    #[must_use]
    pub const fn page_size(&self) -> Option<u32> {
        match self.flags >> 1 & 3 {
            1 => Some(4 << 10),
            2 => Some(16 << 10),
            3 => Some(64 << 10),
            _ => None,
        }
    }
}

/// End of the last section's raw data in a PE file, or of its headers if the
/// file ends among them.
fn pe_file_size(image: &[u8]) -> Option<u64> {
    if !image.starts_with(b"MZ") {
        return None;
    }
    let pe = le32(image, 0x3c)?;
    let Some(coff) = image.get(pe as usize..).filter(|coff| coff.len() >= 24) else {
        return Some(u64::from(pe).saturating_add(24));
    };
    if !coff.starts_with(b"PE\0\0") {
        return None;
    }
    let sections = u64::from(le16(coff, 6)?);
    let optional = u64::from(le16(coff, 20)?);
    let table = u64::from(pe).saturating_add(24).saturating_add(optional);
    let end = table.saturating_add(sections.saturating_mul(40));
    let data = image
        .get(usize::try_from(table).ok()?..)
        .unwrap_or(&[])
        .chunks_exact(40)
        .take(usize::try_from(sections).ok()?)
        .filter_map(|section| {
            let size = u64::from(le32(section, 16)?);
            size.checked_add(u64::from(le32(section, 20)?))
        });
    Some(data.max().unwrap_or(0).max(end))
}

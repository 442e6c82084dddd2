//! A gzip member (RFC 1952), inflated window by window.

use super::ImageError;
use super::crc::Crc32;
use alloc::boxed::Box;
use alloc::vec;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// Bytes handed on at once: a power of two, at least DEFLATE's 32 KiB.
const WINDOW: usize = 64 << 10;

const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0xe0;

/// Inflates the first member of `packed` into `sink`, whose first piece is
/// [`WINDOW`] bytes long unless the whole is shorter. Bytes behind the member
/// are padding.
///
/// Uses about 80 KiB of heap.
pub(super) fn inflate(
    packed: &[u8],
    sink: &mut dyn FnMut(&[u8]) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let total = packed.len() as u64;
    let truncated = ImageError::Truncated {
        have: total,
        need: total.saturating_add(1),
    };
    let body = skip_header(packed).ok_or(truncated)??;
    let mut crc = Crc32::new();
    let mut length: u32 = 0;
    let trailer = deflate(body, truncated, &mut |bytes| {
        crc.update(bytes);
        length = length.wrapping_add(bytes.len() as u32);
        sink(bytes)
    })
    .map_err(|error| match error {
        // Offsets in the body become offsets in the file.
        ImageError::CorruptGzip { at } => ImageError::CorruptGzip {
            at: at.saturating_add(total.saturating_sub(body.len() as u64)),
        },
        other => other,
    })?;
    check(
        trailer.first_chunk::<8>().ok_or(truncated)?,
        crc.value(),
        length,
    )
}

fn check(trailer: &[u8; 8], crc: u32, length: u32) -> Result<(), ImageError> {
    let [c0, c1, c2, c3, l0, l1, l2, l3] = *trailer;
    let expected = u32::from_le_bytes([c0, c1, c2, c3]);
    if crc != expected {
        return Err(ImageError::Checksum {
            computed: crc,
            expected,
        });
    }
    let expected = u32::from_le_bytes([l0, l1, l2, l3]);
    if length != expected {
        return Err(ImageError::Length {
            computed: length,
            expected,
        });
    }
    Ok(())
}

/// Inflates `body` and returns what follows the compressed data.
fn deflate<'a>(
    body: &'a [u8],
    truncated: ImageError,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), ImageError>,
) -> Result<&'a [u8], ImageError> {
    let mut state = Box::<DecompressorOxide>::default();
    let mut window = vec![0; WINDOW];
    let mut rest = body;
    loop {
        // The window is always drained whole, so output starts at 0 again;
        // what it still holds is the dictionary.
        let (status, read, written) = decompress(&mut state, rest, &mut window, 0, 0);
        rest = rest.get(read..).unwrap_or_default();
        let piece = window.get(..written).unwrap_or_default();
        if !piece.is_empty() {
            sink(piece)?;
        }
        match status {
            TINFLStatus::Done => return Ok(rest),
            TINFLStatus::HasMoreOutput if written != 0 => {}
            TINFLStatus::FailedCannotMakeProgress | TINFLStatus::NeedsMoreInput => {
                return Err(truncated);
            }
            _ => {
                return Err(ImageError::CorruptGzip {
                    at: (body.len() as u64).saturating_sub(rest.len() as u64),
                });
            }
        }
    }
}

/// The compressed body; `None` if the header does not end.
fn skip_header(packed: &[u8]) -> Option<Result<&[u8], ImageError>> {
    let (fixed, mut rest) = packed.split_first_chunk::<10>()?;
    let [_, _, method, flags, ..] = *fixed;
    if method != 8 || flags & RESERVED != 0 {
        return Some(Err(ImageError::CorruptGzip { at: 2 }));
    }
    if flags & FEXTRA != 0 {
        let (len, after) = rest.split_first_chunk::<2>()?;
        rest = after.get(usize::from(u16::from_le_bytes(*len))..)?;
    }
    for text in [FNAME, FCOMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end.checked_add(1)?..)?;
        }
    }
    if flags & FHCRC != 0 {
        rest = rest.get(2..)?;
    }
    Some(Ok(rest))
}

//! Writing packs and the image they ride on.
use platform::pack::{ALIGN, ENTRY, HEADER, Kind, MAGIC, MAX_FILES, NAME, Pack, VERSION, checksum};
use std::fmt;

/// A file to be packed.
#[derive(Debug, Clone)]
pub struct Input {
    /// Name under which a module asks for it.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// Its contents.
    pub bytes: Vec<u8>,
}

/// Why an image cannot be packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackingError {
    /// The hypervisor is no arm64 Image.
    NoImage,
    /// It carries a pack already.
    Packed,
    /// A name is empty, too long or given twice.
    Name(String),
    /// Too many files.
    TooMany(usize),
}

impl fmt::Display for PackingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoImage => write!(f, "not an arm64 Image (no magic, or image_size 0)"),
            Self::Packed => write!(f, "files are packed already; start from the plain image"),
            Self::Name(name) => {
                write!(
                    f,
                    "{name:?}: names have 1 to {} bytes and are unique",
                    NAME - 1
                )
            }
            Self::TooMany(count) => write!(f, "{count} files, at most {MAX_FILES} fit"),
        }
    }
}

impl std::error::Error for PackingError {}

/// The pack behind a hypervisor image, if it carries one that can be read.
#[must_use]
pub fn find(image: &[u8]) -> Option<Pack<'_>> {
    let places = (0..image.len()).step_by(ALIGN);
    let place = places.filter_map(|at| image.get(at..));
    place
        .filter(|rest| rest.starts_with(&MAGIC))
        .find_map(|rest| Pack::open(rest).ok())
}

const fn align(value: usize) -> usize {
    value.next_multiple_of(ALIGN)
}

/// A pack of `files`.
///
/// # Errors
/// [`PackingError`].
pub fn pack(files: &[Input]) -> Result<Vec<u8>, PackingError> {
    if files.len() > MAX_FILES {
        return Err(PackingError::TooMany(files.len()));
    }
    for (i, file) in files.iter().enumerate() {
        let twice = files.iter().take(i).any(|f| f.name == file.name);
        if file.name.is_empty() || file.name.len() >= NAME || file.name.contains('\0') || twice {
            return Err(PackingError::Name(file.name.clone()));
        }
    }
    let mut table = Vec::new();
    let mut contents = Vec::new();
    let first = align(HEADER + files.len() * ENTRY);
    for file in files {
        let offset = first + contents.len();
        let mut name = file.name.clone().into_bytes();
        name.resize(NAME, 0);
        table.extend(name);
        table.extend((offset as u64).to_le_bytes());
        table.extend((file.bytes.len() as u64).to_le_bytes());
        table.extend((file.kind as u32).to_le_bytes());
        table.extend(checksum(&file.bytes).to_le_bytes());
        contents.extend_from_slice(&file.bytes);
        contents.resize(align(contents.len()), 0);
    }
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    out.extend(u32::try_from(files.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(((first + contents.len()) as u64).to_le_bytes());
    out.extend([0; 8]);
    out.extend(table);
    out.resize(first, 0);
    out.extend(contents);
    Ok(out)
}

/// Offset of `image_size` in the arm64 Image header, a 64-bit number
/// (Documentation/arch/arm64/booting.rst).
const IMAGE_SIZE: usize = 16;
/// Offset of the header's magic.
const IMAGE_MAGIC: usize = 56;

/// Puts a pack behind a hypervisor image. `image_size` grows, so that boot
/// loaders keep the files' memory free; what lies between file end and pack is
/// the image's zero-initialised data.
///
/// # Errors
/// [`PackingError`].
pub fn image(hypervisor: &[u8], files: &[Input]) -> Result<Vec<u8>, PackingError> {
    let magic = hypervisor.get(IMAGE_MAGIC..IMAGE_MAGIC + 4);
    let size = hypervisor
        .get(IMAGE_SIZE..IMAGE_SIZE + 8)
        .and_then(|b| b.try_into().ok());
    let size = size.map_or(0, u64::from_le_bytes);
    let size = usize::try_from(size).map_err(|_| PackingError::NoImage)?;
    if magic != Some(b"ARM\x64") || size == 0 || size > 1 << 30 {
        return Err(PackingError::NoImage);
    }
    if hypervisor.len() > align(size) || hypervisor.windows(8).any(|w| w == MAGIC) {
        return Err(PackingError::Packed);
    }
    let mut out = hypervisor.to_vec();
    out.resize(align(size), 0);
    out.extend(pack(files)?);
    let total = out.len() as u64;
    put(&mut out, IMAGE_SIZE, &total.to_le_bytes());
    tell_uefi(&mut out);
    Ok(out)
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(field) = out.get_mut(at..at + bytes.len()) {
        field.copy_from_slice(bytes);
    }
}

/// UEFI loads what the PE header lists: its last section grows over the pack.
/// Offsets are those of the PE/COFF specification.
fn tell_uefi(image: &mut [u8]) {
    let word = |at: usize| -> Option<usize> {
        let bytes = image.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let place = || {
        let header = word(60)?;
        let is_pe = image.get(header..header + 4)? == b"PE\0\0";
        let sections = word(header + 4)? >> 16;
        let optional = header + 24;
        let table = optional + (word(header + 20)? & 0xffff);
        let last = table + 40 * sections.checked_sub(1)?;
        is_pe.then_some((optional + 56, last, word(last + 12)?))
    };
    let Some((image_size, last, start)) = place() else {
        return;
    };
    let total = u32::try_from(image.len()).unwrap_or(u32::MAX);
    let len = total.saturating_sub(u32::try_from(start).unwrap_or(u32::MAX));
    put(image, image_size, &total.to_le_bytes());
    put(image, last + 8, &len.to_le_bytes());
    put(image, last + 16, &len.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::pack::PackError;

    fn input(name: &str, kind: Kind, bytes: &[u8]) -> Input {
        Input {
            name: name.into(),
            kind,
            bytes: bytes.into(),
        }
    }

    fn hypervisor() -> Vec<u8> {
        let mut bytes = vec![0x5a; 5000];
        bytes[16..24].copy_from_slice(&9000u64.to_le_bytes());
        bytes[56..60].copy_from_slice(b"ARM\x64");
        bytes
    }

    #[test]
    fn what_was_packed_is_found() {
        let files = [
            input("vms", Kind::Overlay, b"overlay"),
            input("kernel", Kind::File, &[7; 10_000]),
            input("empty", Kind::File, b""),
        ];
        let bytes = pack(&files).unwrap();
        let pack = Pack::open(&bytes).unwrap();
        let found: Vec<_> = pack.files().collect();
        assert_eq!(found.len(), 3);
        for (found, file) in found.iter().zip(&files) {
            assert_eq!((found.name, found.kind), (file.name.as_str(), file.kind));
            assert_eq!(found.bytes, file.bytes);
            assert!(found.is_intact());
            assert_eq!(found.offset % ALIGN, 0);
        }
        assert_eq!(pack.length(), bytes.len());
    }

    #[test]
    fn damage_is_noticed() {
        let mut bytes = pack(&[input("k", Kind::File, &[1; 100])]).unwrap();
        let last = bytes.len() - ALIGN + 50;
        bytes[last] ^= 1;
        assert!(
            !Pack::open(&bytes)
                .unwrap()
                .files()
                .next()
                .unwrap()
                .is_intact()
        );
        bytes.truncate(last);
        assert_eq!(Pack::open(&bytes).unwrap_err(), PackError::Bounds(0));
        assert_eq!(Pack::open(&bytes[1..]).unwrap_err(), PackError::Absent);
    }

    #[test]
    fn every_cut_and_every_flip_is_survived() {
        let bytes = pack(&[
            input("a", Kind::File, b"x"),
            input("b", Kind::Overlay, b"y"),
        ])
        .unwrap();
        for cut in 0..HEADER + 2 * ENTRY {
            assert!(Pack::open(&bytes[..cut]).is_err());
        }
        for at in 0..HEADER + 2 * ENTRY {
            let mut bad = bytes.clone();
            bad[at] = !bad[at];
            if let Ok(pack) = Pack::open(&bad) {
                assert!(pack.files().filter(|f| f.is_intact()).count() <= 2);
            }
        }
    }

    #[test]
    fn the_image_grows_by_its_pack() {
        let plain = hypervisor();
        let packed = image(&plain, &[input("k", Kind::File, b"kernel")]).unwrap();
        assert_eq!(packed[24..5000], plain[24..5000]);
        let size = u64::from_le_bytes(packed[16..24].try_into().unwrap());
        assert_eq!(size as usize, packed.len());
        let pack = Pack::open(&packed[align(9000)..]).unwrap();
        assert_eq!(pack.files().next().unwrap().bytes, b"kernel");
        assert_eq!(image(&packed, &[]).unwrap_err(), PackingError::Packed);
        assert_eq!(image(&[0; 100], &[]).unwrap_err(), PackingError::NoImage);
    }

    /// UEFI loads what the headers list and nothing else.
    #[test]
    fn the_pe_header_grows_too() {
        let mut plain = hypervisor();
        let header = 64;
        let (optional, table) = (header + 24, header + 24 + 160);
        let mut set = |at: usize, bytes: &[u8]| plain[at..at + bytes.len()].copy_from_slice(bytes);
        set(60, &64_u32.to_le_bytes());
        set(header, b"PE\0\0");
        set(header + 6, &2_u16.to_le_bytes());
        set(header + 20, &160_u16.to_le_bytes());
        set(table + 40 + 12, &4096_u32.to_le_bytes());
        let packed = image(&plain, &[input("k", Kind::File, &[1; 9999])]).unwrap();
        let word = |at: usize| u32::from_le_bytes(packed[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!(word(optional + 56), packed.len());
        assert_eq!(word(table + 48), packed.len() - 4096);
        assert_eq!(word(table + 56), packed.len() - 4096);
        // The section before it stays.
        assert_eq!(packed[table..table + 40], plain[table..table + 40]);
        // A header that points nowhere is left alone.
        let mut odd = hypervisor();
        odd[60..64].copy_from_slice(&u32::MAX.to_le_bytes());
        let packed = image(&odd, &[]).unwrap();
        assert_eq!(packed[24..5000], odd[24..5000]);
    }

    #[test]
    fn names_are_unique_and_fit() {
        let twice = [input("k", Kind::File, b""), input("k", Kind::File, b"")];
        assert_eq!(pack(&twice).unwrap_err(), PackingError::Name("k".into()));
        let long = "x".repeat(NAME);
        assert!(matches!(
            pack(&[input(&long, Kind::File, b"")]),
            Err(PackingError::Name(_))
        ));
    }

    #[test]
    fn the_checksum_sees_every_flipped_bit_and_every_cut() {
        let bytes: Vec<u8> = (0..100u8).collect();
        let whole = checksum(&bytes);
        for at in 0..bytes.len() {
            assert_ne!(checksum(&bytes[..at]), whole);
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                assert_ne!(checksum(&bad), whole);
            }
        }
    }
}

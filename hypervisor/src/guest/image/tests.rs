//! The loader against files made here, whole, cut and bent.

use super::*;
use miniz_oxide::deflate::compress_to_vec;

const RAM: Range = Range::new(0x4000_0000, 64 << 20);

/// RAM that remembers what was written where.
struct Memory {
    ram: Range,
    bytes: Vec<u8>,
}

impl Memory {
    fn new(ram: Range) -> Self {
        Self {
            ram,
            bytes: vec![0; ram.size as usize],
        }
    }

    fn at(&self, ipa: u64, len: usize) -> &[u8] {
        &self.bytes[(ipa - self.ram.base) as usize..][..len]
    }
}

impl GuestMemory for Memory {
    fn write(&mut self, ipa: u64, bytes: &[u8]) -> Result<(), OutsideRam> {
        if !self.ram.covers(ipa, bytes.len() as u64) {
            return Err(OutsideRam(ipa));
        }
        let start = (ipa - self.ram.base) as usize;
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// An Image of `len` bytes that wants `image_size` bytes of memory.
fn image(len: usize, image_size: u64) -> Vec<u8> {
    let mut file: Vec<u8> = (0..len).map(|i| ((i * i) >> 7) as u8).collect();
    file[..64].fill(0);
    file[16..24].copy_from_slice(&image_size.to_le_bytes());
    file[24..32].copy_from_slice(&0xa_u64.to_le_bytes());
    file[56..60].copy_from_slice(b"ARM\x64");
    file
}

/// The same with a PE header whose one section ends at `end`.
fn pe_image(len: usize, image_size: u64, end: u32) -> Vec<u8> {
    let mut file = image(len, image_size);
    file[..2].copy_from_slice(b"MZ");
    file[0x40..0x100].fill(0);
    file[0x3c] = 0x40;
    file[0x40..0x44].copy_from_slice(b"PE\0\0");
    file[0x46] = 1;
    file[0x54] = 8;
    let section = 0x40 + 24 + 8;
    file[section + 16..section + 20].copy_from_slice(&(end - 0x1000).to_le_bytes());
    file[section + 20..section + 24].copy_from_slice(&0x1000_u32.to_le_bytes());
    file
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = crc::Crc32::new();
    crc.update(bytes);
    crc.value()
}

/// A gzip member; `flags` adds the optional header parts.
fn gzip_with(bytes: &[u8], flags: u8) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 2, 3];
    for (flag, part) in [
        (4, &b"\x03\0abc"[..]),
        (8, b"Image\0"),
        (16, b"x\0"),
        (2, b"hc"),
    ] {
        if flags & flag != 0 {
            file.extend_from_slice(part);
        }
    }
    file.extend(compress_to_vec(bytes, 6));
    file.extend(crc(bytes).to_le_bytes());
    file.extend((bytes.len() as u32).to_le_bytes());
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    gzip_with(bytes, 0)
}

fn zboot(bytes: &[u8]) -> Vec<u8> {
    let payload = gzip(bytes);
    let mut file = vec![0; 0x400];
    file[..2].copy_from_slice(b"MZ");
    file[4..8].copy_from_slice(b"zimg");
    file[8..12].copy_from_slice(&0x400_u32.to_le_bytes());
    file[12..16].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    file[24..28].copy_from_slice(b"gzip");
    file[56..60].copy_from_slice(b"\xcd\x23\x82\x81");
    file.extend(payload);
    file.extend([0; 100]);
    file
}

fn run(kernel: &[u8], initrd: Option<&[u8]>) -> Result<(Layout, Memory), ImageError> {
    let mut memory = Memory::new(RAM);
    let layout = load(kernel, initrd, RAM, &mut memory)?;
    Ok((layout, memory))
}

fn fails(kernel: &[u8]) -> ImageError {
    run(kernel, None).err().expect("must be refused")
}

#[test]
fn every_packing_of_an_image_lands_at_the_same_place() {
    let plain = image(300_000, 5 << 20);
    for file in [
        plain.clone(),
        gzip(&plain),
        gzip_with(&plain, 2),
        gzip_with(&plain, 4),
        gzip_with(&plain, 8),
        gzip_with(&plain, 16),
        gzip_with(&plain, 0x1e),
        zboot(&plain),
    ] {
        let (layout, memory) = run(&file, Some(b"ramdisk")).unwrap();
        assert_eq!(layout.entry, 0x4000_0000);
        assert_eq!(layout.kernel, Range::new(0x4000_0000, 5 << 20));
        assert_eq!(layout.dtb, Range::new(0x4060_0000, 2 << 20));
        assert_eq!(layout.initrd, Some(Range::new(0x4080_0000, 7)));
        assert_eq!(memory.at(0x4000_0000, plain.len()), &plain[..]);
        assert_eq!(memory.at(0x4080_0000, 8), b"ramdisk\0");
    }
}

#[test]
fn text_offset_and_an_unaligned_ram_base_are_honoured() {
    let mut old = image(4096, 1 << 20);
    old[8..16].copy_from_slice(&0x8_0000_u64.to_le_bytes());
    let ram = Range::new(0x4010_0000, 16 << 20);
    let mut memory = Memory::new(ram);
    let layout = load(&old, None, ram, &mut memory).unwrap();
    assert_eq!(layout.entry, 0x4028_0000);
    assert_eq!(memory.at(0x4028_0000, 4096), &old[..]);
}

#[test]
fn an_image_without_size_is_placed_as_before_3_17() {
    let mut old = image(4096, 0);
    old[8..16].copy_from_slice(&0x1234_u64.to_be_bytes());
    let (layout, _) = run(&old, None).unwrap();
    assert_eq!(layout.entry, 0x4008_0000);
    assert_eq!(layout.kernel.size, 4096);
}

#[test]
fn raw_code_starts_at_its_first_byte() {
    let code = b"\x1f\x20\x03\xd5".repeat(16);
    let (layout, memory) = run(&code, None).unwrap();
    assert_eq!(layout.entry, 0x4008_0000);
    assert_eq!(memory.at(0x4008_0000, 64), code);
    assert_eq!(layout.initrd, None);
    let (layout, memory) = run(&gzip(&[7; 200_000]), None).unwrap();
    assert_eq!(layout.kernel, Range::new(0x4008_0000, 200_000));
    assert_eq!(memory.at(0x4008_0000, 200_001)[199_999..], [7, 0]);
}

#[test]
fn a_cut_file_is_called_truncated_at_every_length() {
    let plain = pe_image(0x9000, 1 << 20, 0x9000);
    assert!(run(&plain, None).is_ok());
    let zboot_len = zboot(&plain).len() - 100;
    for (file, end) in [
        (plain.clone(), plain.len()),
        (gzip(&plain), gzip(&plain).len()),
        (gzip_with(&plain, 0x1e), gzip_with(&plain, 0x1e).len()),
        (zboot(&plain), zboot_len),
    ] {
        for cut in (2..0x200)
            .chain((0x200..end).step_by(97))
            .chain([end - 1, end - 8])
        {
            let error = fails(&file[..cut]);
            assert!(
                matches!(error, ImageError::Truncated { have, need } if have < need),
                "{cut} of {end}: {error:?}"
            );
        }
    }
}

/// The first bytes of a kernel are no kernel, packed or not, whatever they are.
#[test]
fn a_file_shorter_than_a_header_is_truncated() {
    let code = b"\x1f\x20\x03\xd5".repeat(16);
    for whole in [code, image(64, 1 << 20), pe_image(0x1000, 1 << 20, 0x1000)] {
        for have in [1, 4, 40, 63] {
            let truncated = ImageError::Truncated {
                have: have as u64,
                need: 64,
            };
            assert_eq!(fails(&whole[..have]), truncated);
            assert_eq!(fails(&gzip(&whole[..have])), truncated);
        }
    }
}

#[test]
fn gzip_headers_that_do_not_end_are_truncated() {
    for flags in [4, 8, 16, 2] {
        let file = gzip_with(b"code", flags);
        for cut in 2..11 {
            assert!(matches!(fails(&file[..cut]), ImageError::Truncated { .. }));
        }
    }
    assert_eq!(
        fails(&[0x1f, 0x8b, 8, 0x20, 0, 0, 0, 0, 0, 0]),
        ImageError::CorruptGzip { at: 2 }
    );
    assert_eq!(
        fails(&[0x1f, 0x8b, 7, 0, 0, 0, 0, 0, 0, 0]),
        ImageError::CorruptGzip { at: 2 }
    );
}

#[test]
fn a_packed_kernel_that_unpacks_short_is_truncated() {
    let plain = pe_image(0x9000, 1 << 20, 0x9000);
    assert_eq!(
        fails(&gzip(&plain[..0x8000])),
        ImageError::Truncated {
            have: 0x8000,
            need: 0x9000
        }
    );
}

#[test]
fn a_flipped_bit_never_loads() {
    let plain = image(20_000, 1 << 20);
    let good = gzip(&plain);
    // The first ten bytes hold a time stamp that nobody checks.
    for at in (10..good.len())
        .step_by(53)
        .chain(good.len() - 8..good.len())
    {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        assert!(run(&bad, None).is_err(), "byte {at}");
    }
    let mut bad = good.clone();
    let len = bad.len();
    bad[len - 1] ^= 1;
    assert_eq!(
        fails(&bad),
        ImageError::Length {
            computed: 20_000,
            expected: 20_000 ^ 1 << 24
        }
    );
}

#[test]
fn foreign_files_are_named() {
    for (magic, word) in [
        (&b"\x7fELF\x02\x01"[..], "ELF"),
        (b"\x28\xb5\x2f\xfd....", "zstd"),
        (b"\xfd7zXZ\0....", "xz"),
        (b"BZh9....", "bzip2"),
        (b"\x04\x22\x4d\x18....", "lz4"),
        (b"\x27\x05\x19\x56....", "U-Boot"),
        (&[&b"MZ"[..], &[0; 70]].concat(), "PE"),
    ] {
        let text = fails(magic).to_string();
        assert!(text.contains(word), "{text}");
    }
    assert_eq!(fails(b""), ImageError::Empty);
    let mut zstd = zboot(b"");
    zstd[24..30].copy_from_slice(b"zstd22");
    assert!(fails(&zstd).to_string().contains("zstd"));
}

#[test]
fn a_zboot_payload_outside_its_file_is_refused() {
    let mut file = zboot(&image(4096, 1 << 20));
    file[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(fails(&file), ImageError::Truncated { .. }));
    file[8..12].copy_from_slice(&0x100_u32.to_le_bytes());
    assert_eq!(fails(&file), ImageError::CorruptGzip { at: 0x100 });
}

#[test]
fn big_endian_kernels_are_refused() {
    let mut file = image(4096, 1 << 20);
    file[24] |= 1;
    assert_eq!(fails(&file), ImageError::BigEndian { flags: 0xb });
}

#[test]
fn what_does_not_fit_writes_nothing_outside() {
    let tight = Range::new(0x4000_0000, 4 << 20);
    let attempts = [
        (image(4096, 5 << 20), 0_usize),
        (image(4096, u64::MAX), 0),
        (image(4096, 1 << 20), 1),
        (gzip(&vec![0; 6 << 20]), 0),
    ];
    for (kernel, initrd) in attempts {
        let mut memory = Memory::new(tight);
        let initrd = vec![1; initrd];
        let error = load(&kernel, Some(&initrd), tight, &mut memory).unwrap_err();
        assert!(
            matches!(error, ImageError::DoesNotFit { need, have } if need > have),
            "{error:?}"
        );
    }
    let mut memory = Memory::new(tight);
    assert!(load(&image(4096, 2 << 20), None, tight, &mut memory).is_ok());
    for ram in [
        Range::new(u64::MAX - 4095, 4096),
        Range::new(0, 0),
        Range::new(u64::MAX, 9),
    ] {
        assert!(matches!(
            load(&[7; 64], None, ram, &mut Memory::new(Range::new(0, 0))),
            Err(ImageError::DoesNotFit { .. })
        ));
    }
}

#[test]
fn memory_that_is_not_there_is_an_error() {
    let mut memory = Memory::new(Range::new(0x4000_0000, 1 << 20));
    assert_eq!(
        load(&image(2 << 20, 2 << 20), None, RAM, &mut memory),
        Err(ImageError::OutsideRam { ipa: 0x4000_0000 })
    );
}

#[test]
fn page_sizes_are_read_from_the_flags() {
    let mut file = image(64, 1);
    for (flags, size) in [
        (0, None),
        (2, Some(4096)),
        (4, Some(16384)),
        (6, Some(65536)),
    ] {
        file[24] = flags;
        assert_eq!(Header::parse(&file).unwrap().page_size(), size);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Anything at all behind a plausible start: an answer, never a panic,
    /// and nothing outside RAM (the fake would panic).
    #[test]
    fn no_file_breaks_the_loader(
        start in proptest::sample::select(vec![0_u8, 1, 2, 3]),
        tail in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600),
    ) {
        let mut file = match start {
            0 => vec![],
            1 => vec![0x1f, 0x8b, 8, 0],
            2 => b"MZ\0\0zimg\x40\0\0\0\x80\0\0\0\0\0\0\0\0\0\0\0gzip\0".to_vec(),
            _ => pe_image(0x100, 1 << 20, 0x1000),
        };
        file.extend(tail);
        let _ = run(&file, Some(&[0; 10]));
    }
}

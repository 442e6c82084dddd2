//! The checksum the guests' `crc32` computes, so that the host can say
//! beforehand what it must be.

/// CRC-32 as in Ethernet and zlib (reflected, polynomial 0x04C11DB7).
pub fn crc32(data: impl Iterator<Item = u8>) -> u32 {
    let table = table();
    let step = |crc: u32, byte: u8| (crc >> 8) ^ table[(crc as u8 ^ byte) as usize];
    !data.fold(!0, step)
}

fn table() -> [u32; 256] {
    let mut table = [0; 256];
    for (index, entry) in table.iter_mut().enumerate() {
        let mut crc = index as u32;
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
        *entry = crc;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_standard_check_value() {
        assert_eq!(crc32(b"123456789".iter().copied()), 0xcbf4_3926);
        assert_eq!(crc32(std::iter::empty()), 0);
    }
}

//! The checksum of POSIX `cksum`, so that the host can say beforehand what a
//! guest must compute.

/// CRC and length as `cksum` prints them.
pub fn cksum(data: impl Iterator<Item = u8>) -> (u32, u64) {
    let table = table();
    let mut crc = 0u32;
    let mut length = 0u64;
    for byte in data {
        crc = step(&table, crc, byte);
        length += 1;
    }
    let mut rest = length;
    while rest != 0 {
        crc = step(&table, crc, rest as u8);
        rest >>= 8;
    }
    (!crc, length)
}

fn step(table: &[u32; 256], crc: u32, byte: u8) -> u32 {
    (crc << 8) ^ table[((crc >> 24) as u8 ^ byte) as usize]
}

fn table() -> [u32; 256] {
    let mut table = [0; 256];
    for (index, entry) in table.iter_mut().enumerate() {
        let mut crc = (index as u32) << 24;
        for _ in 0..8 {
            crc = (crc << 1) ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 };
        }
        *entry = crc;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_posix() {
        // `printf 123456789 | cksum` and `printf '' | cksum`
        assert_eq!(cksum(b"123456789".iter().copied()), (930_766_865, 9));
        assert_eq!(cksum(std::iter::empty()), (4_294_967_295, 0));
    }
}

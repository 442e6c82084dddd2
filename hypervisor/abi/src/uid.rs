//! Who we are (Arm DEN0028, section 6.2: general service queries).

/// The UUID as text, the way it is usually written.
pub const UUID_TEXT: &str = "4eae066c-54d2-44ee-9e8c-16d3cf3819c5";

/// The UUID as CALL_UID returns it in w0..w3: SMCCC takes the 16 bytes of the UUID in order and reads
/// each group of four little endian.
pub const UID: [u32; 4] = uid(UUID_TEXT.as_bytes());

/// Major revision: changes when a function is removed or changes its meaning.
pub const REVISION_MAJOR: u32 = 1;
/// Minor revision: grows when functions, flags or status codes are added.
pub const REVISION_MINOR: u32 = 0;

// Evaluated at compile time only (the constant above), so a fault would be a build error.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
const fn uid(text: &[u8]) -> [u32; 4] {
    let mut words = [0; 4];
    let (mut at, mut nibble) = (0, 0);
    while at < text.len() {
        let digit = match text[at] {
            digit @ b'0'..=b'9' => digit - b'0',
            digit @ b'a'..=b'f' => digit - b'a' + 10,
            _ => {
                at += 1;
                continue;
            }
        };
        let byte = nibble / 2;
        let shift = (byte % 4) * 8 + if nibble % 2 == 0 { 4 } else { 0 };
        words[byte / 4] |= (digit as u32) << shift;
        nibble += 1;
        at += 1;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_is_smcccs() {
        // KVM's UUID and words, as in Linux include/linux/arm-smccc.h.
        assert_eq!(
            uid(b"28b46fb6-2ec5-11e9-a9ca-4b564d003a74"),
            [0xb66f_b428, 0xe911_c52e, 0x564b_caa9, 0x743a_004d]
        );
        assert_ne!(UID, [0xb66f_b428, 0xe911_c52e, 0x564b_caa9, 0x743a_004d]);
        assert!(
            UID[0] != u32::MAX,
            "w0 = -1 would read as NOT_SUPPORTED, DEN0028"
        );
    }
}

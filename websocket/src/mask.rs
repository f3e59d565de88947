//! Masking (RFC 6455 §5.3): payload octet *i* is combined by XOR with octet *i* mod 4 of the key.
//!
//! Masking and unmasking are the same operation. Whole 8-byte words are combined at a time, which the
//! compiler turns into vector instructions.

/// How much is copied before it is masked: small enough to be still in the first-level cache.
const COPY_BLOCK_BYTES: usize = 4096;

/// Masks or unmasks `bytes`, whose first octet goes with the first of `key`.
///
/// ```
/// let mut bytes = *b"hello";
/// sluicegate_websocket::mask::apply(&mut bytes, [1, 2, 3, 4]);
/// sluicegate_websocket::mask::apply(&mut bytes[..2], [1, 2, 3, 4]);
/// sluicegate_websocket::mask::apply(&mut bytes[2..], sluicegate_websocket::mask::rotated([1, 2, 3, 4], 2));
/// assert_eq!(&bytes, b"hello");
/// ```
pub fn apply(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = bytes.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// The key for what follows the first `offset` octets of a payload.
pub fn rotated(mut key: [u8; 4], offset: usize) -> [u8; 4] {
    key.rotate_left(offset % 4);
    key
}

/// Appends `bytes`, masked or unmasked, to `out`.
pub fn append(out: &mut Vec<u8>, bytes: &[u8], key: [u8; 4]) {
    out.reserve(bytes.len());
    for block in bytes.chunks(COPY_BLOCK_BYTES) {
        let start = out.len();
        out.extend_from_slice(block);
        if let Some(copied) = out.get_mut(start..) {
            apply(copied, key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octet_by_octet(bytes: &[u8], key: [u8; 4]) -> Vec<u8> {
        bytes.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect()
    }

    #[test]
    fn rfc6455_section_5_3_every_length() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let bytes: Vec<u8> = (0..=255).cycle().take(COPY_BLOCK_BYTES * 2 + 7).collect();
        for len in (0..100).chain(COPY_BLOCK_BYTES - 1..=COPY_BLOCK_BYTES + 9).chain([bytes.len()]) {
            let expected = octet_by_octet(&bytes[..len], key);
            let mut applied = bytes[..len].to_vec();
            apply(&mut applied, key);
            assert_eq!(applied, expected);
            let mut appended = b"before".to_vec();
            append(&mut appended, &bytes[..len], key);
            assert_eq!(&appended[6..], expected);
        }
    }

    #[test]
    fn a_payload_may_be_masked_in_parts() {
        let key = [1, 2, 3, 4];
        let bytes: Vec<u8> = (0..50).collect();
        for cut in 0..bytes.len() {
            let mut parts = bytes.clone();
            let (head, tail) = parts.split_at_mut(cut);
            apply(head, key);
            apply(tail, rotated(key, cut));
            assert_eq!(parts, octet_by_octet(&bytes, key));
        }
    }
}

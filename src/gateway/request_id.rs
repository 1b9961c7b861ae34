//! One name for a request in the gateway's log, the upstream's and the client's.

use std::cell::Cell;

use http::{HeaderName, HeaderValue};

/// The header that carries it, inbound and outbound.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes ids that no other worker or process makes.
#[derive(Debug)]
pub(super) struct RequestIds {
    prefix: u64,
    next: Cell<u64>,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        let (prefix, start) = uuid::Uuid::new_v4().as_u64_pair();
        // The second half starts small, so that it can count without wrapping into another id's range.
        Self { prefix, next: Cell::new(start >> 32) }
    }

    /// The client's id if it is fit to be believed, or a new one.
    pub(super) fn for_request(&self, inbound: Option<&HeaderValue>) -> HeaderValue {
        inbound.filter(|id| is_believable(id.as_bytes())).cloned().unwrap_or_else(|| self.make())
    }

    fn make(&self) -> HeaderValue {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        let mut text = [0; 32];
        write_hex(&mut text[..16], self.prefix);
        write_hex(&mut text[16..], number);
        HeaderValue::from_bytes(&text).expect("hexadecimal digits are visible")
    }
}

/// Sixteen digits of a number.
fn write_hex(target: &mut [u8], number: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in target.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// Short, and of characters that mean nothing to a log, a shell or a database.
fn is_believable(id: &[u8]) -> bool {
    (1..=128).contains(&id.len())
        && id.iter().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'+' | b'/' | b'=')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_32_hexadecimal_digits_and_differ() {
        let ids = RequestIds::new();
        let (first, second) = (ids.make(), ids.make());
        assert_ne!(first, second);
        assert!(first.len() == 32 && first.as_bytes().iter().all(u8::is_ascii_hexdigit));
    }

    #[test]
    fn an_inbound_id_is_believed_only_if_it_is_harmless() {
        let ids = RequestIds::new();
        let kept = HeaderValue::from_static("0af7651916cd43dd8448eb211c80319c");
        assert_eq!(ids.for_request(Some(&kept)), kept);
        for bad in ["", "a b", "a\"b", "<script>", "$(id)"] {
            assert_ne!(ids.for_request(Some(&HeaderValue::from_static(bad))), bad, "{bad:?}");
        }
        let long = HeaderValue::from_str(&"a".repeat(129)).expect("a value");
        assert_ne!(ids.for_request(Some(&long)), long);
    }
}

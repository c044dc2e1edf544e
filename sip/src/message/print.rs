//! A message as bytes.

use bytes::Bytes;

use super::{Message, Name, Start};

/// Start line, headers in their order, Content-Length last (whatever stood there), body.
///
/// No value can break a line: a [`Text`](super::Text) holds no control character.
pub fn print(message: &Message) -> Bytes {
    let head: usize =
        message.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let mut out = Vec::with_capacity(head + message.body.len() + 128);
    match &message.start {
        Start::Request { method, uri } => {
            out.extend_from_slice(method.as_str().as_bytes());
            out.push(b' ');
            out.extend_from_slice(uri.as_bytes());
            out.extend_from_slice(b" SIP/2.0\r\n");
        }
        Start::Response { status, reason } => {
            out.extend_from_slice(b"SIP/2.0 ");
            push_number(&mut out, (*status).into());
            out.push(b' ');
            out.extend_from_slice(reason.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
    for (name, value) in &message.headers {
        if *name != Name::ContentLength {
            push_header(&mut out, name.as_str(), value);
        }
    }
    out.extend_from_slice(b"Content-Length: ");
    push_number(&mut out, message.body.len());
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(&message.body);
    Bytes::from(out)
}

pub(super) fn push_header(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Decimal, without the formatting machinery.
fn push_number(out: &mut Vec<u8>, mut number: usize) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Method, Text};

    #[test]
    fn the_length_is_counted_in_bytes_and_stands_last() {
        let message = Message {
            start: Start::Request { method: Method::Message, uri: Text::from_static("sip:a@b") },
            headers: vec![
                (Name::ContentLength, Text::from_static("7")),
                (Name::Subject, Text::new("hi\r\nVia: evil")),
            ],
            body: Bytes::from_static("ä".as_bytes()),
        };
        assert_eq!(
            print(&message),
            "MESSAGE sip:a@b SIP/2.0\r\nSubject: hi  Via: evil\r\nContent-Length: 2\r\n\r\nä"
        );
    }

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 9, 10, 700, usize::MAX] {
            let mut out = Vec::new();
            push_number(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}

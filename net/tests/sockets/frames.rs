//! What RFC 6455 and RFC 7118 ask of frames.

use bytes::Bytes;
use futures_util::StreamExt;
use sautikit_net::ws::{self, Failure, Incoming};
use tokio::io::AsyncWriteExt;

use crate::support::{
    BINARY, CLOSE, PING, PONG, TEXT, beside, failed, frame, masked, message, pair, raw, read_close,
    read_frame,
};

#[tokio::test]
async fn text_and_binary_frames_give_the_same_message() {
    let (mut client, mut feed, _outbox) = raw().await;
    client.write_all(&masked(TEXT, b"REGISTER sip:a SIP/2.0")).await.unwrap();
    client.write_all(&masked(BINARY, b"REGISTER sip:a SIP/2.0")).await.unwrap();
    assert_eq!(feed.next().await, Some(message("REGISTER sip:a SIP/2.0")));
    assert_eq!(feed.next().await, Some(message("REGISTER sip:a SIP/2.0")));
}

#[tokio::test]
async fn a_fragmented_message_is_put_together_around_a_ping() {
    let (mut client, mut feed, _outbox) = raw().await;
    for (first, part) in [(0x01, "REG"), (0x00, "IST"), (PING, "?"), (0x00, ""), (0x80, "ER")] {
        client.write_all(&masked(first, part.as_bytes())).await.unwrap();
    }
    assert_eq!(feed.next().await, Some(Incoming::Ping));
    assert_eq!(feed.next().await, Some(message("REGISTER")));
    let (_, frame) = tokio::join!(
        tokio::time::timeout(std::time::Duration::from_millis(50), feed.next()),
        read_frame(&mut client)
    );
    assert_eq!(frame, (PONG, b"?".to_vec()));
}

#[tokio::test]
async fn a_message_that_came_with_the_handshake_is_not_lost() {
    let (mut client, server) = pair().await;
    let leftover = masked(TEXT, b"early");
    let (mut feed, outbox) = ws::accept(server, b"HTTP/1.1 101 \r\n\r\n".to_vec(), leftover);
    outbox.send(Bytes::from_static(b"reply")).unwrap();
    assert_eq!(feed.next().await, Some(message("early")));
    let mut switching = [0; 17];
    tokio::io::AsyncReadExt::read_exact(&mut client, &mut switching).await.unwrap();
    assert_eq!(&switching, b"HTTP/1.1 101 \r\n\r\n");
    assert_eq!(read_frame(&mut client).await, (TEXT, b"reply".to_vec()));
}

#[tokio::test]
async fn a_message_goes_out_as_text_where_it_is_utf8_and_else_as_binary() {
    let (mut client, mut feed, outbox) = raw().await;
    outbox.send(Bytes::from_static("SIP/2.0 200 ✓".as_bytes())).unwrap();
    outbox.send(Bytes::from_static(b"\xff\xfe")).unwrap();
    outbox.ping();
    outbox.close(1000, "");
    let (_, ()) = beside(&mut feed, async {
        assert_eq!(read_frame(&mut client).await, (PING, Vec::new()));
        assert_eq!(read_frame(&mut client).await, (TEXT, "SIP/2.0 200 ✓".into()));
        assert_eq!(read_frame(&mut client).await, (BINARY, b"\xff\xfe".to_vec()));
        assert_eq!(read_close(&mut client).await, 1000);
        client.write_all(&masked(CLOSE, &1000u16.to_be_bytes())).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_pong_is_an_item_and_every_byte_is_counted() {
    let (mut client, mut feed, outbox) = raw().await;
    client.write_all(&masked(PONG, b"")).await.unwrap();
    assert_eq!(feed.next().await, Some(Incoming::Pong));
    assert_eq!(outbox.received(), 6);
    // Half a frame is a sign of life as well.
    client.write_all(&masked(TEXT, b"whole")[..4]).await.unwrap();
    let wait = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(wait, feed.next()).await.is_err());
    assert_eq!(outbox.received(), 10);
}

#[tokio::test]
async fn each_violation_is_closed_with_its_code_and_reported_once() {
    let over_64_kib = vec![b'x'; 64 * 1024 + 1];
    let halves = [masked(0x01, &over_64_kib[..40_000]), masked(0x80, &over_64_kib[..40_000])];
    for (what, bytes, failure, code) in [
        ("unmasked", frame(TEXT, b"x", None), Failure::Protocol, 1002),
        ("reserved bit", masked(0xc1, b"x"), Failure::Protocol, 1002),
        ("unknown opcode", masked(0x83, b"x"), Failure::Protocol, 1002),
        ("unknown control", masked(0x8b, b"x"), Failure::Protocol, 1002),
        ("stray continuation", masked(0x80, b"x"), Failure::Protocol, 1002),
        ("fragmented ping", masked(0x09, b"x"), Failure::Protocol, 1002),
        ("ping of 126 bytes", masked(PING, &[b'x'; 126]), Failure::Protocol, 1002),
        (
            "text within text",
            [masked(0x01, b"a"), masked(TEXT, b"b")].concat(),
            Failure::Protocol,
            1002,
        ),
        ("close of one byte", masked(CLOSE, b"x"), Failure::Protocol, 1002),
        ("text of no UTF-8", masked(TEXT, b"\xff"), Failure::NotUtf8, 1007),
        (
            "half a character at the end",
            [masked(0x01, b"a\xe2\x9c"), masked(0x80, b"")].concat(),
            Failure::NotUtf8,
            1007,
        ),
        ("reason of no UTF-8", masked(CLOSE, b"\x03\xe8\xff"), Failure::NotUtf8, 1007),
        ("frame over 64 KiB", masked(TEXT, &over_64_kib), Failure::TooLong, 1009),
        ("message over 64 KiB", halves.concat(), Failure::TooLong, 1009),
    ] {
        let (mut client, mut feed, outbox) = raw().await;
        let (items, sent) = beside(&mut feed, async move {
            client.write_all(&bytes).await.unwrap();
            read_close(&mut client).await
        })
        .await;
        assert_eq!((items, sent), (vec![failed(failure)], code), "{what}");
        assert_eq!(failure.close_code(), Some(code));
        assert!(!outbox.is_open());
    }
}

#[tokio::test]
async fn a_message_of_64_kib_passes() {
    let (mut client, mut feed, _outbox) = raw().await;
    let largest = vec![b'x'; 64 * 1024];
    let bytes = masked(TEXT, &largest);
    let (got, ()) = tokio::join!(feed.next(), async { client.write_all(&bytes).await.unwrap() });
    assert_eq!(got, Some(Incoming::Message(largest.into())));
}

#[tokio::test]
async fn a_message_in_a_hundred_thousand_empty_fragments_is_closed_as_too_long() {
    let (mut client, mut feed, _outbox) = raw().await;
    let mut bytes = masked(0x01, b"x");
    let empty = masked(0x00, b"");
    (0..100_000).for_each(|_| bytes.extend(&empty));
    let (items, sent) = beside(&mut feed, async move {
        client.write_all(&bytes).await.unwrap();
        read_close(&mut client).await
    })
    .await;
    assert_eq!((items, sent), (vec![failed(Failure::TooLong)], 1009));
}

#[tokio::test]
async fn any_number_of_small_messages_and_pings_passes_that_allowance() {
    let (mut client, mut feed, _outbox) = raw().await;
    let round = [masked(PING, b"p"), masked(TEXT, b"m")].concat();
    let bytes = round.repeat(30_000);
    let write = tokio::spawn(async move {
        client.write_all(&bytes).await.unwrap();
        client
    });
    let mut messages = 0;
    while messages < 30_000 {
        match feed.next().await {
            Some(Incoming::Message(_)) => messages += 1,
            other => assert_eq!(other, Some(Incoming::Ping)),
        }
    }
    drop(feed);
    drop(write);
}
